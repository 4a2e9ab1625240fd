/* attention_cached: causal attention of new positions over caches of keys and values.
 *   q (B, T, H, [G,] D), keys and values ([B,] S, H, D), position (B)
 *   and, or not, prefix keys and values (P, H, D), prefix (B) -> o like q                        G: see ops/heads.h
 *   and, or not, row (B), the last input: then keys and values are (R, S, H, D)                     see ops/rows.h
 * Row b's query t stands at position[b] + t and sees what is kept of up to there, itself included: positions 0 to
 * prefix[b] - 1 in the prefix, which all rows read, later ones in the caches, from their beginning on; with a `window`
 * W more than 0, the last W of these. A row whose position is -1 is empty: its o is 0. B, T, H and G are parallel; keys
 * are read whole along S and P. A tile of R gives the o of the rows that it has and 0 for the others, so that R is
 * reduced. It has no gradient: caches are for inference. */
#include <paragraph/ops.h>

#include "base/checked.h"
#include "ops/cache.h"
#include "ops/heads.h"
#include "ops/need.h"
#include "ops/table.h"

#include <string.h>

enum { Q, KEYS, VALUES, POSITION, PREFIX_KEYS, PREFIX_VALUES, PREFIX, MOST }; /* inputs, then row */

static bool has_prefix(const para_node *n)
{
    return n->n_in >= MOST;
}

static bool has_row(const para_node *n)
{
    return n->n_in == POSITION + 2 || n->n_in == MOST + 1;
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    if (n->attr[0].i < 0)
        return para_fail(err, PARA_ERANGE, "window is %lld, expected 0 or more", (long long)n->attr[0].i);
    if (has_row(n)) {
        PARA_TRY(para_need_keys_apart(n, KEYS, "(rows, cache, heads, head_dim)", err));
        PARA_TRY(para_need_rows(n, n->n_in - 1, Q, err));
    } else
        PARA_TRY(para_need_keys(n, KEYS, 3, 4, "(batch, cache, heads, head_dim) or (cache, heads, head_dim)", err));
    PARA_TRY(para_need_rows(n, POSITION, Q, err));
    if (has_prefix(n)) {
        PARA_TRY(para_need_keys(n, PREFIX_KEYS, 3, 3, "(prefix, heads, head_dim)", err));
        PARA_TRY(para_need_rows(n, PREFIX, Q, err));
    }
    return para_infer_like(n, 0, out);
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    if (has_row(n) && strcmp(axis, n->in[KEYS]->shape.dim[0].axis) == 0)
        return PARA_REDUCE;
    return para_heads_role(n, axis, output, why);
}

static bool follows(const para_node *n, const char *axis, int in)
{
    bool prefix = has_prefix(n) && (in == PREFIX_KEYS || in == PREFIX_VALUES);
    return para_heads_follow(n, axis, in) && !(prefix && strcmp(axis, n->in[in]->shape.dim[0].axis) == 0);
}

static int64_t kept(const para_node *n)
{
    return para_keys_extent(&n->in[KEYS]->shape) + (has_prefix(n) ? para_keys_extent(&n->in[PREFIX_KEYS]->shape) : 0);
}

/* At most what the caches hold; how much of it is known at the run alone. */
static void cost(const para_node *n, struct para_cost *c)
{
    struct para_heads s = para_heads_of(&n->in[Q]->shape);
    int64_t seen = n->attr[0].i ? para_smaller(n->attr[0].i, kept(n)) : kept(n);
    c->flops = (double)(s.batch * s.seq * s.heads * s.readers * seen) * (4.0 * (double)s.width + 20.0);
}

static size_t scratch(const para_node *n)
{
    struct para_heads s = para_heads_of(&n->in[Q]->shape);
    size_t floats = s.seq == 1 ? para_attend_step_scratch(s.batch, s.heads, s.readers)
                               : para_attend_scratch(s.seq, kept(n), s.width);
    size_t row = (size_t)s.width * sizeof(double);
    return floats * sizeof(float) > row ? floats * sizeof(float) : row;
}

struct para_rows para_cached_rows(const struct para_call *c)
{
    const para_node *n = c->node;
    return (struct para_rows){.position = c->in[POSITION],
                              .prefix = has_prefix(n) ? c->in[PREFIX] : NULL,
                              .row = has_row(n) ? c->in[n->n_in - 1] : NULL};
}

struct para_rows_bounds para_cached_bounds(const para_node *n)
{
    int64_t own = para_keys_extent(&n->in[KEYS]->shape);
    return (struct para_rows_bounds){
        .longest = kept(n) - own, .kept = own, .caches = n->in[has_row(n) ? KEYS : Q]->shape.dim[0]};
}

/* Head h of row b, whose keys are row number `row` of the caches' tile. */
static struct para_attend plane_of(const struct para_call *c, const struct para_rows *rows, int64_t b, int64_t row,
                                   int64_t h)
{
    struct para_heads s = para_heads_of(&c->node->in[Q]->shape);
    struct para_attend a = para_heads_attend(c->node, c->in, b, row, h);
    a.o = (float *)c->out[0] + para_heads_offset(&s, b, h);
    a.past += rows->position[b];
    a.causal = true;
    a.window = c->node->attr[0].i;
    if (has_prefix(c->node)) {
        a.prefix_k = (const float *)c->in[PREFIX_KEYS] + h * a.width;
        a.prefix_v = (const float *)c->in[PREFIX_VALUES] + h * a.width;
        a.prefix = rows->prefix[b];
        a.keys += a.prefix;
    }
    return a;
}

static void clear_row(const struct para_call *c, int64_t b)
{
    const struct para_shape *o = &c->node->out[0]->shape;
    size_t bytes = para_shape_bytes(o) / (size_t)o->dim[0].extent;
    memset((char *)c->out[0] + (size_t)b * bytes, 0, bytes);
}

/* One position of each row. Memory gives most where it is read in order, and a row's keys lie one behind another with
 * all their heads; rows take turns at blocks of keys, so that a prefix which they share is in the core's cache. */
static void step(const struct para_call *c, const struct para_rows *rows, const struct para_rows_bounds *bounds)
{
    struct para_heads s = para_heads_of(&c->node->in[Q]->shape);
    bool more = true;
    for (int64_t block = 0; more; block++) {
        more = false;
        for (int64_t b = 0; b < s.batch; b++) {
            int64_t row = para_rows_at(rows, bounds, b);
            if (row < 0)
                continue;
            struct para_attend a = plane_of(c, rows, b, row, 0);
            more |= para_attend_step(&a, b, s.heads, block, c->scratch);
        }
    }
}

/* Heads one after another, of each all rows. */
static void each_head(const struct para_call *c, const struct para_rows *rows, const struct para_rows_bounds *bounds,
                      bool by_reference)
{
    struct para_heads s = para_heads_of(&c->node->in[Q]->shape);
    for (int64_t i = 0; i < s.heads * s.batch; i++) {
        int64_t h = i / s.batch, b = i % s.batch, row = para_rows_at(rows, bounds, b);
        if (row < 0)
            continue;
        struct para_attend a = plane_of(c, rows, b, row, h);
        if (by_reference)
            para_heads_reference(&a, c->scratch);
        else
            para_attend(&a, c->scratch);
    }
}

static int attend(const struct para_call *c, bool by_reference)
{
    const para_node *n = c->node;
    struct para_heads s = para_heads_of(&n->in[Q]->shape);
    struct para_rows rows = para_cached_rows(c);
    struct para_rows_bounds bounds = para_cached_bounds(n);
    PARA_TRY(para_rows_check(&rows, &bounds, n->in[POSITION], c->err));
    for (int64_t b = 0; b < s.batch; b++)
        if (para_rows_at(&rows, &bounds, b) < 0)
            clear_row(c, b);
    if (s.seq == 1 && !by_reference)
        step(c, &rows, &bounds);
    else
        each_head(c, &rows, &bounds, by_reference);
    return 0;
}

static int complain(const para_node *n, int64_t at, int32_t value, para_error *err)
{
    struct para_rows_bounds bounds = para_cached_bounds(n);
    return para_rows_complain(&bounds, has_prefix(n), n->in[POSITION], at, value, err);
}

static int reference(const struct para_call *c)
{
    return attend(c, true);
}

static int cpu(const struct para_call *c)
{
    return attend(c, false);
}

const struct para_op para_op_attention_cached = {
    .name = "attention_cached",
    .attrs = {{"window", PARA_ATTR_INT}},
    .optional = "window",
    .types = "T:f32|bf16 T T i32 -> T; T:f32|bf16 T T i32 i32 -> T; "
             "T:f32|bf16 T T i32 T T i32 -> T; T:f32|bf16 T T i32 T T i32 i32 -> T",
    .float32 = true,
    .infer = infer,
    .role = role,
    .follows = follows,
    .cost = cost,
    .scratch = scratch,
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_attention_cached_cuda),
    .cuda_scratch = PARA_CUDA(para_attention_cached_cuda_scratch),
    .complain = complain,
};

para_tensor *para_attention_cached(para_graph *g, para_tensor *q, para_tensor *keys, para_tensor *values,
                                   para_tensor *prefix_keys, para_tensor *prefix_values, const para_cache_rows *rows,
                                   int64_t window)
{
    para_tensor *in[MOST + 1] = {q, keys, values, rows->position};
    int n_in = POSITION + 1;
    if (rows->prefix) {
        in[n_in++] = prefix_keys;
        in[n_in++] = prefix_values;
        in[n_in++] = rows->prefix;
    }
    if (rows->row)
        in[n_in++] = rows->row;
    return para_apply(&para_op_attention_cached, g, in, n_in, PARA_ATTRS({.i = window}));
}
