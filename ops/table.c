/* The table of all ops, in alphabetical order. */
#include "ops/table.h"

#include <string.h>

const struct para_op *const para_op_table[] = {
    &para_op_adamw,
    &para_op_add,
    &para_op_arange,
    &para_op_attention,
    &para_op_attention_backward,
    &para_op_attention_cached,
    &para_op_broadcast,
    &para_op_cache_append,
    &para_op_cast,
    &para_op_clip_scale,
    &para_op_concat,
    &para_op_count_targets,
    &para_op_cross_entropy,
    &para_op_cross_entropy_backward,
    &para_op_dropout,
    &para_op_embedding,
    &para_op_embedding_backward,
    &para_op_embedding_backward_add,
    &para_op_fill,
    &para_op_gather,
    &para_op_gelu,
    &para_op_gelu_backward,
    &para_op_increment,
    &para_op_layernorm,
    &para_op_layernorm_backward,
    &para_op_logsumexp,
    &para_op_logsumexp_combine,
    &para_op_matmul,
    &para_op_matmul_add,
    &para_op_max,
    &para_op_merge,
    &para_op_mul,
    &para_op_norm,
    &para_op_permute,
    &para_op_reduce_max,
    &para_op_reduce_max_backward,
    &para_op_reduce_max_count,
    &para_op_reduce_sum,
    &para_op_rename,
    &para_op_scale,
    &para_op_schedule,
    &para_op_select,
    &para_op_sgd,
    &para_op_sgd_momentum,
    &para_op_slice,
    &para_op_slice_backward,
    &para_op_softmax,
    &para_op_softmax_backward,
    &para_op_sum,
    &para_op_sumsq,
    &para_op_tile,
    &para_op_unmerge,
    NULL,
};

const struct para_op *para_op_find(const char *name)
{
    size_t low = 0, high = sizeof para_op_table / sizeof para_op_table[0] - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, para_op_table[middle]->name);
        if (order == 0)
            return para_op_table[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
