/* What infer() of several ops asks of inputs, and costs that several share. */
#ifndef PARA_OPS_NEED_H
#define PARA_OPS_NEED_H

#include "graph/op.h"

/* Fail unless input i is a scalar of this element type. */
int para_need_scalar(const para_node *n, int i, para_dtype dtype, para_error *err);

/* Fail unless input i is of a type that parameters have. */
int para_need_weights(const para_node *n, int i, para_error *err);

/* Return the index of the dimension of input i called axis, or fail. */
int para_need_axis(const para_node *n, int i, const char *axis, para_error *err);

/* Fail unless the axes of input j are some or all of those of input i, and both are float32. */
int para_need_part(const para_node *n, int i, int j, para_error *err);

/* The cost of an op that moves elements and computes nothing. */
void para_cost_move(const para_node *n, struct para_cost *c);

#endif
