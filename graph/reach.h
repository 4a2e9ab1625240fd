/* Which nodes of a graph precede which, while what waits for what is still being found out.
 *
 * Nodes are taken in program order, and each is told whom it waits for. A set of ancestors per node would take n²/8
 * bytes. Here the graph is laid out in chains, rows of nodes that follow each other, and a node keeps only the latest
 * ancestor of each chain: all nodes before that one in the chain are ancestors too. Nodes near each other have nearly
 * the same ancestors, so that these tables are trees of blocks, most of which they share.
 *
 *     a -> b -> d -> e        chains a b d e and c: e keeps d and c, d keeps b and c; b and c keep a
 *     a -> c -> d
 *
 * A table of the latest ancestor by chain: Jagadish, "A compression technique to materialize transitive closure",
 * 1990. */
#ifndef PARA_GRAPH_REACH_H
#define PARA_GRAPH_REACH_H

#include "graph/ir.h"

struct para_reach;

/* The blocks that tables may take, 64 bytes each, so that a graph of unrelated long rows can't fill the memory. Past
 * them tables are incomplete, and questions are answered by a search. */
#define PARA_REACH_BLOCKS(nodes) ((1 << 20) + 32 * (size_t)(nodes))

/* An index of g's nodes, none of which waits for another yet; NULL when memory runs out. */
struct para_reach *para_reach_new(const para_graph *g, size_t most_blocks);
void para_reach_free(struct para_reach *r);

/* Begin anew: no node waits for another. */
void para_reach_restart(struct para_reach *r);

/* Let a node wait for one before it. When memory runs out, para_reach_close() says so. */
void para_reach_wait(struct para_reach *r, int before, int node);
/* A node has all its waits, and the next in program order begins. Returns 0 or PARA_ENOMEM. */
int para_reach_close(struct para_reach *r, int node);

/* Whether `before`, which is closed, precedes another node that has begun. Where tables are incomplete, a search of so
 * many nodes may give up, and the answer may be false though it does. PARA_REACH_SURELY searches to the end. */
enum { PARA_REACH_SEARCH = 256, PARA_REACH_SURELY = -1 };
bool para_reach_precedes(const struct para_reach *r, int before, int node, int most);

#endif
