/* attention: o = softmax(q k^T / sqrt(D)) v for each batch element and head.          Vaswani et al., 2017, eq. 1
 *   q (B, T, H, [G,] D), k and v (B, S, H, D) -> o like q, lse (B, T, H, [G])          G: see ops/heads.h
 *   qkv (B, T, 3, H, D), given twice -> o (B, T, H, D), lse (B, T, H)                  the same, stacked
 * lse is the log of the sum of exp of each query's scaled scores; with `causal`, query i sees keys 0 to i, or, with a
 * `window` W more than 0, the last W of these.                                              Beltagy et al., 2020
 * B, T, H and G are parallel. Keys may have the queries' axis, S = T: over T queries alone are cut, so that a part
 * computes its own queries against all keys. For that, qkv is given twice: input 0 gives queries, input 1 keys and
 * values. Stacked, they are read where one product has left them, without a copy.
 *
 * No T x S matrix is stored: scores are made in blocks, and made again from lse backward. */
#include <paragraph/ops.h>

#include "ops/attention.h"
#include "ops/heads.h"
#include "ops/need.h"
#include "ops/table.h"

#include <math.h>
#include <string.h>

enum { BATCH, SEQ, QKV, HEADS, WIDTH, STACKED_RANK }; /* dimensions of qkv; the first two of q, too */
enum { READERS = 3 };                                 /* of q, in one of rank 5 */
enum { CAUSAL, WINDOW };                              /* attributes */

/* Of inputs to either op: 2 and 3 more, or 3 and 3 more. */
static bool is_stacked(const para_node *n)
{
    return n->n_in % 3 == 2;
}

static struct para_heads heads_of(const para_node *n)
{
    const struct para_extent *dim = n->in[0]->shape.dim;
    if (!is_stacked(n))
        return para_heads_of(&n->in[0]->shape);
    return (struct para_heads){dim[BATCH].extent, dim[SEQ].extent, dim[HEADS].extent, 1, dim[WIDTH].extent};
}

int64_t para_attention_keys(const para_node *n)
{
    const struct para_shape *k = &n->in[1]->shape;
    return is_stacked(n) ? k->dim[SEQ].extent : para_keys_extent(k);
}

int64_t para_attention_planes(const para_node *n)
{
    struct para_heads s = heads_of(n);
    return s.batch * s.heads;
}

static struct para_attend attend_stacked(const struct para_call *c, int64_t b, int64_t h)
{
    struct para_heads s = heads_of(c->node);
    int64_t row = s.heads * s.width, keys = para_attention_keys(c->node);
    const float *k = (const float *)c->in[1] + (b * keys * 3 + 1) * row + h * s.width;
    return (struct para_attend){
        .q = (const float *)c->in[0] + b * s.seq * 3 * row + h * s.width,
        .k = k,
        .v = k + row,
        .queries = s.seq,
        .readers = 1,
        .keys = keys,
        .width = s.width,
        .past = c->node->in[0]->shape.dim[SEQ].begin,
        .q_ld = 3 * row,
        .kv_ld = 3 * row,
        .o_ld = row,
        .scale = (float)(1.0 / sqrt((double)s.width)),
    };
}

int64_t para_attention_heads(const para_node *n)
{
    return heads_of(n).heads;
}

/* A tile's batch element and head number p = batch * heads + head; o and lse are outputs of the one op and inputs of
 * the other. */
struct para_attend para_attention_plane(const struct para_call *c, int64_t p, void *o, void *lse)
{
    struct para_heads s = heads_of(c->node);
    int64_t b = p / s.heads, h = p % s.heads, first = para_heads_offset(&s, b, h);
    struct para_attend a = is_stacked(c->node) ? attend_stacked(c, b, h) : para_heads_attend(c->node, c->in, b, b, h);
    a.o = (float *)o + first;
    a.lse = (float *)lse + first / s.width;
    a.lse_ld = a.o_ld / s.width;
    a.causal = c->node->attr[CAUSAL].i != 0;
    a.window = c->node->attr[WINDOW].i;
    return a;
}

static int check_inputs(const para_node *n, para_error *err)
{
    char text[PARA_SHAPE_TEXT];
    const struct para_shape *s = &n->in[0]->shape;
    if (n->attr[WINDOW].i < 0 || (n->attr[WINDOW].i > 0 && !n->attr[CAUSAL].i))
        return para_fail(err, PARA_ERANGE, "window is %lld, expected 0%s", (long long)n->attr[WINDOW].i,
                         n->attr[CAUSAL].i ? " or more" : ", as attention isn't causal");
    if (!is_stacked(n))
        return para_need_keys(n, 1, 4, 4, "(batch, keys, heads, head_dim)", err);
    PARA_TRY(para_need_same(n, 0, 1, err));
    if (s->rank != STACKED_RANK || s->dim[QKV].whole != 3)
        return para_fail(err, PARA_ESHAPE, "qkv is %s, expected (batch, seq, qkv, heads, head_dim), qkv of extent 3",
                         para_shape_text(s, text));
    return 0;
}

static void output_shapes(const para_node *n, struct para_shape out[2])
{
    const struct para_shape *q = &n->in[0]->shape;
    para_infer_like(n, 0, &out[0]);
    if (is_stacked(n)) {
        out[0].rank = 0;
        para_infer_without(n, 0, q->dim[QKV].axis, &out[0]);
    }
    for (int d = 0; d < out[0].rank - 1; d++)
        para_shape_append(&out[1], out[0].dim[d].axis, out[0].dim[d].whole);
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(check_inputs(n, err));
    output_shapes(n, out);
    return 0;
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    if (!is_stacked(n) || strcmp(axis, n->in[0]->shape.dim[QKV].axis) != 0)
        return para_heads_role(n, axis, output, why);
    *why = "attention reads q, k and v together";
    return PARA_WHOLE;
}

static bool follows(const para_node *n, const char *axis, int in)
{
    if (!is_stacked(n))
        return para_heads_follow(n, axis, in);
    return in != 1 || strcmp(axis, n->in[1]->shape.dim[SEQ].axis) != 0;
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    para_tensor *in[6];
    int count = 0;
    for (int i = 0; i < n->n_in; i++)
        in[count++] = n->in[i];
    in[count++] = n->out[0];
    in[count++] = n->out[1];
    in[count++] = dy[0];
    const para_node *slopes = para_apply_node(&para_op_attention_backward, g, in, count, n->attr);
    for (int i = 0; slopes && i < slopes->n_out; i++)
        dx[i] = slopes->out[i]; /* stacked, there is one: input 1 is the same tensor */
    return 0;
}

/* The sum over queries i = 0 to queries - 1 of past + i + 1, at most window each. */
static double count_causal(double queries, double past, double window)
{
    double growing = fmin(fmax(window - past, 0), queries);
    return growing * past + growing * (growing + 1.0) / 2.0 + (queries - growing) * window;
}

/* How many scores the tile computes. */
static double count_scores(const para_node *n)
{
    struct para_heads s = heads_of(n);
    double queries = (double)s.seq, past = (double)n->in[0]->shape.dim[SEQ].begin;
    double window = n->attr[WINDOW].i ? (double)n->attr[WINDOW].i : past + queries;
    double per_head =
        n->attr[CAUSAL].i ? count_causal(queries, past, window) : queries * (double)para_attention_keys(n);
    return per_head * (double)(para_attention_planes(n) * s.readers);
}

static double width_of(const para_node *n)
{
    return (double)heads_of(n).width;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = count_scores(n) * (4.0 * width_of(n) + 20.0);
}

/* Bytes for the kernel's floats, or for the reference's row of doubles. */
static size_t scratch_bytes(const para_node *n, size_t floats)
{
    size_t row = (size_t)width_of(n) * sizeof(double);
    return floats * sizeof(float) > row ? floats * sizeof(float) : row;
}

static size_t scratch(const para_node *n)
{
    struct para_heads s = heads_of(n);
    return scratch_bytes(n, para_attend_scratch(s.seq, para_attention_keys(n), s.width));
}

static int reference(const struct para_call *c)
{
    for (int64_t p = 0; p < para_attention_planes(c->node); p++) {
        struct para_attend a = para_attention_plane(c, p, c->out[0], c->out[1]);
        para_heads_reference(&a, c->scratch);
    }
    return 0;
}

static int cpu(const struct para_call *c)
{
    for (int64_t p = 0; p < para_attention_planes(c->node); p++) {
        struct para_attend a = para_attention_plane(c, p, c->out[0], c->out[1]);
        para_attend(&a, c->scratch);
    }
    return 0;
}

const struct para_op para_op_attention = {
    .name = "attention",
    .attrs = {{"causal", PARA_ATTR_INT}, {"window", PARA_ATTR_INT}},
    .optional = "window",
    .types = "T:f32|bf16 T -> T f32; T:f32|bf16 T T -> T f32",
    .float32 = true,
    .infer = infer,
    .role = role,
    .follows = follows,
    .grad = grad,
    .cost = cost,
    .scratch = scratch,
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_attention_cuda),
};

/* attention_backward: with p = exp(scores - lse) and delta = sum over D of do o,
 *   dv = p^T do, ds = p (do v^T - delta) / sqrt(D), dq = ds k, dk = ds^T q.       Dao et al., 2022, algorithm 4
 *   q, k, v, o, lse, do like o -> dq, dk, dv
 *   qkv, given twice, o, lse, do like o -> dqkv
 * B and H are parallel. Over T and G a part has some queries: their own dq, and what they add to all of dk and dv.
 * Stacked it gives all of dqkv, with 0 for dq of queries that it doesn't have. */

/* o, lse and do are the last inputs. */
static int first_of_last(const para_node *n)
{
    return n->n_in - 3;
}

static int backward_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    struct para_shape shapes[2] = {{0}};
    int o = first_of_last(n), count = is_stacked(n) ? 1 : 3;
    PARA_TRY(check_inputs(n, err));
    output_shapes(n, shapes);
    for (int i = 0; i < 2; i++)
        PARA_TRY(para_need_shape(n, o + i, &shapes[i], err));
    for (int k = 0; k < count; k++)
        para_infer_like(n, k, &out[k]);
    return para_need_same(n, o, o + 2, err);
}

static enum para_role backward_role(const para_node *n, const char *axis, int output, const char **why)
{
    const struct para_shape *q = &n->in[0]->shape;
    int dim = para_shape_find(q, axis);
    bool stacked = is_stacked(n), counts_queries = dim == SEQ || (!stacked && dim == READERS && q->rank > dim + 1);
    return counts_queries && (stacked || output > 0) ? PARA_REDUCE : role(n, axis, output, why);
}

static void backward_cost(const para_node *n, struct para_cost *c)
{
    c->flops = count_scores(n) * (10.0 * width_of(n) + 20.0);
}

static size_t backward_scratch(const para_node *n)
{
    return scratch_bytes(n, para_attend_backward_scratch(para_attention_keys(n), heads_of(n).width));
}

struct para_attend_slopes para_attention_slopes(const struct para_call *c, const struct para_attend *a,
                                                const float *d_o)
{
    int64_t q = a->q - (const float *)c->in[0], k = a->k - (const float *)c->in[1];
    d_o += a->o - (const float *)c->in[first_of_last(c->node)];
    if (!is_stacked(c->node))
        return (struct para_attend_slopes){d_o, (float *)c->out[0] + q, (float *)c->out[1] + k, (float *)c->out[2] + k};
    float *dk = (float *)c->out[0] + k;
    return (struct para_attend_slopes){d_o, dk - a->o_ld + a->past * a->kv_ld, dk, dk + a->o_ld};
}

static double dot(int64_t width, const float *x, const float *y)
{
    double sum = 0;
    for (int64_t e = 0; e < width; e++)
        sum += (double)x[e] * y[e];
    return sum;
}

/* p and ds of query i and key j. */
static void reference_score(const struct para_attend *a, const float *d_o, int64_t i, int64_t j, double *p, double *ds)
{
    *p = exp(para_heads_score(a, i, j) - a->lse[i * a->lse_ld]);
    double delta = dot(a->width, d_o + i * a->o_ld, a->o + i * a->o_ld);
    *ds = *p * (dot(a->width, d_o + i * a->o_ld, a->v + j * a->kv_ld) - delta) / sqrt((double)a->width);
}

/* dq (T, D), element by element: sum over the keys that query i sees of ds k */
static void reference_queries(const struct para_attend *a, const float *d_o, float *dq, double *sum)
{
    for (int64_t i = 0; i < a->queries; i++) {
        memset(sum, 0, (size_t)a->width * sizeof *sum);
        for (int64_t j = para_attend_first(a, i); j < para_attend_visible(a, i); j++) {
            double p, ds;
            reference_score(a, d_o, i, j, &p, &ds);
            for (int64_t e = 0; e < a->width; e++)
                sum[e] += ds * a->k[j * a->kv_ld + e];
        }
        for (int64_t e = 0; e < a->width; e++)
            dq[i * a->q_ld + e] = (float)sum[e];
    }
}

/* Add to key j's slope (D) in dk, or in dv: the sum over a reader's queries that see it of ds q, or of p do. */
static void reference_key(const struct para_attend *a, const float *d_o, int64_t j, double *sum, bool values)
{
    for (int64_t i = 0; i < a->queries; i++) {
        double p, ds;
        if (j < para_attend_first(a, i) || j >= para_attend_visible(a, i))
            continue;
        reference_score(a, d_o, i, j, &p, &ds);
        for (int64_t e = 0; e < a->width; e++)
            sum[e] += values ? p * d_o[i * a->o_ld + e] : ds * a->q[i * a->q_ld + e];
    }
}

static void reference_keys(const struct para_attend *a, const struct para_attend_slopes *d, double *sum, bool values)
{
    for (int64_t j = 0; j < a->keys; j++) {
        memset(sum, 0, (size_t)a->width * sizeof *sum);
        for (int64_t reader = 0; reader < a->readers; reader++) {
            struct para_attend one = para_attend_reader(a, reader);
            reference_key(&one, d->d_o + reader * a->width, j, sum, values);
        }
        for (int64_t e = 0; e < a->width; e++)
            (values ? d->dv : d->dk)[j * a->kv_ld + e] = (float)sum[e];
    }
}

static void slope_by_reference(const struct para_attend *a, const struct para_attend_slopes *d, double *sum)
{
    for (int64_t reader = 0; reader < a->readers; reader++) {
        struct para_attend one = para_attend_reader(a, reader);
        reference_queries(&one, d->d_o + reader * a->width, d->dq + reader * a->width, sum);
    }
    reference_keys(a, d, sum, false);
    reference_keys(a, d, sum, true);
}

bool para_attention_leaves_queries(const para_node *n)
{
    return is_stacked(n) && n->in[0]->shape.dim[SEQ].extent < n->in[0]->shape.dim[SEQ].whole;
}

static int slope(const struct para_call *c, bool by_reference)
{
    const para_node *n = c->node;
    int o = first_of_last(n);
    if (para_attention_leaves_queries(n))
        memset(c->out[0], 0, para_shape_bytes(&n->out[0]->shape));
    for (int64_t p = 0; p < para_attention_planes(n); p++) {
        struct para_attend a = para_attention_plane(c, p, c->in[o], c->in[o + 1]);
        struct para_attend_slopes d = para_attention_slopes(c, &a, c->in[o + 2]);
        if (by_reference)
            slope_by_reference(&a, &d, c->scratch);
        else
            para_attend_backward(&a, &d, c->scratch);
    }
    return 0;
}

static int backward_reference(const struct para_call *c)
{
    return slope(c, true);
}

static int backward_cpu(const struct para_call *c)
{
    return slope(c, false);
}

const struct para_op para_op_attention_backward = {
    .name = "attention_backward",
    .attrs = {{"causal", PARA_ATTR_INT}, {"window", PARA_ATTR_INT}},
    .optional = "window",
    .types = "T:f32|bf16 T T f32 T -> T; T:f32|bf16 T T T f32 T -> T T T",
    .float32 = true,
    .infer = backward_infer,
    .role = backward_role,
    .follows = follows,
    .cost = backward_cost,
    .scratch = backward_scratch,
    .reference = backward_reference,
    .cpu = backward_cpu,
    .cuda = PARA_CUDA(para_attention_backward_cuda),
    .cuda_scratch = PARA_CUDA(para_attention_backward_cuda_scratch),
};

para_tensor *para_attention(para_graph *g, para_tensor *q, para_tensor *k, para_tensor *v, bool causal)
{
    return para_apply(&para_op_attention, g, PARA_IN(q, k, v), PARA_ATTRS({.i = causal}, {.i = 0}));
}

para_tensor *para_attention_window(para_graph *g, para_tensor *q, para_tensor *k, para_tensor *v, int64_t window)
{
    return para_apply(&para_op_attention, g, PARA_IN(q, k, v), PARA_ATTRS({.i = true}, {.i = window}));
}

para_tensor *para_attention_stacked(para_graph *g, para_tensor *qkv, bool causal)
{
    return para_apply(&para_op_attention, g, PARA_IN(qkv, qkv), PARA_ATTRS({.i = causal}, {.i = 0}));
}
