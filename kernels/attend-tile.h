/* The kernels of kernels/attend-kernels.h for one instruction set, by kernels/vectors.h: tiles of ROWS rows, of which V
 * is a multiple, and two vectors. */
#include "kernels/vectors.h"

#if V == 16
#define ROWS 8
#else
#define ROWS 4
#endif
#define COLS (2 * V)

TARGET static void NAME(copy)(int64_t rows, int64_t width, const float *from, int64_t from_ld, float *to)
{
    int64_t padded = para_round_up(width, PARA_ATTEND_MULTIPLE), whole = width / V * V;
    for (int64_t r = 0; r < rows; r++, from += from_ld, to += padded) {
        for (int64_t e = 0; e < whole; e += V)
            *(NAME(loose) *)(to + e) = *(const NAME(loose) *)(from + e);
        for (int64_t e = whole; e < width; e++)
            to[e] = from[e];
        for (int64_t e = width; e < padded; e++)
            to[e] = 0;
    }
}

TARGET static void NAME(copy_flipped)(int64_t rows, int64_t width, const float *from, int64_t from_ld, float *to)
{
    for (int64_t r = 0; r < para_round_up(rows, COLS); r += V) {
        float *panel = to + r / COLS * COLS * width + r % COLS;
        int64_t k = 0;
        for (; k + V <= width; k += V) {
            NAME(vec) v[V];
            UNROLL
            for (int i = 0; i < V; i++)
                v[i] = *(const NAME(loose) *)(from + para_smaller(r + i, rows - 1) * from_ld + k);
            NAME(flip)(v);
            UNROLL
            for (int i = 0; i < V; i++)
                *(NAME(vec) *)(panel + (k + i) * COLS) = v[i];
        }
        for (; k < width; k++)
            for (int i = 0; i < V; i++)
                panel[k * COLS + i] = from[para_smaller(r + i, rows - 1) * from_ld + k];
    }
}

/* c (ROWS, vectors * V) = or += the sum over depth of a (ROWS) b (vectors * V), with a's elements a_row apart and those
 * of the next k a_step, b_step on. */
TARGET static inline ALWAYS_INLINE void NAME(tile)(const int vectors, int64_t depth, const float *a, int64_t a_row,
                                                   int64_t a_step, const float *b, int64_t b_step, float *c,
                                                   int64_t c_row, bool add)
{
    NAME(vec) sum[ROWS][2];
    UNROLL
    for (int i = 0; i < ROWS; i++)
        sum[i][0] = sum[i][1] = (NAME(vec)){0};
    for (int64_t k = 0; k < depth; k++, a += a_step, b += b_step) {
        const NAME(vec) *x = (const NAME(vec) *)b;
        NAME(vec) x0 = x[0], x1 = x[vectors - 1];
        UNROLL
        for (int i = 0; i < ROWS; i++) {
            sum[i][0] += a[i * a_row] * x0;
            if (vectors > 1)
                sum[i][1] += a[i * a_row] * x1;
        }
    }
    UNROLL
    for (int i = 0; i < ROWS; i++, c += c_row)
        UNROLL
    for (int v = 0; v < vectors; v++) {
        NAME(vec) *to = (NAME(vec) *)c + v;
        *to = add ? *to + sum[i][v] : sum[i][v];
    }
}

/* As far as the tile of rows from r on sees. */
static inline int64_t NAME(end)(const struct para_attend_block *s, int64_t r)
{
    return para_smaller(s->cols, s->see + r + ROWS - 1);
}

TARGET static void NAME(scores)(const struct para_attend_block *s, const float *a, const float *b, float *scores)
{
    for (int64_t r = 0; r < s->rows; r += ROWS) {
        const float *rows = a + r * s->padded;
        float *to = scores + r * PARA_ATTEND_KEYS;
        int64_t end = NAME(end)(s, r), j = 0;
        for (; j + V < end; j += COLS)
            NAME(tile)(2, s->width, rows, s->padded, 1, b + j * s->width, COLS, to + j, PARA_ATTEND_KEYS, false);
        if (j < end)
            NAME(tile)(1, s->width, rows, s->padded, 1, b + j * s->width, COLS, to + j, PARA_ATTEND_KEYS, false);
    }
}

TARGET static void NAME(product)(const struct para_attend_block *s, const float *p, const float *b, float *c, bool add)
{
    for (int64_t r = 0; r < s->rows; r += ROWS) {
        const float *rows = p + r * PARA_ATTEND_KEYS;
        float *to = c + r * s->padded;
        int64_t end = NAME(end)(s, r), e = 0;
        for (; e + V < s->padded; e += COLS)
            NAME(tile)(2, end, rows, PARA_ATTEND_KEYS, 1, b + e, s->padded, to + e, s->padded, add);
        if (e < s->padded)
            NAME(tile)(1, end, rows, PARA_ATTEND_KEYS, 1, b + e, s->padded, to + e, s->padded, add);
    }
}

TARGET static void NAME(product_flipped)(const struct para_attend_block *s, const float *p, const float *b, float *c)
{
    for (int64_t j = 0; j < s->cols; j += ROWS) {
        int64_t first = s->see > j ? 0 : j + 1 - s->see, rows = s->rows - first, e = 0;
        const float *cols = p + first * PARA_ATTEND_KEYS + j, *from = b + first * s->padded;
        float *to = c + j * s->padded;
        for (; e + V < s->padded; e += COLS)
            NAME(tile)(2, rows, cols, 1, PARA_ATTEND_KEYS, from + e, s->padded, to + e, s->padded, true);
        if (e < s->padded)
            NAME(tile)(1, rows, cols, 1, PARA_ATTEND_KEYS, from + e, s->padded, to + e, s->padded, true);
    }
}

/* Hide from row r of the scores what it doesn't see of what its tile computed, which is returned. */
TARGET static inline int64_t NAME(hide)(const struct para_attend_block *s, int64_t r, float *scores)
{
    int64_t end = para_round_up(NAME(end)(s, r / ROWS * ROWS), V), seen = para_smaller(s->cols, s->see + r);
    int64_t before = para_smaller(para_smaller(s->see + r, s->keys) - s->window, end);
    for (int64_t e = 0; e < before; e++)
        scores[e] = -INFINITY;
    for (int64_t e = seen > 0 ? seen : 0; e < end; e++)
        scores[e] = -INFINITY;
    return end;
}

TARGET static inline float NAME(highest)(int64_t count, const float *x)
{
    float top[V];
#pragma omp simd
    for (int lane = 0; lane < V; lane++)
        top[lane] = -INFINITY;
    for (int64_t e = 0; e < count; e += V)
#pragma omp simd
        for (int lane = 0; lane < V; lane++)
            top[lane] = x[e + lane] > top[lane] ? x[e + lane] : top[lane];
    float highest = top[0];
    for (int lane = 1; lane < V; lane++)
        highest = top[lane] > highest ? top[lane] : highest;
    return highest;
}

TARGET static void NAME(softmax)(const struct para_attend_block *s, float *restrict scores, float *restrict top,
                                 float *restrict total, float *restrict o)
{
    const float scale = s->scale * (float)M_LOG2E;
    for (int64_t r = 0; r < s->rows; r++, scores += PARA_ATTEND_KEYS, o += s->padded) {
        int64_t end = NAME(hide)(s, r, scores);
        float highest = fmaxf(top[r], scale * NAME(highest)(end, scores)), sum = 0;
        float base = highest > -INFINITY ? highest : 0; /* a row that sees nothing yet adds nothing */
#pragma omp simd reduction(+ : sum)
        for (int64_t e = 0; e < end; e++) {
            scores[e] = para_exp2f(scale * scores[e] - base);
            sum += scores[e];
        }
        float keep = para_exp2f(top[r] - base);
        total[r] = total[r] * keep + sum;
        if (keep != 1.0f && top[r] != -INFINITY)
#pragma omp simd
            for (int64_t e = 0; e < s->padded; e++)
                o[e] *= keep;
        top[r] = highest;
    }
}

TARGET static void NAME(slopes)(const struct para_attend_block *s, float *restrict scores, float *restrict ds,
                                const float *restrict lse, const float *restrict delta)
{
    const float scale = s->scale, scale2 = s->scale * (float)M_LOG2E;
    for (int64_t r = 0; r < s->rows; r++, scores += PARA_ATTEND_KEYS, ds += PARA_ATTEND_KEYS) {
        int64_t end = NAME(hide)(s, r, scores);
        float log_sum = lse[r] * (float)M_LOG2E, mean = delta[r];
#pragma omp simd
        for (int64_t e = 0; e < end; e++) {
            scores[e] = para_exp2f(scale2 * scores[e] - log_sum);
            ds[e] = scale * scores[e] * (ds[e] - mean);
        }
    }
}

/* The products of q (width) with V keys, of which a head begins `head` elements on. */
TARGET static inline ALWAYS_INLINE NAME(vec)
    NAME(dots)(int64_t width, const float *const keys[V], int64_t head, const float *q)
{
    NAME(vec) sum[V];
    int64_t e = 0;
    UNROLL
    for (int i = 0; i < V; i++)
        sum[i] = (NAME(vec)){0};
    for (; e + V <= width; e += V) {
        NAME(vec) x = *(const NAME(loose) *)(q + e);
        UNROLL
        for (int i = 0; i < V; i++)
            sum[i] += x * *(const NAME(loose) *)(keys[i] + head + e);
    }
    NAME(flip)(sum);
    UNROLL
    for (int half = V / 2; half > 0; half /= 2) {
        UNROLL
        for (int i = 0; i < half; i++)
            sum[i] += sum[i + half];
    }
    for (; e < width; e++)
        for (int i = 0; i < V; i++)
            sum[0][i] += q[e] * keys[i][head + e];
    return sum[0];
}

TARGET static void NAME(step_scores)(const struct para_attend_heads *s, const float *const keys[], const float *q,
                                     float *scores)
{
    for (int64_t h = 0; h < s->heads; h++)
        for (int64_t reader = 0; reader < s->readers; reader++, q += s->width, scores += PARA_ATTEND_KEYS)
            for (int i = 0; i < PARA_ATTEND_TOGETHER; i += V)
                *(NAME(vec) *)(scores + i) = NAME(dots)(s->width, keys + i, h * s->width, q);
}

/* o (vectors * V) += p times as much of the values, which begins `first` elements on. */
TARGET static inline ALWAYS_INLINE void NAME(add_values)(const int vectors, const float *const values[], int64_t first,
                                                         const float *p, float *o)
{
    NAME(vec) sum[4];
    NAME(loose) *to = (NAME(loose) *)o;
    UNROLL
    for (int v = 0; v < vectors; v++)
        sum[v] = to[v];
    for (int i = 0; i < PARA_ATTEND_TOGETHER; i++) {
        const NAME(loose) *from = (const NAME(loose) *)(values[i] + first);
        UNROLL
        for (int v = 0; v < vectors; v++)
            sum[v] += p[i] * from[v];
    }
    UNROLL
    for (int v = 0; v < vectors; v++)
        to[v] = sum[v];
}

TARGET static void NAME(step_product)(const struct para_attend_heads *s, const float *const values[], const float *p,
                                      float *o)
{
    for (int64_t h = 0; h < s->heads; h++)
        for (int64_t reader = 0; reader < s->readers; reader++, p += PARA_ATTEND_KEYS, o += s->width) {
            int64_t first = h * s->width, e = 0;
            for (; e + 4 * V <= s->width; e += 4 * V)
                NAME(add_values)(4, values, first + e, p, o + e);
            for (; e + V <= s->width; e += V)
                NAME(add_values)(1, values, first + e, p, o + e);
            for (; e < s->width; e++)
                for (int i = 0; i < PARA_ATTEND_TOGETHER; i++)
                    o[e] += p[i] * values[i][first + e];
        }
}

static const struct para_attend_kernels NAME(kernels) = {
    .copy = NAME(copy),
    .flip = NAME(copy_flipped),
    .scores = NAME(scores),
    .product = NAME(product),
    .product_flipped = NAME(product_flipped),
    .softmax = NAME(softmax),
    .slopes = NAME(slopes),
    .step_scores = NAME(step_scores),
    .step_product = NAME(step_product),
};

#undef ROWS
#undef COLS
