/* A few rows of x by a matrix whose rows lie along them: y (M,N) = x (M,K) w (N,K)^T, dot products.
 *
 * K is done in parts, one for most models. In a part, a group of rows of w is multiplied with all rows of x while the
 * next comes from memory; a group that is not full repeats its last row, so that all are summed alike: in lanes, these
 * added up, then what is left of the part in order. Meanwhile x's elements lie as the planes of w's runs have them
 * (kernels/lanes.h). */
#include "kernels/convert.h"
#include "kernels/lanes.h"
#include "kernels/skinny-int8.h"

#include <string.h>

/* Rows of w in a group, most rows of x at a time, the elements of a part. */
enum { GROUP = 4, TOGETHER = 4, PART = 1024 };

/* Some rows of x and a group of rows of w, of which `elements` are whole runs, and their dot products. Meanwhile the
 * next group is asked for, a line of each row with every so-manieth run; until then so many are left. */
struct group {
    int64_t elements, ldx;
    int every, until;
    struct para_ahead ahead;
    const float *x;
    const char *w[GROUP];
    float dot[TOGETHER][GROUP];
};

/* One instruction set's: of so many rows at a time at most, in so many passes, dot (rows, GROUP) = x (rows, elements)
 * w (GROUP, elements)^T. Rows are a power of two. */
struct kernels {
    int rows, passes;
    void (*dot)(struct group *g, para_dtype dtype, int rows);
};

#define V 4
#include "kernels/skinny-transposed-tile.h"
#undef V

#ifdef PARA_VECTORS_X86
#define V 8
#include "kernels/skinny-transposed-tile.h"
#undef V

#define V 16
#include "kernels/skinny-transposed-tile.h"
#undef V

static const struct kernels *const versions[] = {&kernels_4, &kernels_8, &kernels_16};
#else
static const struct kernels *const versions[] = {&kernels_4};
#endif

/* A part of K: x (M, K) with whole runs in planes, w's rows from element `first` on. */
struct part {
    const struct kernels *kernels;
    const struct para_weights_matrix *w;
    int64_t first, k, m, ldx, ldy;
    const float *x;
    float *y;
};

/* What the group's rows of w have after the last whole run. */
static void load_rest(const struct group *g, para_dtype dtype, int64_t count, float rest[GROUP][4 * PARA_LANES])
{
    for (int j = 0; j < GROUP && count > 0; j++)
        para_convert(count, dtype, g->w[j], g->elements, rest[j]);
}

/* How many rows are done together where so many are left. */
static int64_t rows_of(const struct kernels *k, int64_t left)
{
    int64_t rows = k->rows;
    while (rows > left)
        rows /= 2;
    return rows;
}

static int64_t passes_of(const struct kernels *k, int64_t rows)
{
    return rows == 1 ? 1 : k->passes;
}

/* Passes over a group: all of them together ask for the next one. */
static int all_passes(const struct kernels *k, int64_t m)
{
    int64_t passes = 0;
    for (int64_t i = 0, rows; i < m; i += rows) {
        rows = rows_of(k, m - i);
        passes += passes_of(k, rows);
    }
    return (int)passes;
}

/* Columns j to j + GROUP - 1 of y, or those that there are. */
static void dot_group(const struct part *p, struct group *g, int64_t j)
{
    para_dtype dtype = p->w->dtype;
    int64_t columns = p->w->n - j < GROUP ? p->w->n - j : GROUP, rest = p->k - g->elements;
    int64_t ld = p->w->ld * (int64_t)para_dtype_bytes(dtype);
    float tail[GROUP][4 * PARA_LANES];
    load_rest(g, dtype, rest, tail);
    g->x = p->x;
    g->every = g->until = all_passes(p->kernels, p->m);
    g->ahead = para_ahead_of(g->w[0] + GROUP * ld, GROUP, p->k * (int64_t)para_dtype_bytes(dtype), ld);
    for (int64_t i = 0, rows; i < p->m; i += rows) {
        rows = rows_of(p->kernels, p->m - i);
        p->kernels->dot(g, dtype, (int)rows);
        for (int64_t r = 0; r < rows; r++, g->x += p->ldx)
            for (int64_t c = 0; c < columns; c++) {
                float sum = g->dot[r][c], *y = p->y + (i + r) * p->ldy + j + c;
                for (int64_t e = 0; e < rest; e++)
                    sum += g->x[g->elements + e] * tail[c][e];
                *y = p->first ? *y + sum : sum;
            }
    }
}

static void dot_part(const struct part *p)
{
    const struct para_weights_matrix *w = p->w;
    int64_t element = (int64_t)para_dtype_bytes(w->dtype), run = PARA_LANES * para_planes(w->dtype);
    struct group g = {.elements = p->k / run * run, .ldx = p->ldx};
    for (int64_t j = 0; j < w->n; j += GROUP) {
        for (int64_t r = 0; r < GROUP; r++)
            g.w[r] = (const char *)w->data + ((j + r < w->n ? j + r : w->n - 1) * w->ld + p->first) * element;
        dot_group(p, &g, j);
    }
}

/* A part of x, whole runs of it in the order of planes. */
static void put_on_planes(const struct part *p, const float *x, int64_t ldx, float *planes)
{
    int count = para_planes(p->w->dtype);
    int64_t length = count * PARA_LANES;
    for (int64_t i = 0; i < p->m; i++, x += ldx, planes += PART) {
        memcpy(planes, x, (size_t)p->k * sizeof *x);
        for (int64_t e = 0; e + length <= p->k; e += length)
            for (int l = 0; l < PARA_LANES; l++)
                for (int plane = 0; plane < count; plane++)
                    planes[e + plane * PARA_LANES + l] = x[e + l * count + plane];
    }
}

void para_skinny_transposed(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                            int64_t ldy)
{
    float planes[PARA_SKINNY_ROWS * PART];
    if (w->dtype == PARA_I8 && para_skinny_int8_transposed(w, m, x, ldx, y, ldy))
        return;
    for (int64_t first = 0; first < w->k; first += PART) {
        struct part p = {.kernels = versions[para_vector_versions() - 1],
                         .w = w,
                         .first = first,
                         .m = m,
                         .ldx = ldx,
                         .ldy = ldy,
                         .x = x + first,
                         .y = y};
        p.k = w->k - first < PART ? w->k - first : PART;
        if (w->dtype != PARA_F32) {
            put_on_planes(&p, x + first, ldx, planes);
            p.x = planes;
            p.ldx = PART;
        }
        dot_part(&p);
    }
}

void para_skinny_product_transposed(int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w,
                                    int64_t ldw, float *y, int64_t ldy)
{
    struct para_weights_matrix matrix = {.dtype = PARA_F32, .n = n, .k = k, .ld = ldw, .data = w};
    para_skinny_transposed(&matrix, m, x, ldx, y, ldy);
}
