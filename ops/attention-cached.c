/* attention_cached: causal attention of new positions over a cache of keys and values.
 *   qkv (B, T, 3, H, D), cache (B, S, 2, H, D), position () -> o (B, T, H, D)
 * Query t stands at position + t and sees what the cache holds up to there, itself included. B, T and H are parallel;
 * the cache is read whole along S. It has no gradient: caches are for inference. */
#include <paragraph/ops.h>

#include "ops/attend.h"
#include "ops/need.h"
#include "ops/table.h"

#include <math.h>
#include <string.h>

enum { BATCH, SEQ, PLANES, HEADS, WIDTH, RANK }; /* dimensions of qkv and cache */

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    char cache_text[PARA_SHAPE_TEXT], qkv_text[PARA_SHAPE_TEXT];
    PARA_TRY(para_need_dtype(n, 0, PARA_F32, err));
    PARA_TRY(para_need_dtype(n, 1, PARA_F32, err));
    PARA_TRY(para_need_scalar(n, 2, PARA_I32, err));
    const struct para_shape *qkv = &n->in[0]->shape, *cache = &n->in[1]->shape;
    bool fits = cache->rank == RANK && qkv->rank == RANK;
    for (int d = 0; d < RANK && fits; d++)
        fits = d == SEQ || d == PLANES || strcmp(cache->dim[d].axis, qkv->dim[d].axis) == 0;
    if (!fits || qkv->dim[PLANES].whole != 3 || cache->dim[PLANES].whole != 2)
        return para_fail(err, PARA_ESHAPE,
                         "qkv is %s and the cache is %s, expected (batch, seq, qkv, heads, head_dim), "
                         "qkv of extent 3, and (batch, cache, kv, heads, head_dim), kv of extent 2",
                         para_shape_text(qkv, qkv_text), para_shape_text(cache, cache_text));
    out[0] = (struct para_shape){.dtype = PARA_F32};
    for (int d = 0; d < RANK; d++)
        if (d != PLANES)
            para_shape_append(&out[0], qkv->dim[d].axis, qkv->dim[d].whole);
    return 1;
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    const struct para_extent *qkv = n->in[0]->shape.dim;
    if (strcmp(axis, qkv[BATCH].axis) == 0 || strcmp(axis, qkv[SEQ].axis) == 0 || strcmp(axis, qkv[HEADS].axis) == 0)
        return PARA_PARALLEL;
    *why = "a score sums over the whole axis, and a query reads the whole cache";
    return PARA_WHOLE;
}

/* At most what the cache holds; how much of it is known at the run alone. */
static void cost(const para_node *n, struct para_cost *c)
{
    const struct para_extent *qkv = n->in[0]->shape.dim;
    c->flops = (double)(qkv[BATCH].extent * qkv[SEQ].extent * qkv[HEADS].extent * n->in[1]->shape.dim[SEQ].extent) *
               (4.0 * (double)qkv[WIDTH].extent + 20.0);
}

static size_t scratch(const para_node *n)
{
    const struct para_extent *q = n->in[0]->shape.dim;
    return para_attend_scratch(q[SEQ].extent, n->in[1]->shape.dim[SEQ].extent, q[WIDTH].extent) * sizeof(float);
}

/* One batch element and head, number b = batch * heads + head. */
static struct para_attend head_of(const struct para_call *c, int64_t b, int64_t position)
{
    const struct para_extent *q = c->node->in[0]->shape.dim, *kv = c->node->in[1]->shape.dim;
    int64_t heads = q[HEADS].extent, width = q[WIDTH].extent, plane = heads * width;
    int64_t batch = b / heads, first = b % heads * width;
    const float *cache = (const float *)c->in[1] + batch * kv[SEQ].extent * 2 * plane + first;
    return (struct para_attend){
        .q = (const float *)c->in[0] + batch * q[SEQ].extent * 3 * plane + first,
        .k = cache,
        .v = cache + plane,
        .o = (float *)c->out[0] + batch * q[SEQ].extent * plane + first,
        .queries = q[SEQ].extent,
        .keys = kv[SEQ].extent,
        .width = width,
        .origin = position + q[SEQ].origin,
        .q_ld = 3 * plane,
        .kv_ld = 2 * plane,
        .o_ld = plane,
        .causal = true,
        .scale = (float)(1.0 / sqrt((double)width)),
    };
}

static int check_position(const struct para_call *c, int64_t *position)
{
    *position = *(const int32_t *)c->in[2];
    if (*position < 0)
        return para_fail(c->err, PARA_ERANGE, "position is %lld, expected at least 0", (long long)*position);
    return 0;
}

static double score(const struct para_attend *a, int64_t i, int64_t j)
{
    double sum = 0;
    for (int64_t e = 0; e < a->width; e++)
        sum += (double)a->q[i * a->q_ld + e] * a->k[j * a->kv_ld + e];
    return sum / sqrt((double)a->width);
}

/* o (D) = sum over visible keys of softmax(scores) v, element by element */
static void reference_query(const struct para_attend *a, int64_t i)
{
    int64_t keys = para_attend_visible(a, i);
    double top = score(a, i, 0), total = 0;
    for (int64_t j = 1; j < keys; j++)
        top = fmax(top, score(a, i, j));
    for (int64_t j = 0; j < keys; j++)
        total += exp(score(a, i, j) - top);
    for (int64_t e = 0; e < a->width; e++) {
        double sum = 0;
        for (int64_t j = 0; j < keys; j++)
            sum += exp(score(a, i, j) - top) / total * a->v[j * a->kv_ld + e];
        a->o[i * a->o_ld + e] = (float)sum;
    }
}

static int reference(const struct para_call *c)
{
    const struct para_extent *q = c->node->in[0]->shape.dim;
    int64_t position;
    PARA_TRY(check_position(c, &position));
    for (int64_t b = 0; b < q[BATCH].extent * q[HEADS].extent; b++) {
        struct para_attend head = head_of(c, b, position);
        for (int64_t i = 0; i < head.queries; i++)
            reference_query(&head, i);
    }
    return 0;
}

static int cpu(const struct para_call *c)
{
    const struct para_extent *q = c->node->in[0]->shape.dim;
    int64_t position;
    PARA_TRY(check_position(c, &position));
    for (int64_t b = 0; b < q[BATCH].extent * q[HEADS].extent; b++) {
        struct para_attend head = head_of(c, b, position);
        para_attend(&head, c->scratch);
    }
    return 0;
}

const struct para_op para_op_attention_cached = {
    .name = "attention_cached",
    .inputs = {3, 3},
    .infer = infer,
    .role = role,
    .cost = cost,
    .scratch = scratch,
    .reference = reference,
    .cpu = cpu,
};

para_tensor *para_attention_cached(para_graph *g, para_tensor *qkv, para_tensor *cache, para_tensor *position)
{
    return para_apply(&para_op_attention_cached, g, PARA_IN(qkv, cache, position), NULL);
}
