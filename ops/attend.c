/* Blocks of queries by blocks of keys with an online softmax: Milakov and Gimelshein, 2018. */
#include "ops/attend.h"

#include "base/simd.h"
#include "ops/highest.h"
#include "ops/skinny.h"

#include <cblas.h>

enum { QUERIES = PARA_ATTEND_QUERIES, KEYS = PARA_ATTEND_KEYS };

/* scores (rows, cols) = exp(scale scores - top) in place, of which row r sees the first see + r columns; the others
 * become 0. top and total (rows) and o (rows, D), which hold what earlier blocks gave, are brought to the new top. */
PARA_SIMD static void softmax_block(int64_t rows, int64_t cols, int64_t see, float scale, float *restrict scores,
                                    float *restrict top, float *restrict total, float *restrict o, int64_t o_ld,
                                    int64_t width)
{
    for (int64_t r = 0; r < rows; r++, scores += cols, o += o_ld) {
        int64_t seen = see + r < cols ? see + r : cols;
        float highest = fmaxf(top[r], scale * para_highest(seen, scores)), sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t e = 0; e < seen; e++) {
            scores[e] = para_expf(scale * scores[e] - highest);
            sum += scores[e];
        }
        for (int64_t e = seen > 0 ? seen : 0; e < cols; e++)
            scores[e] = 0;
        float keep = para_expf(top[r] - highest);
        total[r] = total[r] * keep + sum;
        top[r] = highest;
        if (keep != 1.0f)
#pragma omp simd
            for (int64_t e = 0; e < width; e++)
                o[e] *= keep;
    }
}

/* scores (rows, cols) = q (rows, D) k (cols, D)^T */
static void make_scores(const struct para_attend *a, const float *q, int64_t rows, const float *k, int64_t cols,
                        float *scores)
{
    if (rows <= PARA_SKINNY_ROWS)
        para_skinny_product_transposed(rows, cols, a->width, q, a->q_ld, k, a->kv_ld, scores, cols);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)cols, (int)a->width, 1.0f, q, (int)a->q_ld,
                    k, (int)a->kv_ld, 0.0f, scores, (int)cols);
}

/* o (rows, D) += p (rows, cols) v (cols, D) */
static void add_values(const struct para_attend *a, const float *p, int64_t rows, const float *v, int64_t cols,
                       float *o)
{
    if (rows <= PARA_SKINNY_ROWS)
        para_skinny_add_product(rows, a->width, cols, p, cols, v, a->kv_ld, o, a->o_ld);
    else
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)a->width, (int)cols, 1.0f, p, (int)cols,
                    v, (int)a->kv_ld, 1.0f, o, (int)a->o_ld);
}

/* A block of queries against all keys that they see. */
static void attend_block(const struct para_attend *a, int64_t first, int64_t rows, float *scratch)
{
    float *scores = scratch, *top = scores + QUERIES * KEYS, *total = top + QUERIES, *o = a->o + first * a->o_ld;
    int64_t end = para_attend_visible(a, first + rows - 1);
    for (int64_t r = 0; r < rows; r++) {
        top[r] = -INFINITY;
        total[r] = 0;
        memset(o + r * a->o_ld, 0, (size_t)a->width * sizeof *o);
    }
    for (int64_t j = 0; j < end; j += KEYS) {
        int64_t cols = end - j < KEYS ? end - j : KEYS;
        make_scores(a, a->q + first * a->q_ld, rows, a->k + j * a->kv_ld, cols, scores);
        softmax_block(rows, cols, a->causal ? para_attend_visible(a, first) - j : cols, a->scale, scores, top, total, o,
                      a->o_ld, a->width);
        add_values(a, scores, rows, a->v + j * a->kv_ld, cols, o);
    }
    for (int64_t r = 0; r < rows; r++) {
        float scale = 1.0f / total[r];
        for (int64_t e = 0; e < a->width; e++)
            o[r * a->o_ld + e] *= scale;
        if (a->lse)
            a->lse[(first + r) * a->lse_ld] = top[r] + logf(total[r]);
    }
}

void para_attend(const struct para_attend *a, float scratch[PARA_ATTEND_FLOATS])
{
    for (int64_t i = 0; i < a->queries; i += QUERIES)
        attend_block(a, i, a->queries - i < QUERIES ? a->queries - i : QUERIES, scratch);
}
