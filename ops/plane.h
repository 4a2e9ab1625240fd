/* Moving runs of planes along one dimension between dense tensors: slices, concatenations, tiles. */
#ifndef PARA_OPS_PLANE_H
#define PARA_OPS_PLANE_H

#include "graph/op.h"

/* A tensor as (outer, extent, inner bytes) around one of its dimensions. */
struct para_planes {
    int64_t outer, extent;
    size_t inner_bytes;
};

struct para_planes para_planes_of(const struct para_shape *s, int dim);

/* Copy `count` planes of x from number x_first on to y from number y_first on; outer and inner are alike. */
void para_planes_copy(struct para_planes y_planes, void *y, int64_t y_first, struct para_planes x_planes, const void *x,
                      int64_t x_first, int64_t count);

#endif
