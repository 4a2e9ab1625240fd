/* Updates of parameters on a GPU, of many in one kernel: a thread takes four neighbours of each operand at a time, and
 * some in turn, so that what a step has in common is made once for many elements. */
#ifndef PARA_OPS_UPDATE_CUDA_H
#define PARA_OPS_UPDATE_CUDA_H

#include "ops/cuda.h"

/* In one kernel; that a thread takes. With the formula of each, a kernel's arguments stay below 4096 bytes. */
enum { PARA_UPDATES = 32, PARA_UPDATE_PACKS = 16 };

/* What an update reads and writes: the slope, the parameter, its moments, and its bfloat16 copy, NULL where it has
 * none. The scale is the clipping scale; where it is no number nothing is done. */
struct para_update {
    int64_t elements;
    const float *scale, *g;
    float *p, *moment[2];
    para_half *copy;
};

/* Some updates, each by a formula of its own. */
template <class F> struct para_updates {
    int begin[PARA_UPDATES + 1]; /* blocks of those before */
    F f[PARA_UPDATES];
    struct para_update u[PARA_UPDATES];
};

/* F has a type `rates`, rates of() const, which one thread of a block asks for, and
 * void operator()(const rates &r, float slope, float &p, float &m, float &v) const. MOMENTS of m and v are there. */
template <int MOMENTS, class F>
static __device__ void para_update_four(const F &f, const typename F::rates &r, const struct para_update &u,
                                        float scale, int64_t i)
{
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

template <int MOMENTS, class F>
static __global__ void __launch_bounds__(PARA_THREADS)
    para_update_kernel(const __grid_constant__ struct para_updates<F> all)
{
    __shared__ typename F::rates shared;
    int k = 0;
    while ((int)blockIdx.x >= all.begin[k + 1])
        k++;
    const struct para_update &u = all.u[k];
    float scale = *u.scale;
    if (isnan(scale))
        return;
    if (threadIdx.x == 0)
        shared = all.f[k].of();
    __syncthreads();
    typename F::rates r = shared;
    int64_t first = (blockIdx.x - all.begin[k]) * (int64_t)(PARA_UPDATE_PACKS * PARA_THREADS), fours = u.elements / 4;
    for (int64_t i = first + threadIdx.x; i < first + PARA_UPDATE_PACKS * PARA_THREADS && i < fours; i += PARA_THREADS)
        para_update_four<MOMENTS>(all.f[k], r, u, scale, i);
    int64_t e = 4 * fours + threadIdx.x;
    if (e >= u.elements || (int)blockIdx.x + 1 < all.begin[k + 1])
        return;
    float none = 0;
    all.f[k](r, scale * u.g[e], u.p[e], MOMENTS > 0 ? u.moment[0][e] : none, MOMENTS > 1 ? u.moment[1][e] : none);
    if (u.copy)
        u.copy[e] = para_round<para_half>(u.p[e]);
}

/* Enqueue the updates of some calls. describe() gives a call's formula and operands, but for the elements and the copy,
 * which is the output behind the moments. */
template <int MOMENTS, class F>
static int para_update(const struct para_call calls[], int count,
                       void (*describe)(const struct para_call *c, F *f, struct para_update *u))
{
    const int64_t OF_BLOCK = 4 * PARA_UPDATE_PACKS * PARA_THREADS;
    for (int first = 0; first < count; first += PARA_UPDATES) {
        int n = count - first < PARA_UPDATES ? count - first : PARA_UPDATES;
        struct para_updates<F> all = {
        };
        for (int k = 0; k < n; k++) {
            const struct para_call *c = &calls[first + k];
            all.u[k].elements = para_shape_elements(&c->node->out[0]->shape);
            all.u[k].copy = c->node->n_out > 1 + MOMENTS ? (para_half *)c->out[1 + MOMENTS] : NULL;
            describe(c, &all.f[k], &all.u[k]);
            all.begin[k + 1] = all.begin[k] + (int)((all.u[k].elements + OF_BLOCK - 1) / OF_BLOCK);
        }
        static_assert(sizeof all <= 4096, "a kernel's arguments");
        para_update_kernel<MOMENTS><<<(unsigned)all.begin[n], PARA_THREADS, 0, calls->cuda->stream>>>(all);
    }
    return para_launched(calls);
}

#endif
