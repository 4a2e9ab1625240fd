/* What norms share: they work along the last axis of x, the one axis of gamma, and save statistics of each row.
 *   x (*, C), gamma (C), more parameters (C) -> y (*, C), statistics (*)
 *   x (*, C), gamma (C), statistics (*), dy (*, C) -> dx (*, C), gradients of the parameters (C) */
#ifndef PARA_OPS_NORM_H
#define PARA_OPS_NORM_H

#include "graph/op.h"

/* C of x, input 0. */
const struct para_extent *para_norm_dim(const para_node *n);
/* The rows of a tile of x: all its elements but along C. */
int64_t para_norm_rows(const para_node *n);

/* Describe y and `statistics` outputs more, or fail unless inputs from 1 on are parameters and attribute 0, eps, isn't
 * negative. */
int para_norm_infer(const para_node *n, int statistics, struct para_shape out[], para_error *err);
/* Describe dx and the gradients of `parameters`, or fail unless the inputs are as above. */
int para_norm_backward_infer(const para_node *n, int parameters, struct para_shape out[], para_error *err);

/* A norm needs the whole of C; all other axes are parallel. */
enum para_role para_norm_role(const para_node *n, const char *axis, int output, const char **why);
/* The same for dx, while the gradients of parameters are sums over all other axes. */
enum para_role para_norm_backward_role(const para_node *n, const char *axis, int output, const char **why);

#endif
