/* A graph's nodes in any order over any sharing of buffers, held to their values in program order. */
#ifndef PARA_TESTS_REPLAY_H
#define PARA_TESTS_REPLAY_H

#include "tests/support.h"

#include "graph/ir.h"

/* A graph with the bytes of every value as program order makes them, each value in memory of its own. */
struct replay;

struct replay *replay_new(const para_graph *g, uint64_t seed);
void replay_free(struct replay *r);

/* Run every node once, in this order, with the production kernels, tensors sharing buffers as `buffers` says (NULL:
 * an update shares its old version's). Returns whether all bytes are those of program order: of each node's results
 * when made, and of every buffer at the end. */
bool replay_agrees(struct replay *r, const int *buffers, const int *order);

#endif
