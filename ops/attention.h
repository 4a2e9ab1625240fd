/* The planes of a call to attention or its gradient, one for each batch element and head, for kernels of any device. */
#ifndef PARA_OPS_ATTENTION_H
#define PARA_OPS_ATTENTION_H

#include "graph/op.h"
#include "kernels/attend.h"

int64_t para_attention_planes(const para_node *n);
int64_t para_attention_heads(const para_node *n);
/* Keys of a plane. */
int64_t para_attention_keys(const para_node *n);

/* Plane number p = batch element * heads + head. o and lse, outputs of the one op and inputs of the other, are those of
 * the whole call. */
struct para_attend para_attention_plane(const struct para_call *c, int64_t p, void *o, void *lse);

/* Of the gradient's plane a: what it reads and writes beside; d_o is that of the whole call. */
struct para_attend_slopes para_attention_slopes(const struct para_call *c, const struct para_attend *a,
                                                const float *d_o);

/* Whether the gradient's output 0 has slopes of queries that the node doesn't have, which are 0. */
bool para_attention_leaves_queries(const para_node *n);

#endif
