/* One head of attention, forward and backward: shared by the ops that have all keys at hand and the one that reads a
 * cache. */
#ifndef PARA_OPS_ATTEND_H
#define PARA_OPS_ATTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct para_attend_kernels;

struct para_attend {
    const float *q, *k, *v; /* (queries, width), (keys, width), (keys, width), rows ld elements apart */
    float *o, *lse;         /* (queries, width), (queries); lse may be NULL */
    int64_t queries, keys, width;
    int64_t origin; /* of the first query among the keys */
    int64_t q_ld, kv_ld, o_ld, lse_ld;
    bool causal; /* query i sees keys 0 to origin + i */
    float scale;
    const struct para_attend_kernels *kernels; /* NULL: the fastest version */
};

/* What the backward pass of one head reads and writes beside; o and lse are read. */
struct para_attend_slopes {
    const float *d_o;    /* like o */
    float *dq, *dk, *dv; /* like q, k and v */
};

/* How many keys query i sees. */
static inline int64_t para_attend_visible(const struct para_attend *a, int64_t i)
{
    int64_t keys = a->origin + i + 1;
    return a->causal && keys < a->keys ? keys : a->keys;
}

/* Floats of scratch for a head of these sizes; scratch is aligned to 64 bytes. */
size_t para_attend_scratch(int64_t queries, int64_t keys, int64_t width);
size_t para_attend_backward_scratch(int64_t keys, int64_t width);

/* o = softmax(scale q k^T) v, lse = log of the sum of exp of the scaled scores. */
void para_attend(const struct para_attend *a, float *scratch);

/* dq (queries), dk and dv (keys): the slopes of the sum of d_o o. */
void para_attend_backward(const struct para_attend *a, const struct para_attend_slopes *d, float *scratch);

#endif
