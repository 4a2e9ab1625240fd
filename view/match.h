/* Which nodes of two graphs are the same. */
#ifndef PARA_VIEW_MATCH_H
#define PARA_VIEW_MATCH_H

#include "base/arena.h"
#include "graph/ir.h"

/* A node of one graph, or of both; or the parts of one node, several on a side. */
struct para_match {
    int a, b;     /* id of the first on either side; -1: none */
    int n_a, n_b; /* how many there are */
};

struct para_matching {
    const para_graph *a, *b;
    struct para_match *matches; /* in the order of `b`, what `a` alone has where it stands there */
    int count;
    int *of_a, *of_b; /* by node id: which match it belongs to */
    struct para_arena arena;
};

/* Match by scope, name and part; then those that are left by origin, op and scope. Returns 0 or PARA_ENOMEM. */
int para_matching_new(struct para_matching *out, const para_graph *a, const para_graph *b, para_error *err);
void para_matching_free(struct para_matching *m);

/* The node of a match, b's if it has one. */
const para_node *para_match_node(const struct para_matching *m, const struct para_match *match);
/* How the two sides of a match differ, in words; "" if they don't; NULL when memory runs out. */
const char *para_match_change(struct para_matching *m, const struct para_match *match);

#endif
