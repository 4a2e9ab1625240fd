/* Every op's row. */
#ifndef PARA_OPS_TABLE_H
#define PARA_OPS_TABLE_H

#include "graph/op.h"

extern const struct para_op para_op_adamw;
extern const struct para_op para_op_add;
extern const struct para_op para_op_arange;
extern const struct para_op para_op_attention;
extern const struct para_op para_op_attention_backward;
extern const struct para_op para_op_attention_cached;
extern const struct para_op para_op_broadcast;
extern const struct para_op para_op_cache_append;
extern const struct para_op para_op_cast;
extern const struct para_op para_op_clip_scale;
extern const struct para_op para_op_concat;
extern const struct para_op para_op_count_targets;
extern const struct para_op para_op_cross_entropy;
extern const struct para_op para_op_cross_entropy_backward;
extern const struct para_op para_op_dropout;
extern const struct para_op para_op_embedding;
extern const struct para_op para_op_embedding_backward;
extern const struct para_op para_op_embedding_backward_add;
extern const struct para_op para_op_fill;
extern const struct para_op para_op_gather;
extern const struct para_op para_op_gelu;
extern const struct para_op para_op_gelu_backward;
extern const struct para_op para_op_increment;
extern const struct para_op para_op_layernorm;
extern const struct para_op para_op_layernorm_backward;
extern const struct para_op para_op_logsumexp;
extern const struct para_op para_op_logsumexp_combine;
extern const struct para_op para_op_matmul;
extern const struct para_op para_op_matmul_add;
extern const struct para_op para_op_max;
extern const struct para_op para_op_merge;
extern const struct para_op para_op_mul;
extern const struct para_op para_op_norm;
extern const struct para_op para_op_permute;
extern const struct para_op para_op_reduce_max;
extern const struct para_op para_op_reduce_max_backward;
extern const struct para_op para_op_reduce_max_count;
extern const struct para_op para_op_reduce_sum;
extern const struct para_op para_op_rename;
extern const struct para_op para_op_scale;
extern const struct para_op para_op_schedule;
extern const struct para_op para_op_select;
extern const struct para_op para_op_sgd;
extern const struct para_op para_op_sgd_momentum;
extern const struct para_op para_op_slice;
extern const struct para_op para_op_slice_backward;
extern const struct para_op para_op_softmax;
extern const struct para_op para_op_softmax_backward;
extern const struct para_op para_op_sum;
extern const struct para_op para_op_sumsq;
extern const struct para_op para_op_tile;
extern const struct para_op para_op_unmerge;

#endif
