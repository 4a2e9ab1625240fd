/* Many rows: tiles of y to be held in registers are computed from a tile of x's rows, which all lie packed in the L2
 * cache, and a panel of w's, unpacked to L1. Numbers lie as words of two: a word of x times a word of each of 16
 * columns is one instruction. Which two numbers of a block are a word is as it is quickest to unpack: elements 4 i and
 * 4 i + 2, then 4 i + 1 and 4 i + 3.
 *
 * One row: a block of each of 16 rows of w as it lies, whose words of products are added up by transposes until a
 * vector has the sums of 16 rows. x is digits of 8 bits, 256 high + low with a signed high and an unsigned low one.
 * Bytes are multiplied signed by unsigned: those of Q8_0 as they are with low, and with 128 added with high, which
 * START takes off again. */
#include "kernels/blocks-vnni.h"

#ifdef __x86_64__
#include "base/checked.h"
#include "base/quantize.h"
#include "kernels/blocks.h"
#include "kernels/lanes.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

#define V 16
#include "kernels/vectors.h"
#undef V

/* Rows of a tile at most, vectors of its columns; words of a block; blocks of a panel at most; rows of x packed at a
 * time, 3/4 MiB of them, and, of a few rows, all blocks. */
enum { ROWS = 14, VECTORS = 2, COLUMNS = VECTORS * PARA_LANES };
enum { WORDS = PARA_BLOCK / 2, DEPTH = 16, PART = 768 };

#undef TARGET
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

/* x's tiles one after another, each (blocks, WORDS, rows), with room behind the last for what a vector ends beyond; its
 * scales alike (blocks, rows). A panel is (DEPTH, WORDS, COLUMNS), its scales (DEPTH, COLUMNS). */
struct packed {
    int64_t rows, blocks; /* of x, as packed */
    uint32_t *x, *panel;
    float *scale, *of_panel;
    int16_t *whole; /* (ROWS, blocks PARA_BLOCK), on the way to x, with scales (ROWS, blocks) */
    float *of_whole;
};

bool para_blocks_vnni_known(void)
{
    return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vnni");
}

static int64_t most_rows(int64_t m)
{
    return para_smaller(m, PART);
}

static int64_t most_blocks(int64_t m, int64_t k)
{
    return m <= PARA_SKINNY_ROWS ? k / PARA_BLOCK : para_smaller(k / PARA_BLOCK, DEPTH);
}

static int64_t padded(int64_t blocks)
{
    return (blocks + PARA_LANES - 1) / PARA_LANES * PARA_LANES;
}

size_t para_blocks_vnni_scratch(int64_t m, int64_t k)
{
    int64_t rows = most_rows(m), blocks = padded(most_blocks(m, k));
    int64_t words = (rows + ROWS) * blocks * WORDS + DEPTH * WORDS * COLUMNS + PARA_LANES;
    int64_t floats = (rows + ROWS) * blocks + DEPTH * COLUMNS;
    return (size_t)(words + floats) * sizeof(float);
}

static struct packed packed_in(int64_t m, int64_t k, char *scratch)
{
    int64_t rows = most_rows(m), blocks = padded(most_blocks(m, k));
    struct packed p = {.panel = (uint32_t *)(void *)scratch};
    p.of_panel = (float *)(void *)(p.panel + DEPTH * WORDS * COLUMNS);
    p.whole = (int16_t *)(void *)(p.of_panel + DEPTH * COLUMNS);
    p.x = (uint32_t *)(void *)(p.whole + ROWS * blocks * PARA_BLOCK);
    p.scale = (float *)(void *)(p.x + rows * blocks * WORDS + PARA_LANES);
    p.of_whole = p.scale + rows * blocks;
    return p;
}

/* Rows are shared out evenly to tiles. */
static int64_t tiles_of(int64_t rows)
{
    return (rows + ROWS - 1) / ROWS;
}

static int64_t tile_row(int64_t rows, int64_t tile)
{
    return rows * tile / tiles_of(rows);
}

/* --- x --- */

TARGET void para_blocks_vnni_round(int64_t blocks, const float *x, int16_t *whole, float *scale)
{
    for (int64_t b = 0; b < blocks; b++, x += PARA_BLOCK, whole += PARA_BLOCK) {
        __m512 first = _mm512_loadu_ps(x), second = _mm512_loadu_ps(x + PARA_LANES), zero = _mm512_setzero_ps();
        __m512 nothing = _mm512_fmadd_ps(first, zero, _mm512_mul_ps(second, zero)); /* but for what isn't finite */
        bool finite = _mm512_cmpeq_ps_mask(nothing, zero) == 0xffff;
        float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(first), _mm512_abs_ps(second)));
        most = most > PARA_BLOCKS_LEAST ? most : PARA_BLOCKS_LEAST;
        __m512 steps = _mm512_set1_ps(PARA_BLOCKS_LARGEST / most);
        __mmask16 there = finite ? 0xffff : 0;
        __m512i low = _mm512_maskz_cvtps_epi32(there, _mm512_mul_ps(first, steps));
        __m512i high = _mm512_maskz_cvtps_epi32(there, _mm512_mul_ps(second, steps));
        _mm256_storeu_si256((void *)whole, _mm512_cvtepi32_epi16(low));
        _mm256_storeu_si256((void *)(whole + PARA_LANES), _mm512_cvtepi32_epi16(high));
        scale[b] = finite ? most / PARA_BLOCKS_LARGEST : NAN;
    }
}

TARGET static void pack_tile(const struct packed *p, int64_t rows, const float *x, int64_t ldx, uint32_t *to,
                             float *scale)
{
    for (int64_t i = 0; i < rows; i++)
        para_blocks_vnni_round(p->blocks, x + i * ldx, p->whole + i * p->blocks * PARA_BLOCK,
                               p->of_whole + i * p->blocks);
    for (int64_t b = 0; b < p->blocks; b++, to += WORDS * rows) {
        vec_16 v[PARA_LANES];
        for (int64_t i = 0; i < PARA_LANES; i++) { /* the last again behind it */
            int64_t row = para_smaller(i, rows - 1);
            __m512i numbers = _mm512_loadu_si512(p->whole + (row * p->blocks + b) * PARA_BLOCK);
            numbers = _mm512_shufflehi_epi16(_mm512_shufflelo_epi16(numbers, 0xd8), 0xd8); /* 0, 2, 1, 3 of four */
            memcpy(&v[i], &numbers, sizeof numbers);
            if (i < rows)
                scale[b * rows + i] = p->of_whole[i * p->blocks + b];
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

TARGET void para_blocks_vnni_scales(para_dtype dtype, const char *const row[PARA_LANES], int64_t blocks, float *to,
                                    int64_t step)
{
    const int64_t bytes = (int64_t)para_dtype_bytes(dtype);
    uint16_t half[DEPTH][PARA_LANES];
    for (int64_t b = 0, some; b < blocks; b += some) { /* stored long before they are read as vectors */
        some = para_smaller(blocks - b, DEPTH);
        for (int64_t e = 0; e < some; e++)
            for (int64_t l = 0; l < PARA_LANES; l++)
                memcpy(&half[e][l], row[l] + (b + e) * bytes, sizeof half[e][l]);
        for (int64_t e = 0; e < some; e++)
            _mm512_storeu_ps(to + (b + e) * step, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)half[e])));
    }
}

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

/* Some blocks of some rows of w, from block number `first` on; the last row again behind it. Meanwhile the panels ahead
 * are asked for: of 16 rows so many lines of each stream with a block, and one more with every eighth. */
TARGET static void unpack_panel(const struct packed *p, const struct para_weights_matrix *w, int64_t column,
                                int64_t first, int64_t blocks, struct para_ahead *ahead, int lines)
{
    const int64_t bytes = (int64_t)para_dtype_bytes(w->dtype);
    for (int64_t c = 0; c < COLUMNS; c += PARA_LANES) {
        const char *row[PARA_LANES];
        for (int64_t l = 0; l < PARA_LANES; l++)
            row[l] = (const char *)w->data + first * bytes +
                     para_dtype_span(w->dtype, para_smaller(column + c + l, w->n - 1) * w->ld);
        para_blocks_vnni_scales(w->dtype, row, blocks, p->of_panel + c, COLUMNS);
        for (int64_t b = 0; b < blocks; b++) {
            int64_t at = b * bytes + (int64_t)sizeof(uint16_t);
            uint32_t *to = p->panel + b * WORDS * COLUMNS + c;
            if (lines > 0)
                para_ahead_ask(ahead, lines + (b % 8 == 0));
            if (w->dtype == PARA_Q8_0)
                unpack_q8_0(row, at, to);
            else
                unpack_q4_0(row, at, to);
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
TARGET PARA_INLINE void add_tile(const int rows, const struct packed *p, int64_t blocks, const uint32_t *x,
                                 const float *of_x, __m512 sum[ROWS][VECTORS])
{
    const uint32_t *w = p->panel;
    const float *of_w = p->of_panel;
    for (int64_t b = 0; b < blocks; b++, of_x += rows, of_w += COLUMNS) {
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

TARGET static void add_rows(int64_t rows, const struct packed *p, int64_t blocks, const uint32_t *x, const float *of_x,
                            __m512 sum[ROWS][VECTORS])
{
    switch (rows) {
#define CASE(r)                                                                                                        \
    case r:                                                                                                            \
        add_tile(r, p, blocks, x, of_x, sum);                                                                          \
        break;
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
        CASE(5)
        CASE(6)
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
        CASE(13)
        CASE(ROWS)
#undef CASE
    }
}

/* y (rows, columns), columns at most a panel's, = or += so many blocks of x, from number `first` on, by the panel. */
TARGET static void multiply_panel(const struct packed *p, int64_t first, int64_t blocks, float *y, int64_t ldy,
                                  int64_t columns, bool add)
{
    __mmask16 there[VECTORS];
    for (int64_t v = 0; v < VECTORS; v++) {
        int64_t left = columns - v * PARA_LANES;
        there[v] = left >= PARA_LANES ? 0xffff : left > 0 ? (__mmask16)((1u << left) - 1) : 0;
    }
    for (int64_t t = 0; t < tiles_of(p->rows); t++) {
        int64_t row = tile_row(p->rows, t), rows = tile_row(p->rows, t + 1) - row,
                before = row * p->blocks + first * rows;
        __m512 sum[ROWS][VECTORS];
        for (int64_t i = 0; i < rows; i++)
            for (int v = 0; v < VECTORS; v++)
                sum[i][v] =
                    add ? _mm512_maskz_loadu_ps(there[v], y + (row + i) * ldy + v * PARA_LANES) : _mm512_setzero_ps();
        add_rows(rows, p, blocks, p->x + before * WORDS, p->scale + before, sum);
        for (int64_t i = 0; i < rows; i++)
            for (int v = 0; v < VECTORS; v++)
                _mm512_mask_storeu_ps(y + (row + i) * ldy + v * PARA_LANES, there[v], sum[i][v]);
    }
}

/* y = or += the packed rows and blocks of x, of which w's first is number `first`. Panels of each stream of w take
 * turns; the next ones are asked for where w is read once. */
static void multiply_packed(const struct packed *p, const struct para_weights_matrix *w, int64_t first, float *y,
                            int64_t ldy, bool add)
{
    int64_t panels = (w->n + COLUMNS - 1) / COLUMNS, each = (panels + PARA_STREAMS - 1) / PARA_STREAMS;
    int64_t ld = (int64_t)para_dtype_span(w->dtype, w->ld), bytes = (int64_t)para_dtype_bytes(w->dtype);
    int lines = p->rows > PARA_SKINNY_ROWS ? 0 : w->dtype == PARA_Q8_0 ? 2 : 1;
    for (int64_t i = 0; i < each; i++) {
        const char *next = (const char *)w->data + first * bytes + (i + 1) * COLUMNS * ld;
        struct para_ahead ahead = para_ahead_of(next, each * PARA_STREAMS * COLUMNS, p->blocks * bytes, ld);
        for (int64_t panel = i; panel < panels; panel += each)
            for (int64_t b = 0, some; b < p->blocks; b += some) {
                int64_t column = panel * COLUMNS;
                some = para_smaller(DEPTH, p->blocks - b);
                unpack_panel(p, w, column, first + b, some, &ahead, lines);
                multiply_panel(p, b, some, y + column, ldy, w->n - column, add || b > 0);
            }
    }
}

/* --- one row --- */

/* A row of x: for each block the digits, and what a sum of words begins with or, with Q4_0, ends with. */
struct digits {
    const uint8_t *high, *low;
    const int32_t *start;
    const float *scale;
};

/* x (k) in scratch. */
TARGET static struct digits digits_of(para_dtype dtype, int64_t k, const float *x, char *scratch)
{
    int64_t blocks = k / PARA_BLOCK;
    int16_t *whole = (int16_t *)(void *)scratch;
    uint8_t *high = (uint8_t *)(whole + k), *low = high + k;
    int32_t *start = (int32_t *)(void *)(low + k);
    float *scale = (float *)(start + k / 4);
    para_blocks_vnni_round(blocks, x, whole, scale);
    for (int64_t b = 0; b < blocks; b++) {
        __m512i numbers = _mm512_loadu_si512(whole + b * PARA_BLOCK);
        __m256i of_high = _mm512_cvtepi16_epi8(_mm512_srai_epi16(numbers, 8));
        __m256i added = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(-128), of_high);
        __m512i sum = _mm512_madd_epi16(numbers, _mm512_set1_epi16(-PARA_Q4_0_ZERO));
        _mm256_storeu_si256((void *)(high + b * PARA_BLOCK), of_high);
        _mm256_storeu_si256((void *)(low + b * PARA_BLOCK), _mm512_cvtepi16_epi8(numbers));
        if (dtype == PARA_Q8_0)
            _mm256_storeu_si256((void *)(start + b * PARA_BLOCK / 4), _mm256_sub_epi32(_mm256_setzero_si256(), added));
        else
            start[b] = _mm512_reduce_add_epi32(sum);
    }
    return (struct digits){high, low, start, scale};
}

/* Words 0 of four vectors' fours, added up to words 0 to 3 of one's. */
TARGET PARA_INLINE __m512i add_fours(const __m512i v[4])
{
    __m512i first = _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    __m512i second = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(first, second), _mm512_unpackhi_epi64(first, second));
}

/* Block b of x by that of 16 rows of w. */
TARGET PARA_INLINE __m512i products_q8_0(const char *const row[PARA_LANES], int64_t at, const struct digits *x,
                                         int64_t b)
{
    __m512i high = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)(x->high + b * PARA_BLOCK)));
    __m512i low = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)(x->low + b * PARA_BLOCK)));
    __m512i start = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)(x->start + b * PARA_BLOCK / 4)));
    __m512i v[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) { /* rows i and i + 4 of eight */
        const char *const pair[] = {row[i + i / 4 * 4], row[i + i / 4 * 4 + 4]};
        __m512i w = two(pair, at);
        v[i] = _mm512_dpbusd_epi32(start, _mm512_xor_si512(w, _mm512_set1_epi8(-128)), high);
        v[i] = _mm512_dpbusd_epi32(_mm512_slli_epi32(v[i], 8), low, w);
    }
    __m512i first = add_fours(v), second = add_fours(v + 4);
    return _mm512_add_epi32(_mm512_shuffle_i32x4(first, second, 0x88), _mm512_shuffle_i32x4(first, second, 0xdd));
}

TARGET PARA_INLINE __m512i products_q4_0(const char *const row[PARA_LANES], int64_t at, const struct digits *x,
                                         int64_t b)
{
    const __m128i *digits = (const void *)(x->high + b * PARA_BLOCK);
    __m512i high = _mm512_broadcast_i32x4(_mm_loadu_si128(digits));
    __m512i high2 = _mm512_broadcast_i32x4(_mm_loadu_si128(digits + 1));
    digits = (const void *)(x->low + b * PARA_BLOCK);
    __m512i low = _mm512_broadcast_i32x4(_mm_loadu_si128(digits));
    __m512i low2 = _mm512_broadcast_i32x4(_mm_loadu_si128(digits + 1));
    __m512i v[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const char *const rows[] = {row[i], row[i + 4], row[i + 8], row[i + 12]};
        __m512i w = four(rows, at), nibble = _mm512_and_si512(w, _mm512_set1_epi8(15));
        __m512i nibble2 = _mm512_and_si512(_mm512_srli_epi16(w, 4), _mm512_set1_epi8(15));
        v[i] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_setzero_si512(), nibble, high), nibble2, high2);
        v[i] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(_mm512_slli_epi32(v[i], 8), low, nibble), low2, nibble2);
    }
    return _mm512_add_epi32(add_fours(v), _mm512_set1_epi32(x->start[b]));
}

/* x by 16 rows of w, added to sum. Meanwhile the next ones, four rows of each stream, are asked for: nine lines for
 * eight blocks of Q4_0, 17 of Q8_0. */
TARGET PARA_INLINE __m512 add_rows_of_w(para_dtype dtype, const char *const row[PARA_LANES], int64_t blocks,
                                        const struct digits *x, struct para_ahead *ahead, const float *of_w, __m512 sum)
{
    const int64_t bytes = (int64_t)para_dtype_bytes(dtype);
    for (int64_t b = 0, at = sizeof(uint16_t); b < blocks; b++, at += bytes, of_w += PARA_LANES) {
        para_ahead_ask(ahead, (dtype == PARA_Q8_0 ? 2 : 1) + (b % 8 == 0));
        __m512i whole = dtype == PARA_Q8_0 ? products_q8_0(row, at, x, b) : products_q4_0(row, at, x, b);
        __m512 scale = _mm512_mul_ps(_mm512_set1_ps(x->scale[b]), _mm512_load_ps(of_w));
        sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), scale, sum);
    }
    return sum;
}

/* y (N) = or += x by w: each of PARA_STREAMS streams has some rows of w one after another, of which four at a time. */
TARGET static void multiply_row(const struct para_weights_matrix *w, const float *x, float *y, bool add, char *scratch)
{
    enum { EACH = PARA_LANES / PARA_STREAMS };
    int64_t blocks = w->k / PARA_BLOCK, steps = (w->n + PARA_LANES - 1) / PARA_LANES;
    int64_t ld = (int64_t)para_dtype_span(w->dtype, w->ld), length = (int64_t)para_dtype_span(w->dtype, w->k);
    float *of_w = (float *)(void *)scratch;
    struct digits digits = digits_of(w->dtype, w->k, x, scratch + padded(blocks) * PARA_LINE);
    for (int64_t j = 0; j < steps; j++) {
        const char *row[PARA_LANES], *data = w->data;
        float some[PARA_LANES] = {0};
        for (int64_t l = 0; l < PARA_LANES; l++) { /* the last one again behind it */
            int64_t n = l / EACH * steps * EACH + j * EACH + l % EACH;
            row[l] = data + para_smaller(n, w->n - 1) * ld;
            if (add && n < w->n)
                some[l] = y[n];
        }
        struct para_ahead ahead = para_ahead_of(data + (j + 1) * EACH * ld, steps * PARA_LANES, length, ld);
        __m512 sum = _mm512_loadu_ps(some);
        para_blocks_vnni_scales(w->dtype, row, blocks, of_w, PARA_LANES);
        if (w->dtype == PARA_Q8_0)
            sum = add_rows_of_w(PARA_Q8_0, row, blocks, &digits, &ahead, of_w, sum);
        else
            sum = add_rows_of_w(PARA_Q4_0, row, blocks, &digits, &ahead, of_w, sum);
        _mm512_storeu_ps(some, sum);
        for (int64_t l = 0; l < PARA_LANES; l++) {
            int64_t n = l / EACH * steps * EACH + j * EACH + l % EACH;
            if (n < w->n)
                y[n] = some[l];
        }
    }
}

void para_blocks_vnni(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                      int64_t ldy, bool add, void *scratch)
{
    int64_t blocks = w->k / PARA_BLOCK, depth = most_blocks(m, w->k), parts = (m + PART - 1) / PART;
    if (m == 1) {
        multiply_row(w, x, y, add, scratch);
        return;
    }
    struct packed p = packed_in(m, w->k, scratch);
    for (int64_t b = 0; b < blocks; b += depth)
        for (int64_t i = 0; i < parts; i++) {
            int64_t row = m * i / parts;
            p.blocks = para_smaller(depth, blocks - b);
            pack_rows(&p, m * (i + 1) / parts - row, x + row * ldx + b * PARA_BLOCK, ldx);
            multiply_packed(&p, w, b, y + row * ldy, ldy, add || b > 0);
        }
}
#else
bool para_blocks_vnni_known(void)
{
    return false;
}

size_t para_blocks_vnni_scratch(int64_t m, int64_t k)
{
    (void)m, (void)k;
    return 0;
}

void para_blocks_vnni(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                      int64_t ldy, bool add, void *scratch)
{
    (void)w, (void)m, (void)x, (void)ldx, (void)y, (void)ldy, (void)add, (void)scratch;
}
#endif
