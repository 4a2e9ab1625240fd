/* Vector kernels from plain loops: the compiler makes a version per instruction set, and the loader picks one.
 *
 * PARA_SIMD before a kernel makes those versions (gcc alone: clang would export their resolvers), of which that for
 * AVX2 multiplies and adds in one instruction where the compiler can ask for both (from gcc 12 on); loops in it say
 * `#pragma omp simd`, with reduction(+:s) where they sum. The functions below are straight-line code that such
 * loops inline. */
#ifndef PARA_BASE_SIMD_H
#define PARA_BASE_SIMD_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(PARA_SANITIZE) && !defined(__clang__)
#if __GNUC__ >= 12
#define PARA_SIMD __attribute__((target_clones("avx512f", "arch=x86-64-v3", "default")))
#else
#define PARA_SIMD __attribute__((target_clones("avx512f", "avx2", "default")))
#endif
#else
#define PARA_SIMD
#endif

/* Copy floats past the caches: for whole lines of results that are larger than those. Other counts and addresses are
 * copied as ever. When all is written, para_stream_end() puts it before what is written next. */
static inline void para_stream(int64_t count, const float *from, float *to)
{
#if defined(__SSE2__) && !defined(__clang__)
    typedef float four __attribute__((vector_size(16), aligned(4), may_alias));
    if (count % 16 == 0 && (uintptr_t)to % 64 == 0) {
        for (int64_t e = 0; e < count; e += 4)
            __builtin_ia32_movntps(to + e, *(const four *)(from + e));
        return;
    }
#endif
    memcpy(to, from, (size_t)count * sizeof *to);
}

static inline void para_stream_end(void)
{
#if defined(__SSE2__) && !defined(__clang__)
    __builtin_ia32_sfence();
#endif
}

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

/* 2^x, relative error below 2e-7 from -126 to 127; below, what is smaller than 2^-126, and 0 from -127 on; NaN for NaN.
 * x = n + r, |r| <= 1/2; a polynomial of degree 6, the minimax one of those that are 1 at 0, for 2^r, and n added to
 * its exponent. */
static inline __attribute__((always_inline)) float para_exp2f(float x)
{
    float y = x < -127.0f ? -127.0f : x;
    float rounded = y + 12582912.0f; /* 3/2 2^23: n stands in the lowest bits */
    float r = y - (rounded - 12582912.0f);
    float p = 1.559467782e-4f;
    p = p * r + 1.340664341e-3f;
    p = p * r + 9.617692791e-3f;
    p = p * r + 5.550310388e-2f;
    p = p * r + 2.402265221e-1f;
    p = p * r + 6.931472421e-1f;
    p = p * r + 1.0f;
    uint32_t n, bits;
    memcpy(&n, &rounded, sizeof n);
    memcpy(&bits, &p, sizeof bits);
    bits += n << 23;
    memcpy(&p, &bits, sizeof p);
    return x != x ? x : p;
}

#endif
