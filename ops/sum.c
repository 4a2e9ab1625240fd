/* sum: y = x[0] + x[1] + ..., any number of tensors of one shape, added in that order.
 * Element by element, so every axis is parallel. Gradients that meet and partial results of splits end here. */
#include <paragraph/ops.h>

#include "base/simd.h"
#include "graph/op.h"
#include "ops/need.h"
#include "ops/table.h"

enum { BLOCK = 2048 }; /* elements added up while they are in the first cache */

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_alike(n, err));
    return para_infer_like(n, 0, out);
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    (void)g;
    for (int i = 0; i < n->n_in; i++)
        dx[i] = dy[0];
    return 0;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = (double)(n->n_in - 1) * (double)para_shape_elements(&n->out[0]->shape);
}

/* y (E) = sum over i of x[i] (E) */
static int reference(const struct para_call *c)
{
    float *y = c->out[0];
    int64_t elements = para_shape_elements(&c->node->out[0]->shape);
    for (int64_t e = 0; e < elements; e++) {
        double total = 0;
        for (int i = 0; i < c->node->n_in; i++)
            total += ((const float *)c->in[i])[e];
        y[e] = (float)total;
    }
    return 0;
}

PARA_SIMD static void add_two(int64_t elements, const float *a, const float *b, float *y)
{
#pragma omp simd
    for (int64_t e = 0; e < elements; e++)
        y[e] = a[e] + b[e];
}

static int cpu(const struct para_call *c)
{
    float *y = c->out[0];
    int64_t elements = para_shape_elements(&c->node->out[0]->shape);
    if (c->node->n_in == 1 && y != c->in[0])
        memcpy(y, c->in[0], sizeof *y * (size_t)elements);
    for (int64_t begin = 0; begin < elements; begin += BLOCK) {
        int64_t count = elements - begin < BLOCK ? elements - begin : BLOCK;
        const float *total = c->in[0];
        total += begin;
        for (int i = 1; i < c->node->n_in; i++, total = y + begin)
            add_two(count, total, (const float *)c->in[i] + begin, y + begin);
    }
    return 0;
}

const struct para_op para_op_sum = {
    .name = "sum",
    .types = "T:f32|bf16... -> T",
    .float32 = true,
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .over = {1 + 0},
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_sum_cuda),
};

para_tensor *para_sum(para_graph *g, para_tensor *const x[], int count)
{
    return para_apply(&para_op_sum, g, x, count, NULL);
}
