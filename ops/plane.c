/* Moving runs of planes along one dimension between dense tensors. */
#include "ops/plane.h"

#include <string.h>

struct para_planes para_planes_of(const struct para_shape *s, int dim)
{
    struct para_planes p = {1, s->dim[dim].extent, para_dtype_bytes(s->dtype)};
    for (int d = 0; d < dim; d++)
        p.outer *= s->dim[d].extent;
    for (int d = dim + 1; d < s->rank; d++)
        p.inner_bytes *= (size_t)s->dim[d].extent;
    return p;
}

void para_planes_copy(struct para_planes y_planes, void *y, int64_t y_first, struct para_planes x_planes, const void *x,
                      int64_t x_first, int64_t count)
{
    size_t inner = y_planes.inner_bytes;
    char *to = (char *)y + (size_t)y_first * inner;
    const char *from = (const char *)x + (size_t)x_first * inner;
    for (int64_t o = 0; o < y_planes.outer; o++) {
        memcpy(to, from, (size_t)count * inner);
        to += (size_t)y_planes.extent * inner;
        from += (size_t)x_planes.extent * inner;
    }
}
