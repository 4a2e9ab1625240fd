/* A few rows of x by a matrix whose rows lie along y: y (M,N) += x (M,K) w (K,N).
 *
 * w is taken in groups of DEPTH rows; each is added to all rows of y while the next comes from memory. Meanwhile y's
 * columns lie as the planes of w's runs have them (kernels/lanes.h). */
#include "base/simd.h"
#include "kernels/convert.h"
#include "kernels/lanes.h"
#include "kernels/skinny-int8.h"

/* Rows of w in a group, rows of y at a time, columns that are done before others. */
enum { DEPTH = 8, TOGETHER = 8, COLUMNS = 4096 };

/* Some rows of x and y, and a group of rows of w, ld bytes apart. Meanwhile w's next group is asked for. */
struct group {
    int64_t columns, ldx, ldy, ld;
    bool ask;
    struct para_ahead ahead;
    const float *x;
    const char *w;
    float *y;
};

/* y (rows, columns) += x (rows, depth) w (depth, columns), in the order of w's rows, for whole runs. All but g is
 * constant. */
PARA_INLINE void add_runs(const struct group *g, para_dtype dtype, int rows, int depth)
{
    const float *restrict x = g->x;
    const char *restrict w = g->w;
    float *restrict y = g->y;
    const int64_t ldx = g->ldx, ld = g->ld, ldy = g->ldy, runs = g->columns / (PARA_LANES * para_planes(dtype));
    const bool ask = g->ask;
    struct para_ahead ahead = g->ahead;
    for (int64_t r = 0; r < runs; r++, w += PARA_LINE) {
        if (ask)
            para_ahead_ask(&ahead, depth, false);
#pragma GCC unroll 4
        for (int p = 0; p < para_planes(dtype); p++, y += PARA_LANES) {
            para_lanes sum[TOGETHER], row;
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++)
                memcpy(&sum[i], y + i * ldy, sizeof row);
#pragma GCC unroll 8
            for (int j = 0; j < depth; j++) {
                para_lanes_load(&row, dtype, p, w + j * ld);
#pragma GCC unroll 8
                for (int i = 0; i < rows; i++)
                    sum[i] += x[i * ldx + j] * row;
            }
#pragma GCC unroll 8
            for (int i = 0; i < rows; i++)
                memcpy(y + i * ldy, &sum[i], sizeof row);
        }
    }
}

/* The columns after the last whole run. */
static void add_rest(const struct group *g, para_dtype dtype, int64_t rows, int64_t depth)
{
    float row[4 * PARA_LANES];
    int64_t first = g->columns / (PARA_LANES * para_planes(dtype)) * (PARA_LANES * para_planes(dtype));
    for (int64_t j = 0; j < depth && first < g->columns; j++) {
        para_convert(g->columns - first, dtype, g->w + j * g->ld + (size_t)first * para_dtype_bytes(dtype), row);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t e = first; e < g->columns; e++)
                g->y[i * g->ldy + e] += g->x[i * g->ldx + j] * row[e - first];
    }
}

PARA_INLINE void add_some(const struct group *g, para_dtype dtype, int rows, int depth)
{
    if (rows == 8)
        add_runs(g, dtype, 8, depth);
    else if (rows == 4)
        add_runs(g, dtype, 4, depth);
    else if (rows == 2)
        add_runs(g, dtype, 2, depth);
    else
        add_runs(g, dtype, 1, depth);
}

PARA_SIMD static void add_f32(const struct group *g, int rows, int depth)
{
    if (depth == DEPTH)
        add_some(g, PARA_F32, rows, DEPTH);
    else
        add_some(g, PARA_F32, rows, 1);
}

PARA_SIMD static void add_bf16(const struct group *g, int rows, int depth)
{
    if (depth == DEPTH)
        add_some(g, PARA_BF16, rows, DEPTH);
    else
        add_some(g, PARA_BF16, rows, 1);
}

PARA_SIMD static void add_i8(const struct group *g, int rows, int depth)
{
    if (depth == DEPTH)
        add_some(g, PARA_I8, rows, DEPTH);
    else
        add_some(g, PARA_I8, rows, 1);
}

/* All rows of x and y, as many at a time as there are registers for; the first of them ask for what follows. */
static void add_group(struct group g, para_dtype dtype, int64_t m, int64_t depth)
{
    add_rest(&g, dtype, m, depth);
    for (int64_t i = 0, rows; i < m; i += rows) {
        rows = m - i >= 8 ? 8 : m - i >= 4 ? 4 : m - i >= 2 ? 2 : 1;
        (dtype == PARA_F32 ? add_f32 : dtype == PARA_BF16 ? add_bf16 : add_i8)(&g, (int)rows, (int)depth);
        g.x += rows * g.ldx;
        g.y += rows * g.ldy;
        g.ask = false;
    }
}

/* Columns of y from the order of planes to their own. */
static void take_off_planes(int planes, int64_t m, int64_t n, float *y, int64_t ldy)
{
    float run[4 * PARA_LANES];
    int64_t length = planes * PARA_LANES;
    for (int64_t i = 0; i < m; i++, y += ldy)
        for (int64_t e = 0; e + length <= n; e += length) {
            memcpy(run, y + e, (size_t)length * sizeof *y);
            for (int p = 0; p < planes; p++)
                for (int l = 0; l < PARA_LANES; l++)
                    y[e + l * planes + p] = run[p * PARA_LANES + l];
        }
}

static void add_columns(const struct para_weights_matrix *w, int64_t first, int64_t m, const float *x, int64_t ldx,
                        float *y, int64_t ldy)
{
    size_t element = para_dtype_bytes(w->dtype);
    struct group g = {.columns = w->n - first < COLUMNS ? w->n - first : COLUMNS,
                      .ldx = ldx,
                      .ldy = ldy,
                      .ld = w->ld * (int64_t)element,
                      .ask = true,
                      .x = x,
                      .w = (const char *)w->data + (size_t)first * element,
                      .y = y + first};
    for (int64_t j = 0, depth; j < w->k; j += depth, g.x += depth, g.w += depth * g.ld) {
        depth = w->k - j < DEPTH ? 1 : DEPTH;
        g.ahead = para_ahead_of(g.w + depth * g.ld, g.columns * (int64_t)element, g.ld);
        add_group(g, w->dtype, m, depth);
    }
}

void para_skinny_add_product(int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w, int64_t ldw,
                             float *y, int64_t ldy)
{
    struct para_weights_matrix matrix = {.dtype = PARA_F32, .n = n, .k = k, .ld = ldw, .data = w};
    for (int64_t first = 0; first < n; first += COLUMNS)
        add_columns(&matrix, first, m, x, ldx, y, ldy);
}

void para_skinny_rows(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                      int64_t ldy)
{
    if (w->dtype == PARA_I8 && para_skinny_int8_rows(w, m, x, ldx, y, ldy))
        return;
    for (int64_t i = 0; i < m; i++)
        memset(y + i * ldy, 0, (size_t)w->n * sizeof *y);
    for (int64_t first = 0; first < w->n; first += COLUMNS)
        add_columns(w, first, m, x, ldx, y, ldy);
    if (w->dtype != PARA_F32)
        take_off_planes(para_planes(w->dtype), m, w->n, y, ldy);
}
