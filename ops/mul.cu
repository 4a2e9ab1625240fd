/* mul on a GPU. */
#include "ops/cuda.h"

int para_mul_cuda(const struct para_call *c)
{
    return para_broadcast_map(c, [] __device__(float a, float b) { return a * b; });
}
