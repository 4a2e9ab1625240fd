/* Moving bytes between dense tensors, on whatever device the call is: ops that compute nothing are written with these
 * once for all. */
#ifndef PARA_OPS_MOVE_H
#define PARA_OPS_MOVE_H

#include "graph/op.h"

/* A tensor as (outer, extent, inner bytes) around one of its dimensions. */
struct para_planes {
    int64_t outer, extent;
    size_t inner_bytes;
};

struct para_planes para_planes_of(const struct para_shape *s, int dim);

/* Copy `count` planes of x from number x_first on to y from number y_first on; outer and inner are alike. */
int para_move_planes(const struct para_call *c, struct para_planes y_planes, void *y, int64_t y_first,
                     struct para_planes x_planes, const void *x, int64_t x_first, int64_t count);

/* Output 0 = input 0, byte for byte. */
int para_move_all(const struct para_call *c);

/* Output 0 = zeros. */
int para_move_zeros(const struct para_call *c);

/* The same on a GPU, in ops/move.cu. */
int para_move_planes_cuda(const struct para_call *c, struct para_planes y_planes, void *y, int64_t y_first,
                          struct para_planes x_planes, const void *x, int64_t x_first, int64_t count);
int para_move_all_cuda(const struct para_call *c);
int para_move_zeros_cuda(const struct para_call *c);

#endif
