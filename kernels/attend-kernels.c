#include "kernels/attend-kernels.h"

#include "base/checked.h"
#include "base/simd.h"

#define V 4
#include "kernels/attend-tile.h"
#undef V

#ifdef PARA_VECTORS_X86
#define V 8
#include "kernels/attend-tile.h"
#undef V

#define V 16
#include "kernels/attend-tile.h"
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
