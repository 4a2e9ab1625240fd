/* swiglu and its gradient on a GPU: the formulas of ops/swiglu.c, one pass over memory. */
#include "ops/cuda.h"

int para_swiglu_cuda(const struct para_call *c)
{
    return para_map<2>(c, [] __device__(const float *in) { return in[0] / (1.0f + expf(-in[0])) * in[1]; });
}

template <class T> static int backward(const struct para_call *c)
{
    const T *gate = (const T *)c->in[0], *up = (const T *)c->in[1], *dy = (const T *)c->in[2];
    T *dgate = (T *)c->out[0], *dup = (T *)c->out[1];
    return para_each(c, para_shape_elements(&c->node->out[0]->shape), [=] __device__(int64_t e) {
        float x = (float)gate[e], slope = (float)dy[e], s = 1.0f / (1.0f + expf(-x));
        float of_gate = slope * (float)up[e] * s * (1.0f + x * (1.0f - s));
        dgate[e] = para_round<T>(of_gate);
        dup[e] = para_round<T>(slope * x * s);
    });
}

int para_swiglu_backward_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, backward, c);
}
