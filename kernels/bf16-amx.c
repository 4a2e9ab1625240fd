/* Four tiles of y, 32 by 32, from two of x, by each of its pieces, and two of w. Some rows of x lie packed in the L2
 * cache, tiles as they are loaded; a panel of w, 32 columns, in L1. Of a tile of w, a row is two rows of it, by pairs.
 */
#include "kernels/bf16-amx.h"

#include "kernels/amx.h"

#if defined(__x86_64__) && defined(__linux__)
#include "base/checked.h"
#include "base/dtype.h"
#include "kernels/lanes.h"

#include <immintrin.h>
#include <string.h>

#define V 16
#include "kernels/vectors.h"
#undef V

/* Rows of a tile, k of one, bytes of one; pieces of x; tiles of K at a time, and rows of x, 3/4 MiB of them. */
enum { ROWS = PARA_TILE_ROWS, STEP = 32, TILE = ROWS * PARA_TILE_BYTES, PIECES = 3, DEPTH = 16, PART = 256 };
enum { COLUMNS = 2 * PARA_LANES, SIDE = 2 * ROWS };

#undef TARGET
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl")))

/* x (pairs of tiles of rows, steps, PIECES, 2 tiles), a panel of w (steps, 2 tiles), and what they give. */
struct packed {
    int64_t steps;
    char *x, *panel;
    float *sums; /* (SIDE, COLUMNS) */
};

bool para_bf16_amx_known(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && para_amx_known();
}

static int64_t steps_of(int64_t k)
{
    return para_smaller((k + STEP - 1) / STEP, DEPTH);
}

static int64_t sides_of(int64_t m)
{
    return (para_smaller(m, PART) + SIDE - 1) / SIDE;
}

size_t para_bf16_amx_scratch(int64_t m, int64_t k)
{
    return (size_t)(steps_of(k) * (sides_of(m) * PIECES * 2 + 2) * TILE) + SIDE * COLUMNS * sizeof(float);
}

/* The first so many of 16 or 32, if there are not more. */
PARA_INLINE uint32_t first_of(int64_t count, int most)
{
    return count >= most ? 0xffffffffu >> (32 - most) : count > 0 ? (1u << count) - 1 : 0;
}

/* --- x --- */

/* What of x is bfloat16, and *x = what is left; NaN stays it, and of infinity nothing is left. */
TARGET PARA_INLINE __m256i take_piece(__m512 *x)
{
    __m512i bits = _mm512_castps_si512(*x);
    __mmask16 number = _mm512_cmp_ps_mask(_mm512_sub_ps(*x, *x), _mm512_setzero_ps(), _CMP_EQ_OQ);
    __mmask16 nan = _mm512_cmp_ps_mask(*x, *x, _CMP_UNORD_Q);
    bits = _mm512_mask_or_epi32(bits, nan, bits, _mm512_set1_epi32(1 << 22));
    __m512i high = _mm512_and_si512(bits, _mm512_set1_epi32((int)0xffff0000u));
    *x = _mm512_maskz_sub_ps(number, *x, _mm512_castsi512_ps(high));
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(high, 16));
}

/* So many rows and elements of x, 0 behind them. */
TARGET static void pack_rows(const struct packed *p, int64_t rows, int64_t k, const float *x, int64_t ldx)
{
    for (int64_t i = 0; i < (rows + SIDE - 1) / SIDE * SIDE; i++, x += ldx)
        for (int64_t s = 0; s < p->steps; s++) {
            char *to =
                p->x + ((i / SIDE * p->steps + s) * PIECES * 2 + i % SIDE / ROWS) * TILE + i % ROWS * PARA_TILE_BYTES;
            uint32_t there = i < rows ? first_of(k - s * STEP, STEP) : 0;
            __m512 low = _mm512_maskz_loadu_ps((__mmask16)there, x + s * STEP);
            __m512 high = _mm512_maskz_loadu_ps((__mmask16)(there >> 16), x + s * STEP + PARA_LANES);
            for (int piece = 0; piece < PIECES; piece++, to += 2 * TILE) {
                _mm256_storeu_si256((void *)to, take_piece(&low));
                _mm256_storeu_si256((void *)(to + PARA_TILE_BYTES / 2), take_piece(&high));
            }
        }
}

/* --- w --- */

/* 32 elements of w from `at` on, 0 for those that aren't there. */
TARGET PARA_INLINE __m512i load(const struct para_weights_matrix *w, int64_t at, uint32_t there)
{
    if (w->dtype == PARA_BF16)
        return _mm512_maskz_loadu_epi16(there, (const uint16_t *)w->data + at);
    __m256i bytes = _mm256_maskz_loadu_epi8(there, (const int8_t *)w->data + at);
    __m512 low = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_castsi256_si128(bytes)));
    __m512 high = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm256_extracti128_si256(bytes, 1)));
    __m256i of_low = _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(low), 16));
    __m256i of_high = _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(high), 16));
    return _mm512_inserti64x4(_mm512_castsi256_si512(of_low), of_high, 1);
}

/* Columns of w from `column` on, so many rows from `first` on: pairs of rows, an element of each in turn. */
TARGET static void pack_panel(const struct packed *p, const struct para_weights_matrix *w, int64_t column,
                              int64_t first, int64_t k)
{
    const __m512i low = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6, 37,
                                         5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(PARA_LANES));
    uint32_t there = first_of(w->n - column, COLUMNS);
    for (int64_t e = 0; e < p->steps * STEP; e += 2) {
        char *to = p->panel + e / STEP * 2 * TILE + e % STEP / 2 * PARA_TILE_BYTES;
        int64_t at = (first + e) * w->ld + column;
        __m512i even = load(w, at, e < k ? there : 0), odd = load(w, at + w->ld, e + 1 < k ? there : 0);
        _mm512_store_si512(to, _mm512_permutex2var_epi16(even, low, odd));
        _mm512_store_si512(to + TILE, _mm512_permutex2var_epi16(even, high, odd));
    }
}

/* The same where rows of w are columns: pairs lie as they should, once they are turned. */
TARGET static void pack_turned(const struct packed *p, const struct para_weights_matrix *w, int64_t column,
                               int64_t first, int64_t k)
{
    for (int64_t s = 0; s < p->steps; s++)
        for (int64_t half = 0; half < 2; half++) {
            vec_16 v[PARA_LANES];
            uint32_t there = first_of(k - s * STEP, STEP);
            for (int64_t l = 0; l < PARA_LANES; l++) {
                int64_t row = column + half * PARA_LANES + l;
                __m512i pairs = load(w, row * w->ld + first + s * STEP, row < w->n ? there : 0);
                memcpy(&v[l], &pairs, sizeof pairs);
            }
            flip_16(v);
            memcpy(p->panel + (s * 2 + half) * TILE, v, TILE);
        }
}

/* --- y --- */

/* Tiles 0 to 3 are sums, 4 and 5 of x, 6 and 7 of w. */
static void multiply_tiles(const struct packed *p, const char *x)
{
    const char *w = p->panel;
    __asm__ volatile("tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\ttilezero %%tmm3" : : : "memory");
    for (int64_t s = 0; s < p->steps; s++, w += 2 * TILE) {
        __asm__ volatile("tileloadd (%0,%1,1), %%tmm6\n\ttileloadd 1024(%0,%1,1), %%tmm7"
                         :
                         : "r"(w), "r"((int64_t)PARA_TILE_BYTES)
                         : "memory");
        for (int piece = 0; piece < PIECES; piece++, x += 2 * TILE)
            __asm__ volatile("tileloadd (%0,%1,1), %%tmm4\n\ttileloadd 1024(%0,%1,1), %%tmm5\n\t"
                             "tdpbf16ps %%tmm6, %%tmm4, %%tmm0\n\ttdpbf16ps %%tmm7, %%tmm4, %%tmm1\n\t"
                             "tdpbf16ps %%tmm6, %%tmm5, %%tmm2\n\ttdpbf16ps %%tmm7, %%tmm5, %%tmm3"
                             :
                             : "r"(x), "r"((int64_t)PARA_TILE_BYTES)
                             : "memory");
    }
    __asm__ volatile("tilestored %%tmm0, (%0,%1,1)\n\ttilestored %%tmm1, 64(%0,%1,1)\n\t"
                     "tilestored %%tmm2, 2048(%0,%1,1)\n\ttilestored %%tmm3, 2112(%0,%1,1)"
                     :
                     : "r"(p->sums), "r"((int64_t)(COLUMNS * sizeof(float)))
                     : "memory");
}

/* y (rows, columns), at most 32 each, = or += the sums. */
TARGET static void put_sums(const struct packed *p, int64_t rows, int64_t columns, float *y, int64_t ldy, bool add)
{
    __mmask16 low = (__mmask16)first_of(columns, PARA_LANES);
    __mmask16 high = (__mmask16)first_of(columns - PARA_LANES, PARA_LANES);
    for (int64_t i = 0; i < rows; i++, y += ldy) {
        __m512 first = _mm512_load_ps(p->sums + i * COLUMNS),
               second = _mm512_load_ps(p->sums + i * COLUMNS + PARA_LANES);
        if (add) {
            first = _mm512_add_ps(_mm512_maskz_loadu_ps(low, y), first);
            second = _mm512_add_ps(_mm512_maskz_loadu_ps(high, y + PARA_LANES), second);
        }
        _mm512_mask_storeu_ps(y, low, first);
        _mm512_mask_storeu_ps(y + PARA_LANES, high, second);
    }
}

/* y (rows, N) = or += x's packed rows by so many of w's k from `first` on. */
static void multiply_packed(const struct packed *p, const struct para_weights_matrix *w, bool transposed, int64_t rows,
                            int64_t first, int64_t k, float *y, int64_t ldy, bool add)
{
    for (int64_t column = 0; column < w->n; column += COLUMNS) {
        (transposed ? pack_turned : pack_panel)(p, w, column, first, k);
        for (int64_t row = 0; row < rows; row += SIDE) {
            multiply_tiles(p, p->x + row / SIDE * p->steps * PIECES * 2 * TILE);
            put_sums(p, para_smaller(SIDE, rows - row), para_smaller(COLUMNS, w->n - column), y + row * ldy + column,
                     ldy, add);
        }
    }
}

void para_bf16_amx(const struct para_weights_matrix *w, bool transposed, int64_t m, const float *x, int64_t ldx,
                   float *y, int64_t ldy, bool add, void *scratch)
{
    struct para_tiles tiles = {.palette = 1};
    struct packed p = {.panel = scratch};
    int64_t parts = (m + PART - 1) / PART;
    for (int i = 0; i < PARA_TILES; i++) {
        tiles.rows[i] = ROWS;
        tiles.bytes[i] = PARA_TILE_BYTES;
    }
    p.sums = (float *)(void *)(p.panel + steps_of(w->k) * 2 * TILE);
    p.x = (char *)(p.sums + SIDE * COLUMNS);
    para_tiles_begin(&tiles);
    for (int64_t k = 0; k < w->k; k += DEPTH * STEP)
        for (int64_t i = 0; i < parts; i++) {
            int64_t row = m * i / parts, rows = m * (i + 1) / parts - row;
            int64_t depth = para_smaller(w->k - k, DEPTH * STEP);
            p.steps = (depth + STEP - 1) / STEP;
            pack_rows(&p, rows, depth, x + row * ldx + k, ldx);
            multiply_packed(&p, w, transposed, rows, k, depth, y + row * ldy, ldy, add || k > 0);
        }
    para_tiles_end();
}
#else
bool para_bf16_amx_known(void)
{
    return false;
}

size_t para_bf16_amx_scratch(int64_t m, int64_t k)
{
    (void)m, (void)k;
    return 0;
}

void para_bf16_amx(const struct para_weights_matrix *w, bool transposed, int64_t m, const float *x, int64_t ldx,
                   float *y, int64_t ldy, bool add, void *scratch)
{
    (void)w, (void)transposed, (void)m, (void)x, (void)ldx, (void)y, (void)ldy, (void)add, (void)scratch;
}
#endif
