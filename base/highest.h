/* The largest element of a row, for kernels marked PARA_SIMD (base/simd.h). */
#ifndef PARA_BASE_HIGHEST_H
#define PARA_BASE_HIGHEST_H

#include <math.h>
#include <stdint.h>

/* Return the largest of x (N), -inf if N < 1. Lanes are kept side by side by hand, since compilers don't reorder
 * a maximum of floats. */
static inline float para_highest(int64_t elements, const float *x)
{
    enum { LANES = 32 };
    float top[LANES], highest = -INFINITY;
    for (int lane = 0; lane < LANES; lane++)
        top[lane] = -INFINITY;
    int64_t e = 0;
    for (; e + LANES <= elements; e += LANES)
#pragma omp simd
        for (int lane = 0; lane < LANES; lane++)
            top[lane] = x[e + lane] > top[lane] ? x[e + lane] : top[lane];
    for (; e < elements; e++)
        highest = x[e] > highest ? x[e] : highest;
    for (int lane = 0; lane < LANES; lane++)
        highest = top[lane] > highest ? top[lane] : highest;
    return highest;
}

#endif
