#include "ops/update.h"

#include "base/dtype.h"
#include "base/simd.h"

PARA_SIMD static void narrow(int64_t elements, const float *restrict p, uint16_t *restrict copy)
{
#pragma omp simd
    for (int64_t e = 0; e < elements; e++)
        copy[e] = para_bf16_of(p[e]);
}

void para_update_copy(const struct para_call *c, int k)
{
    if (k < c->node->n_out)
        narrow(para_shape_elements(&c->node->out[0]->shape), c->out[0], c->out[k]);
}
