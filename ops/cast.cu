/* cast on a GPU, by the rounding of ops/cast.c. */
#include "ops/cuda.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

static __device__ int32_t integer_of(float x)
{
    return x != x ? 0 : __float2int_rz(x); /* which stops at the ends of the range */
}

int para_cast_cuda(const struct para_call *c)
{
    para_dtype from = c->node->in[0]->shape.dtype, to = c->node->out[0]->shape.dtype;
    int64_t elements = para_shape_elements(&c->node->out[0]->shape);
    const void *x = c->in[0];
    void *y = c->out[0];
    return para_each(c, elements, [=] __device__(int64_t e) {
        float value = from == PARA_F32    ? ((const float *)x)[e]
                      : from == PARA_F16  ? __half2float(((const __half *)x)[e])
                      : from == PARA_BF16 ? __bfloat162float(((const __nv_bfloat16 *)x)[e])
                                          : (float)((const int32_t *)x)[e];
        if (to == PARA_F32)
            ((float *)y)[e] = value;
        else if (to == PARA_F16)
            ((__half *)y)[e] = __float2half_rn(value);
        else if (to == PARA_BF16)
            ((__nv_bfloat16 *)y)[e] = __float2bfloat16_rn(value);
        else
            ((int32_t *)y)[e] = integer_of(value);
    });
}
