/* What reductions over listed axes share: the list as the attribute of position 0, "" for all axes. */
#ifndef PARA_OPS_REDUCE_H
#define PARA_OPS_REDUCE_H

#include "graph/op.h"

/* y: x's axes but the listed ones, each of which x must have. */
int para_reduce_infer(const para_node *n, struct para_shape out[], para_error *err);
/* Listed axes are reduced, others parallel. */
enum para_role para_reduce_role(const para_node *n, const char *axis, int output, const char **why);
/* One FLOP per element of x. */
void para_reduce_cost(const para_node *n, struct para_cost *c);

#endif
