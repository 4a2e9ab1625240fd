/* A few rows of x by a matrix whose rows lie along them: y (M,N) = x (M,K) w (N,K)^T, dot products.
 *
 * K is done in parts, one for most models. In a part, a group of rows of w is multiplied with all rows of x while the
 * next comes from memory; a group that is not full repeats its last row, so that all are summed alike: in lanes, these
 * added up, then what is left of the part in order. Meanwhile x's elements lie as the planes of w's runs have them
 * (kernels/lanes.h). */
#include "base/simd.h"
#include "kernels/convert.h"
#include "kernels/lanes.h"
#include "kernels/skinny-int8.h"

/* Rows of w in a group, rows of x at a time, the elements of a part. */
enum { GROUP = 4, TOGETHER = 4, PART = 1024 };

/* Some rows of x and a group of rows of w, of which `elements` are whole runs, and their dot products. Meanwhile the
 * next group is asked for. */
struct group {
    int64_t elements, ldx;
    bool ask;
    struct para_ahead ahead;
    const float *x;
    const char *w[GROUP];
    float dot[TOGETHER][GROUP];
};

/* *sum = the lanes of v added up, neighbours at a distance of 8, 4, 2, 1: as vectors as far as there are any. */
PARA_INLINE void add_lanes(const para_lanes *v, float *sum)
{
    typedef float eight __attribute__((vector_size(32)));
    typedef float four __attribute__((vector_size(16)));
    eight e[2];
    four f[2];
    float lane[4];
    memcpy(e, v, sizeof e);
    e[0] += e[1];
    memcpy(f, e, sizeof f);
    f[0] += f[1];
    memcpy(lane, f, sizeof lane);
    *sum = lane[0] + lane[2] + (lane[1] + lane[3]);
}

/* dot (rows, GROUP) = x (rows, elements) w (GROUP, elements)^T. All but g is constant. */
PARA_INLINE void dot_runs(struct group *g, para_dtype dtype, int rows)
{
    const float *restrict x = g->x;
    const char *restrict w0 = g->w[0], *restrict w1 = g->w[1], *restrict w2 = g->w[2], *restrict w3 = g->w[3];
    const int64_t ldx = g->ldx, runs = g->elements / (PARA_LANES * para_planes(dtype));
    const bool ask = g->ask;
    struct para_ahead ahead = g->ahead;
    para_lanes s0[TOGETHER] = {{0}}, s1[TOGETHER] = {{0}}, s2[TOGETHER] = {{0}}, s3[TOGETHER] = {{0}};
    for (int64_t r = 0; r < runs; r++, w0 += PARA_LINE, w1 += PARA_LINE, w2 += PARA_LINE, w3 += PARA_LINE) {
        if (ask)
            para_ahead_ask(&ahead, GROUP, true);
#pragma GCC unroll 4
        for (int p = 0; p < para_planes(dtype); p++, x += PARA_LANES) {
            para_lanes a, b, c, d, of_x;
            para_lanes_load(&a, dtype, p, w0);
            para_lanes_load(&b, dtype, p, w1);
            para_lanes_load(&c, dtype, p, w2);
            para_lanes_load(&d, dtype, p, w3);
#pragma GCC unroll 4
            for (int i = 0; i < rows; i++) {
                memcpy(&of_x, x + i * ldx, sizeof of_x);
                s0[i] += of_x * a;
                s1[i] += of_x * b;
                s2[i] += of_x * c;
                s3[i] += of_x * d;
            }
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < rows; i++) {
        add_lanes(&s0[i], &g->dot[i][0]);
        add_lanes(&s1[i], &g->dot[i][1]);
        add_lanes(&s2[i], &g->dot[i][2]);
        add_lanes(&s3[i], &g->dot[i][3]);
    }
}

PARA_INLINE void dot_some(struct group *g, para_dtype dtype, int rows)
{
    if (rows == 4)
        dot_runs(g, dtype, 4);
    else if (rows == 2)
        dot_runs(g, dtype, 2);
    else
        dot_runs(g, dtype, 1);
}

PARA_SIMD static void dot_f32(struct group *g, int rows)
{
    dot_some(g, PARA_F32, rows);
}

PARA_SIMD static void dot_bf16(struct group *g, int rows)
{
    dot_some(g, PARA_BF16, rows);
}

PARA_SIMD static void dot_i8(struct group *g, int rows)
{
    dot_some(g, PARA_I8, rows);
}

/* A part of K: x (M, K) with whole runs in planes, w's rows from element `first` on. */
struct part {
    const struct para_weights_matrix *w;
    int64_t first, k, m, ldx, ldy;
    const float *x;
    float *y;
};

/* What the group's rows of w have after the last whole run. */
static void load_rest(const struct group *g, para_dtype dtype, int64_t count, float rest[GROUP][4 * PARA_LANES])
{
    for (int j = 0; j < GROUP && count > 0; j++)
        para_convert(count, dtype, g->w[j] + (size_t)g->elements * para_dtype_bytes(dtype), rest[j]);
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
    g->ask = j + GROUP < p->w->n;
    g->ahead = para_ahead_of(g->w[0] + GROUP * ld, p->k * (int64_t)para_dtype_bytes(dtype), ld);
    for (int64_t i = 0, rows; i < p->m; i += rows, g->ask = false) {
        rows = p->m - i >= 4 ? 4 : p->m - i >= 2 ? 2 : 1;
        (dtype == PARA_F32 ? dot_f32 : dtype == PARA_BF16 ? dot_bf16 : dot_i8)(g, (int)rows);
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
        struct part p = {.w = w, .first = first, .m = m, .ldx = ldx, .ldy = ldy, .x = x + first, .y = y};
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
