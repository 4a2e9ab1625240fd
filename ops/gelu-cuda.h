/* gelu's tanh form on a GPU. */
#ifndef PARA_OPS_GELU_CUDA_H
#define PARA_OPS_GELU_CUDA_H

#include "ops/cuda.h"
#include "ops/gelu.h"

/* (1 + tanh u) / 2 = 1 / (1 + exp(-2u)) */
static __device__ inline float para_half_of_tanh(float x)
{
    const float k = (float)PARA_GELU_K, a = (float)PARA_GELU_A;
    return 1.0f / (1.0f + expf(-2.0f * k * (x + a * x * x * x)));
}

static __device__ inline float para_gelu_slope(float x)
{
    const float k = (float)PARA_GELU_K, a = (float)PARA_GELU_A;
    float half = para_half_of_tanh(x);
    return half + x * half * (1.0f - half) * 2.0f * k * (1.0f + 3.0f * a * x * x);
}

#endif
