/* attention: o = softmax(q k^T / sqrt(D)) v for each batch element and head.          Vaswani et al., 2017, eq. 1
 *   qkv (B, T, 3, H, D), given twice -> o (B, T, H, D), lse (B, T, H)
 * lse is the log of the sum of exp of each query's scaled scores; with `causal`, query i sees keys 0 to i.
 * Input 0 gives the queries, input 1, the same tensor, keys and values. Over T only input 0 is cut, so a part
 * computes its own queries against all keys. B, T and H are parallel.
 *
 * No T x T matrix is stored: scores are made in blocks of QUERIES x KEYS, with an online softmax forward (Milakov and
 * Gimelshein, 2018), and made again from lse backward (Dao et al., 2022). */
#include <paragraph/ops.h>

#include "base/simd.h"
#include "graph/op.h"
#include "ops/attend.h"

#include <cblas.h>
#include <limits.h>

extern const struct para_op para_op_attention, para_op_attention_backward;

enum { QUERIES = 64, KEYS = 128 };
enum { BATCH, SEQ, QKV, HEADS, WIDTH }; /* dimensions of qkv */

/* The sizes of a call. Rows of q, k and v lie qkv_ld elements apart, rows of o and do o_ld. */
struct sizes {
    int64_t batch, queries, keys, heads, width;
    int64_t origin; /* of the queries among the keys */
    int64_t qkv_ld, o_ld;
    bool causal;
    float scale;
};

/* Inputs 0 and 1 of both ops are the sources of queries, and of keys and values. */
static struct sizes sizes_of(const para_node *n)
{
    const struct para_extent *q = n->in[0]->shape.dim, *kv = n->in[1]->shape.dim;
    return (struct sizes){
        .batch = q[BATCH].extent,
        .queries = q[SEQ].extent,
        .keys = kv[SEQ].extent,
        .heads = q[HEADS].extent,
        .width = q[WIDTH].extent,
        .origin = q[SEQ].origin,
        .qkv_ld = 3 * q[HEADS].extent * q[WIDTH].extent,
        .o_ld = q[HEADS].extent * q[WIDTH].extent,
        .causal = n->attr[0].i != 0,
        .scale = (float)(1.0 / sqrt((double)q[WIDTH].extent)),
    };
}

/* How many keys query i of the tile sees. */
static int64_t visible(const struct sizes *s, int64_t i)
{
    int64_t keys = s->origin + i + 1;
    return s->causal && keys < s->keys ? keys : s->keys;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
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
static double count_scores(const struct sizes *s)
{
    double queries = (double)s->queries;
    double per_head = queries * (double)(s->causal ? s->origin : s->keys);
    if (s->causal)
        per_head += queries * (queries + 1.0) / 2.0;
    return per_head * (double)(s->batch * s->heads);
}

static void cost(const para_node *n, struct para_cost *c)
{
    struct sizes s = sizes_of(n);
    c->flops = count_scores(&s) * (4.0 * (double)s.width + 20.0);
}

/* Bytes for blocks of floats, or for the reference's row of doubles. */
static size_t scratch_bytes(const para_node *n, size_t floats)
{
    size_t row = (size_t)n->in[0]->shape.dim[WIDTH].extent * sizeof(double);
    return floats * sizeof(float) > row ? floats * sizeof(float) : row;
}

static size_t scratch(const para_node *n)
{
    return scratch_bytes(n, PARA_ATTEND_FLOATS);
}

/* What one batch element and head b = batch * heads + head of a call works on. */
struct head {
    const float *q, *k, *v;
    int64_t o, lse; /* offsets: rows of o and do from o on, entries of lse from lse on, heads apart */
};

static struct head head_of(const struct para_call *c, const struct sizes *s, int64_t b)
{
    int64_t batch = b / s->heads, first = b % s->heads * s->width, plane = s->heads * s->width;
    const float *q = (const float *)c->in[0] + batch * s->queries * s->qkv_ld + first;
    const float *kv = (const float *)c->in[1] + batch * s->keys * s->qkv_ld + first;
    return (struct head){
        .q = q,
        .k = kv + plane,
        .v = kv + 2 * plane,
        .o = batch * s->queries * s->o_ld + first,
        .lse = batch * s->queries * s->heads + b % s->heads,
    };
}

static double dot(int64_t width, const float *x, const float *y)
{
    double sum = 0;
    for (int64_t e = 0; e < width; e++)
        sum += (double)x[e] * y[e];
    return sum;
}

/* The scaled score of query i for key j. */
static double score(const struct sizes *s, const struct head *h, int64_t i, int64_t j)
{
    return dot(s->width, h->q + i * s->qkv_ld, h->k + j * s->qkv_ld) / sqrt((double)s->width);
}

/* One query: o (D) = sum of p v, p = softmax of its scores */
static void reference_query(const struct sizes *s, const struct head *h, int64_t i, double *sum, float *o, float *lse)
{
    double top = score(s, h, i, 0), total = 0;
    for (int64_t j = 1; j < visible(s, i); j++)
        top = fmax(top, score(s, h, i, j));
    for (int64_t e = 0; e < s->width; e++)
        sum[e] = 0;
    for (int64_t j = 0; j < visible(s, i); j++) {
        double p = exp(score(s, h, i, j) - top);
        total += p;
        for (int64_t e = 0; e < s->width; e++)
            sum[e] += p * h->v[j * s->qkv_ld + e];
    }
    for (int64_t e = 0; e < s->width; e++)
        o[e] = (float)(sum[e] / total);
    *lse = (float)(top + log(total));
}

static int reference(const struct para_call *c)
{
    struct sizes s = sizes_of(c->node);
    float *o = c->out[0], *lse = c->out[1];
    for (int64_t b = 0; b < s.batch * s.heads; b++) {
        struct head h = head_of(c, &s, b);
        for (int64_t i = 0; i < s.queries; i++)
            reference_query(&s, &h, i, c->scratch, o + h.o + i * s.o_ld, lse + h.lse + i * s.heads);
    }
    return 0;
}

static int cpu(const struct para_call *c)
{
    struct sizes s = sizes_of(c->node);
    float *o = c->out[0], *lse = c->out[1];
    for (int64_t b = 0; b < s.batch * s.heads; b++) {
        struct head h = head_of(c, &s, b);
        struct para_attend head = {
            .q = h.q,
            .k = h.k,
            .v = h.v,
            .o = o + h.o,
            .lse = lse + h.lse,
            .queries = s.queries,
            .keys = s.keys,
            .width = s.width,
            .origin = s.origin,
            .q_ld = s.qkv_ld,
            .kv_ld = s.qkv_ld,
            .o_ld = s.o_ld,
            .lse_ld = s.heads,
            .causal = s.causal,
            .scale = s.scale,
        };
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
    struct sizes s = sizes_of(n);
    c->flops = count_scores(&s) * (10.0 * (double)s.width + 20.0);
}

static size_t backward_scratch(const para_node *n)
{
    return scratch_bytes(n, 2 * (size_t)QUERIES * KEYS + (size_t)QUERIES);
}

/* What the backward ops of one head read and write beside q, k and v. */
struct slopes {
    const float *o, *lse, *d_o;
    float *dq, *dk, *dv; /* rows qkv_ld apart; dq begins at the tile's first query */
};

static struct slopes slopes_of(const struct para_call *c, const struct sizes *s, const struct head *h, int64_t b)
{
    int64_t plane = s->heads * s->width;
    float *dkv = (float *)c->out[0] + b / s->heads * s->keys * s->qkv_ld + b % s->heads * s->width;
    return (struct slopes){
        .o = (const float *)c->in[2] + h->o,
        .lse = (const float *)c->in[3] + h->lse,
        .d_o = (const float *)c->in[4] + h->o,
        .dq = dkv + s->origin * s->qkv_ld,
        .dk = dkv + plane,
        .dv = dkv + 2 * plane,
    };
}

/* p and ds of query i and key j. */
static void reference_score(const struct sizes *s, const struct head *h, const struct slopes *d, int64_t i, int64_t j,
                            double *p, double *ds)
{
    const float *d_o = d->d_o + i * s->o_ld;
    *p = exp(score(s, h, i, j) - d->lse[i * s->heads]);
    double delta = dot(s->width, d_o, d->o + i * s->o_ld);
    *ds = *p * (dot(s->width, d_o, h->v + j * s->qkv_ld) - delta) / sqrt((double)s->width);
}

static void reference_queries(const struct sizes *s, const struct head *h, const struct slopes *d, double *sum)
{
    for (int64_t i = 0; i < s->queries; i++) {
        memset(sum, 0, (size_t)s->width * sizeof *sum);
        for (int64_t j = 0; j < visible(s, i); j++) {
            double p, ds;
            reference_score(s, h, d, i, j, &p, &ds);
            for (int64_t e = 0; e < s->width; e++)
                sum[e] += ds * h->k[j * s->qkv_ld + e];
        }
        for (int64_t e = 0; e < s->width; e++)
            d->dq[i * s->qkv_ld + e] = (float)sum[e];
    }
}

/* dk or dv, element by element: sum over the queries that see key j of ds q or p do */
static void reference_keys(const struct sizes *s, const struct head *h, const struct slopes *d, double *sum,
                           bool values)
{
    for (int64_t j = 0; j < s->keys; j++) {
        memset(sum, 0, (size_t)s->width * sizeof *sum);
        for (int64_t i = 0; i < s->queries; i++) {
            double p, ds;
            if (j >= visible(s, i))
                continue;
            reference_score(s, h, d, i, j, &p, &ds);
            for (int64_t e = 0; e < s->width; e++)
                sum[e] += values ? p * d->d_o[i * s->o_ld + e] : ds * h->q[i * s->qkv_ld + e];
        }
        for (int64_t e = 0; e < s->width; e++)
            (values ? d->dv : d->dk)[j * s->qkv_ld + e] = (float)sum[e];
    }
}

static int backward_reference(const struct para_call *c)
{
    struct sizes s = sizes_of(c->node);
    memset(c->out[0], 0, para_shape_bytes(&c->node->out[0]->shape));
    for (int64_t b = 0; b < s.batch * s.heads; b++) {
        struct head h = head_of(c, &s, b);
        struct slopes d = slopes_of(c, &s, &h, b);
        reference_queries(&s, &h, &d, c->scratch);
        reference_keys(&s, &h, &d, c->scratch, false);
        reference_keys(&s, &h, &d, c->scratch, true);
    }
    return 0;
}

/* p (rows, cols): scores to probabilities in place; ds (rows, cols): do v^T to ds in place. Row r sees the first
 * see + r columns; both are 0 in the others. lse's entries lie lse_step apart. */
PARA_SIMD static void slope_block(int64_t rows, int64_t cols, int64_t see, float scale, float *restrict p,
                                  float *restrict ds, const float *restrict lse, int64_t lse_step,
                                  const float *restrict delta)
{
    for (int64_t r = 0; r < rows; r++, p += cols, ds += cols) {
        int64_t seen = see + r < cols ? see + r : cols;
        float log_sum = lse[r * lse_step], mean = delta[r];
#pragma omp simd
        for (int64_t e = 0; e < seen; e++) {
            p[e] = para_expf(scale * p[e] - log_sum);
            ds[e] = scale * p[e] * (ds[e] - mean);
        }
        for (int64_t e = seen > 0 ? seen : 0; e < cols; e++)
            p[e] = ds[e] = 0;
    }
}

PARA_SIMD static void row_dots(int64_t rows, int64_t width, int64_t ld, const float *x, const float *y,
                               float *restrict out)
{
    for (int64_t r = 0; r < rows; r++, x += ld, y += ld) {
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t e = 0; e < width; e++)
            sum += x[e] * y[e];
        out[r] = sum;
    }
}

/* What the queries first to first + rows - 1 add to dq, dk and dv. */
static void slope_queries(const struct sizes *s, const struct head *h, const struct slopes *d, int64_t first,
                          int64_t rows, float *block)
{
    float *p = block, *ds = p + QUERIES * KEYS, *delta = ds + QUERIES * KEYS;
    int width = (int)s->width, ld = (int)s->qkv_ld, o_ld = (int)s->o_ld, m = (int)rows;
    const float *q = h->q + first * s->qkv_ld, *d_o = d->d_o + first * s->o_ld;
    float *dq = d->dq + first * s->qkv_ld;
    int64_t end = visible(s, first + rows - 1);
    row_dots(rows, s->width, s->o_ld, d_o, d->o + first * s->o_ld, delta);
    for (int64_t j = 0; j < end; j += KEYS) {
        int cols = (int)smaller(KEYS, end - j);
        const float *k = h->k + j * s->qkv_ld, *v = h->v + j * s->qkv_ld;
        float *dk = d->dk + j * s->qkv_ld, *dv = d->dv + j * s->qkv_ld;
        /* p (rows, cols) = q (rows, D) k (cols, D)^T; ds (rows, cols) = do (rows, D) v (cols, D)^T */
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, cols, width, 1.0f, q, ld, k, ld, 0.0f, p, cols);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, cols, width, 1.0f, d_o, o_ld, v, ld, 0.0f, ds, cols);
        slope_block(rows, cols, s->causal ? visible(s, first) - j : cols, s->scale, p, ds, d->lse + first * s->heads,
                    s->heads, delta);
        /* dv (cols, D) += p^T do; dq (rows, D) += ds k; dk (cols, D) += ds^T q */
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, cols, width, m, 1.0f, p, cols, d_o, o_ld, 1.0f, dv, ld);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, width, cols, 1.0f, ds, cols, k, ld, 1.0f, dq, ld);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, cols, width, m, 1.0f, ds, cols, q, ld, 1.0f, dk, ld);
    }
}

static int backward_cpu(const struct para_call *c)
{
    struct sizes s = sizes_of(c->node);
    memset(c->out[0], 0, para_shape_bytes(&c->node->out[0]->shape));
    for (int64_t b = 0; b < s.batch * s.heads; b++) {
        struct head h = head_of(c, &s, b);
        struct slopes d = slopes_of(c, &s, &h, b);
        for (int64_t i = 0; i < s.queries; i += QUERIES)
            slope_queries(&s, &h, &d, i, smaller(QUERIES, s.queries - i), c->scratch);
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
