/* Moving bytes on a GPU, in the largest words that fit. */
#include "ops/cuda.h"

extern "C" {
#include "ops/move.h"
}

/* One run for each of `outer`: its length, and how far apart runs lie, in words. */
struct runs {
    int64_t outer, length, y_step, x_step;
};

template <class W> static int copy(const struct para_call *c, struct runs r, void *y, const void *x)
{
    W *to = (W *)y;
    const W *from = (const W *)x;
    return para_each(c, r.outer * r.length, [=] __device__(int64_t e) {
        int64_t o = e / r.length, i = e - o * r.length;
        to[o * r.y_step + i] = from[o * r.x_step + i];
    });
}

int para_move_planes_cuda(const struct para_call *c, struct para_planes y_planes, void *y, int64_t y_first,
                          struct para_planes x_planes, const void *x, int64_t x_first, int64_t count)
{
    int64_t inner = (int64_t)y_planes.inner_bytes, word = inner % 16 == 0 ? 16 : inner % 4 == 0 ? 4 : inner % 2 ? 1 : 2;
    char *to = (char *)y + y_first * inner;
    const char *from = (const char *)x + x_first * inner;
    struct runs r = {y_planes.outer, count * inner / word, y_planes.extent * inner / word,
                     x_planes.extent * inner / word};
    if (word == 16)
        return copy<uint4>(c, r, to, from);
    if (word == 4)
        return copy<uint32_t>(c, r, to, from);
    if (word == 2)
        return copy<uint16_t>(c, r, to, from);
    return copy<uint8_t>(c, r, to, from);
}

int para_move_all_cuda(const struct para_call *c)
{
    cudaMemcpyAsync(c->out[0], c->in[0], para_shape_bytes(&c->node->out[0]->shape), cudaMemcpyDeviceToDevice,
                    c->cuda->stream);
    return para_launched(c);
}

int para_move_zeros_cuda(const struct para_call *c)
{
    cudaMemsetAsync(c->out[0], 0, para_shape_bytes(&c->node->out[0]->shape), c->cuda->stream);
    return para_launched(c);
}
