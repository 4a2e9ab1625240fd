/* broadcast on a GPU. */
#include "ops/cuda.h"

template <class T> static int run(const struct para_call *c)
{
    const struct para_shape *full = &c->node->out[0]->shape;
    struct para_part p = para_part_of(full, &c->node->in[0]->shape);
    const T *x = (const T *)c->in[0];
    T *y = (T *)c->out[0];
    return para_each(c, para_shape_elements(full), [=] __device__(int64_t e) { y[e] = x[p.at(e)]; });
}

int para_broadcast_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, run, c);
}
