/* The queries that read one head of keys and values, forward and backward: shared by the ops that have all keys at hand
 * and the one that reads caches. */
#ifndef PARA_KERNELS_ATTEND_H
#define PARA_KERNELS_ATTEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct para_attend_kernels;

/* The first `prefix` keys and values may lie apart from the others, where several texts share them. */
struct para_attend {
    const float *q;                   /* (queries, readers, width), queries q_ld elements apart */
    const float *k, *v;               /* (keys - prefix, width), rows kv_ld elements apart */
    const float *prefix_k, *prefix_v; /* (prefix, width), like k and v */
    float *o, *lse; /* like q, queries o_ld apart; (queries, readers), queries lse_ld apart; lse may be NULL */
    int64_t queries, keys, width;
    int64_t readers; /* queries at each position */
    int64_t prefix;
    int64_t past; /* keys before the first query */
    int64_t q_ld, kv_ld, o_ld, lse_ld;
    bool causal;    /* query i sees keys 0 to past + i */
    int64_t window; /* of which the last so many; 0: all */
    float scale;
    const struct para_attend_kernels *kernels; /* NULL: the fastest version */
};

/* What the backward pass of one head reads and writes beside; o and lse are read. It knows no prefix. */
struct para_attend_slopes {
    const float *d_o;    /* like o */
    float *dq, *dk, *dv; /* like q, k and v */
};

/* The keys before this one are those that query i sees, or, with a window, the last of them. */
static inline int64_t para_attend_visible(const struct para_attend *a, int64_t i)
{
    int64_t keys = a->past + i + 1;
    return a->causal && keys < a->keys ? keys : a->keys;
}

/* The first of them. */
static inline int64_t para_attend_first(const struct para_attend *a, int64_t i)
{
    int64_t before = a->window ? para_attend_visible(a, i) - a->window : 0;
    return before > 0 ? before : 0;
}

/* Key or value number j. */
static inline const float *para_attend_row(const struct para_attend *a, const float *prefix, const float *own,
                                           int64_t j)
{
    return j < a->prefix ? prefix + j * a->kv_ld : own + (j - a->prefix) * a->kv_ld;
}

/* The queries of reader number `reader` alone. */
static inline struct para_attend para_attend_reader(const struct para_attend *a, int64_t reader)
{
    struct para_attend one = *a;
    one.q += reader * a->width;
    one.o += reader * a->width;
    one.lse = a->lse ? a->lse + reader : NULL;
    one.readers = 1;
    return one;
}

/* Floats of scratch for a head of these sizes; scratch is aligned to 64 bytes. */
size_t para_attend_scratch(int64_t queries, int64_t keys, int64_t width);
size_t para_attend_backward_scratch(int64_t keys, int64_t width);

/* o = softmax(scale q k^T) v, lse = log of the sum of exp of the scaled scores. */
void para_attend(const struct para_attend *a, float *scratch);

/* The same of one position for all heads, whose keys lie side by side: q and o (heads, readers, width), keys and values
 * (heads, width), of which `a` tells where the first head's begin. Blocks of keys are taken one after another, from
 * number 0 on until false is returned, so that several rows can take turns at each; scratch is for all of them. */
size_t para_attend_step_scratch(int64_t rows, int64_t heads, int64_t readers);
bool para_attend_step(const struct para_attend *a, int64_t row, int64_t heads, int64_t block, float *scratch);

/* dq (queries), dk and dv (keys): the slopes of the sum of d_o o. */
void para_attend_backward(const struct para_attend *a, const struct para_attend_slopes *d, float *scratch);

#endif
