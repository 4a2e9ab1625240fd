/* cache_append on a GPU, in the largest words that fit. */
#include "ops/rows-cuda.h"

enum { X = 2 }; /* inputs, as in ops/cache.c */

/* cache (R, at + t, inner) = x (B, t, inner), for keys and for values */
template <class W> static int append(const struct para_call *c, int64_t inner)
{
    const struct para_shape *x = &c->node->in[X]->shape;
    int64_t seq = x->dim[1].extent;
    struct para_rows_cuda rows = para_rows_on_gpu(para_append_rows(c), para_append_bounds(c->node), c->fault);
    const W *k = (const W *)c->in[X], *v = (const W *)c->in[X + 1];
    W *keys = (W *)c->out[0], *values = (W *)c->out[1];
    return para_each(c, x->dim[0].extent * seq * inner, [=] __device__(int64_t e) {
        int64_t t = e / inner, b = t / seq, i = e - t * inner;
        int64_t position = rows.position_of(b, e == b * seq * inner), at = position - rows.prefix_of(b) + t - b * seq;
        if (position < 0 || at >= rows.kept)
            return;
        int64_t to = (rows.row_of(b) * rows.kept + at) * inner + i;
        keys[to] = k[e];
        values[to] = v[e];
    });
}

int para_cache_append_cuda(const struct para_call *c)
{
    const struct para_shape *x = &c->node->in[X]->shape;
    int64_t inner = (int64_t)para_shape_bytes(x) / (x->dim[0].extent * x->dim[1].extent);
    if (inner % 16 == 0)
        return append<uint4>(c, inner / 16);
    return inner % 4 == 0 ? append<uint32_t>(c, inner / 4) : append<uint16_t>(c, inner / 2);
}
