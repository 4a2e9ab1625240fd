/* Blocks of Q8_0 and Q4_0, from float32 and to it. */
#ifndef PARA_BASE_QUANTIZE_H
#define PARA_BASE_QUANTIZE_H

#include "base/dtype.h"

/* Write the blocks of n elements, a multiple of PARA_BLOCK: each gets the scale with which the element that is farthest
 * from 0 is met best, and the nearest whole numbers. False if an element isn't finite or a scale is larger than a half;
 * what has been written then is unspecified. */
bool para_quantize(para_dtype dtype, int64_t n, const float *x, void *blocks);

/* Of Q4_0's numbers, which are -8 to 7, what is added in its bytes. */
enum { PARA_Q4_0_ZERO = 8 };

static inline float para_block_scale(const void *block)
{
    uint16_t half;
    memcpy(&half, block, sizeof half);
    return para_of_f16(half);
}

/* y (PARA_BLOCK) = one block. */
static inline __attribute__((always_inline)) void para_dequantize_block(para_dtype dtype, const void *restrict block,
                                                                        float *restrict y)
{
    const uint8_t *q = (const uint8_t *)block + sizeof(uint16_t);
    float scale = para_block_scale(block);
    if (dtype == PARA_Q8_0)
        for (int e = 0; e < PARA_BLOCK; e++)
            y[e] = scale * (float)(int8_t)q[e];
    else
        for (int e = 0; e < PARA_BLOCK / 2; e++) {
            y[e] = scale * (float)((q[e] & 15) - PARA_Q4_0_ZERO);
            y[e + PARA_BLOCK / 2] = scale * (float)((q[e] >> 4) - PARA_Q4_0_ZERO);
        }
}

#endif
