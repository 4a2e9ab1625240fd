/* Blocks as in Goto and van de Geijn, 2008: a block of a is packed to stay in the L2 cache, a panel of b at a time to
 * stay in L1, and tiles of c to be held in registers are computed from the two. While one panel is in use the next is
 * fetched from memory. */
#include "kernels/gemm.h"

#include "base/checked.h"

#include <string.h>

enum { DEPTH = PARA_GEMM_DEPTH, MAX_V = 16, MIN_ROWS = 4 };

/* In floats: a block of a, 3/4 MiB for L2 caches of 1 or 2; a panel of b, at most 32 KiB for L1; and how far ahead a is
 * fetched from L2. */
enum { BLOCK = 192 * 1024, PANEL = DEPTH * 2 * MAX_V, AHEAD = 128 };

/* While a tile is computed memory is fetched in LINES, floats of two cache lines, one of them every STEP of k. */
enum { LINES = 32, STEP = 8 };

/* Lines to be fetched, `stride` elements apart. */
struct fetch {
    const float *at;
    int64_t stride, count;
};

/* One tile's work, and what is fetched meanwhile besides c. */
struct tile {
    int64_t depth;
    const float *a, *b;
    float *c;
    int64_t c_row;
    bool add;
    struct fetch next;
};

struct kernels {
    int rows, vector;
    void (*run_tile)(int rows, const struct tile *t);
    void (*copy)(int64_t depth, int count, int width, int64_t within, const float *from, int64_t step, float *to);
    void (*copy_transposed)(int64_t depth, int count, int width, const float *from, int64_t step, float *to);
};

#define V 4
#include "kernels/gemm-tile.h"
#undef V

#ifdef PARA_VECTORS_X86
#define V 8
#include "kernels/gemm-tile.h"
#undef V

#define V 16
#include "kernels/gemm-tile.h"
#undef V

static const struct kernels *const versions[] = {&kernels_4, &kernels_8, &kernels_16};
#else
static const struct kernels *const versions[] = {&kernels_4};
#endif

int para_gemm_versions(void)
{
    return para_vector_versions();
}

bool para_gemm_is_tuned(void)
{
    return para_gemm_versions() > 1;
}

/* `whole` in as few parts of at most `most` as will do, even but for rounding up to multiples of `multiple`: the extent
 * of one. */
static int64_t even_part(int64_t whole, int64_t most, int64_t multiple)
{
    int64_t parts = (whole + most - 1) / most;
    int64_t part = ((whole + parts - 1) / parts + multiple - 1) / multiple * multiple;
    return para_smaller(part, whole);
}

/* Of K and of M, the extent of a block of a. */
static int64_t block_depth(int64_t k)
{
    return even_part(k, (BLOCK / 256) / DEPTH * DEPTH, DEPTH);
}

static int64_t block_rows(int64_t m, int64_t k)
{
    return even_part(m, BLOCK / block_depth(k), 1);
}

size_t para_gemm_scratch(int64_t m, int64_t n, int64_t k)
{
    if (m == 0 || n == 0 || k == 0)
        return 0;
    int64_t depth = block_depth(k), rows = para_smaller(m, BLOCK / depth),
            tiles = (depth / DEPTH + 1) * (rows / MIN_ROWS + 1);
    return ((size_t)(PANEL + depth * rows + tiles * MAX_V) * sizeof(float) + 63) / 64 * 64;
}

/* Pack from (depth, count), elements of one depth `row` and of one count `col` apart, as (depth, width). */
static void pack(const struct kernels *v, int64_t depth, int64_t count, int width, int64_t within,
                 const struct para_gemm_operand *from, float *to)
{
    for (int64_t e = 0; e < count; e += v->vector) {
        int some = (int)para_smaller(v->vector, count - e);
        if (from->col == 1)
            v->copy(depth, some, width, within - e, from->at + e, from->row, to + e);
        else
            v->copy_transposed(depth, some, width, from->at + e * from->col, from->col, to + e);
    }
}

/* A block of a, with the columns and rows of c that it gives. */
struct block {
    const struct kernels *v;
    const struct para_gemm *g;
    int64_t k, depth, row, rows;
    float *packed, *panel;
};

static int64_t tiles_of(const struct block *b)
{
    return (b->rows + b->v->rows - 1) / b->v->rows;
}

/* Tiles are of even numbers of rows. */
static int64_t tile_row(const struct block *b, int64_t tile)
{
    return b->rows * tile / tiles_of(b);
}

/* Where a tile's part of the block of a stands packed, as (depth, rows of the tile): tiles lie one after another, part
 * of depth by part, with room behind each for what a vector that begins in it ends beyond. */
static float *packed_tile(const struct block *b, int64_t k, int64_t tile)
{
    int64_t depth = para_smaller(DEPTH, b->depth - k), before = k / DEPTH * tiles_of(b) + tile;
    return b->packed + k * b->rows + tile_row(b, tile) * depth + before * MAX_V;
}

/* Where rows lie innermost they are read in their order, a few at a time. */
static void pack_block(const struct block *b)
{
    const struct para_gemm *g = b->g;
    int64_t step = g->a.row == 1 ? 16 : DEPTH;
    for (int64_t k = 0; k < b->depth; k += step) {
        int64_t part = k / DEPTH * DEPTH;
        for (int64_t i = 0; i < tiles_of(b); i++) {
            int64_t row = tile_row(b, i), rows = tile_row(b, i + 1) - row, left = g->m - b->row - row;
            struct para_gemm_operand from = {
                g->a.at + (b->row + row) * g->a.row + (b->k + k) * g->a.col,
                g->a.col,
                g->a.row,
            };
            pack(b->v, para_smaller(step, b->depth - k), rows, (int)rows, left, &from,
                 packed_tile(b, part, i) + (k - part) * rows);
        }
    }
}

/* c (rows, cols), cols at most a tile's: what is missing is computed, and left out. */
static void run_edge(const struct kernels *v, int rows, int64_t cols, const struct tile *t)
{
    float whole[MAX_V * 2 * MAX_V];
    struct tile apart = *t;
    apart.c = whole;
    apart.c_row = 2 * v->vector;
    apart.add = false;
    v->run_tile(rows, &apart);
    for (int i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            float sum = whole[i * apart.c_row + j];
            float *c = t->c + i * t->c_row + j;
            *c = t->add ? *c + sum : sum;
        }
}

/* Columns of b from col on, `depth` rows from row k of the block on. */
struct panel {
    int64_t k, col, depth, cols;
};

static struct panel panel_at(const struct block *b, int64_t k, int64_t col)
{
    return (struct panel){k, col, para_smaller(DEPTH, b->depth - k), para_smaller(2 * b->v->vector, b->g->n - col)};
}

static const float *panel_start(const struct block *b, const struct panel *p)
{
    return b->g->b.at + (b->k + p->k) * b->g->b.row + p->col * b->g->b.col;
}

/* The part of a panel, which is empty behind the last one, that tile number i, of `depth`, fetches. */
static struct fetch share_of(const struct block *b, const struct panel *p, int64_t i, int64_t depth)
{
    const struct para_gemm_operand *from = &b->g->b;
    int64_t steps = depth / STEP;
    struct fetch f = {.at = panel_start(b, p)};
    if (p->cols <= 0)
        return f;
    if (from->col == 1) {
        f.at += i * steps * from->row;
        f.stride = from->row;
        f.count = para_smaller(steps, p->depth - i * steps);
    } else if (i * LINES < p->depth) {
        f.at += i * LINES;
        f.stride = from->col;
        f.count = p->cols;
    }
    return f;
}

static void multiply_panel(const struct block *b, const struct panel *p, const struct panel *next)
{
    const struct para_gemm *g = b->g;
    const struct kernels *v = b->v;
    int cols = 2 * v->vector;
    struct para_gemm_operand from = {panel_start(b, p), g->b.row, g->b.col};
    if (p->cols < cols)
        memset(b->panel, 0, (size_t)(p->depth * cols) * sizeof(float));
    pack(v, p->depth, p->cols, cols, g->n - p->col, &from, b->panel);
    for (int64_t i = 0; i < tiles_of(b); i++) {
        int64_t row = tile_row(b, i);
        int rows = (int)(tile_row(b, i + 1) - row);
        struct tile t = {
            .depth = p->depth,
            .a = packed_tile(b, p->k, i),
            .b = b->panel,
            .c = g->c + (b->row + row) * g->c_row + p->col,
            .c_row = g->c_row,
            .add = g->add || b->k + p->k > 0,
            .next = share_of(b, next, i, p->depth),
        };
        if (p->cols < cols)
            run_edge(v, rows, p->cols, &t);
        else
            v->run_tile(rows, &t);
    }
}

static void multiply_block(const struct block *b)
{
    pack_block(b);
    struct panel p = panel_at(b, 0, 0);
    while (p.cols > 0) {
        struct panel next = panel_at(b, p.k + DEPTH, p.col);
        if (next.depth <= 0)
            next = panel_at(b, 0, p.col + p.cols);
        multiply_panel(b, &p, &next);
        p = next;
    }
}

void para_gemm_version(int version, const struct para_gemm *g, void *scratch)
{
    if (g->k == 0 && !g->add)
        for (int64_t i = 0; i < g->m; i++)
            memset(g->c + i * g->c_row, 0, (size_t)g->n * sizeof(float));
    if (g->m == 0 || g->n == 0 || g->k == 0)
        return;
    float *panel = scratch;
    struct block b = {.v = versions[version], .g = g, .panel = panel, .packed = panel + PANEL};
    int64_t depth = block_depth(g->k), rows = block_rows(g->m, g->k);
    for (b.k = 0; b.k < g->k; b.k += depth)
        for (b.row = 0; b.row < g->m; b.row += rows) {
            b.depth = para_smaller(depth, g->k - b.k);
            b.rows = para_smaller(rows, g->m - b.row);
            multiply_block(&b);
        }
}

void para_gemm(const struct para_gemm *g, void *scratch)
{
    para_gemm_version(para_gemm_versions() - 1, g, scratch);
}
