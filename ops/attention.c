/* attention: o = softmax(q k^T / sqrt(D)) v for each batch element and head.          Vaswani et al., 2017, eq. 1
 *   qkv (B, T, 3, H, D), given twice -> o (B, T, H, D), lse (B, T, H)
 * lse is the log of the sum of exp of each query's scaled scores; with `causal`, query i sees keys 0 to i.
 * Input 0 gives the queries, input 1, the same tensor, keys and values. Over T only input 0 is cut, so a part
 * computes its own queries against all keys. B, T and H are parallel.
 *
 * No T x T matrix is stored: scores are made in blocks, and made again from lse backward. */
#include <paragraph/ops.h>

#include "graph/op.h"
#include "ops/attend.h"

#include <limits.h>
#include <math.h>
#include <string.h>

extern const struct para_op para_op_attention, para_op_attention_backward;

enum { BATCH, SEQ, QKV, HEADS, WIDTH }; /* dimensions of qkv */

/* Batch element and head number b = batch * heads + head. Inputs 0 and 1 of both ops are the sources of queries, and of
 * keys and values; o and lse are outputs of the one and inputs of the other. */
static struct para_attend head_of(const struct para_call *c, int64_t b, void *o, void *lse)
{
    const struct para_extent *q = c->node->in[0]->shape.dim, *kv = c->node->in[1]->shape.dim;
    int64_t heads = q[HEADS].extent, width = q[WIDTH].extent, plane = heads * width;
    int64_t batch = b / heads, first = b % heads * width;
    const float *keys = (const float *)c->in[1] + batch * kv[SEQ].extent * 3 * plane + first + plane;
    return (struct para_attend){
        .q = (const float *)c->in[0] + batch * q[SEQ].extent * 3 * plane + first,
        .k = keys,
        .v = keys + plane,
        .o = (float *)o + batch * q[SEQ].extent * plane + first,
        .lse = (float *)lse + batch * q[SEQ].extent * heads + b % heads,
        .queries = q[SEQ].extent,
        .keys = kv[SEQ].extent,
        .width = width,
        .origin = q[SEQ].origin,
        .q_ld = 3 * plane,
        .kv_ld = 3 * plane,
        .o_ld = plane,
        .lse_ld = heads,
        .causal = c->node->attr[0].i != 0,
        .scale = (float)(1.0 / sqrt((double)width)),
    };
}

static int64_t count_heads(const para_node *n)
{
    return n->in[0]->shape.dim[BATCH].extent * n->in[0]->shape.dim[HEADS].extent;
}

static int check_qkv(const para_node *n, para_error *err)
{
    char text[PARA_SHAPE_TEXT];
    PARA_TRY(para_need_dtype(n, 0, PARA_F32, err));
    PARA_TRY(para_need_same(n, 0, 1, err));
    const struct para_shape *s = &n->in[0]->shape;
    if (s->rank != 5 || s->dim[QKV].whole != 3)
        return para_fail(err, PARA_ESHAPE, "qkv is %s, expected (batch, seq, qkv, heads, head_dim), qkv of extent 3",
                         para_shape_text(s, text));
    if (s->dim[HEADS].whole > INT_MAX / 3 / s->dim[WIDTH].whole)
        return para_fail(err, PARA_ERANGE, "qkv is %s, expected fewer than 2^31 elements per position",
                         para_shape_text(s, text));
    return 0;
}

/* o (B, T, H, D), lse (B, T, H) */
static void output_shapes(const para_node *n, struct para_shape out[2])
{
    static const int kept[] = {BATCH, SEQ, HEADS, WIDTH};
    const struct para_extent *dim = n->in[0]->shape.dim;
    out[0] = out[1] = (struct para_shape){.dtype = PARA_F32};
    for (int i = 0; i < 4; i++)
        para_shape_append(&out[0], dim[kept[i]].axis, dim[kept[i]].whole);
    for (int i = 0; i < 3; i++)
        para_shape_append(&out[1], dim[kept[i]].axis, dim[kept[i]].whole);
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(check_qkv(n, err));
    output_shapes(n, out);
    return 2;
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    const struct para_extent *dim = n->in[0]->shape.dim;
    bool is_qkv = strcmp(axis, dim[QKV].axis) == 0;
    if (!is_qkv && strcmp(axis, dim[WIDTH].axis) != 0)
        return PARA_PARALLEL;
    *why = is_qkv ? "attention reads q, k and v together" : "a score sums over the whole axis before its exponential";
    return PARA_WHOLE;
}

static bool follows(const para_node *n, const char *axis, int in)
{
    return in != 1 || strcmp(axis, n->in[1]->shape.dim[SEQ].axis) != 0;
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    dx[0] =
        para_apply(&para_op_attention_backward, g, PARA_IN(n->in[0], n->in[1], n->out[0], n->out[1], dy[0]), n->attr);
    return 0; /* all of it: input 1 is the same tensor */
}

/* How many scores the tile computes. */
static double count_scores(const para_node *n)
{
    const struct para_extent *seq = &n->in[0]->shape.dim[SEQ];
    double queries = (double)seq->extent, per_head = queries * (double)n->in[1]->shape.dim[SEQ].extent;
    if (n->attr[0].i)
        per_head = queries * (double)seq->origin + queries * (queries + 1.0) / 2.0;
    return per_head * (double)count_heads(n);
}

static double width_of(const para_node *n)
{
    return (double)n->in[0]->shape.dim[WIDTH].extent;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = count_scores(n) * (4.0 * width_of(n) + 20.0);
}

/* Bytes for the kernel's floats, or for the reference's row of doubles. */
static size_t scratch_bytes(const para_node *n, size_t floats)
{
    size_t row = (size_t)n->in[0]->shape.dim[WIDTH].extent * sizeof(double);
    return floats * sizeof(float) > row ? floats * sizeof(float) : row;
}

static size_t scratch(const para_node *n)
{
    const struct para_extent *q = n->in[0]->shape.dim;
    return scratch_bytes(n, para_attend_scratch(q[SEQ].extent, n->in[1]->shape.dim[SEQ].extent, q[WIDTH].extent));
}

static double dot(int64_t width, const float *x, const float *y)
{
    double sum = 0;
    for (int64_t e = 0; e < width; e++)
        sum += (double)x[e] * y[e];
    return sum;
}

/* The scaled score of query i for key j. */
static double score(const struct para_attend *a, int64_t i, int64_t j)
{
    return dot(a->width, a->q + i * a->q_ld, a->k + j * a->kv_ld) / sqrt((double)a->width);
}

/* One query: o (D) = sum of p v, p = softmax of its scores */
static void reference_query(const struct para_attend *a, int64_t i, double *sum)
{
    double top = score(a, i, 0), total = 0;
    for (int64_t j = 1; j < para_attend_visible(a, i); j++)
        top = fmax(top, score(a, i, j));
    for (int64_t e = 0; e < a->width; e++)
        sum[e] = 0;
    for (int64_t j = 0; j < para_attend_visible(a, i); j++) {
        double p = exp(score(a, i, j) - top);
        total += p;
        for (int64_t e = 0; e < a->width; e++)
            sum[e] += p * a->v[j * a->kv_ld + e];
    }
    for (int64_t e = 0; e < a->width; e++)
        a->o[i * a->o_ld + e] = (float)(sum[e] / total);
    a->lse[i * a->lse_ld] = (float)(top + log(total));
}

static int reference(const struct para_call *c)
{
    for (int64_t b = 0; b < count_heads(c->node); b++) {
        struct para_attend head = head_of(c, b, c->out[0], c->out[1]);
        for (int64_t i = 0; i < head.queries; i++)
            reference_query(&head, i, c->scratch);
    }
    return 0;
}

static int cpu(const struct para_call *c)
{
    for (int64_t b = 0; b < count_heads(c->node); b++) {
        struct para_attend head = head_of(c, b, c->out[0], c->out[1]);
        para_attend(&head, c->scratch);
    }
    return 0;
}

const struct para_op para_op_attention = {
    .name = "attention",
    .attrs = {{"causal", PARA_ATTR_INT}},
    .inputs = {2, 2},
    .infer = infer,
    .role = role,
    .follows = follows,
    .grad = grad,
    .cost = cost,
    .scratch = scratch,
    .reference = reference,
    .cpu = cpu,
};

/* attention_backward: with p = exp(scores - lse) and delta = sum over D of do o,
 *   dv = p^T do, ds = p (do v^T - delta) / sqrt(D), dq = ds k, dk = ds^T q.       Dao et al., 2022, algorithm 4
 *   qkv (B, T, 3, H, D), given twice, o (B, T, H, D), lse (B, T, H), do like o -> dqkv (B, T, 3, H, D)
 * B and H are parallel. Over T a part has some queries and gives all of dqkv: its own dq, what its queries add to dk
 * and dv, and 0 elsewhere; so T is reduced. */

static int backward_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    char found[PARA_SHAPE_TEXT], expected[PARA_SHAPE_TEXT];
    struct para_shape shapes[2];
    PARA_TRY(check_qkv(n, err));
    output_shapes(n, shapes);
    for (int i = 0; i < 2; i++) {
        PARA_TRY(para_need_dtype(n, 2 + i, PARA_F32, err));
        const struct para_shape *s = &n->in[2 + i]->shape;
        bool fits = s->rank == shapes[i].rank;
        for (int d = 0; fits && d < s->rank; d++)
            fits = strcmp(s->dim[d].axis, shapes[i].dim[d].axis) == 0;
        if (!fits)
            return para_fail(err, PARA_ESHAPE, "\"%s\" is %s, expected %s", n->in[2 + i]->name,
                             para_shape_text(s, found), para_shape_text(&shapes[i], expected));
    }
    PARA_TRY(para_need_same(n, 2, 4, err));
    return para_infer_like(n, 0, out);
}

static enum para_role backward_role(const para_node *n, const char *axis, int output, const char **why)
{
    return strcmp(axis, n->in[0]->shape.dim[SEQ].axis) == 0 ? PARA_REDUCE : role(n, axis, output, why);
}

static void backward_cost(const para_node *n, struct para_cost *c)
{
    c->flops = count_scores(n) * (10.0 * width_of(n) + 20.0);
}

static size_t backward_scratch(const para_node *n)
{
    const struct para_extent *kv = n->in[1]->shape.dim;
    return scratch_bytes(n, para_attend_backward_scratch(kv[SEQ].extent, kv[WIDTH].extent));
}

static struct para_attend_slopes slopes_of(const struct para_call *c, const struct para_attend *a, int64_t b)
{
    int64_t batch = b / a->lse_ld, first = b % a->lse_ld * a->width;
    float *dkv = (float *)c->out[0] + batch * a->keys * a->kv_ld + first;
    return (struct para_attend_slopes){
        .d_o = (const float *)c->in[4] + batch * a->queries * a->o_ld + first,
        .dq = dkv + a->origin * a->kv_ld,
        .dk = dkv + a->o_ld,
        .dv = dkv + 2 * a->o_ld,
    };
}

/* p and ds of query i and key j. */
static void reference_score(const struct para_attend *a, const float *d_o, int64_t i, int64_t j, double *p, double *ds)
{
    *p = exp(score(a, i, j) - a->lse[i * a->lse_ld]);
    double delta = dot(a->width, d_o + i * a->o_ld, a->o + i * a->o_ld);
    *ds = *p * (dot(a->width, d_o + i * a->o_ld, a->v + j * a->kv_ld) - delta) / sqrt((double)a->width);
}

static void reference_queries(const struct para_attend *a, const struct para_attend_slopes *d, double *sum)
{
    for (int64_t i = 0; i < a->queries; i++) {
        memset(sum, 0, (size_t)a->width * sizeof *sum);
        for (int64_t j = 0; j < para_attend_visible(a, i); j++) {
            double p, ds;
            reference_score(a, d->d_o, i, j, &p, &ds);
            for (int64_t e = 0; e < a->width; e++)
                sum[e] += ds * a->k[j * a->kv_ld + e];
        }
        for (int64_t e = 0; e < a->width; e++)
            d->dq[i * a->q_ld + e] = (float)sum[e];
    }
}

/* dk or dv, element by element: sum over the queries that see key j of ds q or p do */
static void reference_keys(const struct para_attend *a, const struct para_attend_slopes *d, double *sum, bool values)
{
    for (int64_t j = 0; j < a->keys; j++) {
        memset(sum, 0, (size_t)a->width * sizeof *sum);
        for (int64_t i = 0; i < a->queries; i++) {
            double p, ds;
            if (j >= para_attend_visible(a, i))
                continue;
            reference_score(a, d->d_o, i, j, &p, &ds);
            for (int64_t e = 0; e < a->width; e++)
                sum[e] += values ? p * d->d_o[i * a->o_ld + e] : ds * a->q[i * a->q_ld + e];
        }
        for (int64_t e = 0; e < a->width; e++)
            (values ? d->dv : d->dk)[j * a->kv_ld + e] = (float)sum[e];
    }
}

static int backward_reference(const struct para_call *c)
{
    memset(c->out[0], 0, para_shape_bytes(&c->node->out[0]->shape));
    for (int64_t b = 0; b < count_heads(c->node); b++) {
        struct para_attend head = head_of(c, b, c->in[2], c->in[3]);
        struct para_attend_slopes d = slopes_of(c, &head, b);
        reference_queries(&head, &d, c->scratch);
        reference_keys(&head, &d, c->scratch, false);
        reference_keys(&head, &d, c->scratch, true);
    }
    return 0;
}

/* A tile with some of the queries leaves 0 in the dq of the others. */
static int backward_cpu(const struct para_call *c)
{
    const struct para_extent *q = c->node->in[0]->shape.dim;
    if (q[SEQ].extent < q[SEQ].whole)
        memset(c->out[0], 0, para_shape_bytes(&c->node->out[0]->shape));
    for (int64_t b = 0; b < count_heads(c->node); b++) {
        struct para_attend head = head_of(c, b, c->in[2], c->in[3]);
        struct para_attend_slopes d = slopes_of(c, &head, b);
        para_attend_backward(&head, &d, c->scratch);
    }
    return 0;
}

const struct para_op para_op_attention_backward = {
    .name = "attention_backward",
    .attrs = {{"causal", PARA_ATTR_INT}},
    .inputs = {5, 5},
    .infer = backward_infer,
    .role = backward_role,
    .follows = follows,
    .cost = backward_cost,
    .scratch = backward_scratch,
    .reference = backward_reference,
    .cpu = backward_cpu,
};

para_tensor *para_attention(para_graph *g, para_tensor *qkv, bool causal)
{
    return para_apply(&para_op_attention, g, PARA_IN(qkv, qkv), PARA_ATTRS({.i = causal}));
}
