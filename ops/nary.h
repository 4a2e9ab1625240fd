/* Ops of any number of inputs on a GPU, element by element: an argument of a kernel has room for some at a time. */
#ifndef PARA_OPS_NARY_H
#define PARA_OPS_NARY_H

#include "ops/cuda.h"

enum { PARA_AT_ONCE = 64 };

template <class T> struct para_inputs {
    int count;
    const T *x[PARA_AT_ONCE];
};

/* y = the fold of packs of the inputs, and of what is left behind the last whole pack. */
template <class T, class F>
static __global__ void para_fold_kernel(F f, int64_t elements, T *y, struct para_inputs<T> in)
{
    const int COUNT = para_pack<T>::COUNT;
    int64_t first = COUNT * (blockIdx.x * (int64_t)blockDim.x + threadIdx.x);
    if (first + COUNT <= elements) {
        float all[COUNT];
        para_pack<T> x = para_load(in.x[0] + first);
#pragma unroll
        for (int e = 0; e < COUNT; e++)
            all[e] = (float)x.of[e];
        for (int k = 1; k < in.count; k++) {
            x = para_load(in.x[k] + first);
#pragma unroll
            for (int e = 0; e < COUNT; e++)
                all[e] = f(all[e], (float)x.of[e]);
        }
#pragma unroll
        for (int e = 0; e < COUNT; e++)
            x.of[e] = para_round<T>(all[e]);
        para_store(y + first, x);
        return;
    }
    for (int64_t e = first; e < elements; e++) {
        float all = (float)in.x[0][e];
        for (int k = 1; k < in.count; k++)
            all = f(all, (float)in.x[k][e]);
        y[e] = para_round<T>(all);
    }
}

template <class T, class F> static int para_fold_inputs_as(const struct para_call *c, F f)
{
    T *y = (T *)c->out[0];
    int64_t elements = para_shape_elements(&c->node->out[0]->shape), packs = para_packs<T>(elements);
    para_inputs<T> in = {};
    for (int i = 0; i < c->node->n_in && elements > 0; i++) {
        in.x[in.count++] = (const T *)c->in[i];
        if (in.count < PARA_AT_ONCE && i + 1 < c->node->n_in)
            continue;
        para_fold_kernel<<<(unsigned)((packs + PARA_THREADS - 1) / PARA_THREADS), PARA_THREADS, 0, c->cuda->stream>>>(
            f, elements, y, in);
        in.x[0] = y;
        in.count = 1;
    }
    return para_launched(c);
}

/* Enqueue y[e] = f(... f(x[0][e], x[1][e]) ..., x[n - 1][e]); y may be x[0]. */
template <class F> static int para_fold_inputs(const struct para_call *c, F f)
{
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, para_fold_inputs_as, c, f);
}

#endif
