#include "ops/move.h"

#include <string.h>

#ifdef PARA_HAVE_CUDA
#define ON_CUDA(c, call)                                                                                               \
    if ((c)->cuda)                                                                                                     \
        return call;
#else
#define ON_CUDA(c, call) (void)(c);
#endif

struct para_planes para_planes_of(const struct para_shape *s, int dim)
{
    struct para_planes p = {1, s->dim[dim].extent, para_dtype_bytes(s->dtype)};
    for (int d = 0; d < dim; d++)
        p.outer *= s->dim[d].extent;
    for (int d = dim + 1; d < s->rank; d++)
        p.inner_bytes *= (size_t)s->dim[d].extent;
    return p;
}

int para_move_planes(const struct para_call *c, struct para_planes y_planes, void *y, int64_t y_first,
                     struct para_planes x_planes, const void *x, int64_t x_first, int64_t count)
{
    ON_CUDA(c, para_move_planes_cuda(c, y_planes, y, y_first, x_planes, x, x_first, count))
    size_t inner = y_planes.inner_bytes;
    char *to = (char *)y + (size_t)y_first * inner;
    const char *from = (const char *)x + (size_t)x_first * inner;
    for (int64_t o = 0; o < y_planes.outer; o++) {
        memcpy(to, from, (size_t)count * inner);
        to += (size_t)y_planes.extent * inner;
        from += (size_t)x_planes.extent * inner;
    }
    return 0;
}

int para_move_all(const struct para_call *c)
{
    ON_CUDA(c, para_move_all_cuda(c))
    memcpy(c->out[0], c->in[0], para_shape_bytes(&c->node->out[0]->shape));
    return 0;
}

int para_move_zeros(const struct para_call *c)
{
    ON_CUDA(c, para_move_zeros_cuda(c))
    memset(c->out[0], 0, para_shape_bytes(&c->node->out[0]->shape));
    return 0;
}
