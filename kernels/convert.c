#include "kernels/convert.h"

#include "base/dtype.h"
#include "base/simd.h"

PARA_SIMD static void of_bf16(int64_t n, const uint16_t *restrict w, float *restrict y)
{
#pragma omp simd
    for (int64_t e = 0; e < n; e++)
        y[e] = para_of_bf16(w[e]);
}

PARA_SIMD static void of_i8(int64_t n, const int8_t *restrict w, float *restrict y)
{
#pragma omp simd
    for (int64_t e = 0; e < n; e++)
        y[e] = (float)w[e];
}

void para_convert(int64_t n, para_dtype dtype, const void *w, float *y)
{
    if (dtype == PARA_BF16)
        of_bf16(n, w, y);
    else if (dtype == PARA_I8)
        of_i8(n, w, y);
    else
        memcpy(y, w, (size_t)n * sizeof *y);
}
