/* Kernels written once with vector extensions and compiled for each instruction set; the processor's best one is chosen
 * at run time.
 *
 * Each inclusion with V defined, floats of a vector, 4, 8 or 16, defines anew
 *   TARGET  the attribute that selects the instruction set
 *   NAME    f(x): x with the instruction set's suffix: x_4, x_8, x_16
 * and NAME(vec), a vector; NAME(loose), one at any address; NAME(flip), the transpose of V vectors in place.
 * The 8 and 16 are for where PARA_VECTORS_X86 is defined. */
#ifndef PARA_KERNELS_VECTORS_H
#define PARA_KERNELS_VECTORS_H

#define ALWAYS_INLINE __attribute__((always_inline))
#ifdef __clang__
#define SHUFFLE(index, x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define SHUFFLE(index, x, y, ...) __builtin_shuffle(x, y, (index){__VA_ARGS__})
#endif

/* Checks of what is unrolled take minutes to compile. */
#ifdef PARA_SANITIZE
#define UNROLL
#elif defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#ifdef __x86_64__
#define PARA_VECTORS_X86
#endif

/* How many of the instruction sets this processor has, the narrowest first. */
static inline int para_vector_versions(void)
{
#ifdef PARA_VECTORS_X86
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return __builtin_cpu_supports("avx512f") ? 3 : 2;
#endif
    return 1;
}

#endif

#undef TARGET
#undef NAME
#undef LOW
#undef HIGH

/* LOW are the numbers 0, V, 1, V + 1, ..., and HIGH V / 2, V + V / 2, V / 2 + 1, ..., V of each. */
#if V == 4
#define TARGET
#define NAME(x) x##_4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#elif V == 8
#define TARGET __attribute__((target("avx2,fma")))
#define NAME(x) x##_8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define TARGET __attribute__((target("avx512f")))
#define NAME(x) x##_16
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#endif

typedef float NAME(vec) __attribute__((vector_size(4 * V)));
typedef float NAME(loose) __attribute__((vector_size(4 * V), aligned(4), may_alias));
typedef int NAME(index) __attribute__((vector_size(4 * V), unused));

/* The transpose of V vectors in place: log2(V) perfect shuffles. */
TARGET static inline ALWAYS_INLINE void NAME(flip)(NAME(vec) v[V])
{
    UNROLL
    for (int stage = 1; stage < V; stage *= 2) {
        NAME(vec) w[V];
        UNROLL
        for (int i = 0; i < V / 2; i++) {
            w[2 * i] = SHUFFLE(NAME(index), v[i], v[i + V / 2], LOW);
            w[2 * i + 1] = SHUFFLE(NAME(index), v[i], v[i + V / 2], HIGH);
        }
        UNROLL
        for (int i = 0; i < V; i++)
            v[i] = w[i];
    }
}
