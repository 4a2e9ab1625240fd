/* The element types of GGUF files as float32. A scale is a half, of 11 bits, and what it is multiplied by, a smaller
 * scale and a number, has 11 at most: every product is exact, and what is added to it is rounded once, whether the
 * compiler joins the two or not. */
#include "io/blocks.h"

#include "base/dtype.h"
#include "base/quantize.h"

#include <string.h>

enum { LARGE = 256 }; /* elements of a block of the K types */

static float half_at(const unsigned char *bytes)
{
    return para_block_scale(bytes);
}

static void widen_f32(float *out, const unsigned char *block)
{
    memcpy(out, block, sizeof *out);
}

static void widen_f16(float *out, const unsigned char *block)
{
    *out = half_at(block);
}

static void widen_bf16(float *out, const unsigned char *block)
{
    uint16_t half;
    memcpy(&half, block, sizeof half);
    *out = para_of_bf16(half);
}

static void widen_q8_0(float *out, const unsigned char *block)
{
    para_dequantize_block(PARA_Q8_0, block, out);
}

static void widen_q4_0(float *out, const unsigned char *block)
{
    para_dequantize_block(PARA_Q4_0, block, out);
}

/* Element e of 32: half a byte of 16, the first 16 elements the lower halves. */
static int nibble(const unsigned char *q, int e)
{
    return e < 16 ? q[e] & 15 : q[e - 16] >> 4;
}

/* Bit e of 32. */
static int bit(const unsigned char *bits, int e)
{
    return bits[e / 8] >> e % 8 & 1;
}

/* scale, least, 16 bytes of nibbles */
static void widen_q4_1(float *out, const unsigned char *block)
{
    float scale = half_at(block), least = half_at(block + 2);
    for (int e = 0; e < PARA_BLOCK; e++)
        out[e] = scale * (float)nibble(block + 4, e) + least;
}

/* scale, the fifth bits, 16 bytes of nibbles; 16 stands for 0 */
static void widen_q5_0(float *out, const unsigned char *block)
{
    float scale = half_at(block);
    for (int e = 0; e < PARA_BLOCK; e++)
        out[e] = scale * (float)((nibble(block + 6, e) | bit(block + 2, e) << 4) - 16);
}

/* scale, least, the fifth bits, 16 bytes of nibbles */
static void widen_q5_1(float *out, const unsigned char *block)
{
    float scale = half_at(block), least = half_at(block + 2);
    for (int e = 0; e < PARA_BLOCK; e++)
        out[e] = scale * (float)(nibble(block + 8, e) | bit(block + 4, e) << 4) + least;
}

/* The scale and the least value of run r of 8, six bits each in 12 bytes: those of runs 0 to 3 in the lower bits of
 * bytes r and r + 4; of runs 4 to 7 four bits in byte r + 4, the other two on top of bytes r - 4 and r. */
static void scale_of_run(const unsigned char *packed, int r, int *scale, int *least)
{
    if (r < 4) {
        *scale = packed[r] & 63;
        *least = packed[r + 4] & 63;
    } else {
        *scale = (packed[r + 4] & 15) | packed[r - 4] >> 6 << 4;
        *least = packed[r + 4] >> 4 | packed[r] >> 6 << 4;
    }
}

/* 8 runs of 32 by their scales and least values; two runs share 32 bytes of nibbles, and bit r of 32 bytes, if there
 * are any, is the fifth of run r. */
static void widen_runs(float *out, const unsigned char *block, const unsigned char *fifth, const unsigned char *nibbles)
{
    float scale = half_at(block), least = half_at(block + 2);
    for (int r = 0; r < 8; r++) {
        int run_scale, run_least;
        scale_of_run(block + 4, r, &run_scale, &run_least);
        float d = scale * (float)run_scale, m = least * (float)run_least;
        for (int e = 0; e < 32; e++) {
            int low = nibbles[32 * (r / 2) + e] >> 4 * (r % 2) & 15;
            out[32 * r + e] = d * (float)(low | (fifth ? fifth[e] >> r & 1 : 0) << 4) - m;
        }
    }
}

/* scale, scale of the least values, 12 bytes of both by run, nibbles */
static void widen_q4_k(float *out, const unsigned char *block)
{
    widen_runs(out, block, NULL, block + 16);
}

/* the same with 32 bytes of fifth bits before the nibbles */
static void widen_q5_k(float *out, const unsigned char *block)
{
    widen_runs(out, block, block + 16, block + 48);
}

/* 128 bytes of nibbles, 64 of two bits each on top, 16 scales of 16 elements, scale; 32 stands for 0. Within each half
 * of 128 elements run r of four has its nibbles in bytes 32 (r % 2) on, lower ones in runs 0 and 1, and its bits 2 r
 * on. */
static void widen_q6_k(float *out, const unsigned char *block)
{
    const unsigned char *scales = block + 192;
    float scale = half_at(block + 208);
    for (int e = 0; e < LARGE; e++) {
        int half = e / 128, run = e % 128 / 32, at = e % 32;
        int low = block[64 * half + 32 * (run % 2) + at] >> 4 * (run / 2) & 15;
        int high = block[128 + 32 * half + at] >> 2 * run & 3;
        float d = scale * (float)(int8_t)scales[e / 16];
        out[e] = d * (float)((low | high << 4) - 32);
    }
}

static const struct para_block_type types[] = {
    {0, "F32", 1, 4, PARA_F32, widen_f32},
    {1, "F16", 1, 2, PARA_F16, widen_f16},
    {2, "Q4_0", PARA_BLOCK, PARA_Q4_0_BYTES, PARA_Q4_0, widen_q4_0},
    {3, "Q4_1", PARA_BLOCK, 20, -1, widen_q4_1},
    {6, "Q5_0", PARA_BLOCK, 22, -1, widen_q5_0},
    {7, "Q5_1", PARA_BLOCK, 24, -1, widen_q5_1},
    {8, "Q8_0", PARA_BLOCK, PARA_Q8_0_BYTES, PARA_Q8_0, widen_q8_0},
    {10, "Q2_K", LARGE, 84, -1, NULL},
    {11, "Q3_K", LARGE, 110, -1, NULL},
    {12, "Q4_K", LARGE, 144, -1, widen_q4_k},
    {13, "Q5_K", LARGE, 176, -1, widen_q5_k},
    {14, "Q6_K", LARGE, 210, -1, widen_q6_k},
    {16, "IQ2_XXS", LARGE, 66, -1, NULL},
    {17, "IQ2_XS", LARGE, 74, -1, NULL},
    {18, "IQ3_XXS", LARGE, 98, -1, NULL},
    {19, "IQ1_S", LARGE, 50, -1, NULL},
    {20, "IQ4_NL", 32, 18, -1, NULL},
    {21, "IQ3_S", LARGE, 110, -1, NULL},
    {22, "IQ2_S", LARGE, 82, -1, NULL},
    {23, "IQ4_XS", LARGE, 136, -1, NULL},
    {24, "I8", 1, 1, -1, NULL},
    {25, "I16", 1, 2, -1, NULL},
    {26, "I32", 1, 4, -1, NULL},
    {27, "I64", 1, 8, -1, NULL},
    {28, "F64", 1, 8, -1, NULL},
    {29, "IQ1_M", LARGE, 56, -1, NULL},
    {30, "BF16", 1, 2, PARA_BF16, widen_bf16},
    {34, "TQ1_0", LARGE, 54, -1, NULL},
    {35, "TQ2_0", LARGE, 66, -1, NULL},
    {39, "MXFP4", 32, 17, -1, NULL},
};
enum { TYPES = sizeof types / sizeof types[0] };

const struct para_block_type *para_block_type(uint32_t number)
{
    for (int i = 0; i < TYPES; i++)
        if (types[i].number == number)
            return &types[i];
    return NULL;
}

const struct para_block_type *para_block_type_of(para_dtype dtype)
{
    for (int i = 0; i < TYPES; i++)
        if (types[i].dtype == (int)dtype)
            return &types[i];
    return NULL;
}

void para_blocks_widen(float *out, const struct para_block_type *type, const void *blocks, int64_t n)
{
    const unsigned char *block = blocks;
    for (int64_t e = 0; e < n; e += type->elements, block += type->bytes)
        type->widen(out + e, block);
}
