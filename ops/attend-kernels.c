#include "ops/attend-kernels.h"

#include "base/simd.h"

#define ALWAYS_INLINE __attribute__((always_inline))
#ifdef __clang__
#define SHUFFLE(index, x, y, ...) __builtin_shufflevector(x, y, __VA_ARGS__)
#else
#define SHUFFLE(index, x, y, ...) __builtin_shuffle(x, y, (index){__VA_ARGS__})
#endif

static inline int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t round_up(int64_t count, int64_t unit)
{
    return (count + unit - 1) / unit * unit;
}

#define V 4
#define ROWS 4
#define TARGET
#define NAME(x) x##_4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#include "ops/attend-tile.h"
#undef V
#undef ROWS
#undef TARGET
#undef NAME
#undef LOW
#undef HIGH

#ifdef __x86_64__
#define V 8
#define ROWS 4
#define TARGET __attribute__((target("avx2,fma")))
#define NAME(x) x##_8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#include "ops/attend-tile.h"
#undef V
#undef ROWS
#undef TARGET
#undef NAME
#undef LOW
#undef HIGH

#define V 16
#define ROWS 8
#define TARGET __attribute__((target("avx512f")))
#define NAME(x) x##_16
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#include "ops/attend-tile.h"

static const struct para_attend_kernels *const versions[] = {&kernels_4, &kernels_8, &kernels_16};

int para_attend_versions(void)
{
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma"))
        return 1;
    return __builtin_cpu_supports("avx512f") ? 3 : 2;
}
#else
static const struct para_attend_kernels *const versions[] = {&kernels_4};

int para_attend_versions(void)
{
    return 1;
}
#endif

const struct para_attend_kernels *para_attend_version(int version)
{
    return versions[version];
}
