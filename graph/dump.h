/* What the dumps share: scopes by component, classes of nodes, folding, numbers as text. */
#ifndef PARA_GRAPH_DUMP_H
#define PARA_GRAPH_DUMP_H

#include "graph/ir.h"

#include <stdio.h>

enum para_class { PARA_CLASS_FORWARD, PARA_CLASS_BACKWARD, PARA_CLASS_OPTIMIZER };

/* Backward nodes that update what is kept between runs, or stand in the scope "optimizer", are the optimizer's. */
enum para_class para_class_of(const para_node *n);
const char *para_class_name(enum para_class c);

/* Length of a scope's first `depth` components, all of it if it has fewer; "layer.3" is one component. */
size_t para_scope_cut(const char *scope, int depth);
/* Number of components; 0 for "". */
int para_scope_depth(const char *scope);

/* What is drawn as one: a node, or all nodes of one class whose scopes lie in one folded scope. */
struct para_unit {
    const para_node *first; /* in program order */
    enum para_class class;
    bool folded;
    size_t scope_bytes; /* of first->scope: the folded scope; of a node alone, its whole scope */
    int nodes;
};

struct para_fold {
    struct para_unit *units; /* in order of their first nodes */
    int count;
    int *of; /* node id -> unit */
};

/* Fold scopes of `depth` components and what lies below them; 0 leaves every node alone. */
int para_fold_new(struct para_fold *out, const para_graph *g, int depth, para_error *err);
void para_fold_free(struct para_fold *f);

/* Return the first node in program order that reads each tensor, by tensor id (NULL: none); free() it. */
const para_node **para_first_readers(const para_graph *g);

/* Write "24 nodes: 6 matmul, 2 add": a unit's nodes by op, most frequent first. Returns 0 or PARA_ENOMEM. */
int para_unit_ops(const struct para_fold *f, int unit, const para_graph *g, FILE *out);

/* The shortest decimal that reads back as the same double, with a point in every locale; "inf", "-inf", "nan". */
enum { PARA_DOUBLE_TEXT = 40 };
char *para_double_text(double value, char buffer[PARA_DOUBLE_TEXT]);

/* Names by para_kind and para_init_kind; NULL ends the lists. */
extern const char *const para_kind_names[], *const para_init_names[];

/* Write "1.23 GFLOP" for the unit "FLOP": three digits and a decimal prefix. */
void para_quantity(double value, const char *unit, FILE *out);

/* Write a string of JSON. Returns false if it isn't UTF-8; what isn't is then U+FFFD. */
bool para_json_string(FILE *out, const char *string);

/* Flush; PARA_EIO if anything could not be written. */
int para_dump_finish(FILE *out, const char *what, para_error *err);

/* Write what splits did to a graph: how many nodes of each op were cut, what was left whole and why, and where
 * the parameters' bytes lie. Nothing for a graph neither split nor placed. */
int para_dump_splits(const para_graph *g, FILE *out, para_error *err);

#endif
