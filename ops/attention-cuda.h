/* What attention's kernels for GPUs share: where the planes of a call lie, one for each batch element and head. */
#ifndef PARA_OPS_ATTENTION_CUDA_H
#define PARA_OPS_ATTENTION_CUDA_H

#include "ops/cuda.h"

extern "C" {
#include "ops/attention.h"
}

/* Those of a call on operands of type T; o and lse are outputs forward and inputs backward, when there are slopes. */
template <class T> struct para_planes {
    const T *q, *k, *v, *d_o;
    T *o, *dq, *dk, *dv;
    float *lse, *delta; /* delta, like lse: the sum over D of do o */
    int64_t queries, keys, width, readers, past, planes, heads;
    int64_t q_ld, kv_ld, o_ld, lse_ld; /* from one query, or key, to the next */
    int64_t q_head, q_batch, kv_head, kv_batch, o_head, o_batch;
    int64_t dq_batch; /* stacked, dq has all queries, where q has a part's */
    float scale;
    bool causal;
    int64_t window; /* of the keys that a query sees only the last so many; 0: all */

    /* The same with the pointers of plane number `plane` and one of its readers. */
    __device__ struct para_planes at(int64_t plane, int64_t reader) const
    {
        struct para_planes p = *this;
        int64_t b = plane / heads, h = plane % heads, first = h * q_head + reader * width;
        int64_t kv_first = b * kv_batch + h * kv_head, o_first = b * o_batch + h * o_head + reader * width;
        p.q += b * q_batch + first;
        p.k += kv_first;
        p.v += kv_first;
        p.o += o_first;
        p.lse += o_first / width;
        p.delta += o_first / width;
        p.d_o += o_first;
        p.dq += b * dq_batch + first;
        p.dk += kv_first;
        p.dv += kv_first;
        return p;
    }

    /* The keys before this one are those that query i sees, or the last of them. */
    __device__ int64_t visible(int64_t i) const
    {
        int64_t seen = past + i + 1;
        return causal && seen < keys ? seen : keys;
    }

    /* The first of them. */
    __device__ int64_t first_key(int64_t i) const
    {
        int64_t before = window ? visible(i) - window : 0;
        return before > 0 ? before : 0;
    }

    /* The first query that sees key j, and the first behind all that see one from j on. */
    __device__ int64_t first_query(int64_t j) const
    {
        return causal && j > past ? j - past : 0;
    }
    __device__ int64_t end_query(int64_t j) const
    {
        int64_t end = j + window - past;
        return window && j < keys - window && end < queries ? end : queries;
    }
};

/* bfloat16 on tensor cores, for heads of these widths. */
static inline bool para_attention_has_half(int64_t width)
{
    return width == 64 || width == 128;
}

int para_attention_half(const struct para_call *c, const struct para_planes<para_half> &p);
int para_attention_half_backward(const struct para_call *c, const struct para_planes<para_half> &p);

#endif
