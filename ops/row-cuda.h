/* Rows that lie anywhere, read by the threads of a block in packs all the same: the elements before the first pack and
 * those behind the last are taken one by one. */
#ifndef PARA_OPS_ROW_CUDA_H
#define PARA_OPS_ROW_CUDA_H

#include "ops/cuda.h"

/* Elements of a row of x before the first that lies at a multiple of 16 bytes, at most `length`. */
template <class T> static __device__ int64_t para_row_head(const T *x, int64_t length)
{
    int64_t head = (int64_t)((16 - (uintptr_t)x % 16) % 16 / sizeof(T));
    return head < length ? head : length;
}

/* f.one(e, x[e]) and f.pack(e, pack from e on) for all elements of x, which the threads of a block share; those of one
 * thread in ascending order but for the head and the tail. */
template <class T, class F> static __device__ void para_row_visit(const T *x, int64_t length, F &f)
{
    const int COUNT = para_pack<T>::COUNT;
    int64_t head = para_row_head(x, length), packs = (length - head) / COUNT, tail = head + packs * COUNT;
    for (int64_t e = threadIdx.x; e < head; e += blockDim.x)
        f.one(e, (float)x[e]);
    for (int64_t p = threadIdx.x; p < packs; p += blockDim.x)
        f.pack(head + p * COUNT, para_load(x + head + p * COUNT));
    for (int64_t e = tail + threadIdx.x; e < length; e += blockDim.x)
        f.one(e, (float)x[e]);
}

/* The sum of exp, scaled by its largest term, as it grows. */
struct para_exp_sum {
    float top, sum;

    __device__ para_exp_sum() : top(-INFINITY), sum(0)
    {
    }

    __device__ void rise(float to)
    {
        if (to > top) {
            sum = sum * expf(top - to);
            top = to;
        }
    }

    __device__ void one(int64_t, float x)
    {
        rise(x);
        if (x != -INFINITY)
            sum += expf(x - top);
    }

    template <class T> __device__ void pack(int64_t, const para_pack<T> &p)
    {
        float highest = (float)p.of[0], added = 0;
#pragma unroll
        for (int k = 1; k < para_pack<T>::COUNT; k++)
            highest = fmaxf(highest, (float)p.of[k]);
        rise(highest);
        float base = top == -INFINITY ? 0.0f : top; /* where all are that, or no number */
#pragma unroll
        for (int k = 0; k < para_pack<T>::COUNT; k++)
            added += expf((float)p.of[k] - base);
        sum += added;
    }

    /* The log of the sum over a block, whose threads call it together; every thread gets it. */
    __device__ float log_of_block()
    {
        float highest = para_block_max(top);
        double all = para_block_sum(top == -INFINITY ? (double)sum : (double)(sum * expf(top - highest)));
        return highest == -INFINITY && all == 0 ? -INFINITY : (float)(highest + log(all));
    }
};

#endif
