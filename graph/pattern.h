/* What an op of several in one stands for, as its row writes it (op->fuses):
 *
 *     "a b c r -> z: z = add(r, y); y = add(m, c); m = matmul(a, b)"
 *
 * are its inputs and outputs, in their order, and the nodes, each before those whose results it reads. A row may have
 * several forms, "... | ...", which differ in how many inputs or outputs they have, or in their ops. */
#ifndef PARA_GRAPH_PATTERN_H
#define PARA_GRAPH_PATTERN_H

#include "graph/op.h"

enum { PARA_PATTERN_NODES = 8, PARA_PATTERN_NAMES = 20, PARA_PATTERN_OPERANDS = 10 };

/* A node of a pattern; values by number. */
struct para_statement {
    const struct para_op *op;
    int in[PARA_PATTERN_OPERANDS], out[PARA_MAX_OUT], n_in, n_out;
};

struct para_pattern {
    const struct para_op *op;
    const char *name[PARA_PATTERN_NAMES]; /* where it begins in the text */
    int names, in[PARA_PATTERN_OPERANDS], out[PARA_MAX_OUT], n_in, n_out, count;
    struct para_statement node[PARA_PATTERN_NODES];
};

/* Read form number `form` of what an op fuses; false if it has no such form. */
bool para_pattern_read(struct para_pattern *p, const struct para_op *op, int form);

/* --- an op that is nothing but what it stands for ---
 *
 * Its attributes are those of its nodes, in the order of the text, and these functions are its row: infer, role, cost,
 * scratch, and a kernel for CPUs that runs the nodes' own, one after another. It comes after splits and can't be cut.
 */
int para_fused_infer(const para_node *n, struct para_shape out[], para_error *err);
enum para_role para_fused_role(const para_node *n, const char *axis, int output, const char **why);
void para_fused_cost(const para_node *n, struct para_cost *c);
size_t para_fused_scratch(const para_node *n);
int para_fused_cpu(const struct para_call *c);
/* What the first of its nodes that can find something wrong says of a value. */
int para_fused_complain(const para_node *n, int64_t position, int32_t value, para_error *err);

/* Set its attributes: those of the nodes it stands for, in the order of the text. */
void para_fused_attributes(const para_node *const of[], int count, union para_attr attr[]);

/* The nodes that a node of such an op stands for, in the order of the text, and the values between them, made anew on
 * the node's own operands. */
struct para_fused {
    struct para_pattern pattern;
    para_tensor value[PARA_PATTERN_NAMES];
    para_tensor *in[PARA_PATTERN_NODES][PARA_PATTERN_OPERANDS], *out[PARA_PATTERN_NODES][PARA_MAX_OUT];
    para_node node[PARA_PATTERN_NODES];
};
/* Returns 0, or fails where the operands don't fit. */
int para_fused_open(struct para_fused *f, const para_node *n, para_error *err);

#endif
