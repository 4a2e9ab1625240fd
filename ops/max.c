/* max: y = the largest of x[0], x[1], ..., tensors of one shape; NaN if one of them is.
 * Element by element, so every axis is parallel. It combines the partial results of reduce_max. */
#include "base/simd.h"
#include "graph/op.h"
#include "ops/need.h"
#include "ops/table.h"

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_alike(n, err));
    return para_infer_like(n, 0, out);
}

PARA_SIMD static void larger(int64_t elements, const float *restrict x, float *restrict y)
{
#pragma omp simd
    for (int64_t e = 0; e < elements; e++)
        y[e] = x[e] > y[e] || x[e] != x[e] ? x[e] : y[e];
}

/* y (E) = max over i of x[i] (E) */
static int cpu(const struct para_call *c)
{
    float *y = c->out[0];
    int64_t elements = para_shape_elements(&c->node->out[0]->shape);
    memcpy(y, c->in[0], sizeof *y * (size_t)elements);
    for (int i = 1; i < c->node->n_in; i++)
        larger(elements, c->in[i], y);
    return 0;
}

const struct para_op para_op_max = {
    .name = "max",
    .types = "f32... -> f32",
    .infer = infer,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_max_cuda),
};
