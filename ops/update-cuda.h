/* Updates of parameters on a GPU: a thread takes four neighbours of each operand at a time, and some in turn, so that
 * what a step has in common is made once for many elements. */
#ifndef PARA_OPS_UPDATE_CUDA_H
#define PARA_OPS_UPDATE_CUDA_H

#include "ops/cuda.h"

/* What an update reads and writes: the slope, the parameter, its moments, and its bfloat16 copy, NULL where it has
 * none. The scale is the clipping scale; where it is no number nothing is done. */
struct para_update {
    int64_t elements;
    const float *scale, *g;
    float *p, *moment[2];
    para_half *copy;
};

/* F has a type `rates`, rates of() const, which one thread of a block asks for, and
 * void operator()(const rates &r, float slope, float &p, float &m, float &v) const. MOMENTS of m and v are there. */
template <int MOMENTS, class F> static __global__ void para_update_kernel(F f, struct para_update u)
{
    __shared__ typename F::rates shared;
    float scale = *u.scale;
    if (isnan(scale))
        return;
    if (threadIdx.x == 0)
        shared = f.of();
    __syncthreads();
    typename F::rates r = shared;
    int64_t whole = u.elements / 4, step = gridDim.x * (int64_t)blockDim.x;
    for (int64_t i = blockIdx.x * (int64_t)blockDim.x + threadIdx.x; i < whole; i += step) {
        float4 g = ((const float4 *)u.g)[i], p = ((const float4 *)u.p)[i], m = {}, v = {};
        if (MOMENTS > 0)
            m = ((const float4 *)u.moment[0])[i];
        if (MOMENTS > 1)
            v = ((const float4 *)u.moment[1])[i];
        f(r, scale * g.x, p.x, m.x, v.x);
        f(r, scale * g.y, p.y, m.y, v.y);
        f(r, scale * g.z, p.z, m.z, v.z);
        f(r, scale * g.w, p.w, m.w, v.w);
        ((float4 *)u.p)[i] = p;
        if (MOMENTS > 0)
            ((float4 *)u.moment[0])[i] = m;
        if (MOMENTS > 1)
            ((float4 *)u.moment[1])[i] = v;
        if (u.copy) {
            ((__nv_bfloat162 *)u.copy)[2 * i] = __floats2bfloat162_rn(p.x, p.y);
            ((__nv_bfloat162 *)u.copy)[2 * i + 1] = __floats2bfloat162_rn(p.z, p.w);
        }
    }
    int64_t e = 4 * whole + blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (e >= u.elements)
        return;
    float none = 0;
    f(r, scale * u.g[e], u.p[e], MOMENTS > 0 ? u.moment[0][e] : none, MOMENTS > 1 ? u.moment[1][e] : none);
    if (u.copy)
        u.copy[e] = para_round<para_half>(u.p[e]);
}

template <int MOMENTS, class F> static int para_update(const struct para_call *c, F f, struct para_update u)
{
    const int64_t MOST_BLOCKS = 1056;
    u.elements = para_shape_elements(&c->node->out[0]->shape);
    int64_t blocks = (u.elements / 4 + PARA_THREADS) / PARA_THREADS;
    blocks = blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS;
    u.copy = c->node->n_out > 1 + MOMENTS ? (para_half *)c->out[1 + MOMENTS] : NULL;
    para_update_kernel<MOMENTS><<<(unsigned)blocks, PARA_THREADS, 0, c->cuda->stream>>>(f, u);
    return para_launched(c);
}

#endif
