/* Which nodes of a small graph must be ordered, by brute force and straight from the definition: two nodes that touch
 * one storage, one of them writing it. The analyzer's measure; it shares no code with it. */
#ifndef PARA_TESTS_CONFLICTS_H
#define PARA_TESTS_CONFLICTS_H

#include "tests/support.h"

#include "graph/ir.h"

enum { MAX_NODES = 64, KINDS = 3 };

/* Row j has a bit for every node i that stands before j in program order and must be done before it. */
struct relation {
    int n;
    uint64_t row[MAX_NODES];
};

/* Conflicts by kind: who writes the storage that both touch. */
struct conflicts {
    struct relation kind[KINDS];
};

/* The storage that a tensor stands in: its buffer by `map`, or, where that is NULL, its first version's id. */
int storage_of(const para_tensor *t, const int *map);
/* Whether a node reads a storage or, with `writes`, writes it. */
bool touches(const para_node *n, int storage, bool writes, const int *map);

struct conflicts find_conflicts(const para_graph *g, const int *map);
/* All conflicts but those that are of the kind `but` alone; -1 leaves none out. */
struct relation conflicts_but(const struct conflicts *c, int but);

bool has(const struct relation *r, int from, int to);
struct relation closure(const struct relation *direct);
/* Pairs of a that b lacks. */
int count_missing(const struct relation *a, const struct relation *b);

#endif
