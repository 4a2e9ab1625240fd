/* scale: y = factor x. Element by element, so every axis is parallel. */
#include <paragraph/ops.h>

#include "base/simd.h"
#include "graph/op.h"
#include "ops/need.h"
#include "ops/table.h"

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    (void)err;
    return para_infer_like(n, 0, out);
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    dx[0] = para_scale(g, dy[0], n->attr[0].f);
    return 0;
}

/* y (E) = factor x (E) */
static int reference(const struct para_call *c)
{
    const float *x = c->in[0];
    float *y = c->out[0];
    int64_t elements = para_shape_elements(&c->node->out[0]->shape);
    for (int64_t e = 0; e < elements; e++)
        y[e] = (float)(c->node->attr[0].f * x[e]);
    return 0;
}

PARA_SIMD static void forward(int64_t elements, float factor, const float *x, float *y)
{
#pragma omp simd
    for (int64_t e = 0; e < elements; e++)
        y[e] = factor * x[e];
}

static int cpu(const struct para_call *c)
{
    forward(para_shape_elements(&c->node->out[0]->shape), (float)c->node->attr[0].f, c->in[0], c->out[0]);
    return 0;
}

const struct para_op para_op_scale = {
    .name = "scale",
    .attrs = {{"factor", PARA_ATTR_FLOAT}},
    .types = "T:f32|bf16 -> T",
    .float32 = true,
    .infer = infer,
    .grad = grad,
    .over = {1 + 0},
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_scale_cuda),
};

para_tensor *para_scale(para_graph *g, para_tensor *x, double factor)
{
    return para_apply(&para_op_scale, g, PARA_IN(x), PARA_ATTRS({.f = factor}));
}
