/* Element types: which of them weights have, and their conversions. */
#ifndef PARA_BASE_DTYPE_H
#define PARA_BASE_DTYPE_H

#include <paragraph/types.h>

#include <string.h>

/* Elements of a block of Q8_0 and Q4_0, and bytes: the scale, then the elements. */
enum { PARA_BLOCK = 32, PARA_Q8_0_BYTES = 2 + PARA_BLOCK, PARA_Q4_0_BYTES = 2 + PARA_BLOCK / 2 };

/* Whether parameters may be of this type. */
static inline bool para_dtype_weighs(para_dtype dtype)
{
    return dtype == PARA_F32 || dtype == PARA_BF16 || dtype == PARA_I8 || dtype == PARA_Q8_0 || dtype == PARA_Q4_0;
}

/* Whether its elements stand in blocks of several. */
static inline bool para_dtype_blocks(para_dtype dtype)
{
    return para_dtype_block(dtype) > 1;
}

/* Bytes of so many elements, whole blocks. */
static inline size_t para_dtype_span(para_dtype dtype, int64_t elements)
{
    return (size_t)(elements / para_dtype_block(dtype)) * para_dtype_bytes(dtype);
}

static inline uint32_t para_bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float para_float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Below 2^-14 a half has steps of 2^-24, those of floats from 1/2 to 1: adding 1/2 rounds to them. From 65520 on,
 * half a step above the largest half, the result is infinity. */
static inline uint16_t para_f16_of(float x)
{
    uint32_t bits = para_bits_of(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    uint32_t normal = (size + 0xfff + (size >> 13 & 1) - 0x38000000) >> 13;
    uint32_t little = para_bits_of(para_float_of(size) + 0.5f) - 0x3f000000;
    uint32_t half = size < 0x38800000 ? little : normal;
    half = size >= 0x477ff000 ? 0x7c00 : half;
    half = size > 0x7f800000 ? 0x7e00 | (size >> 13 & 0x3ff) : half;
    return (uint16_t)(sign | half);
}

static inline float para_of_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, size = half & 0x7fff;
    uint32_t normal = (size << 13) + (size >= 0x7c00 ? 0x70000000 : 0x38000000);
    uint32_t little = para_bits_of((float)(int32_t)size * 0x1p-24f);
    return para_float_of(sign | (size < 0x400 ? little : normal));
}

/* Round to nearest, ties to even; a NaN stays one, with its lowest bits lost. */
static inline uint16_t para_bf16_of(float x)
{
    uint32_t bits = para_bits_of(x);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
    return (uint16_t)(x != x ? bits >> 16 | 0x40 : rounded);
}

/* Round to nearest, ties to even, and hold to -127 to 127; NaN becomes 0. */
static inline int8_t para_i8_of(float x)
{
    float held = x > 127.0f ? 127.0f : x < -127.0f ? -127.0f : x;
    return (int8_t)(x != x ? 0.0f : held + 12582912.0f - 12582912.0f); /* 3/2 2^23: its steps are 1 */
}

static inline float para_of_bf16(uint16_t half)
{
    return para_float_of((uint32_t)half << 16);
}

#endif
