/* Random legal graphs and random legal ways to share their buffers, the same for the same dice. */
#ifndef PARA_TESTS_RANDOM_GRAPH_H
#define PARA_TESTS_RANDOM_GRAPH_H

#include "tests/support.h"

#include "graph/ir.h"

/* A row of draws: Philox under a seed. */
struct dice {
    uint64_t seed, thrown;
};

/* A whole number from 0 to sides - 1. */
int roll(struct dice *d, int sides);

enum {
    RANDOM_UPDATES = 1,  /* sgd, sgd_momentum and increment on parameters, states and results, wherever they fit */
    RANDOM_TRAINING = 2, /* a loss, its gradients and sgd with momentum and clipping at the end; not with the first */
    RANDOM_WHOLES = 4    /* ops that can't be cut along some axis: norms, softmax, rename, slice, concat */
};

/* A sealed graph of about `calls` op calls on axes "rows", "cols" and "deep" of 2 to 5 elements, with inputs,
 * parameters, states, a count, outputs, and values that nobody reads. Values stay finite. */
para_graph *random_graph(struct dice *d, int calls, int features);

/* A graph of about `nodes` nodes in scopes that are opened, closed and entered again at random. Scopes of `width` words
 * stand in each other up to `depth`. */
para_graph *random_scopes(struct dice *d, int nodes, int depth, int width);

/* Buffer numbers by tensor id, to be freed: an update shares its old version's buffer, and three values in four take
 * over some buffer whose value nobody needs any more in program order, whatever its size, inputs' too. This adds
 * edges wherever it can. Parameters, states and outputs keep theirs. */
int *random_sharing(struct dice *d, const para_graph *g);

#endif
