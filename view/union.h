/* Two graphs as one, to be drawn: the nodes of both in one order, each with what the comparison says of it.
 *
 * The nodes are the second graph's, and where they stood what the first alone has, reading what stands for what it read
 * there. The union is no graph that could run: it may have cycles, and no pass may be given it. */
#ifndef PARA_VIEW_UNION_H
#define PARA_VIEW_UNION_H

#include "view/match.h"

/* What stands before what both have, what differs, what the first alone has, and the second. */
enum para_sign { PARA_SAME, PARA_CHANGED, PARA_ONLY_A, PARA_ONLY_B, PARA_SIGNS };
extern const char para_signs[PARA_SIGNS];
enum para_sign para_match_sign(const struct para_match *match, const char *change);

/* That a node reads a value, by their ids in the union. */
struct para_read {
    int node, tensor;
};

struct para_union {
    const para_graph *a, *b;
    struct para_graph graph;
    int *of_a, *of_b;         /* by node of either graph: its id here, or that of the first that stands for it */
    int *in_b;                /* by node: its id in the second graph; -1: it is the first's alone */
    int *in_a;                /* by node: the first of the first graph's that it stands for; -1: none */
    int *value_of_a;          /* by value of the first graph: its id here; those of the second keep theirs */
    enum para_sign *sign;     /* by node */
    const char **change;      /* by node: how it differs; "" */
    struct para_read *only_a; /* what nodes of both read in the first graph alone */
    int n_only_a;
    struct para_arena arena;
};

/* `m` and its graphs must live as long. Returns 0 or PARA_ENOMEM. */
int para_union_new(struct para_union *out, struct para_matching *m, para_error *err);
void para_union_free(struct para_union *u);

/* Whether a node reads a value, both of the union. */
bool para_union_reads(const para_node *n, const para_tensor *t);

#endif
