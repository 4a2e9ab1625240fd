/* Byte pair encoding: pairs of tokens are merged, lowest rank first, leftmost first. */
#ifndef PARA_IO_BPE_H
#define PARA_IO_BPE_H

#include <paragraph/types.h>

enum { PARA_NO_RANK = UINT32_MAX };

/* A pair that is merged. */
struct para_bpe_pair {
    int32_t left, right;
    uint32_t rank; /* 1 + the rank; 0: none */
};

struct para_bpe {
    struct para_bpe_pair *slots; /* by open addressing */
    size_t capacity;             /* a power of 2, at least twice the pairs */
    size_t pairs;
    int32_t *made; /* the token that the merge of each rank makes */
    size_t merges;
};

/* Append a merge: of the pair left, right into `made`, by the next rank, or, where it `ties`, by the last one, which
 * must make the same. Returns the rank that the pair has already, as an error; else PARA_NO_RANK. Room must have been
 * reserved. */
uint32_t para_bpe_add(struct para_bpe *b, int32_t left, int32_t right, int32_t made, bool ties);
/* Make room for one merge more. */
int para_bpe_reserve(struct para_bpe *b, para_error *err);
void para_bpe_free(struct para_bpe *b);
/* The pairs by rank, those of one rank by their ids; b->pairs of them, to be freed. NULL without memory. */
struct para_bpe_pair *para_bpe_list(const struct para_bpe *b);

/* Merge a word's n tokens, at least 1, in place; returns how many are left, or a status. */
int64_t para_bpe_merge(const struct para_bpe *b, int32_t *ids, size_t n, para_error *err);

#endif
