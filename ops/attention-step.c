/* attention_step: a token's attention, with what brings it there, in one: graph/fuse.c makes these nodes for GPUs.
 *   x (B, 1, 3, H, D), keys and values (B, S, H, D), position (B)
 *   and, or not, prefix keys and values (P, H, D), prefix (B)
 *   and, or not, row (B), the last input: then keys and values are (R, S, H, D)
 *   -> o (B, 1, H, D), keys', values', in place:
 *   q, k and v are taken out of x, k and v go into the caches, and q attends to what these hold then. */
#include "graph/pattern.h"
#include "ops/heads.h"
#include "ops/table.h"

#include <string.h>

enum { ATTEND, APPEND, UNSTACK };

/* x holds one position, q, k and v in this order before heads; heads are as wide as kernels know. */
static bool fuse(const para_node *const of[], union para_attr attr[])
{
    const struct para_shape *x = &of[UNSTACK]->in[0]->shape, *keys = &of[APPEND]->in[0]->shape;
    int64_t width = para_heads_of(&of[ATTEND]->in[0]->shape).width;
    para_fused_attributes(of, 3, attr);
    return x->rank == 5 && x->dim[1].extent == 1 && x->dim[1].whole == 1 && keys->rank == 4 &&
           strcmp(x->dim[2].axis, of[UNSTACK]->attr[0].s) == 0 && (width == 64 || width == 128);
}

const struct para_op para_op_attention_step = {
    .name = "attention_step",
    .attrs = {{"window", PARA_ATTR_INT}, {"axis", PARA_ATTR_STRING}},
    .optional = "window",
    .types = "T:f32|bf16 T T i32 -> T T T; T:f32|bf16 T T i32 i32 -> T T T; "
             "T:f32|bf16 T T i32 T T i32 -> T T T; T:f32|bf16 T T i32 T T i32 i32 -> T T T",
    .updates = {0, 2, 3},
    .infer = para_fused_infer,
    .role = para_fused_role,
    .cost = para_fused_cost,
    .fuses = "x s t p -> o keys values: o = attention_cached(q, keys, values, p); "
             "keys values = cache_append(s, t, k, v, p); q k v = unstack(x) | "
             "x s t p r -> o keys values: o = attention_cached(q, keys, values, p, r); "
             "keys values = cache_append(s, t, k, v, p, r); q k v = unstack(x) | "
             "x s t p m n f -> o keys values: o = attention_cached(q, keys, values, p, m, n, f); "
             "keys values = cache_append(s, t, k, v, p, f); q k v = unstack(x) | "
             "x s t p m n f r -> o keys values: o = attention_cached(q, keys, values, p, m, n, f, r); "
             "keys values = cache_append(s, t, k, v, p, f, r); q k v = unstack(x)",
    .fuse = fuse,
    .scratch = para_fused_scratch,
    .cpu = para_fused_cpu,
    .cuda = PARA_CUDA(para_attention_step_cuda),
    .complain = para_fused_complain,
};
