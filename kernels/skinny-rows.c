/* A few rows of x by a matrix whose rows lie along y: y (M,N) += x (M,K) w (K,N).
 *
 * w is taken in groups of rows; each is added to all rows of y while the next comes from memory. Meanwhile y's columns
 * lie as the planes of w's runs have them (kernels/lanes.h). */
#include "kernels/convert.h"
#include "kernels/lanes.h"
#include "kernels/skinny-int8.h"

#include <string.h>

/* Rows of w in a group, with a few rows of y and with many, which take so long that a group comes from the L2 cache;
 * and columns that are done before others. */
enum { DEPTH = 8, MANY = 4, DEPTH_OF_MANY = 32, COLUMNS = 4096 };

/* Some rows of y, x (depth, rows), and a group of rows of w, ld bytes apart. Meanwhile each stream asks for some
 * lines of w's next group with each run. */
struct group {
    int64_t columns, ldy, ld, depth;
    int lines;
    struct para_ahead ahead;
    const float *x;
    const char *w;
    float *y;
};

/* One instruction set's: how many rows it takes at a time at most, and y (rows, columns) += x^T (depth, rows)
 * w (depth, columns), in the order of w's rows, for whole runs. Rows are a power of two. */
struct kernels {
    int rows;
    void (*add)(struct group *g, para_dtype dtype, int rows);
};

#define V 4
#include "kernels/skinny-rows-tile.h"
#undef V

#ifdef PARA_VECTORS_X86
#define V 8
#include "kernels/skinny-rows-tile.h"
#undef V

#define V 16
#include "kernels/skinny-rows-tile.h"
#undef V

static const struct kernels *const versions[] = {&kernels_4, &kernels_8, &kernels_16};
#else
static const struct kernels *const versions[] = {&kernels_4};
#endif

/* The columns after the last whole run. */
static void add_rest(const struct group *g, para_dtype dtype, int rows)
{
    float row[4 * PARA_LANES];
    int64_t first = g->columns / (PARA_LANES * para_planes(dtype)) * (PARA_LANES * para_planes(dtype));
    for (int64_t j = 0; j < g->depth && first < g->columns; j++) {
        para_convert(g->columns - first, dtype, g->w + j * g->ld, first, row);
        for (int i = 0; i < rows; i++)
            for (int64_t e = first; e < g->columns; e++)
                g->y[i * g->ldy + e] += g->x[j * rows + i] * row[e - first];
    }
}

/* All rows of x and y, as many at a time as there are registers for. */
static void add_group(const struct kernels *k, struct group g, para_dtype dtype, int64_t m, const float *x, int64_t ldx)
{
    float some[DEPTH_OF_MANY * PARA_SKINNY_ROWS];
    int64_t times = (m + k->rows - 1) / k->rows;
    g.lines = (int)((g.depth + PARA_STREAMS * times - 1) / (PARA_STREAMS * times));
    g.x = some;
    for (int64_t i = 0, rows; i < m; i += rows, x += rows * ldx, g.y += rows * g.ldy) {
        for (rows = k->rows; rows > m - i;)
            rows /= 2;
        for (int64_t r = 0; r < rows; r++)
            for (int64_t j = 0; j < g.depth; j++)
                some[j * rows + r] = x[r * ldx + j];
        k->add(&g, dtype, (int)rows);
        add_rest(&g, dtype, (int)rows);
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

/* Columns `first` to `first` + columns - 1. */
static void add_columns(const struct para_weights_matrix *w, int64_t first, int64_t columns, int64_t m, const float *x,
                        int64_t ldx, float *y, int64_t ldy)
{
    const struct kernels *kernels = versions[para_vector_versions() - 1];
    size_t element = para_dtype_bytes(w->dtype);
    int64_t depth = m > MANY ? DEPTH_OF_MANY : DEPTH;
    struct group g = {.columns = columns,
                      .ldy = ldy,
                      .ld = w->ld * (int64_t)element,
                      .w = (const char *)w->data + (size_t)first * element,
                      .y = y + first};
    for (int64_t j = 0; j < w->k; j += depth, g.w += depth * g.ld) {
        g.depth = w->k - j < depth ? w->k - j : depth;
        g.ahead = para_ahead_of(g.w + g.depth * g.ld, depth, g.columns * (int64_t)element, g.ld);
        add_group(kernels, g, w->dtype, m, x + j, ldx);
    }
}

static void add_all(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y, int64_t ldy)
{
    for (int64_t first = 0; first < w->n; first += COLUMNS)
        add_columns(w, first, w->n - first < COLUMNS ? w->n - first : COLUMNS, m, x, ldx, y, ldy);
}

void para_skinny_add_product(int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w, int64_t ldw,
                             float *y, int64_t ldy)
{
    struct para_weights_matrix matrix = {.dtype = PARA_F32, .n = n, .k = k, .ld = ldw, .data = w};
    add_all(&matrix, m, x, ldx, y, ldy);
}

void para_skinny_rows(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                      int64_t ldy)
{
    if (w->dtype == PARA_I8 && para_skinny_int8_rows(w, m, x, ldx, y, ldy))
        return;
    for (int64_t i = 0; i < m; i++)
        memset(y + i * ldy, 0, (size_t)w->n * sizeof *y);
    add_all(w, m, x, ldx, y, ldy);
    if (w->dtype != PARA_F32)
        take_off_planes(para_planes(w->dtype), m, w->n, y, ldy);
}
