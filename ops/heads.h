/* What the ops of attention have in common: queries, and the keys and values that they read.
 *   q, o   (B, T, H, D) or (B, T, H, G, D): the G queries of a position and head read the same keys and values; without
 *          that axis G is 1. With G the number of heads of queries by those of keys, this is grouped-query attention
 *          (Ainslie et al., 2023), and with H = 1 it is multi-query attention (Shazeer, 2019).
 *   k, v   (B, S, H, D), or (S, H, D) where all of B read the same
 * Inputs 0, 1 and 2 of these ops are q, k and v, but where attention takes them stacked. */
#ifndef PARA_OPS_HEADS_H
#define PARA_OPS_HEADS_H

#include "graph/op.h"
#include "kernels/attend.h"

/* Extents of a tile of q. */
struct para_heads {
    int64_t batch, seq, heads, readers, width;
};

struct para_heads para_heads_of(const struct para_shape *q);

/* Extent of the axis along which keys and values of a tile follow each other. */
int64_t para_keys_extent(const struct para_shape *k);

/* Fail unless input 0 is like q and inputs i and i + 1, alike, like k, of rank `least` to `most`; `expected` lists k's
 * axes. */
int para_need_keys(const para_node *n, int i, int least, int most, const char *expected, para_error *err);

/* Fail unless they are like k, of rank 4, but with an axis of their own in place of the batch. */
int para_need_keys_apart(const para_node *n, int i, const char *expected, para_error *err);

/* The role in o: parallel over q's axes but the last, which is whole as that of the keys is. */
enum para_role para_heads_role(const para_node *n, const char *axis, int output, const char **why);

/* Inputs other than q don't follow a loop over their keys. */
bool para_heads_follow(const para_node *n, const char *axis, int in);

/* Batch element b and head h of a tile, with the keys and values of row number `row`: all but o, lse and causal. */
struct para_attend para_heads_attend(const para_node *n, void *const in[], int64_t b, int64_t row, int64_t h);
/* Where they begin in an operand like q. */
int64_t para_heads_offset(const struct para_heads *s, int64_t b, int64_t h);

/* The scaled score of query i for key j, by the formula; o, of which sum (D) is room for one, and lse of all queries of
 * one head. */
double para_heads_score(const struct para_attend *a, int64_t i, int64_t j);
void para_heads_reference(const struct para_attend *a, double *sum);

#endif
