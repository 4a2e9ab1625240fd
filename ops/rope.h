/* What rope turns, for kernels of any device. */
#ifndef PARA_OPS_ROPE_H
#define PARA_OPS_ROPE_H

#include "graph/op.h"

enum { PARA_ROPE_MOST = 256 }; /* pairs of a head */

/* Pair i of a head is its elements i step and i step + apart; those from 2 pairs on stay as they are. */
struct para_rope {
    int64_t width, pairs, step, apart;
    float amplitude;
    double turns[PARA_ROPE_MOST]; /* of pair i from one position to the next: 1 is a whole one */
};

/* That of a node, or its inverse for the gradient's: turns are then negative. */
struct para_rope para_rope_of(const para_node *n, bool inverse);

#endif
