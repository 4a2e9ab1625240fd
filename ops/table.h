/* Every op's row, and its CUDA kernel where it has one. */
#ifndef PARA_OPS_TABLE_H
#define PARA_OPS_TABLE_H

#include "graph/op.h"

#define PARA_OP(name)                                                                                                  \
    extern const struct para_op para_op_##name;                                                                        \
    int para_##name##_cuda(const struct para_call *c);                                                                 \
    int para_##name##_cuda_many(const struct para_call calls[], int count);                                            \
    size_t para_##name##_cuda_scratch(const para_node *n);
#include "ops/list.h"
#undef PARA_OP

#endif
