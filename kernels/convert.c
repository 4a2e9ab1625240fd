#include "kernels/convert.h"

#include "base/quantize.h"
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

PARA_SIMD static void of_q8_0(int64_t blocks, const char *restrict w, float *restrict y)
{
    for (; blocks > 0; blocks--, w += PARA_Q8_0_BYTES, y += PARA_BLOCK)
        para_dequantize_block(PARA_Q8_0, w, y);
}

PARA_SIMD static void of_q4_0(int64_t blocks, const char *restrict w, float *restrict y)
{
    for (; blocks > 0; blocks--, w += PARA_Q4_0_BYTES, y += PARA_BLOCK)
        para_dequantize_block(PARA_Q4_0, w, y);
}

/* Some elements of one block. */
static void of_part(int64_t n, para_dtype dtype, const char *block, int64_t first, float *y)
{
    float whole[PARA_BLOCK];
    para_dequantize_block(dtype, block, whole);
    memcpy(y, whole + first, (size_t)n * sizeof *y);
}

static void of_blocks(int64_t n, para_dtype dtype, const char *w, int64_t first, float *y)
{
    while (n > 0) {
        int64_t within = first % PARA_BLOCK, some = PARA_BLOCK - within < n ? PARA_BLOCK - within : n;
        const char *block = w + para_dtype_span(dtype, first);
        if (some == PARA_BLOCK)
            (dtype == PARA_Q8_0 ? of_q8_0 : of_q4_0)(n / PARA_BLOCK, block, y);
        else
            of_part(some, dtype, block, within, y);
        some = some == PARA_BLOCK ? n / PARA_BLOCK * PARA_BLOCK : some;
        n -= some;
        first += some;
        y += some;
    }
}

void para_convert(int64_t n, para_dtype dtype, const void *w, int64_t first, float *y)
{
    if (dtype == PARA_BF16)
        of_bf16(n, (const uint16_t *)w + first, y);
    else if (dtype == PARA_I8)
        of_i8(n, (const int8_t *)w + first, y);
    else if (dtype == PARA_F32)
        memcpy(y, (const float *)w + first, (size_t)n * sizeof *y);
    else
        of_blocks(n, dtype, w, first, y);
}
