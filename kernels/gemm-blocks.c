/* Tiles of y to be held in registers are computed from a tile of x's rows, which all lie packed in the L2 cache, and a
 * panel of w's, unpacked to L1. Numbers lie as words of two: a word of x times a word of each of 16 columns is one
 * instruction. Which two numbers of a block are a word is as it is quickest to unpack: elements 4 i and 4 i + 2, then
 * 4 i + 1 and 4 i + 3. */
#include "kernels/gemm-blocks.h"

#ifdef __x86_64__
#include "base/checked.h"
#include "base/quantize.h"
#include "kernels/lanes.h"
#include "kernels/skinny-blocks.h"

#include <immintrin.h>
#include <string.h>

#define V 16
#include "kernels/vectors.h"
#undef V

/* Rows of a tile at most and at least, vectors of its columns; words and blocks of a part of K; rows of x packed at a
 * time, 3/4 MiB of them. */
enum { ROWS = 14, LEAST = 8, VECTORS = 2, COLUMNS = VECTORS * PARA_LANES };
enum { WORDS = PARA_BLOCK / 2, DEPTH = 16, PART = 768 };

#undef TARGET
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vnni")))

/* x's tiles one after another, each (blocks, WORDS, rows), with room behind the last for what a vector ends beyond; its
 * scales alike (blocks, rows). A panel is (blocks, WORDS, COLUMNS), its scales (blocks, COLUMNS). */
struct packed {
    int64_t rows, blocks; /* of x, of this part */
    uint32_t *x, *panel;
    float *scale, *of_panel;
    int16_t *whole; /* (ROWS, blocks PARA_BLOCK), on the way to x, with scales and zeros (ROWS, DEPTH) */
    float *of_whole, *zero;
};

bool para_gemm_blocks_known(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
}

static int64_t most_rows(int64_t m)
{
    return para_smaller(m, PART);
}

size_t para_gemm_blocks_scratch(int64_t m, int64_t k)
{
    int64_t rows = most_rows(m), blocks = para_smaller(k / PARA_BLOCK, DEPTH);
    int64_t words = (rows + COLUMNS + ROWS) * blocks * WORDS + PARA_LANES;
    int64_t floats = (rows + COLUMNS) * blocks + 2 * ROWS * DEPTH;
    return ((size_t)(words + floats) * sizeof(float) + PARA_LINE - 1) / PARA_LINE * PARA_LINE;
}

static struct packed packed_in(int64_t m, int64_t k, char *scratch)
{
    int64_t rows = most_rows(m), blocks = para_smaller(k / PARA_BLOCK, DEPTH);
    struct packed p = {.panel = (uint32_t *)(void *)scratch};
    p.of_panel = (float *)(void *)(p.panel + blocks * WORDS * COLUMNS);
    p.whole = (int16_t *)(void *)(p.of_panel + blocks * COLUMNS);
    p.x = (uint32_t *)(void *)(p.whole + ROWS * blocks * PARA_BLOCK);
    p.scale = (float *)(void *)(p.x + rows * blocks * WORDS + PARA_LANES);
    p.of_whole = p.scale + rows * blocks;
    p.zero = p.of_whole + ROWS * DEPTH;
    return p;
}

/* Tiles are of even numbers of rows. */
static int64_t tiles_of(int64_t rows)
{
    return (rows + ROWS - 1) / ROWS;
}

static int64_t tile_row(int64_t rows, int64_t tile)
{
    return rows * tile / tiles_of(rows);
}

/* --- x --- */

TARGET static void pack_tile(const struct packed *p, int64_t rows, const float *x, int64_t ldx, uint32_t *to,
                             float *scale)
{
    for (int64_t i = 0; i < rows; i++)
        para_round_blocks(p->blocks, x + i * ldx, p->whole + i * p->blocks * PARA_BLOCK, p->of_whole + i * DEPTH,
                          p->zero);
    for (int64_t b = 0; b < p->blocks; b++, to += WORDS * rows) {
        vec_16 v[PARA_LANES];
        for (int64_t i = 0; i < PARA_LANES; i++) { /* the last again behind it */
            int64_t row = para_smaller(i, rows - 1);
            __m512i numbers = _mm512_loadu_si512(p->whole + (row * p->blocks + b) * PARA_BLOCK);
            numbers = _mm512_shufflehi_epi16(_mm512_shufflelo_epi16(numbers, 0xd8), 0xd8); /* 0, 2, 1, 3 of four */
            memcpy(&v[i], &numbers, sizeof numbers);
            if (i < rows)
                scale[b * rows + i] = p->of_whole[i * DEPTH + b];
        }
        flip_16(v);
        for (int64_t word = 0; word < WORDS; word++)
            memcpy(to + word * rows, &v[word], sizeof v[word]);
    }
}

static void pack_rows(struct packed *p, int64_t rows, const float *x, int64_t ldx)
{
    p->rows = rows;
    for (int64_t t = 0; t < tiles_of(rows); t++) {
        int64_t row = tile_row(rows, t);
        pack_tile(p, tile_row(rows, t + 1) - row, x + row * ldx, ldx, p->x + row * p->blocks * WORDS,
                  p->scale + row * p->blocks);
    }
}

/* --- w --- */

/* Words 0, 2, 4, ... of n vectors, then 1, 3, 5, ... */
TARGET PARA_INLINE void part(int n, __m512i v[])
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    __m512i parted[8];
#pragma GCC unroll 8
    for (int i = 0; i < n; i++)
        parted[i] = _mm512_permutex2var_epi32(v[2 * i % n], i < n / 2 ? even : odd, v[2 * i % n + 1]);
#pragma GCC unroll 8
    for (int i = 0; i < n; i++)
        v[i] = parted[i];
}

TARGET PARA_INLINE __m512i four(const char *const row[4], int64_t at)
{
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(row[0] + at)));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(row[1] + at)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(row[2] + at)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(row[3] + at)), 3);
}

TARGET PARA_INLINE __m512i two(const char *const row[2], int64_t at)
{
    __m512i v = _mm512_castsi256_si512(_mm256_loadu_si256((const void *)(row[0] + at)));
    return _mm512_inserti64x4(v, _mm256_loadu_si256((const void *)(row[1] + at)), 1);
}

/* Numbers of the block at `at` of 16 rows, words COLUMNS apart. */
TARGET PARA_INLINE void unpack_q8_0(const char *const row[PARA_LANES], int64_t at, uint32_t *to)
{
    __m512i v[8];
    for (int i = 0; i < 8; i++)
        v[i] = two(row + 2 * i, at);
    part(8, v);
    part(8, v);
    part(8, v);
    for (int i = 0; i < 8; i++) {
        _mm512_store_si512(to + 2 * i * COLUMNS, _mm512_srai_epi16(_mm512_slli_epi16(v[i], 8), 8));
        _mm512_store_si512(to + (2 * i + 1) * COLUMNS, _mm512_srai_epi16(v[i], 8));
    }
}

TARGET PARA_INLINE __m512i nibbles(__m512i v)
{
    return _mm512_sub_epi16(_mm512_and_si512(v, _mm512_set1_epi16(15)), _mm512_set1_epi16(PARA_Q4_0_ZERO));
}

TARGET PARA_INLINE void unpack_q4_0(const char *const row[PARA_LANES], int64_t at, uint32_t *to)
{
    __m512i v[4];
    for (int i = 0; i < 4; i++)
        v[i] = four(row + 4 * i, at);
    part(4, v);
    part(4, v);
    for (int i = 0; i < 4; i++) {
        _mm512_store_si512(to + 2 * i * COLUMNS, nibbles(v[i]));
        _mm512_store_si512(to + (2 * i + 1) * COLUMNS, nibbles(_mm512_srli_epi16(v[i], 8)));
        _mm512_store_si512(to + (2 * i + 8) * COLUMNS, nibbles(_mm512_srli_epi16(v[i], 4)));
        _mm512_store_si512(to + (2 * i + 9) * COLUMNS, nibbles(_mm512_srli_epi16(v[i], 12)));
    }
}

/* Some rows of w from block number `first` on; the last row again behind it. */
TARGET static void unpack_panel(const struct packed *p, const struct para_weights_matrix *w, int64_t column,
                                int64_t first)
{
    for (int64_t c = 0; c < COLUMNS; c += PARA_LANES) {
        const char *row[PARA_LANES];
        for (int64_t l = 0; l < PARA_LANES; l++)
            row[l] = (const char *)w->data + para_dtype_span(w->dtype, para_smaller(column + c + l, w->n - 1) * w->ld);
        for (int64_t b = 0; b < p->blocks; b++) {
            int64_t at = (int64_t)para_dtype_span(w->dtype, (first + b) * PARA_BLOCK);
            uint16_t half[PARA_LANES];
            for (int64_t l = 0; l < PARA_LANES; l++)
                memcpy(&half[l], row[l] + at, sizeof half[l]);
            _mm512_store_ps(p->of_panel + b * COLUMNS + c, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)half)));
            uint32_t *to = p->panel + b * WORDS * COLUMNS + c;
            if (w->dtype == PARA_Q8_0)
                unpack_q8_0(row, at + (int64_t)sizeof *half, to);
            else
                unpack_q4_0(row, at + (int64_t)sizeof *half, to);
        }
    }
}

/* --- y --- */

/* The instruction itself: of its intrinsic gcc 12 keeps each result in memory too. */
TARGET PARA_INLINE void add_products(__m512i *sum, __m512i w, __m512i x)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(*sum) : "v"(w), "v"(x));
}

/* sum (rows, VECTORS) += a tile of x by the panel; rows are constant. */
TARGET PARA_INLINE void add_tile(const int rows, const struct packed *p, const uint32_t *x, const float *of_x,
                                 __m512 sum[ROWS][VECTORS])
{
    const uint32_t *w = p->panel;
    const float *of_w = p->of_panel;
    for (int64_t b = 0; b < p->blocks; b++, of_x += rows, of_w += COLUMNS) {
        __m512i whole[ROWS][VECTORS];
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++)
            whole[i][0] = whole[i][1] = _mm512_setzero_si512();
#pragma GCC unroll 1
        for (int word = 0; word < WORDS; word++, x += rows, w += COLUMNS) {
            __m512i first = _mm512_load_si512(w), second = _mm512_load_si512(w + PARA_LANES);
#pragma GCC unroll 14
            for (int i = 0; i < rows; i++) {
                __m512i numbers = _mm512_set1_epi32((int32_t)x[i]);
                add_products(&whole[i][0], first, numbers);
                add_products(&whole[i][1], second, numbers);
            }
        }
        __m512 first = _mm512_load_ps(of_w), second = _mm512_load_ps(of_w + PARA_LANES);
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++) {
            __m512 scale = _mm512_set1_ps(of_x[i]);
            sum[i][0] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole[i][0]), _mm512_mul_ps(scale, first), sum[i][0]);
            sum[i][1] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole[i][1]), _mm512_mul_ps(scale, second), sum[i][1]);
        }
    }
}

TARGET static void add_rows(int64_t rows, const struct packed *p, const uint32_t *x, const float *of_x,
                            __m512 sum[ROWS][VECTORS])
{
    switch (rows) {
#define CASE(r)                                                                                                        \
    case r:                                                                                                            \
        add_tile(r, p, x, of_x, sum);                                                                                  \
        break;
        CASE(LEAST)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
        CASE(13)
        CASE(ROWS)
#undef CASE
    }
}

/* y (rows, columns), columns at most a panel's, = or += x by the panel. */
TARGET static void multiply_panel(const struct packed *p, float *y, int64_t ldy, int64_t columns, bool add)
{
    __mmask16 there[VECTORS];
    for (int64_t v = 0; v < VECTORS; v++) {
        int64_t left = columns - v * PARA_LANES;
        there[v] = left >= PARA_LANES ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
    }
    for (int64_t t = 0; t < tiles_of(p->rows); t++) {
        int64_t row = tile_row(p->rows, t), rows = tile_row(p->rows, t + 1) - row;
        __m512 sum[ROWS][VECTORS];
        for (int64_t i = 0; i < rows; i++)
            for (int v = 0; v < VECTORS; v++)
                sum[i][v] =
                    add ? _mm512_maskz_loadu_ps(there[v], y + (row + i) * ldy + v * PARA_LANES) : _mm512_setzero_ps();
        add_rows(rows, p, p->x + row * p->blocks * WORDS, p->scale + row * p->blocks, sum);
        for (int64_t i = 0; i < rows; i++)
            for (int v = 0; v < VECTORS; v++)
                _mm512_mask_storeu_ps(y + (row + i) * ldy + v * PARA_LANES, there[v], sum[i][v]);
    }
}

void para_gemm_blocks(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                      int64_t ldy, bool add, void *scratch)
{
    int64_t blocks = w->k / PARA_BLOCK, parts = (m + PART - 1) / PART;
    struct packed p = packed_in(m, w->k, scratch);
    for (int64_t b = 0; b < blocks; b += DEPTH)
        for (int64_t i = 0; i < parts; i++) {
            int64_t row = m * i / parts;
            p.blocks = para_smaller(DEPTH, blocks - b);
            pack_rows(&p, m * (i + 1) / parts - row, x + row * ldx + b * PARA_BLOCK, ldx);
            for (int64_t column = 0; column < w->n; column += COLUMNS) {
                unpack_panel(&p, w, column, b);
                multiply_panel(&p, y + row * ldy + column, ldy, w->n - column, add || b > 0);
            }
        }
}
#else
bool para_gemm_blocks_known(void)
{
    return false;
}

size_t para_gemm_blocks_scratch(int64_t m, int64_t k)
{
    (void)m, (void)k;
    return 0;
}

void para_gemm_blocks(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                      int64_t ldy, bool add, void *scratch)
{
    (void)w, (void)m, (void)x, (void)ldx, (void)y, (void)ldy, (void)add, (void)scratch;
}
#endif
