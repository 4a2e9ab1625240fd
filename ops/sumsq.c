/* sumsq: y () = the sum of the squares of all of x. Every axis is reduced: parts give partial sums.
 * Added up in double within a tile; the gradient norm is made of it. */
#include "base/simd.h"
#include "graph/op.h"
#include "ops/need.h"
#include "ops/table.h"

#include <paragraph/ops.h>

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)n, (void)axis, (void)output, (void)why;
    return PARA_REDUCE;
}

/* dx = 2 x dy */
static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    dx[0] = para_mul(g, para_scale(g, n->in[0], 2.0), dy[0]);
    return 0;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 2.0 * (double)para_shape_elements(&n->in[0]->shape);
}

/* y () = sum over E of x (E)^2 */
static int reference(const struct para_call *c)
{
    const float *x = c->in[0];
    int64_t elements = para_shape_elements(&c->node->in[0]->shape);
    double total = 0;
    for (int64_t e = 0; e < elements; e++)
        total += (double)x[e] * x[e];
    *(float *)c->out[0] = (float)total;
    return 0;
}

PARA_SIMD static double squares(int64_t elements, const float *x)
{
    double total = 0;
#pragma omp simd reduction(+ : total)
    for (int64_t e = 0; e < elements; e++)
        total += (double)x[e] * (double)x[e];
    return total;
}

static int cpu(const struct para_call *c)
{
    *(float *)c->out[0] = (float)squares(para_shape_elements(&c->node->in[0]->shape), c->in[0]);
    return 0;
}

const struct para_op para_op_sumsq = {
    .name = "sumsq",
    .types = "f32 -> f32",
    .infer = para_infer_scalar,
    .role = role,
    .grad = grad,
    .cost = cost,
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_sumsq_cuda),
    .cuda_many = PARA_CUDA(para_sumsq_cuda_many),
    .cuda_scratch = PARA_CUDA(para_sumsq_cuda_scratch),
};
