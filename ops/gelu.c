/* gelu: y = x Phi(x), where Phi is the normal distribution function.              Hendrycks and Gimpel, 2016
 *   tanh form: y = x/2 (1 + tanh(k (x + a x^3))), k = sqrt(2/pi), a = 0.044715
 *   erf form:  y = x/2 (1 + erf(x / sqrt 2))
 * Element by element, so every axis is parallel. */
#include <paragraph/ops.h>

#include "base/simd.h"
#include "kernels/lanes.h"
#include "ops/gelu.h"
#include "ops/need.h"
#include "ops/table.h"

#include <string.h>

static const double K = PARA_GELU_K, A = PARA_GELU_A;

static bool is_erf(const para_node *n)
{
    return strcmp(n->attr[0].s, "erf") == 0;
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    if (!is_erf(n) && strcmp(n->attr[0].s, "tanh") != 0)
        return para_fail(err, PARA_EINVAL, "form is \"%s\", expected tanh or erf", n->attr[0].s);
    return para_infer_like(n, 0, out);
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    dx[0] = para_apply(&para_op_gelu_backward, g, PARA_IN(n->in[0], dy[0]), n->attr);
    return 0;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 20.0 * (double)para_shape_elements(&n->out[0]->shape);
}

static double gelu(double x, bool erf_form)
{
    return 0.5 * x * (1.0 + (erf_form ? erf(x * M_SQRT1_2) : tanh(K * (x + A * x * x * x))));
}

static double gelu_slope(double x, bool erf_form)
{
    if (erf_form)
        return 0.5 * (1.0 + erf(x * M_SQRT1_2)) + x * exp(-0.5 * x * x) * 0.5 * K;
    double t = tanh(K * (x + A * x * x * x));
    return 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * K * (1.0 + 3.0 * A * x * x);
}

/* y (E) = gelu(x (E)) */
static int reference(const struct para_call *c)
{
    const float *x = c->in[0];
    float *y = c->out[0];
    int64_t elements = para_shape_elements(&c->node->out[0]->shape);
    for (int64_t e = 0; e < elements; e++)
        y[e] = (float)gelu(x[e], is_erf(c->node));
    return 0;
}

/* (1 + tanh u) / 2 = 1 / (1 + exp(-2u)). What is left of a loop after whole vectors may round otherwise. */
PARA_SIMD static void forward_tanh(int64_t elements, const float *x, float *y)
{
    const float k = (float)K, a = (float)A;
#pragma omp simd
    for (int64_t e = 0; e < elements; e++)
        y[e] = x[e] / (1.0f + para_expf(-2.0f * k * (x[e] + a * x[e] * x[e] * x[e])));
}

/* In whole vectors alone, so that an element's bits don't depend on where it stands. */
static int cpu(const struct para_call *c)
{
    if (is_erf(c->node))
        return reference(c);
    int64_t elements = para_shape_elements(&c->node->out[0]->shape), rest = elements % PARA_LANES;
    const float *x = (const float *)c->in[0] + elements - rest;
    float last[PARA_LANES] = {0};
    memcpy(last, x, (size_t)rest * sizeof *x);
    forward_tanh(elements - rest, c->in[0], c->out[0]);
    forward_tanh(PARA_LANES, last, last);
    memcpy((float *)c->out[0] + elements - rest, last, (size_t)rest * sizeof *x);
    return 0;
}

const struct para_op para_op_gelu = {
    .name = "gelu",
    .attrs = {{"form", PARA_ATTR_STRING}},
    .types = "T:f32|bf16 -> T",
    .float32 = true,
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .over = {1 + 0},
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_gelu_cuda),
};

/* gelu_backward: dx = dy gelu'(x) */

static int backward_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_same(n, 0, 1, err));
    return para_infer_like(n, 0, out);
}

/* dx (E) = dy (E) gelu'(x (E)) */
static int backward_reference(const struct para_call *c)
{
    const float *x = c->in[0], *dy = c->in[1];
    float *dx = c->out[0];
    int64_t elements = para_shape_elements(&c->node->out[0]->shape);
    for (int64_t e = 0; e < elements; e++)
        dx[e] = (float)(dy[e] * gelu_slope(x[e], is_erf(c->node)));
    return 0;
}

PARA_SIMD static void backward_tanh(int64_t elements, const float *x, const float *dy, float *dx)
{
    const float k = (float)K, a = (float)A;
#pragma omp simd
    for (int64_t e = 0; e < elements; e++) {
        float x2 = x[e] * x[e];
        float inverse = para_expf(-2.0f * k * (x[e] + a * x[e] * x2)), half = 1.0f / (1.0f + inverse);
        dx[e] = dy[e] * half * (1.0f + x[e] * (inverse * half) * 2.0f * k * (1.0f + 3.0f * a * x2));
    }
}

static int backward_cpu(const struct para_call *c)
{
    if (is_erf(c->node))
        return backward_reference(c);
    backward_tanh(para_shape_elements(&c->node->out[0]->shape), c->in[0], c->in[1], c->out[0]);
    return 0;
}

const struct para_op para_op_gelu_backward = {
    .name = "gelu_backward",
    .attrs = {{"form", PARA_ATTR_STRING}},
    .types = "T:f32|bf16 T -> T",
    .float32 = true,
    .infer = backward_infer,
    .cost = cost,
    .reference = backward_reference,
    .cpu = backward_cpu,
    .cuda = PARA_CUDA(para_gelu_backward_cuda),
};

para_tensor *para_gelu(para_graph *g, para_tensor *x)
{
    return para_apply(&para_op_gelu, g, PARA_IN(x), PARA_ATTRS({.s = "tanh"}));
}

para_tensor *para_gelu_erf(para_graph *g, para_tensor *x)
{
    return para_apply(&para_op_gelu, g, PARA_IN(x), PARA_ATTRS({.s = "erf"}));
}
