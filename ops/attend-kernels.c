#include "ops/attend-kernels.h"

#include "base/simd.h"

static inline int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static inline int64_t round_up(int64_t count, int64_t unit)
{
    return (count + unit - 1) / unit * unit;
}

#define V 4
#include "ops/vectors.h"
#include "ops/attend-tile.h"
#undef V

#ifdef PARA_VECTORS_X86
#define V 8
#include "ops/vectors.h"
#include "ops/attend-tile.h"
#undef V

#define V 16
#include "ops/vectors.h"
#include "ops/attend-tile.h"
#undef V

static const struct para_attend_kernels *const versions[] = {&kernels_4, &kernels_8, &kernels_16};
#else
static const struct para_attend_kernels *const versions[] = {&kernels_4};
#endif

int para_attend_versions(void)
{
    return para_vector_versions();
}

const struct para_attend_kernels *para_attend_version(int version)
{
    return versions[version];
}
