/* rope and its gradient on a GPU: a thread for each pair, and for each element that stays. */
#include "ops/cuda.h"

extern "C" {
#include "ops/rope.h"
}

/* Element or pair number i of a head at a position. Turns are exact enough in double; what is left of the last one is
 * turned in float32. */
template <class T>
static __device__ void turn_pair(const struct para_rope &r, int64_t i, int32_t position, const T *x, T *y)
{
    if (i >= r.pairs) {
        y[r.pairs + i] = x[r.pairs + i];
        return;
    }
    double turns = position * r.turns[i];
    float sine, cosine, a = (float)x[i * r.step], b = (float)x[i * r.step + r.apart];
    sincospif(2.0f * (float)(turns - rint(turns)), &sine, &cosine);
    y[i * r.step] = para_round<T>(r.amplitude * (a * cosine - b * sine));
    y[i * r.step + r.apart] = para_round<T>(r.amplitude * (b * cosine + a * sine));
}

template <class T> static int turn(const struct para_call *c, bool inverse)
{
    const struct para_shape *full = &c->node->in[0]->shape;
    struct para_part part = para_part_of(full, &c->node->in[1]->shape);
    struct para_rope r = para_rope_of(c->node, inverse);
    const T *x = (const T *)c->in[0];
    const int32_t *positions = (const int32_t *)c->in[1];
    T *y = (T *)c->out[0];
    int64_t per_head = r.width - r.pairs;
    return para_each(c, para_shape_elements(full) / r.width * per_head, [=] __device__(int64_t e) {
        int64_t first = e / per_head * r.width;
        turn_pair(r, e % per_head, positions[part.at(first)], x + first, y + first);
    });
}

int para_rope_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, turn, c, false);
}

int para_rope_backward_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, turn, c, true);
}
