/* Blocks of queries by blocks of keys: forward with an online softmax (Milakov and Gimelshein, 2018), backward with
 * probabilities made again from lse (Dao et al., 2022, algorithm 4). Keys and values of the head, and queries of a
 * block, are first copied to scratch, dense and padded, so that the kernels have no edges. */
#include "kernels/attend.h"

#include "base/checked.h"
#include "base/highest.h"
#include "base/simd.h"
#include "kernels/attend-kernels.h"
#include "kernels/skinny.h"

enum { QUERIES = PARA_ATTEND_QUERIES, KEYS = PARA_ATTEND_KEYS, TOGETHER = PARA_ATTEND_TOGETHER };

static int64_t padded_keys(int64_t keys)
{
    return para_round_up(keys, PARA_ATTEND_PANEL);
}

static int64_t padded_width(int64_t width)
{
    return para_round_up(width, PARA_ATTEND_MULTIPLE);
}

static const struct para_attend_kernels *kernels_of(const struct para_attend *a)
{
    return a->kernels ? a->kernels : para_attend_version(para_attend_versions() - 1);
}

size_t para_attend_scratch(int64_t queries, int64_t keys, int64_t width)
{
    int64_t joined = KEYS * padded_width(width);
    if (queries <= PARA_SKINNY_ROWS)
        return (size_t)(PARA_SKINNY_ROWS * (KEYS + 2) + joined);
    return (size_t)(PARA_ATTEND_SCORES + 2 * QUERIES + 2 * (QUERIES + padded_keys(keys)) * padded_width(width) +
                    joined);
}

size_t para_attend_backward_scratch(int64_t keys, int64_t width)
{
    return (size_t)(2 * PARA_ATTEND_SCORES + 2 * QUERIES + (3 * QUERIES + 5 * padded_keys(keys)) * padded_width(width));
}

/* The block of the queries from i on and the keys from j on. */
static struct para_attend_block block_of(const struct para_attend *a, int64_t i, int64_t j)
{
    int64_t rows = para_smaller(QUERIES, a->queries - i), end = para_attend_visible(a, i + rows - 1);
    int64_t cols = para_smaller(KEYS, end - j);
    return (struct para_attend_block){
        .rows = para_round_up(rows, PARA_ATTEND_MULTIPLE),
        .cols = cols,
        .see = a->causal ? a->past + i + 1 - j : cols,
        .keys = a->keys - j,
        .window = a->window ? a->window : a->keys,
        .width = a->width,
        .padded = padded_width(a->width),
        .scale = a->scale,
    };
}

/* Rows of KEYS keys or values at most, and how far they lie apart. */
struct rows {
    const float *first;
    int64_t ld;
};

/* Those from j on; on both sides of the prefix's end they are put together in `joined`. */
static struct rows rows_at(const struct para_attend *a, const float *prefix, const float *own, int64_t j, int64_t count,
                           float *joined)
{
    if (j >= a->prefix || j + count <= a->prefix)
        return (struct rows){para_attend_row(a, prefix, own, j), a->kv_ld};
    for (int64_t r = 0; r < count; r++)
        memcpy(joined + r * a->width, para_attend_row(a, prefix, own, j + r), (size_t)a->width * sizeof *joined);
    return (struct rows){joined, a->width};
}

/* Copy the queries from i on, and rows of 0 up to a multiple of PARA_ATTEND_MULTIPLE. */
static void copy_queries(const struct para_attend *a, int64_t i, const float *from, int64_t ld, float *to)
{
    int64_t rows = para_smaller(QUERIES, a->queries - i), padded = padded_width(a->width);
    kernels_of(a)->copy(rows, a->width, from + i * ld, ld, to);
    memset(to + rows * padded, 0, (size_t)((para_round_up(rows, PARA_ATTEND_MULTIPLE) - rows) * padded) * sizeof *to);
}

/* A head's scratch, forward. */
struct forward {
    float *scores, *top, *total, *q, *o, *k, *v, *joined;
};

static struct forward forward_of(const struct para_attend *a, float *scratch)
{
    struct forward f = {.scores = scratch};
    f.top = f.scores + PARA_ATTEND_SCORES;
    f.total = f.top + QUERIES;
    f.q = f.total + QUERIES;
    f.o = f.q + QUERIES * padded_width(a->width);
    f.k = f.o + QUERIES * padded_width(a->width);
    f.v = f.k + padded_keys(a->keys) * padded_width(a->width);
    f.joined = f.v + padded_keys(a->keys) * padded_width(a->width);
    return f;
}

/* o and lse of the queries from i on, from what their blocks gave. */
static void finish_queries(const struct para_attend *a, int64_t i, const struct forward *f)
{
    int64_t rows = para_smaller(QUERIES, a->queries - i), padded = padded_width(a->width);
    for (int64_t r = 0; r < rows; r++) {
        float *o = a->o + (i + r) * a->o_ld, scale = 1.0f / f->total[r];
        for (int64_t e = 0; e < a->width; e++)
            o[e] = f->o[r * padded + e] * scale;
        if (a->lse)
            a->lse[(i + r) * a->lse_ld] = (float)(f->top[r] * M_LN2 + log(f->total[r]));
    }
}

/* The first block of keys that the queries from i on see. */
static int64_t first_block(const struct para_attend *a, int64_t i)
{
    return para_attend_first(a, i) / KEYS * KEYS;
}

static void attend_queries(const struct para_attend *a, const struct forward *f)
{
    for (int64_t i = 0; i < a->queries; i += QUERIES) {
        copy_queries(a, i, a->q, a->q_ld, f->q);
        for (int64_t r = 0; r < QUERIES; r++) {
            f->top[r] = -INFINITY;
            f->total[r] = 0;
        }
        int64_t begin = first_block(a, i), end = para_attend_visible(a, para_smaller(i + QUERIES, a->queries) - 1);
        for (int64_t j = begin; j < end; j += KEYS) {
            struct para_attend_block s = block_of(a, i, j);
            kernels_of(a)->scores(&s, f->q, f->k + j * a->width, f->scores);
            kernels_of(a)->softmax(&s, f->scores, f->top, f->total, f->o);
            kernels_of(a)->product(&s, f->scores, f->v + j * padded_width(a->width), f->o, j > begin);
        }
        finish_queries(a, i, f);
    }
}

static void attend_many(const struct para_attend *a, float *scratch)
{
    struct forward f = forward_of(a, scratch);
    int64_t keys = para_attend_visible(a, a->queries - 1), padded = padded_width(a->width);
    for (int64_t j = 0; j < keys; j += KEYS) {
        int64_t count = para_smaller(KEYS, keys - j);
        struct rows k = rows_at(a, a->prefix_k, a->k, j, count, f.joined);
        kernels_of(a)->flip(count, a->width, k.first, k.ld, f.k + j * a->width);
        struct rows v = rows_at(a, a->prefix_v, a->v, j, count, f.joined);
        kernels_of(a)->copy(count, a->width, v.first, v.ld, f.v + j * padded);
    }
    for (int64_t reader = 0; reader < a->readers; reader++) {
        struct para_attend one = para_attend_reader(a, reader);
        attend_queries(&one, &f);
    }
}

/* The columns from `first` on, before `end`, that a row sees of a block. */
struct columns {
    int64_t first, end;
};

static struct columns columns_of(const struct para_attend *a, int64_t i, int64_t j, int64_t cols)
{
    int64_t first = para_attend_first(a, i) - j, end = para_smaller(para_attend_visible(a, i) - j, cols);
    return (struct columns){first > 0 ? first : 0, end};
}

/* scores (rows, cols) to exp(scale scores - top) in place, of which row r sees columns; the others become 0. top and
 * total (rows) and o (rows, D), which hold what earlier blocks gave, are brought to the new top. */
PARA_SIMD static void softmax_few(int64_t rows, int64_t cols, const struct columns *seen, float scale,
                                  float *restrict scores, float *restrict top, float *restrict total, float *restrict o,
                                  int64_t o_ld, int64_t width)
{
    for (int64_t r = 0; r < rows; r++, scores += cols, o += o_ld) {
        int64_t first = seen[r].first, end = seen[r].end;
        if (first >= end) {
            memset(scores, 0, (size_t)cols * sizeof *scores);
            continue;
        }
        float highest = fmaxf(top[r], scale * para_highest(end - first, scores + first)), sum = 0;
        for (int64_t e = 0; e < first; e++)
            scores[e] = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t e = first; e < end; e++) {
            scores[e] = para_expf(scale * scores[e] - highest);
            sum += scores[e];
        }
        for (int64_t e = end; e < cols; e++)
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

/* Up to PARA_SKINNY_ROWS queries: keys and values are read where they lie, once. */
static void attend_few(const struct para_attend *a, float *scratch)
{
    float *scores = scratch, *top = scores + PARA_SKINNY_ROWS * KEYS, *total = top + PARA_SKINNY_ROWS,
          *joined = total + PARA_SKINNY_ROWS;
    int64_t rows = a->queries, end = para_attend_visible(a, rows - 1);
    for (int64_t r = 0; r < rows; r++) {
        top[r] = -INFINITY;
        total[r] = 0;
        memset(a->o + r * a->o_ld, 0, (size_t)a->width * sizeof *a->o);
    }
    for (int64_t j = 0; j < end; j += KEYS) {
        int64_t cols = para_smaller(KEYS, end - j);
        struct columns seen[PARA_SKINNY_ROWS];
        for (int64_t r = 0; r < rows; r++)
            seen[r] = columns_of(a, r, j, cols);
        struct rows k = rows_at(a, a->prefix_k, a->k, j, cols, joined);
        para_skinny_product_transposed(rows, cols, a->width, a->q, a->q_ld, k.first, k.ld, scores, cols);
        softmax_few(rows, cols, seen, a->scale, scores, top, total, a->o, a->o_ld, a->width);
        struct rows v = rows_at(a, a->prefix_v, a->v, j, cols, joined);
        para_skinny_add_product(rows, a->width, cols, scores, cols, v.first, v.ld, a->o, a->o_ld);
    }
    for (int64_t r = 0; r < rows; r++) {
        float scale = 1.0f / total[r];
        for (int64_t e = 0; e < a->width; e++)
            a->o[r * a->o_ld + e] *= scale;
        if (a->lse)
            a->lse[r * a->lse_ld] = top[r] + logf(total[r]);
    }
}

/* The same without the keys that no query sees. */
static struct para_attend without_hidden(const struct para_attend *a)
{
    struct para_attend seen = *a;
    int64_t hidden = para_attend_first(a, 0), of_prefix = para_smaller(hidden, a->prefix);
    if (of_prefix > 0) {
        seen.prefix -= of_prefix;
        seen.prefix_k += of_prefix * a->kv_ld;
        seen.prefix_v += of_prefix * a->kv_ld;
    }
    seen.k += (hidden - of_prefix) * a->kv_ld;
    seen.v += (hidden - of_prefix) * a->kv_ld;
    seen.keys -= hidden;
    seen.past -= hidden;
    return seen;
}

void para_attend(const struct para_attend *a, float *scratch)
{
    struct para_attend seen = without_hidden(a);
    if (seen.queries > PARA_SKINNY_ROWS) {
        attend_many(&seen, scratch);
        return;
    }
    for (int64_t reader = 0; reader < seen.readers; reader++) {
        struct para_attend one = para_attend_reader(&seen, reader);
        attend_few(&one, scratch);
    }
}

/* --- one position --- */

/* Of a row, its scores in a block, and, of each head and reader, the largest scaled score and the sum of exponentials
 * so far. */
struct step {
    float *scores, *top, *total;
    int64_t count;
};

size_t para_attend_step_scratch(int64_t rows, int64_t heads, int64_t readers)
{
    return (size_t)(heads * readers * (KEYS + 2 * rows));
}

static struct step step_of(const struct para_attend *a, int64_t row, int64_t heads, float *scratch)
{
    struct step s = {.scores = scratch, .count = heads * a->readers};
    s.top = scratch + s.count * (KEYS + 2 * row);
    s.total = s.top + s.count;
    return s;
}

static void begin_step(const struct para_attend *a, const struct step *s)
{
    for (int64_t r = 0; r < s->count; r++) {
        s->top[r] = -INFINITY;
        s->total[r] = 0;
    }
    memset(a->o, 0, (size_t)(s->count * a->width) * sizeof *a->o);
}

static void finish_step(const struct para_attend *a, const struct step *s)
{
    for (int64_t r = 0; r < s->count; r++) {
        float scale = 1.0f / s->total[r];
        for (int64_t e = 0; e < a->width; e++)
            a->o[r * a->width + e] *= scale;
    }
}

/* The keys, or values, from j to end - 1, at most TOGETHER; the last one stands for those behind. */
static void find_rows(const struct para_attend *a, const float *prefix, const float *own, int64_t j, int64_t end,
                      const float *rows[TOGETHER])
{
    for (int64_t i = 0; i < TOGETHER; i++)
        rows[i] = para_attend_row(a, prefix, own, para_smaller(j + i, end - 1));
}

bool para_attend_step(const struct para_attend *a, int64_t row, int64_t heads, int64_t block, float *scratch)
{
    const struct para_attend_heads h = {heads, a->readers, a->width};
    const float *rows[TOGETHER];
    struct step s = step_of(a, row, heads, scratch);
    int64_t first = para_attend_first(a, 0), last = para_attend_visible(a, 0);
    int64_t begin = block * KEYS > first ? block * KEYS : first, end = para_smaller(block * KEYS + KEYS, last);
    if (begin >= end)
        return end < last;
    if (begin == first)
        begin_step(a, &s);
    for (int64_t j = begin; j < end; j += TOGETHER) {
        find_rows(a, a->prefix_k, a->k, j, end, rows);
        kernels_of(a)->step_scores(&h, rows, a->q, s.scores + j - begin);
    }
    for (int64_t r = 0; r < s.count; r++)
        softmax_few(1, KEYS, &(struct columns){0, end - begin}, a->scale, s.scores + r * KEYS, s.top + r, s.total + r,
                    a->o + r * a->width, a->width, a->width);
    for (int64_t j = begin; j < end; j += TOGETHER) {
        find_rows(a, a->prefix_v, a->v, j, end, rows);
        kernels_of(a)->step_product(&h, rows, s.scores + j - begin, a->o);
    }
    if (end == last)
        finish_step(a, &s);
    return end < last;
}

/* --- backward --- */

/* A head's scratch, backward: keys and values flipped, keys as they are, and the slopes of keys and values; queries
 * and slopes of a block. */
struct backward {
    float *p, *ds, *lse, *delta, *q, *d_o, *dq, *k_flipped, *v_flipped, *k, *dk, *dv;
};

static struct backward backward_of(const struct para_attend *a, float *scratch)
{
    int64_t queries = QUERIES * padded_width(a->width), keys = padded_keys(a->keys) * padded_width(a->width);
    struct backward b = {.p = scratch};
    b.ds = b.p + PARA_ATTEND_SCORES;
    b.lse = b.ds + PARA_ATTEND_SCORES;
    b.delta = b.lse + QUERIES;
    b.q = b.delta + QUERIES;
    b.d_o = b.q + queries;
    b.dq = b.d_o + queries;
    b.k_flipped = b.dq + queries;
    b.v_flipped = b.k_flipped + keys;
    b.k = b.v_flipped + keys;
    b.dk = b.k + keys;
    b.dv = b.dk + keys;
    return b;
}

/* out (rows) = the dot products of rows of x, x_ld apart, and of y, y_ld apart. */
PARA_SIMD static void row_dots(int64_t rows, int64_t width, const float *x, int64_t x_ld, const float *y, int64_t y_ld,
                               float *restrict out)
{
    for (int64_t r = 0; r < rows; r++, x += x_ld, y += y_ld) {
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t e = 0; e < width; e++)
            sum += x[e] * y[e];
        out[r] = sum;
    }
}

static void begin_queries(const struct para_attend *a, const struct para_attend_slopes *d, int64_t i,
                          const struct backward *b)
{
    int64_t rows = para_smaller(QUERIES, a->queries - i);
    copy_queries(a, i, a->q, a->q_ld, b->q);
    copy_queries(a, i, d->d_o, a->o_ld, b->d_o);
    memset(b->lse, 0, QUERIES * sizeof *b->lse);
    memset(b->delta, 0, QUERIES * sizeof *b->delta);
    for (int64_t r = 0; r < rows; r++)
        b->lse[r] = a->lse[(i + r) * a->lse_ld];
    row_dots(rows, a->width, b->d_o, padded_width(a->width), a->o + i * a->o_ld, a->o_ld, b->delta);
}

/* As many elements in all are more than a cache holds. */
static void copy_back(int64_t rows, int64_t width, const float *from, float *to, int64_t ld)
{
    for (int64_t r = 0; r < rows; r++, from += padded_width(width), to += ld)
        para_stream(width, from, to);
}

/* One reader's dq, and what its queries add to dk and dv. */
static void slope_queries(const struct para_attend *a, const struct para_attend_slopes *d, const struct backward *b)
{
    int64_t padded = padded_width(a->width);
    for (int64_t i = 0; i < a->queries; i += QUERIES) {
        begin_queries(a, d, i, b);
        int64_t rows = para_smaller(QUERIES, a->queries - i), begin = first_block(a, i);
        int64_t end = para_attend_visible(a, i + rows - 1);
        for (int64_t j = begin; j < end; j += KEYS) {
            struct para_attend_block s = block_of(a, i, j);
            kernels_of(a)->scores(&s, b->q, b->k_flipped + j * a->width, b->p);
            kernels_of(a)->scores(&s, b->d_o, b->v_flipped + j * a->width, b->ds);
            kernels_of(a)->slopes(&s, b->p, b->ds, b->lse, b->delta);
            kernels_of(a)->product_flipped(&s, b->p, b->d_o, b->dv + j * padded);
            kernels_of(a)->product(&s, b->ds, b->k + j * padded, b->dq, j > begin);
            kernels_of(a)->product_flipped(&s, b->ds, b->q, b->dk + j * padded);
        }
        copy_back(rows, a->width, b->dq, d->dq + i * a->q_ld, a->q_ld);
    }
}

void para_attend_backward(const struct para_attend *a, const struct para_attend_slopes *d, float *scratch)
{
    struct backward b = backward_of(a, scratch);
    int64_t keys = para_attend_visible(a, a->queries - 1), padded = padded_width(a->width);
    kernels_of(a)->flip(keys, a->width, a->k, a->kv_ld, b.k_flipped);
    kernels_of(a)->flip(keys, a->width, a->v, a->kv_ld, b.v_flipped);
    kernels_of(a)->copy(keys, a->width, a->k, a->kv_ld, b.k);
    memset(b.dk, 0, (size_t)(2 * padded_keys(a->keys) * padded) * sizeof *b.dk);
    for (int64_t reader = 0; reader < a->readers; reader++) {
        struct para_attend one = para_attend_reader(a, reader);
        struct para_attend_slopes own = {d->d_o + reader * a->width, d->dq + reader * a->width, NULL, NULL};
        slope_queries(&one, &own, &b);
    }
    copy_back(a->keys, a->width, b.dk, d->dk, a->kv_ld);
    copy_back(a->keys, a->width, b.dv, d->dv, a->kv_ld);
    para_stream_end();
}
