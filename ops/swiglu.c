/* swiglu: y = silu(gate) up, with silu(x) = x / (1 + exp(-x)).                                           Shazeer, 2020
 *   gate and up alike -> y like them
 * Element by element, so every axis is parallel. */
#include <paragraph/ops.h>

#include "base/simd.h"
#include "kernels/lanes.h"
#include "ops/need.h"
#include "ops/table.h"

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_alike(n, err));
    for (int k = 0; k < n->n_in - 1; k++)
        para_infer_like(n, 0, &out[k]);
    return 0;
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    const para_node *b = para_apply_node(&para_op_swiglu_backward, g, PARA_IN(n->in[0], n->in[1], dy[0]), NULL);
    for (int i = 0; b && i < 2; i++)
        dx[i] = b->out[i];
    return 0;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 25.0 * (double)para_shape_elements(&n->out[0]->shape);
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

/* y (E) = silu(gate (E)) up (E) */
static int reference(const struct para_call *c)
{
    const float *gate = c->in[0], *up = c->in[1];
    float *y = c->out[0];
    int64_t elements = para_shape_elements(&c->node->out[0]->shape);
    for (int64_t e = 0; e < elements; e++)
        y[e] = (float)(gate[e] * sigmoid(gate[e]) * up[e]);
    return 0;
}

PARA_SIMD static void forward(int64_t elements, const float *gate, const float *up, float *y)
{
#pragma omp simd
    for (int64_t e = 0; e < elements; e++)
        y[e] = gate[e] / (1.0f + para_expf(-gate[e])) * up[e];
}

/* In whole vectors alone, so that an element's bits don't depend on where it stands. */
static int cpu(const struct para_call *c)
{
    int64_t elements = para_shape_elements(&c->node->out[0]->shape), rest = elements % PARA_LANES;
    float last[2][PARA_LANES] = {{0}};
    for (int i = 0; i < 2; i++)
        memcpy(last[i], (const float *)c->in[i] + elements - rest, (size_t)rest * sizeof(float));
    forward(elements - rest, c->in[0], c->in[1], c->out[0]);
    forward(PARA_LANES, last[0], last[1], last[0]);
    memcpy((float *)c->out[0] + elements - rest, last[0], (size_t)rest * sizeof(float));
    return 0;
}

const struct para_op para_op_swiglu = {
    .name = "swiglu",
    .types = "T:f32|bf16 T -> T",
    .float32 = true,
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .over = {1 + 0},
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_swiglu_cuda),
};

/* swiglu_backward: with s = 1 / (1 + exp(-gate)),
 *   dgate = dy up s (1 + gate (1 - s)), dup = dy gate s.
 *   gate, up and dy alike -> dgate, dup */

static void backward_cost(const para_node *n, struct para_cost *c)
{
    c->flops = 30.0 * (double)para_shape_elements(&n->out[0]->shape);
}

/* dgate (E), dup (E) from gate (E), up (E), dy (E) */
static int backward_reference(const struct para_call *c)
{
    const float *gate = c->in[0], *up = c->in[1], *dy = c->in[2];
    float *dgate = c->out[0], *dup = c->out[1];
    int64_t elements = para_shape_elements(&c->node->out[0]->shape);
    for (int64_t e = 0; e < elements; e++) {
        double x = gate[e], s = sigmoid(x), slope = s * (1.0 + x * (1.0 - s));
        double of_gate = dy[e] * slope * up[e], of_up = dy[e] * x * s;
        dgate[e] = (float)of_gate;
        dup[e] = (float)of_up;
    }
    return 0;
}

PARA_SIMD static void backward(int64_t elements, const float *gate, const float *up, const float *dy, float *dgate,
                               float *dup)
{
#pragma omp simd
    for (int64_t e = 0; e < elements; e++) {
        float x = gate[e], inverse = para_expf(-x), s = 1.0f / (1.0f + inverse);
        float of_gate = dy[e] * up[e] * s * (1.0f + x * (inverse * s)), of_up = dy[e] * x * s;
        dgate[e] = of_gate;
        dup[e] = of_up;
    }
}

static int backward_cpu(const struct para_call *c)
{
    backward(para_shape_elements(&c->node->out[0]->shape), c->in[0], c->in[1], c->in[2], c->out[0], c->out[1]);
    return 0;
}

const struct para_op para_op_swiglu_backward = {
    .name = "swiglu_backward",
    .types = "T:f32|bf16 T T -> T T",
    .float32 = true,
    .infer = infer,
    .cost = backward_cost,
    .over = {1 + 0, 1 + 1},
    .reference = backward_reference,
    .cpu = backward_cpu,
    .cuda = PARA_CUDA(para_swiglu_backward_cuda),
};

para_tensor *para_swiglu(para_graph *g, para_tensor *gate, para_tensor *up)
{
    return para_apply(&para_op_swiglu, g, PARA_IN(gate, up), NULL);
}
