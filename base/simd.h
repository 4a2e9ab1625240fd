/* Vector kernels from plain loops: the compiler makes a version per instruction set, and the loader picks one.
 *
 * PARA_SIMD before a kernel makes those versions (gcc alone: clang would export their resolvers); loops in it say
 * `#pragma omp simd`, with reduction(+:s) where they sum. The functions below are straight-line code that such
 * loops inline. */
#ifndef PARA_BASE_SIMD_H
#define PARA_BASE_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(PARA_SANITIZE) && !defined(__clang__)
#define PARA_SIMD __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define PARA_SIMD
#endif

/* exp(x), relative error below 2e-7 for finite results; 0 below -87.3, clamped to exp(88.3) above.
 * x = n ln 2 + r, |r| <= ln 2 / 2; a polynomial of degree 6 for exp(r), 2^n put into the exponent.
 * Coefficients: Cephes expf (Moshier, 1989). */
static inline __attribute__((always_inline)) float para_expf(float x)
{
    float y = x > 88.3f ? 88.3f : x;
    y = y < -87.3f ? -87.3f : y;
    float rounded = y * 1.44269504088896341f + 12582912.0f; /* 3/2 2^23: n stands in the lowest bits */
    float n = rounded - 12582912.0f;
    float r = y - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits;
    float scale;
    memcpy(&bits, &rounded, sizeof bits);
    bits = (bits << 23) + 0x3f800000u;
    memcpy(&scale, &bits, sizeof scale);
    return x < -87.3f ? 0.0f : p * scale;
}

/* tanh(x) = 1 - 2 / (exp(2x) + 1), and x - x^3/3 + 2 x^5/15 - 17 x^7/315 near 0, where that cancels. */
static inline __attribute__((always_inline)) float para_tanhf(float x)
{
    float t = 1.0f - 2.0f / (para_expf(2.0f * x) + 1.0f);
    float x2 = x * x;
    float small = x * (1.0f + x2 * (-0.333333333f + x2 * (0.133333333f + x2 * -0.0539682540f)));
    return x2 < 0.04f ? small : t;
}

#endif
