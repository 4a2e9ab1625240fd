/* increment on a GPU. */
#include "ops/cuda.h"

int para_increment_cuda(const struct para_call *c)
{
    int32_t *x = (int32_t *)c->out[0];
    const float *scale = c->node->n_in > 1 ? (const float *)c->in[1] : NULL;
    unsigned long long *fault = c->fault;
    return para_each(c, 1, [=] __device__(int64_t) {
        if (scale && isnan(*scale))
            return;
        if (*x == INT32_MAX)
            para_fault(fault, 0, *x);
        else
            *x += 1;
    });
}
