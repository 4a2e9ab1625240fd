#include "kernels/blocks.h"

#include "base/quantize.h"
#include "base/simd.h"
#include "kernels/blocks-amx.h"
#include "kernels/blocks-vnni.h"
#include "kernels/lanes.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Rows of x at a time, blocks of a row of w whose scales are taken out at once, and how many bytes ahead w is asked
 * for.
 */
enum { TOGETHER = 8, CHUNK = 32, AHEAD = 1024 };

/* x as whole numbers, and, for each block, a scale and what Q4_0's zero takes from the sum of products. These are
 * followed by zeros, up to `padded` in a row, a multiple of any vector's floats. */
struct pieces {
    int64_t blocks, padded; /* of a row */
    int16_t *whole;
    float *scale, *zero;
};

static int64_t padded_blocks(int64_t k)
{
    return (k / PARA_BLOCK + 15) / 16 * 16;
}

static size_t pieces_scratch(int64_t m, int64_t k)
{
    return (size_t)m * ((size_t)k * sizeof(int16_t) + 2 * (size_t)padded_blocks(k) * sizeof(float));
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

size_t para_blocks_scratch(int64_t m, int64_t k)
{
    size_t bytes = pieces_scratch(m, k);
    if (para_blocks_vnni_known())
        bytes = larger(bytes, para_blocks_vnni_scratch(m, k));
    if (para_blocks_amx_known())
        bytes = larger(bytes, para_blocks_amx_scratch(m, k));
    return (bytes + PARA_LINE - 1) / PARA_LINE * PARA_LINE;
}

PARA_SIMD static void round_blocks(int64_t blocks, const float *restrict x, int16_t *restrict whole,
                                   float *restrict scale, float *restrict zero)
{
    for (int64_t b = 0; b < blocks; b++, x += PARA_BLOCK, whole += PARA_BLOCK) {
        float most = PARA_BLOCKS_LEAST, nothing = 0;
        int32_t sum = 0;
#pragma omp simd reduction(max : most) reduction(+ : nothing)
        for (int e = 0; e < PARA_BLOCK; e++) {
            float size = fabsf(x[e]);
            most = size > most ? size : most;
            nothing += x[e] * 0.0f; /* but for what isn't finite */
        }
        float steps = nothing == 0 ? PARA_BLOCKS_LARGEST / most : 0;
#pragma omp simd reduction(+ : sum)
        for (int e = 0; e < PARA_BLOCK; e++) {
            float number = steps > 0 ? x[e] * steps : 0;
            int32_t nearest = (int32_t)(number + 12582912.0f - 12582912.0f); /* 3/2 2^23: its steps are 1 */
            whole[e] = (int16_t)nearest;
            sum += nearest;
        }
        scale[b] = most / PARA_BLOCKS_LARGEST + nothing;
        zero[b] = (float)(-PARA_Q4_0_ZERO * sum);
    }
}

static struct pieces pieces_of(int64_t m, int64_t k, const float *x, int64_t ldx, void *scratch)
{
    struct pieces p = {.blocks = k / PARA_BLOCK, .padded = padded_blocks(k), .scale = scratch};
    p.zero = p.scale + m * p.padded;
    p.whole = (int16_t *)(void *)(p.zero + m * p.padded);
    memset(p.scale, 0, (size_t)(2 * m * p.padded) * sizeof *p.scale);
    for (int64_t i = 0; i < m; i++)
        round_blocks(p.blocks, x + i * ldx, p.whole + i * k, p.scale + i * p.padded, p.zero + i * p.padded);
    return p;
}

/* y (rows) = some rows of pieces, 1, 2, 4 or 8 of them from number `row` on, by a row of w. */
typedef void dot(para_dtype dtype, int rows, const char *w, const struct pieces *x, int64_t row, float *y);

/* --- anywhere --- */

PARA_INLINE int number_of(para_dtype dtype, const uint8_t *q, int e)
{
    int half = PARA_BLOCK / 2;
    if (dtype == PARA_Q8_0)
        return (int8_t)q[e];
    return (e < half ? q[e] & 15 : q[e - half] >> 4) - PARA_Q4_0_ZERO;
}

static void dot_anywhere(para_dtype dtype, int rows, const char *w, const struct pieces *x, int64_t row, float *y)
{
    for (int i = 0; i < rows; i++) {
        const int16_t *whole = x->whole + (row + i) * x->blocks * PARA_BLOCK;
        const float *scale = x->scale + (row + i) * x->padded;
        float sum = 0;
        for (int64_t b = 0; b < x->blocks; b++, whole += PARA_BLOCK) {
            const char *block = w + para_dtype_span(dtype, b * PARA_BLOCK);
            const uint8_t *q = (const uint8_t *)block + sizeof(uint16_t);
            int32_t products = 0;
            for (int e = 0; e < PARA_BLOCK; e++)
                products += number_of(dtype, q, e) * whole[e];
            sum += (float)products * (para_block_scale(block) * scale[b]);
        }
        y[i] = sum;
    }
}

#ifdef __x86_64__

/* --- AVX2: 8 sums of 4 products --- */

#define TARGET __attribute__((target("avx2,fma,f16c")))

enum { V = 8 };

/* The numbers of a block as they are multiplied, those of Q4_0 with their zero. */
struct pair {
    __m256i low, high;
};

TARGET PARA_INLINE struct pair load(para_dtype dtype, const char *block)
{
    const __m128i *q = (const void *)(block + sizeof(uint16_t));
    if (dtype == PARA_Q8_0)
        return (struct pair){_mm256_cvtepi8_epi16(_mm_loadu_si128(q)), _mm256_cvtepi8_epi16(_mm_loadu_si128(q + 1))};
    __m256i both = _mm256_cvtepu8_epi16(_mm_loadu_si128(q));
    return (struct pair){_mm256_and_si256(both, _mm256_set1_epi16(15)), _mm256_srli_epi16(both, 4)};
}

/* Their products with x's, added up to V sums. */
TARGET PARA_INLINE __m256 products(struct pair w, const int16_t *x)
{
    const __m256i *half = (const void *)x;
    __m256i low = _mm256_madd_epi16(w.low, _mm256_loadu_si256(half)),
            high = _mm256_madd_epi16(w.high, _mm256_loadu_si256(half + 1));
    return _mm256_cvtepi32_ps(_mm256_add_epi32(low, high));
}

TARGET PARA_INLINE __m256 halves(const uint16_t *half)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)half));
}

TARGET PARA_INLINE float sum_of(__m256 v)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

/* `count` blocks from x's number b on are added to sum. */
TARGET PARA_INLINE void add_chunk(para_dtype dtype, int rows, const char *w, int64_t count, const struct pieces *x,
                                  int64_t row, int64_t b, __m256 sum[TOGETHER])
{
    const size_t bytes = para_dtype_bytes(dtype);
    const int64_t stride = x->blocks * PARA_BLOCK;
    const int16_t *whole = x->whole + row * stride + b * PARA_BLOCK;
    uint16_t half[CHUNK] = {0};
    _Alignas(64) float scale[TOGETHER][CHUNK];
    for (int64_t c = 0; c < count; c++)
        memcpy(&half[c], w + (size_t)c * bytes, sizeof half[c]);
    for (int64_t c = 0; c < count; c += V) {
        __m256 of_w = halves(half + c);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            int64_t at = (row + i) * x->padded + b + c;
            __m256 of_both = of_w * *(const __m256 *)(const void *)(x->scale + at);
            memcpy(&scale[i][c], &of_both, sizeof of_both);
            if (dtype == PARA_Q4_0)
                sum[i] += of_both * *(const __m256 *)(const void *)(x->zero + at);
        }
    }
    int64_t c = 0;
    for (; c + 2 <= count; c += 2, w += 2 * bytes, whole += 2 * PARA_BLOCK) {
        if (row == 0)
            __builtin_prefetch(w + AHEAD);
        struct pair first = load(dtype, w), second = load(dtype, w + bytes);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            const int16_t *of_x = whole + i * stride;
            sum[i] += products(first, of_x) * _mm256_set1_ps(scale[i][c]) +
                      products(second, of_x + PARA_BLOCK) * _mm256_set1_ps(scale[i][c + 1]);
        }
    }
    if (c == count)
        return;
    struct pair last = load(dtype, w);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
        sum[i] += products(last, whole + i * stride) * _mm256_set1_ps(scale[i][c]);
}

TARGET PARA_INLINE void dot_rows(para_dtype dtype, int rows, const char *w, const struct pieces *x, int64_t row,
                                 float *y)
{
    __m256 sum[TOGETHER];
    for (int i = 0; i < rows; i++)
        sum[i] = _mm256_set1_ps(0);
    for (int64_t b = 0; b < x->blocks; b += CHUNK) {
        int64_t count = x->blocks - b < CHUNK ? x->blocks - b : CHUNK;
        add_chunk(dtype, rows, w + para_dtype_span(dtype, b * PARA_BLOCK), count, x, row, b, sum);
    }
    for (int i = 0; i < rows; i++)
        y[i] = sum_of(sum[i]);
}

TARGET PARA_INLINE void dot_some(para_dtype dtype, int rows, const char *w, const struct pieces *x, int64_t row,
                                 float *y)
{
    if (rows == 8)
        dot_rows(dtype, 8, w, x, row, y);
    else if (rows == 4)
        dot_rows(dtype, 4, w, x, row, y);
    else if (rows == 2)
        dot_rows(dtype, 2, w, x, row, y);
    else
        dot_rows(dtype, 1, w, x, row, y);
}

TARGET static void dot_avx2(para_dtype dtype, int rows, const char *w, const struct pieces *x, int64_t row, float *y)
{
    if (dtype == PARA_Q8_0)
        dot_some(PARA_Q8_0, rows, w, x, row, y);
    else
        dot_some(PARA_Q4_0, rows, w, x, row, y);
}

static dot *const dots[] = {dot_anywhere, dot_avx2};

static int dot_versions(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 2 : 1; /* who has these has F16C */
}

#else

static dot *const dots[] = {dot_anywhere};

static int dot_versions(void)
{
    return 1;
}

#endif

static void multiply_pieces(dot *d, const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx,
                            float *y, int64_t ldy, bool add, void *scratch)
{
    struct pieces pieces = pieces_of(m, w->k, x, ldx, scratch);
    const char *row = w->data;
    float sum[TOGETHER];
    for (int64_t j = 0; j < w->n; j++, row += para_dtype_span(w->dtype, w->ld))
        for (int64_t i = 0, rows; i < m; i += rows) {
            rows = m - i >= 8 ? 8 : m - i >= 4 ? 4 : m - i >= 2 ? 2 : 1;
            d(w->dtype, (int)rows, row, &pieces, i, sum);
            for (int64_t r = 0; r < rows; r++) {
                float *to = y + (i + r) * ldy + j;
                *to = add ? *to + sum[r] : sum[r];
            }
        }
}

bool para_blocks_many(void)
{
    return para_blocks_vnni_known();
}

int para_blocks_versions(void)
{
    return dot_versions() + para_blocks_vnni_known() + para_blocks_amx_known();
}

void para_blocks_version(int version, const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx,
                         float *y, int64_t ldy, bool add, void *scratch)
{
    int dots_known = dot_versions();
    if (version < dots_known)
        multiply_pieces(dots[version], w, m, x, ldx, y, ldy, add, scratch);
    else if (version == dots_known || m == 1)
        para_blocks_vnni(w, m, x, ldx, y, ldy, add, scratch);
    else
        para_blocks_amx(w, m, x, ldx, y, ldy, add, scratch);
}

void para_blocks_multiply(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                          int64_t ldy, bool add, void *scratch)
{
    para_blocks_version(para_blocks_versions() - 1, w, m, x, ldx, y, ldy, add, scratch);
}
