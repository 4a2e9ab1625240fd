/* What infer() of several ops asks of inputs and says of outputs, and costs that several share. Types stand in an op's
 * signature; these look at axes alone. */
#ifndef PARA_OPS_NEED_H
#define PARA_OPS_NEED_H

#include "graph/op.h"

/* Fail unless input i is a scalar (PARA_ESHAPE). */
int para_need_scalar(const para_node *n, int i, para_error *err);

/* Return the index of the dimension of input i called axis, or fail (PARA_EAXIS). */
int para_need_axis(const para_node *n, int i, const char *axis, para_error *err);

/* Fail unless inputs i and j have the same axes in the same order (PARA_ESHAPE; so all that follow). */
int para_need_same(const para_node *n, int i, int j, para_error *err);

/* Fail unless all inputs have the same axes in the same order. */
int para_need_alike(const para_node *n, para_error *err);

/* Fail unless the axes of input j are some or all of those of input i. */
int para_need_part(const para_node *n, int i, int j, para_error *err);

/* Fail unless input i has these axes, as infer() describes them. */
int para_need_shape(const para_node *n, int i, const struct para_shape *expected, para_error *err);

/* An infer() of outputs that are scalars. */
int para_infer_scalar(const para_node *n, struct para_shape out[], para_error *err);

/* Append to an output the dimensions of input i. Returns 0. */
int para_infer_like(const para_node *n, int i, struct para_shape *out);

/* Append to an output the dimensions of input i but the axis. Returns 0. */
int para_infer_without(const para_node *n, int i, const char *axis, struct para_shape *out);

/* The cost of an op that moves elements and computes nothing. */
void para_cost_move(const para_node *n, struct para_cost *c);

#endif
