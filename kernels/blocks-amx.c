/* A tile of 16 rows of w, of one block each, by tiles of one block of 16 rows of x: w's rows as they lie, for Q8_0, or
 * unpacked to bytes, are rows of the first operand, and x's, in two digits of 8 bits, columns of the second. So a
 * product's row is one of w and its column one of x: both digits' products are added up, and, times the scales, added
 * to sums that lie alike, in registers. While the next block's products are made, those of the block before are. */
#include "kernels/blocks-amx.h"

#include "kernels/amx.h"
#include "kernels/blocks-vnni.h"

#if defined(__x86_64__) && defined(__linux__)
#include "base/checked.h"
#include "base/quantize.h"
#include "kernels/blocks.h"
#include "kernels/lanes.h"

#include <immintrin.h>
#include <string.h>

#define V 16
#include "kernels/vectors.h"
#undef V

/* Rows of a tile; bytes of one of x's, which are words of a block of 16 rows; blocks and rows of x packed at a time, of
 * a few rows all blocks; bytes of an unpacked block of w's. */
enum { ROWS = PARA_TILE_ROWS, DIGITS = 2, X_ROWS = PARA_BLOCK / 4, X_BYTES = X_ROWS * PARA_LINE };
enum { DEPTH = 24, PART = 512, UNPACKED = ROWS * PARA_BLOCK };

#undef TARGET
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

/* x's tiles of at most 16 rows, each (blocks, DIGITS, X_ROWS, 16 words), their scales (blocks, 16); and of a panel of
 * 16 rows of w the scales (blocks, 16) and, where they aren't read as they lie, its bytes (blocks, 16, PARA_BLOCK). */
struct packed {
    int64_t rows, blocks;
    char *x, *panel;
    float *scale, *of_panel;
    int16_t *whole; /* (16, blocks PARA_BLOCK), on the way to x, with scales (16, blocks) */
    float *of_whole;
};

/* Products of two blocks by each digit. */
struct products {
    _Alignas(PARA_LINE) int32_t by_digit[DIGITS][ROWS][PARA_LANES];
};

bool para_blocks_amx_known(void)
{
    return para_blocks_vnni_known() && para_amx_known();
}

static int64_t most_rows(int64_t m)
{
    return para_smaller(m, PART);
}

static int64_t most_blocks(int64_t m, int64_t k)
{
    return m <= PARA_SKINNY_ROWS ? k / PARA_BLOCK : para_smaller(k / PARA_BLOCK, DEPTH);
}

static int64_t tiles_of(int64_t rows)
{
    return (rows + ROWS - 1) / ROWS;
}

static int64_t tile_row(int64_t rows, int64_t tile)
{
    return rows * tile / tiles_of(rows);
}

size_t para_blocks_amx_scratch(int64_t m, int64_t k)
{
    size_t blocks = (size_t)most_blocks(m, k), tiles = (size_t)tiles_of(most_rows(m));
    size_t of_x = DIGITS * X_BYTES + PARA_LINE, of_panel = UNPACKED + PARA_LINE;
    size_t of_whole = ROWS * (PARA_BLOCK * sizeof(int16_t) + sizeof(float));
    return blocks * (tiles * of_x + of_panel + of_whole);
}

static struct packed packed_in(int64_t m, int64_t k, char *scratch)
{
    int64_t blocks = most_blocks(m, k), tiles = tiles_of(most_rows(m));
    struct packed p = {.x = scratch};
    p.panel = p.x + blocks * tiles * DIGITS * X_BYTES;
    p.scale = (float *)(void *)(p.panel + blocks * UNPACKED);
    p.of_panel = p.scale + blocks * tiles * PARA_LANES;
    p.whole = (int16_t *)(void *)(p.of_panel + blocks * PARA_LANES);
    p.of_whole = (float *)(void *)(p.whole + ROWS * blocks * PARA_BLOCK);
    return p;
}

/* --- x --- */

/* Some rows; 0 behind them. */
TARGET static void pack_tile(const struct packed *p, int64_t rows, const float *x, int64_t ldx, char *to, float *scale)
{
    memset(scale, 0, (size_t)(p->blocks * PARA_LANES) * sizeof *scale);
    for (int64_t i = 0; i < rows; i++) {
        float *of_row = p->of_whole + i * p->blocks;
        para_blocks_vnni_round(p->blocks, x + i * ldx, p->whole + i * p->blocks * PARA_BLOCK, of_row);
        for (int64_t b = 0; b < p->blocks; b++)
            scale[b * PARA_LANES + i] = of_row[b];
    }
    for (int64_t b = 0; b < p->blocks; b++, to += DIGITS * X_BYTES) {
        vec_16 v[PARA_LANES] = {0};
        for (int64_t i = 0; i < rows; i++) {
            __m512i numbers = _mm512_loadu_si512(p->whole + (i * p->blocks + b) * PARA_BLOCK);
            __m512i both = _mm512_castsi256_si512(_mm512_cvtepi16_epi8(_mm512_srai_epi16(numbers, 8)));
            both = _mm512_inserti64x4(both, _mm512_cvtepi16_epi8(numbers), 1);
            memcpy(&v[i], &both, sizeof both);
        }
        flip_16(v);
        memcpy(to, v, sizeof v);
    }
}

static void pack_rows(struct packed *p, int64_t rows, const float *x, int64_t ldx)
{
    p->rows = rows;
    for (int64_t t = 0; t < tiles_of(rows); t++) {
        int64_t row = tile_row(rows, t);
        pack_tile(p, tile_row(rows, t + 1) - row, x + row * ldx, ldx, p->x + t * p->blocks * DIGITS * X_BYTES,
                  p->scale + t * p->blocks * PARA_LANES);
    }
}

/* --- w --- */

/* Some rows of w, ld bytes apart, from the first block on that x has: `bytes` from one block to the next, `step` from
 * one row to the next; and the scales. */
struct panel {
    int64_t rows, bytes, step;
    const char *w;
    const float *scale;
};

/* Two rows of 16 bytes as two of 32 numbers. */
TARGET PARA_INLINE __m512i numbers_of(const char *first, const char *second)
{
    const __m512i shift = _mm512_setr_epi64(0, 0, 4, 4, 0, 0, 4, 4);
    __m512i both = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)first));
    both = _mm512_mask_broadcast_i32x4(both, 0xff00, _mm_loadu_si128((const void *)second));
    both = _mm512_and_si512(_mm512_srlv_epi64(both, shift), _mm512_set1_epi8(15));
    return _mm512_sub_epi8(both, _mm512_set1_epi8(PARA_Q4_0_ZERO));
}

TARGET static void unpack_q4_0(const struct packed *p, int64_t rows, const char *w, int64_t ld)
{
    char *to = p->panel;
    for (int64_t b = 0; b < p->blocks; b++, w += PARA_Q4_0_BYTES, to += UNPACKED)
        for (int64_t i = 0; i < rows; i += 2)
            _mm512_storeu_si512(to + i * PARA_BLOCK, numbers_of(w + i * ld, w + para_smaller(i + 1, rows - 1) * ld));
}

static void unpack_q8_0(const struct packed *p, int64_t rows, const char *w, int64_t ld)
{
    char *to = p->panel;
    for (int64_t b = 0; b < p->blocks; b++, w += PARA_Q8_0_BYTES, to += UNPACKED)
        for (int64_t i = 0; i < rows; i++)
            memcpy(to + i * PARA_BLOCK, w + i * ld, PARA_BLOCK);
}

/* Where all rows of x are one tile, Q8_0 is read as it lies. */
static struct panel panel_of(const struct packed *p, const struct para_weights_matrix *w, int64_t row, int64_t first)
{
    int64_t ld = (int64_t)para_dtype_span(w->dtype, w->ld), bytes = (int64_t)para_dtype_bytes(w->dtype);
    const char *data = (const char *)w->data + row * ld + first * bytes, *of_row[PARA_LANES];
    struct panel panel = {para_smaller(w->n, ROWS), bytes, ld, data + sizeof(uint16_t), p->of_panel};
    for (int64_t l = 0; l < PARA_LANES; l++)
        of_row[l] = data + para_smaller(l, panel.rows - 1) * ld;
    para_blocks_vnni_scales(w->dtype, of_row, p->blocks, p->of_panel, PARA_LANES);
    if (w->dtype == PARA_Q8_0 && tiles_of(p->rows) == 1)
        return panel;
    (w->dtype == PARA_Q8_0 ? unpack_q8_0 : unpack_q4_0)(p, panel.rows, panel.w, ld);
    return (struct panel){panel.rows, UNPACKED, PARA_BLOCK, p->panel, p->of_panel};
}

/* --- y --- */

static void begin_tiles(int64_t rows)
{
    struct para_tiles t = {.palette = 1};
    for (int i = 0; i < PARA_TILES; i++) { /* four for products, one for w's numbers, two for x's digits */
        t.rows[i] = (uint8_t)(i < 5 ? rows : X_ROWS);
        t.bytes[i] = i == 4 ? PARA_BLOCK : PARA_LINE;
    }
    para_tiles_begin(&t);
}

/* A block's products into tiles 2 h and 2 h + 1, and the others, of the block before, to memory. */
#define MULTIPLY(high, low, high_before, low_before)                                                                   \
    __asm__ volatile(                                                                                                  \
        "tileloadd (%0,%1,1), %%tmm4\n\ttileloadd (%2,%3,1), %%tmm5\n\ttileloadd 512(%2,%3,1), %%tmm6\n\t"             \
        "tilezero %%" high "\n\ttilezero %%" low "\n\ttdpbssd %%tmm5, %%tmm4, %%" high "\n\t"                          \
        "tilestored %%" high_before ", (%4,%3,1)\n\ttdpbsud %%tmm6, %%tmm4, %%" low "\n\t"                             \
        "tilestored %%" low_before ", 1024(%4,%3,1)"                                                                   \
        :                                                                                                              \
        : "r"(w), "r"(step), "r"(x), "r"((int64_t)PARA_LINE), "r"(before)                                              \
        : "memory")

static void multiply_block(const char *w, int64_t step, const char *x, int64_t b, struct products *before)
{
    if (b % 2 == 0)
        MULTIPLY("tmm0", "tmm1", "tmm2", "tmm3");
    else
        MULTIPLY("tmm2", "tmm3", "tmm0", "tmm1");
}

static void store_block(int64_t b, struct products *to)
{
    if (b % 2 == 0)
        __asm__ volatile("tilestored %%tmm0, (%0,%1,1)\n\ttilestored %%tmm1, 1024(%0,%1,1)"
                         :
                         : "r"(to), "r"((int64_t)PARA_LINE)
                         : "memory");
    else
        __asm__ volatile("tilestored %%tmm2, (%0,%1,1)\n\ttilestored %%tmm3, 1024(%0,%1,1)"
                         :
                         : "r"(to), "r"((int64_t)PARA_LINE)
                         : "memory");
}

/* sum (rows of w, rows of x) += a block's products times the scales. */
TARGET PARA_INLINE void add_block(const struct products *p, const float *of_w, const float *of_x, __m512 sum[ROWS])
{
    __m512 scale = _mm512_loadu_ps(of_x);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
        __m512i whole = _mm512_slli_epi32(_mm512_load_si512(p->by_digit[0][i]), 8);
        whole = _mm512_add_epi32(whole, _mm512_load_si512(p->by_digit[1][i]));
        sum[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(whole), _mm512_mul_ps(scale, _mm512_set1_ps(of_w[i])), sum[i]);
    }
}

/* sums (rows of w, rows of x) += x's tile by the panel. Meanwhile the panels ahead are asked for, so many lines of each
 * stream with a block, and one more with every eighth. */
TARGET static void add_blocks(int64_t blocks, const struct panel *w, const char *x, const float *of_x,
                              struct para_ahead *ahead, int lines, vec_16 sums[ROWS])
{
    struct products before[2];
    __m512 sum[ROWS];
    memcpy(sum, sums, sizeof sum);
    memset(before, 0, w->rows < ROWS ? sizeof before : 0);
    for (int64_t b = 0; b < blocks; b++) {
        if (lines > 0)
            para_ahead_ask(ahead, lines + (b % 8 == 0));
        multiply_block(w->w + b * w->bytes, w->step, x + b * DIGITS * X_BYTES, b, &before[b % 2]);
        if (b > 1)
            add_block(&before[(b - 1) % 2], w->scale + (b - 2) * PARA_LANES, of_x + (b - 2) * PARA_LANES, sum);
    }
    for (int64_t b = blocks > 1 ? blocks - 2 : 0; b < blocks; b++) {
        if (b == blocks - 1)
            store_block(b, &before[(b + 1) % 2]);
        add_block(&before[(b + 1) % 2], w->scale + b * PARA_LANES, of_x + b * PARA_LANES, sum);
    }
    memcpy(sums, sum, sizeof sum);
}

/* y (rows, 16 columns), of which some are `there`, = or += x by the panel. */
TARGET static void multiply_panel(const struct packed *p, const struct panel *w, float *y, int64_t ldy, __mmask16 there,
                                  bool add, struct para_ahead *ahead, int lines)
{
    for (int64_t t = 0; t < tiles_of(p->rows); t++) {
        int64_t row = tile_row(p->rows, t), rows = tile_row(p->rows, t + 1) - row;
        vec_16 sum[ROWS] = {0};
        for (int64_t i = 0; i < rows && add; i++)
            sum[i] = (vec_16)_mm512_maskz_loadu_ps(there, y + (row + i) * ldy);
        if (add)
            flip_16(sum);
        add_blocks(p->blocks, w, p->x + t * p->blocks * DIGITS * X_BYTES, p->scale + t * p->blocks * PARA_LANES, ahead,
                   lines, sum);
        flip_16(sum);
        for (int64_t i = 0; i < rows; i++)
            _mm512_mask_storeu_ps(y + (row + i) * ldy, there, (__m512)sum[i]);
    }
}

/* y = or += the packed rows and blocks of x, of which w's first is number `first`. Where all rows are one tile, panels
 * of each stream of w take turns; the last panel begins early enough to be full. */
static void multiply_packed(const struct packed *p, const struct para_weights_matrix *w, int64_t first, float *y,
                            int64_t ldy, bool add)
{
    bool one = tiles_of(p->rows) == 1;
    int64_t panels = (w->n + ROWS - 1) / ROWS, streams = one ? PARA_STREAMS : 1,
            each = (panels + streams - 1) / streams;
    int64_t ld = (int64_t)para_dtype_span(w->dtype, w->ld), bytes = (int64_t)para_dtype_bytes(w->dtype);
    const char *data = (const char *)w->data + first * bytes;
    for (int64_t i = 0; i < each; i++) {
        struct para_ahead ahead =
            para_ahead_of(data + (i + 1) * ROWS * ld, each * streams * ROWS, p->blocks * bytes, ld);
        for (int64_t s = 0; s < streams && s * each + i < panels; s++) {
            int64_t begin = (s * each + i) * ROWS, row = para_smaller(begin, w->n > ROWS ? w->n - ROWS : 0);
            struct panel panel = panel_of(p, w, row, first);
            __mmask16 there = (__mmask16)(((1u << panel.rows) - 1) & (0xffffu << (begin - row)));
            multiply_panel(p, &panel, y + row, ldy, there, add, &ahead, one ? (w->dtype == PARA_Q8_0 ? 2 : 1) : 0);
        }
    }
}

void para_blocks_amx(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y, int64_t ldy,
                     bool add, void *scratch)
{
    int64_t blocks = w->k / PARA_BLOCK, depth = most_blocks(m, w->k), parts = (m + PART - 1) / PART;
    struct packed p = packed_in(m, w->k, scratch);
    begin_tiles(para_smaller(w->n, ROWS));
    for (int64_t b = 0; b < blocks; b += depth)
        for (int64_t i = 0; i < parts; i++) {
            int64_t row = m * i / parts;
            p.blocks = para_smaller(depth, blocks - b);
            pack_rows(&p, m * (i + 1) / parts - row, x + row * ldx + b * PARA_BLOCK, ldx);
            multiply_packed(&p, w, b, y + row * ldy, ldy, add || b > 0);
        }
    para_tiles_end();
}
#else
bool para_blocks_amx_known(void)
{
    return false;
}

size_t para_blocks_amx_scratch(int64_t m, int64_t k)
{
    (void)m, (void)k;
    return 0;
}

void para_blocks_amx(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y, int64_t ldy,
                     bool add, void *scratch)
{
    (void)w, (void)m, (void)x, (void)ldx, (void)y, (void)ldy, (void)add, (void)scratch;
}
#endif
