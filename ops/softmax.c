/* logsumexp: y = log sum exp(x) over an axis, which y lacks.
 *   x (O, axis, I) -> y (O, I), where O and I are any axes
 * The axis is reduced: each part gives its own log sum exp, and logsumexp_combine joins them. The others are parallel.
 * Where all elements are -inf, so is y. */
#include <paragraph/ops.h>

#include "base/highest.h"
#include "base/simd.h"
#include "ops/need.h"
#include "ops/table.h"

enum { LANES = 64, CHUNK = 1024 };

/* A tensor seen as (outer, length, inner) around one of its dimensions. */
struct span {
    int64_t outer, length, inner;
};

static struct span span_of(const struct para_shape *s, int dim)
{
    struct span p = {1, s->dim[dim].extent, 1};
    for (int d = 0; d < s->rank; d++)
        *(d < dim ? &p.outer : &p.inner) *= d == dim ? 1 : s->dim[d].extent;
    return p;
}

static int logsumexp_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_axis(n, 0, n->attr[0].s, err));
    return para_infer_without(n, 0, n->attr[0].s, out);
}

static enum para_role logsumexp_role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output, (void)why;
    return strcmp(axis, n->attr[0].s) == 0 ? PARA_REDUCE : PARA_PARALLEL;
}

static int logsumexp_grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    dx[0] = para_mul(g, para_apply(&para_op_softmax, g, PARA_IN(n->in[0], n->out[0]), NULL), dy[0]);
    return 0;
}

/* Of any of these ops: an exponential and a few more for each element of its first input. */
static void exp_cost(const para_node *n, struct para_cost *c)
{
    c->flops = 20.0 * (double)para_shape_elements(&n->in[0]->shape);
}

static struct span logsumexp_span(const para_node *n)
{
    return span_of(&n->in[0]->shape, para_shape_find(&n->in[0]->shape, n->attr[0].s));
}

/* What a row without any number above -infinity gives: NaN if there is one in it. */
static float log_of_none(int64_t length, int64_t step, const float *x)
{
    for (int64_t k = 0; k < length; k++)
        if (x[k * step] != x[k * step])
            return x[k * step];
    return -INFINITY;
}

/* y (O,I) = log sum over N of exp(x (O,N,I)) */
static int logsumexp_reference(const struct para_call *c)
{
    struct span s = logsumexp_span(c->node);
    float *y = c->out[0];
    for (int64_t e = 0; e < s.outer * s.inner; e++) {
        const float *x = (const float *)c->in[0] + e / s.inner * s.length * s.inner + e % s.inner;
        double top = -INFINITY, sum = 0;
        for (int64_t k = 0; k < s.length; k++)
            top = x[k * s.inner] > top ? x[k * s.inner] : top; /* fmax() stops gcc 12 for arm64: bug 108608 */
        for (int64_t k = 0; k < s.length; k++)
            sum += exp(x[k * s.inner] - top);
        y[e] = top == -INFINITY ? log_of_none(s.length, s.inner, x) : (float)(top + log(sum));
    }
    return 0;
}

/* y (O) from x (O,N); exponentials are summed in chunks, so that long rows don't lose digits */
PARA_SIMD static void logsumexp_rows(int64_t outer, int64_t length, const float *x, float *restrict y)
{
    for (int64_t o = 0; o < outer; o++, x += length) {
        float top = para_highest(length, x);
        double total = 0;
        for (int64_t first = 0; first < length; first += CHUNK) {
            int64_t end = first + CHUNK < length ? first + CHUNK : length;
            float sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t k = first; k < end; k++)
                sum += para_expf(x[k] - top);
            total += sum;
        }
        y[o] = top == -INFINITY ? log_of_none(length, 1, x) : (float)(top + log(total));
    }
}

/* y (lanes) from x (N, lanes), whose rows lie `inner` apart */
PARA_SIMD static void logsumexp_lanes(int64_t lanes, int64_t length, int64_t inner, const float *x, float *restrict y)
{
    float top[LANES];
    double sum[LANES] = {0};
    memcpy(top, x, (size_t)lanes * sizeof *top);
    for (int64_t k = 1; k < length; k++)
#pragma omp simd
        for (int64_t e = 0; e < lanes; e++)
            top[e] = x[k * inner + e] > top[e] ? x[k * inner + e] : top[e];
    for (int64_t k = 0; k < length; k++)
#pragma omp simd
        for (int64_t e = 0; e < lanes; e++)
            sum[e] += para_expf(x[k * inner + e] - top[e]);
    for (int64_t e = 0; e < lanes; e++)
        y[e] = top[e] == -INFINITY ? log_of_none(length, inner, x + e) : (float)(top[e] + log(sum[e]));
}

static int logsumexp_cpu(const struct para_call *c)
{
    struct span s = logsumexp_span(c->node);
    const float *x = c->in[0];
    float *y = c->out[0];
    if (s.inner == 1) {
        logsumexp_rows(s.outer, s.length, x, y);
        return 0;
    }
    for (int64_t o = 0; o < s.outer; o++, x += s.length * s.inner, y += s.inner)
        for (int64_t i = 0; i < s.inner; i += LANES)
            logsumexp_lanes(i + LANES < s.inner ? LANES : s.inner - i, s.length, s.inner, x + i, y + i);
    return 0;
}

const struct para_op para_op_logsumexp = {
    .name = "logsumexp",
    .attrs = {{"axis", PARA_ATTR_STRING}},
    .types = "f32|bf16 -> f32",
    .float32 = true,
    .infer = logsumexp_infer,
    .role = logsumexp_role,
    .combine = &para_op_logsumexp_combine,
    .grad = logsumexp_grad,
    .cost = exp_cost,
    .reference = logsumexp_reference,
    .cpu = logsumexp_cpu,
    .cuda = PARA_CUDA(para_logsumexp_cuda),
};

/* logsumexp_combine: y = log(exp(x[0]) + exp(x[1]) + ...), element by element: all axes are parallel. */

static int combine_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_alike(n, err));
    return para_infer_like(n, 0, out);
}

static void combine_cost(const para_node *n, struct para_cost *c)
{
    c->flops = 20.0 * n->n_in * (double)para_shape_elements(&n->out[0]->shape);
}

/* y (E) from x[k] (E), in the order of k */
static int combine_cpu(const struct para_call *c)
{
    float *y = c->out[0];
    int64_t elements = para_shape_elements(&c->node->out[0]->shape);
    for (int64_t e = 0; e < elements; e++) {
        double top = -INFINITY, sum = 0;
        for (int k = 0; k < c->node->n_in; k++)
            top = fmax(top, ((const float *)c->in[k])[e]);
        for (int k = 0; k < c->node->n_in; k++) {
            float x = ((const float *)c->in[k])[e];
            sum += x == -INFINITY ? 0 : exp(x - top); /* NaN for NaN */
        }
        y[e] = (float)(top == -INFINITY && sum == 0 ? -INFINITY : top + log(sum));
    }
    return 0;
}

const struct para_op para_op_logsumexp_combine = {
    .name = "logsumexp_combine",
    .types = "f32... -> f32",
    .infer = combine_infer,
    .cost = combine_cost,
    .cpu = combine_cpu,
    .cuda = PARA_CUDA(para_logsumexp_combine_cuda),
};

/* softmax: y = exp(x - lse), where lse is x's logsumexp over the axis that it lacks.
 *   x (O, axis, I), lse (O, I) -> y (O, axis, I)
 * All axes are parallel, since lse has been made of the whole axis. Its gradient is that of the two ops together:
 * dx = y (dy - sum of y dy over the axis), and none for lse. */

/* The dimension of input 0 that input i lacks. Fails unless that is the only difference. */
static int missing_dim(const para_node *n, int i, para_error *err)
{
    char full[PARA_SHAPE_TEXT], part[PARA_SHAPE_TEXT];
    const struct para_shape *x = &n->in[0]->shape, *lse = &n->in[i]->shape;
    int missing = -1;
    bool fits = x->rank == lse->rank + 1;
    for (int d = 0, k = 0; fits && d < x->rank; d++)
        if (k < lse->rank && strcmp(x->dim[d].axis, lse->dim[k].axis) == 0)
            k++;
        else if (missing < 0)
            missing = d;
        else
            fits = false;
    if (!fits)
        return para_fail(err, PARA_ESHAPE, "\"%s\" is %s, expected the axes of \"%s\", %s, but one", n->in[i]->name,
                         para_shape_text(lse, part), n->in[0]->name, para_shape_text(x, full));
    return missing;
}

static int softmax_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(missing_dim(n, 1, err));
    return para_infer_like(n, 0, out);
}

static int softmax_grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    const char *axis = n->in[0]->shape.dim[missing_dim(n, 1, NULL)].axis;
    para_tensor *dot = para_reduce_sum(g, para_mul(g, n->out[0], dy[0]), axis);
    dx[0] = para_apply(&para_op_softmax_backward, g, PARA_IN(n->out[0], dy[0], dot), NULL);
    return 0;
}

/* y (O,N,I) = exp(x (O,N,I) - lse (O,I)) */
static int softmax_reference(const struct para_call *c)
{
    struct span s = span_of(&c->node->in[0]->shape, missing_dim(c->node, 1, NULL));
    const float *x = c->in[0], *lse = c->in[1];
    float *y = c->out[0];
    for (int64_t e = 0; e < s.outer * s.length * s.inner; e++)
        y[e] = (float)exp((double)x[e] - lse[e / (s.length * s.inner) * s.inner + e % s.inner]);
    return 0;
}

PARA_SIMD static void softmax(struct span s, const float *restrict x, const float *restrict lse, float *restrict y)
{
    for (int64_t o = 0; o < s.outer; o++, lse += s.inner)
        for (int64_t k = 0; k < (s.inner == 1 ? 1 : s.length); k++) {
            int64_t run = s.inner == 1 ? s.length : s.inner, step = s.inner > 1;
#pragma omp simd
            for (int64_t e = 0; e < run; e++)
                y[e] = para_expf(x[e] - lse[e * step]);
            x += run;
            y += run;
        }
}

static int softmax_cpu(const struct para_call *c)
{
    softmax(span_of(&c->node->in[0]->shape, missing_dim(c->node, 1, NULL)), c->in[0], c->in[1], c->out[0]);
    return 0;
}

const struct para_op para_op_softmax = {
    .name = "softmax",
    .types = "T:f32|bf16 f32 -> T",
    .float32 = true,
    .infer = softmax_infer,
    .grad = softmax_grad,
    .cost = exp_cost,
    .reference = softmax_reference,
    .cpu = softmax_cpu,
    .cuda = PARA_CUDA(para_softmax_cuda),
};

/* softmax_backward: dx = y (dy - dot), where dot is the sum of y dy over the axis.
 *   y and dy (O, axis, I), dot (O, I) -> dx (O, axis, I); all axes are parallel */

static int backward_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_same(n, 0, 1, err));
    PARA_TRY(missing_dim(n, 2, err));
    return para_infer_like(n, 0, out);
}

static void backward_cost(const para_node *n, struct para_cost *c)
{
    c->flops = 2.0 * (double)para_shape_elements(&n->out[0]->shape);
}

/* dx (O,N,I) = y (O,N,I) (dy (O,N,I) - dot (O,I)) */
static int backward_cpu(const struct para_call *c)
{
    struct span s = span_of(&c->node->in[0]->shape, missing_dim(c->node, 2, NULL));
    const float *y = c->in[0], *dy = c->in[1], *dot = c->in[2];
    float *dx = c->out[0];
    for (int64_t row = 0; row < s.outer * s.length; row++, y += s.inner, dy += s.inner, dx += s.inner) {
        const float *sum = dot + row / s.length * s.inner;
#pragma omp simd
        for (int64_t e = 0; e < s.inner; e++)
            dx[e] = y[e] * (dy[e] - sum[e]);
    }
    return 0;
}

const struct para_op para_op_softmax_backward = {
    .name = "softmax_backward",
    .types = "T:f32|bf16 T f32 -> T",
    .float32 = true,
    .infer = backward_infer,
    .cost = backward_cost,
    .cpu = backward_cpu,
    .cuda = PARA_CUDA(para_softmax_backward_cuda),
};

para_tensor *para_logsumexp(para_graph *g, para_tensor *x, const char *axis)
{
    return para_apply(&para_op_logsumexp, g, PARA_IN(x), PARA_ATTRS({.s = axis}));
}

para_tensor *para_softmax(para_graph *g, para_tensor *x, const char *axis)
{
    return para_apply(&para_op_softmax, g, PARA_IN(x, para_logsumexp(g, x, axis)), NULL);
}
