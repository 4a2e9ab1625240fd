/* Dimensions as attributes: lists of words "heads 4 head_dim 32". */
#ifndef PARA_OPS_DIMS_H
#define PARA_OPS_DIMS_H

#include "graph/op.h"

enum {
    PARA_AXES_TEXT = PARA_MAX_RANK * (PARA_MAX_AXIS_NAME + 1) + 1,
    PARA_DIMS_TEXT = PARA_MAX_RANK * (PARA_MAX_AXIS_NAME + 22) + 1
};

/* Write a list, keeping an error in the graph and returning false for too many dimensions or too long a name. */
bool para_dims_write(para_graph *g, const para_dim *dims, char buffer[PARA_DIMS_TEXT]);

/* Append the dimensions that the node's attribute number a lists to s, or fail. */
int para_dims_append(const para_node *n, int a, struct para_shape *s, para_error *err);

/* Whether a list has this axis. */
bool para_dims_have(const char *list, const char *axis);

/* Write the axes' names of a list of dimensions, "heads head_dim". */
void para_dims_axes(const char *list, char buffer[PARA_AXES_TEXT]);

/* Write the axes of s that `other` has, or lacks, in s's order: "heads head_dim". */
void para_axes_list(const struct para_shape *s, const struct para_shape *other, bool has, char buffer[PARA_AXES_TEXT]);

#endif
