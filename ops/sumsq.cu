/* sumsq on a GPU: each block adds up its part, then one block the parts, in an order that depends on x's size alone. */
#include "ops/cuda.h"

enum { PARTS = 512 };

size_t para_sumsq_cuda_scratch(const para_node *n)
{
    (void)n;
    return PARTS * sizeof(double);
}

int para_sumsq_cuda(const struct para_call *c)
{
    const float *x = (const float *)c->in[0];
    float *y = (float *)c->out[0];
    double *parts = (double *)c->scratch;
    int64_t elements = para_shape_elements(&c->node->in[0]->shape);
    PARA_TRY(para_rows(c, PARTS, [=] __device__(int64_t part) {
        double sum = 0;
        for (int64_t e = part * PARA_THREADS + threadIdx.x; e < elements; e += PARTS * PARA_THREADS)
            sum += (double)x[e] * (double)x[e];
        sum = para_block_sum(sum);
        if (threadIdx.x == 0)
            parts[part] = sum;
    }));
    return para_rows(c, 1, [=] __device__(int64_t) {
        double sum = para_block_sum(parts[threadIdx.x] + parts[threadIdx.x + PARA_THREADS]);
        if (threadIdx.x == 0)
            *y = (float)sum;
    });
}
