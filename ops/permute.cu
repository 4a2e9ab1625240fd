/* permute on a GPU. */
#include "ops/cuda.h"

template <class W> static int run(const struct para_call *c)
{
    const struct para_shape *to = &c->node->out[0]->shape;
    struct para_part p = para_part_of(to, &c->node->in[0]->shape);
    const W *x = (const W *)c->in[0];
    W *y = (W *)c->out[0];
    return para_each(c, para_shape_elements(to), [=] __device__(int64_t e) { y[e] = x[p.at(e)]; });
}

int para_permute_cuda(const struct para_call *c)
{
    return para_dtype_bytes(c->node->out[0]->shape.dtype) == 2 ? run<uint16_t>(c) : run<uint32_t>(c);
}
