/* What the ops of attention have in common. */
#include "ops/heads.h"

#include "ops/need.h"

#include <math.h>
#include <string.h>

enum { BATCH, SEQ, HEADS, READERS, RANK = 4 }; /* dimensions of q; READERS in one of rank 5 */

struct para_heads para_heads_of(const struct para_shape *q)
{
    return (struct para_heads){
        .batch = q->dim[BATCH].extent,
        .seq = q->dim[SEQ].extent,
        .heads = q->dim[HEADS].extent,
        .readers = q->rank > RANK ? q->dim[READERS].extent : 1,
        .width = q->dim[q->rank - 1].extent,
    };
}

/* Keys, heads and width are the last three dimensions. */
static const struct para_extent *keys_of(const struct para_shape *k)
{
    return &k->dim[k->rank - 3];
}

int64_t para_keys_extent(const struct para_shape *k)
{
    return keys_of(k)->extent;
}

static bool same_axis(const struct para_extent *a, const struct para_extent *b)
{
    return strcmp(a->axis, b->axis) == 0;
}

static bool fits(const struct para_shape *q, const struct para_shape *k)
{
    return (q->rank == RANK || q->rank == RANK + 1) && k->rank >= RANK - 1 && k->rank <= RANK &&
           same_axis(&k->dim[k->rank - 1], &q->dim[q->rank - 1]) && same_axis(&k->dim[k->rank - 2], &q->dim[HEADS]);
}

static int refuse_keys(const para_node *n, int i, const char *expected, para_error *err)
{
    char q_text[PARA_SHAPE_TEXT], k_text[PARA_SHAPE_TEXT];
    return para_fail(err, PARA_ESHAPE,
                     "queries are %s and keys are %s, expected (batch, seq, heads, head_dim) or "
                     "(batch, seq, heads, queries, head_dim), and %s",
                     para_shape_text(&n->in[0]->shape, q_text), para_shape_text(&n->in[i]->shape, k_text), expected);
}

int para_need_keys(const para_node *n, int i, int least, int most, const char *expected, para_error *err)
{
    const struct para_shape *q = &n->in[0]->shape, *k = &n->in[i]->shape;
    if (!fits(q, k) || k->rank < least || k->rank > most ||
        (k->rank == RANK && !same_axis(&k->dim[BATCH], &q->dim[BATCH])))
        return refuse_keys(n, i, expected, err);
    return para_need_same(n, i, i + 1, err);
}

int para_need_keys_apart(const para_node *n, int i, const char *expected, para_error *err)
{
    const struct para_shape *q = &n->in[0]->shape, *k = &n->in[i]->shape;
    if (!fits(q, k) || k->rank != RANK || para_shape_find(q, k->dim[BATCH].axis) >= 0)
        return refuse_keys(n, i, expected, err);
    return para_need_same(n, i, i + 1, err);
}

enum para_role para_heads_role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    const struct para_shape *q = &n->in[0]->shape;
    int dim = para_shape_find(q, axis);
    if (dim >= 0 && dim < q->rank - 1)
        return PARA_PARALLEL;
    *why = dim < 0 ? "a query reads all keys" : "a score sums over the whole axis before its exponential";
    return PARA_WHOLE;
}

bool para_heads_follow(const para_node *n, const char *axis, int in)
{
    const struct para_shape *s = &n->in[in]->shape;
    return in < 1 || in > 2 || strcmp(axis, keys_of(s)->axis) != 0;
}

int64_t para_heads_offset(const struct para_heads *s, int64_t b, int64_t h)
{
    return (b * s->seq * s->heads + h) * s->readers * s->width;
}

struct para_attend para_heads_attend(const para_node *n, void *const in[], int64_t b, int64_t row, int64_t h)
{
    const struct para_shape *q = &n->in[0]->shape, *k = &n->in[1]->shape;
    struct para_heads s = para_heads_of(q);
    int64_t ld = s.heads * s.width, keys = para_keys_extent(k);
    int64_t first = (k->rank < RANK ? 0 : row * keys * ld) + h * s.width;
    return (struct para_attend){
        .q = (const float *)in[0] + para_heads_offset(&s, b, h),
        .k = (const float *)in[1] + first,
        .v = (const float *)in[2] + first,
        .queries = s.seq,
        .readers = s.readers,
        .keys = keys,
        .width = s.width,
        .past = q->dim[SEQ].begin,
        .q_ld = ld * s.readers,
        .kv_ld = ld,
        .o_ld = ld * s.readers,
        .scale = (float)(1.0 / sqrt((double)s.width)),
    };
}

double para_heads_score(const struct para_attend *a, int64_t i, int64_t j)
{
    const float *q = a->q + i * a->q_ld, *k = para_attend_row(a, a->prefix_k, a->k, j);
    double sum = 0;
    for (int64_t e = 0; e < a->width; e++)
        sum += (double)q[e] * k[e];
    return sum / sqrt((double)a->width);
}

/* One query: o (D) = sum of p v, p = softmax of its scores */
static void reference_query(const struct para_attend *a, int64_t i, double *sum)
{
    double top = -INFINITY, total = 0;
    for (int64_t j = para_attend_first(a, i); j < para_attend_visible(a, i); j++)
        top = fmax(top, para_heads_score(a, i, j));
    memset(sum, 0, (size_t)a->width * sizeof *sum);
    for (int64_t j = para_attend_first(a, i); j < para_attend_visible(a, i); j++) {
        const float *v = para_attend_row(a, a->prefix_v, a->v, j);
        double p = exp(para_heads_score(a, i, j) - top);
        total += p;
        for (int64_t e = 0; e < a->width; e++)
            sum[e] += p * v[e];
    }
    for (int64_t e = 0; e < a->width; e++)
        a->o[i * a->o_ld + e] = (float)(sum[e] / total);
    if (a->lse)
        a->lse[i * a->lse_ld] = (float)(top + log(total));
}

void para_heads_reference(const struct para_attend *a, double *sum)
{
    for (int64_t reader = 0; reader < a->readers; reader++) {
        struct para_attend one = para_attend_reader(a, reader);
        for (int64_t i = 0; i < one.queries; i++)
            reference_query(&one, i, sum);
    }
}
