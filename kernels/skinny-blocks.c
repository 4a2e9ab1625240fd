#include "kernels/skinny-blocks.h"

#include "base/quantize.h"
#include "base/simd.h"
#include "kernels/lanes.h"

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Rows of x at a time, blocks of a row of w whose scales are taken out at once, and how many bytes ahead w is asked
 * for.
 */
enum { TOGETHER = 8, CHUNK = 32, AHEAD = 1024, LARGEST = 32767 };
static const float LEAST = 0x1p-112f;

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

size_t para_skinny_blocks_scratch(int64_t m, int64_t k)
{
    return (size_t)m * ((size_t)k * sizeof(int16_t) + 2 * (size_t)padded_blocks(k) * sizeof(float));
}

PARA_SIMD static void to_pieces(int64_t blocks, const float *restrict x, int16_t *restrict whole, float *restrict scale,
                                float *restrict zero)
{
    for (int64_t b = 0; b < blocks; b++, x += PARA_BLOCK, whole += PARA_BLOCK) {
        float most = LEAST, nothing = 0;
        int32_t sum = 0;
#pragma omp simd reduction(max : most) reduction(+ : nothing)
        for (int e = 0; e < PARA_BLOCK; e++) {
            float size = fabsf(x[e]);
            most = size > most ? size : most;
            nothing += x[e] * 0.0f; /* but for what isn't finite */
        }
        float steps = nothing == 0 ? LARGEST / most : 0;
#pragma omp simd reduction(+ : sum)
        for (int e = 0; e < PARA_BLOCK; e++) {
            float number = steps > 0 ? x[e] * steps : 0;
            int32_t nearest = (int32_t)(number + 12582912.0f - 12582912.0f); /* 3/2 2^23: its steps are 1 */
            whole[e] = (int16_t)nearest;
            sum += nearest;
        }
        scale[b] = most / LARGEST + nothing;
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
        to_pieces(p.blocks, x + i * ldx, p.whole + i * k, p.scale + i * p.padded, p.zero + i * p.padded);
    return p;
}

/* y (rows), ldy apart, = some rows of pieces, 1, 2, 4 or 8 of them from number `row` on, by a row of w. */
typedef void dot(para_dtype dtype, int rows, const char *w, const struct pieces *x, int64_t row, float *y, int64_t ldy);

/* --- anywhere --- */

PARA_INLINE int number_of(para_dtype dtype, const uint8_t *q, int e)
{
    int half = PARA_BLOCK / 2;
    if (dtype == PARA_Q8_0)
        return (int8_t)q[e];
    return (e < half ? q[e] & 15 : q[e - half] >> 4) - PARA_Q4_0_ZERO;
}

static void dot_anywhere(para_dtype dtype, int rows, const char *w, const struct pieces *x, int64_t row, float *y,
                         int64_t ldy)
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
        y[i * ldy] = sum;
    }
}

#ifdef __x86_64__

/* --- AVX2: 8 sums of 4 products --- */

#define V 8
#define TARGET __attribute__((target("avx2,fma,f16c")))
#define NAME(x) x##_8

typedef __m256 vec_8;
typedef struct pair_8 {
    __m256i low, high;
} pair_8;

TARGET PARA_INLINE pair_8 load_8(para_dtype dtype, const char *block)
{
    const __m128i *q = (const void *)(block + sizeof(uint16_t));
    if (dtype == PARA_Q8_0)
        return (pair_8){_mm256_cvtepi8_epi16(_mm_loadu_si128(q)), _mm256_cvtepi8_epi16(_mm_loadu_si128(q + 1))};
    __m256i both = _mm256_cvtepu8_epi16(_mm_loadu_si128(q));
    return (pair_8){_mm256_and_si256(both, _mm256_set1_epi16(15)), _mm256_srli_epi16(both, 4)};
}

TARGET PARA_INLINE vec_8 products_8(pair_8 w, const int16_t *x)
{
    const __m256i *half = (const void *)x;
    __m256i low = _mm256_madd_epi16(w.low, _mm256_loadu_si256(half)),
            high = _mm256_madd_epi16(w.high, _mm256_loadu_si256(half + 1));
    return _mm256_cvtepi32_ps(_mm256_add_epi32(low, high));
}

TARGET PARA_INLINE vec_8 halves_8(const uint16_t *half)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const void *)half));
}

TARGET PARA_INLINE vec_8 all_8(float x)
{
    return _mm256_set1_ps(x);
}

TARGET PARA_INLINE float sum_8(vec_8 v)
{
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

#include "kernels/skinny-blocks-rows.h"

/* --- AVX-512: 16 sums of 2 products --- */

#define V 16
#define TARGET __attribute__((target("avx512f,avx512bw")))
#define NAME(x) x##_16

typedef __m512 vec_16;
typedef __m512i pair_16;

TARGET PARA_INLINE pair_16 load_16(para_dtype dtype, const char *block)
{
    const void *q = block + sizeof(uint16_t);
    if (dtype == PARA_Q8_0)
        return _mm512_cvtepi8_epi16(_mm256_loadu_si256(q));
    __m256i both = _mm256_cvtepu8_epi16(_mm_loadu_si128(q)), low = _mm256_and_si256(both, _mm256_set1_epi16(15));
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), _mm256_srli_epi16(both, 4), 1);
}

TARGET PARA_INLINE vec_16 products_16(pair_16 w, const int16_t *x)
{
    return _mm512_cvtepi32_ps(_mm512_madd_epi16(w, _mm512_loadu_si512(x)));
}

TARGET PARA_INLINE vec_16 halves_16(const uint16_t *half)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)half));
}

TARGET PARA_INLINE vec_16 all_16(float x)
{
    return _mm512_set1_ps(x);
}

TARGET PARA_INLINE float sum_16(vec_16 v)
{
    return _mm512_reduce_add_ps(v);
}

#include "kernels/skinny-blocks-rows.h"

static dot *const versions[] = {dot_anywhere, dot_8, dot_16};

int para_skinny_blocks_versions(void)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 1; /* who has these has F16C */
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") ? 3 : 2;
}

#else

static dot *const versions[] = {dot_anywhere};

int para_skinny_blocks_versions(void)
{
    return 1;
}

#endif

void para_skinny_blocks_version(int version, const struct para_weights_matrix *w, int64_t m, const float *x,
                                int64_t ldx, float *y, int64_t ldy, void *scratch)
{
    struct pieces pieces = pieces_of(m, w->k, x, ldx, scratch);
    const char *row = w->data;
    for (int64_t j = 0; j < w->n; j++, row += para_dtype_span(w->dtype, w->ld))
        for (int64_t i = 0, rows; i < m; i += rows) {
            rows = m - i >= 8 ? 8 : m - i >= 4 ? 4 : m - i >= 2 ? 2 : 1;
            versions[version](w->dtype, (int)rows, row, &pieces, i, y + i * ldy + j, ldy);
        }
}

void para_skinny_blocks(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                        int64_t ldy, void *scratch)
{
    para_skinny_blocks_version(para_skinny_blocks_versions() - 1, w, m, x, ldx, y, ldy, scratch);
}
