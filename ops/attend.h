/* One head of attention, forward: shared by the op that has all keys at hand and the one that reads a cache. */
#ifndef PARA_OPS_ATTEND_H
#define PARA_OPS_ATTEND_H

#include <stdbool.h>
#include <stdint.h>

enum { PARA_ATTEND_QUERIES = 64, PARA_ATTEND_KEYS = 128 };
enum { PARA_ATTEND_FLOATS = PARA_ATTEND_QUERIES * PARA_ATTEND_KEYS + 2 * PARA_ATTEND_QUERIES }; /* scratch */

struct para_attend {
    const float *q, *k, *v; /* (queries, width), (keys, width), (keys, width), rows ld elements apart */
    float *o, *lse;         /* (queries, width), (queries); lse may be NULL */
    int64_t queries, keys, width;
    int64_t origin; /* of the first query among the keys */
    int64_t q_ld, kv_ld, o_ld, lse_ld;
    bool causal; /* query i sees keys 0 to origin + i */
    float scale;
};

/* How many keys query i sees. */
static inline int64_t para_attend_visible(const struct para_attend *a, int64_t i)
{
    int64_t keys = a->origin + i + 1;
    return a->causal && keys < a->keys ? keys : a->keys;
}

/* o = softmax(scale q k^T) v, lse = log of the sum of exp of the scaled scores. */
void para_attend(const struct para_attend *a, float scratch[PARA_ATTEND_FLOATS]);

#endif
