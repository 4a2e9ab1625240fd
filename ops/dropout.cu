/* dropout on a GPU: the draws of ops/dropout.c. */
#include "ops/cuda.h"

#include "base/philox.h"
#include "ops/dropout.h"

/* Where a tile lies in the whole tensor. */
struct tile {
    int rank;
    int64_t extent[PARA_MAX_RANK], begin[PARA_MAX_RANK], whole[PARA_MAX_RANK];
};

static __device__ uint64_t whole_index(const struct tile &p, int64_t e)
{
    int64_t index = 0, stride = 1;
    for (int d = p.rank - 1; d >= 0; d--) {
        index += (p.begin[d] + e % p.extent[d]) * stride;
        e /= p.extent[d];
        stride *= p.whole[d];
    }
    return (uint64_t)index;
}

template <class T> static int run(const struct para_call *c)
{
    const struct para_shape *s = &c->node->out[0]->shape;
    struct tile tile = {.rank = s->rank};
    for (int d = 0; d < s->rank; d++) {
        tile.extent[d] = s->dim[d].extent;
        tile.begin[d] = s->dim[d].begin;
        tile.whole[d] = s->dim[d].whole;
    }
    double rate = c->node->attr[0].f;
    float p = (float)rate, scale = (float)(1.0 / (1.0 - rate));
    uint64_t key = c->seed ^ PARA_DROPOUT_KEY, stream = (uint64_t)c->node->attr[1].i << 32;
    const T *x = (const T *)c->in[0];
    const int32_t *step = (const int32_t *)c->in[1];
    T *y = (T *)c->out[0];
    return para_each(c, para_shape_elements(s), [=] __device__(int64_t e) {
        float draw = para_uniform(para_draw(key, stream | (uint32_t)*step, whole_index(tile, e)));
        y[e] = para_round<T>(draw < p ? 0.0f : (float)x[e] * scale);
    });
}

int para_dropout_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, run, c);
}
