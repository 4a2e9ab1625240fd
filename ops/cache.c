/* cache_append: keys and values of new positions go into caches that are kept between runs.
 *   keys, values (B, S, ...), k, v (B, T, ...), position (B), and, or not, prefix (B) -> keys', values', in place:
 *   keys'[b, position[b] - prefix[b] + t] = k[b, t], values' alike
 *   keys, values (R, S, ...) with row (B), the last input: the same at [row[b], ...]            see ops/rows.h
 * A row whose position is -1 is empty, and its caches stay as they are. Caches may lack B where k has one row. All axes
 * but S, T and, with row, B are parallel, for positions and rows are known at the run alone. Places past S are dropped:
 * the last block of a prompt may be longer than what is left of it. */
#include <paragraph/ops.h>

#include "ops/cache.h"
#include "ops/need.h"
#include "ops/table.h"

#include <string.h>

enum { CACHE, X = 2, POSITION = 4, MORE }; /* inputs; values and v behind keys and k; then prefix and row */
enum { BATCH, SEQ };                       /* dimensions of k; a cache for one row lacks the first */

static bool lacks_rows(const para_node *n)
{
    return n->in[CACHE]->shape.rank < n->in[X]->shape.rank;
}

/* Whether caches have rows of their own. */
static bool takes_row(const para_node *n)
{
    const struct para_shape *cache = &n->in[CACHE]->shape, *x = &n->in[X]->shape;
    return !lacks_rows(n) && strcmp(cache->dim[BATCH].axis, x->dim[BATCH].axis) != 0;
}

static bool takes_prefix(const para_node *n)
{
    return n->n_in - takes_row(n) > MORE;
}

/* Along which the cache's positions follow each other. */
static const struct para_extent *slots_of(const para_node *n)
{
    return &n->in[CACHE]->shape.dim[lacks_rows(n) ? 0 : SEQ];
}

static bool fits(const para_node *n)
{
    const struct para_shape *cache = &n->in[CACHE]->shape, *x = &n->in[X]->shape;
    int missing = x->rank - cache->rank, apart = takes_row(n);
    bool alike = x->rank > SEQ && (missing == 0 || (missing == 1 && x->dim[BATCH].whole == 1));
    if (alike && apart)
        alike = para_shape_find(x, cache->dim[BATCH].axis) < 0;
    for (int d = missing + apart; d < x->rank && alike; d++)
        alike = d == SEQ || strcmp(cache->dim[d - missing].axis, x->dim[d].axis) == 0;
    return alike && n->n_in >= MORE + apart && n->n_in <= MORE + 1 + apart;
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    char cache_text[PARA_SHAPE_TEXT], x_text[PARA_SHAPE_TEXT];
    if (n->in[X]->shape.rank <= SEQ || n->in[CACHE]->shape.rank <= SEQ || !fits(n))
        return para_fail(err, PARA_ESHAPE,
                         "a cache is %s and what goes into it %s, of %d inputs; expected (batch, cache, ...), without "
                         "batch for one row, or, with the row of each, (rows, cache, ...), and (batch, seq, ...)",
                         para_shape_text(&n->in[CACHE]->shape, cache_text), para_shape_text(&n->in[X]->shape, x_text),
                         n->n_in);
    PARA_TRY(para_need_same(n, CACHE, CACHE + 1, err));
    PARA_TRY(para_need_same(n, X, X + 1, err));
    for (int i = POSITION; i < n->n_in; i++)
        PARA_TRY(para_need_rows(n, i, X, err));
    para_infer_like(n, CACHE, &out[0]);
    return para_infer_like(n, CACHE + 1, &out[1]);
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    if (para_shape_find(&n->in[CACHE]->shape, axis) >= 0 && strcmp(axis, slots_of(n)->axis) != 0 &&
        strcmp(axis, n->in[X]->shape.dim[SEQ].axis) != 0)
        return PARA_PARALLEL;
    *why = "it is written at places known at the run alone";
    return PARA_WHOLE;
}

struct para_rows para_append_rows(const struct para_call *c)
{
    const para_node *n = c->node;
    return (struct para_rows){.position = c->in[POSITION],
                              .prefix = takes_prefix(n) ? c->in[MORE] : NULL,
                              .row = takes_row(n) ? c->in[n->n_in - 1] : NULL};
}

struct para_rows_bounds para_append_bounds(const para_node *n)
{
    const para_tensor *rows = n->in[takes_row(n) ? CACHE : X];
    return (struct para_rows_bounds){
        .longest = INT32_MAX, .kept = slots_of(n)->extent, .caches = rows->shape.dim[BATCH]};
}

/* cache (R, at + t, inner) = x (B, t, inner), for keys and for values */
static int cpu(const struct para_call *c)
{
    const para_node *n = c->node;
    const struct para_extent *x = n->in[X]->shape.dim;
    size_t inner = para_shape_bytes(&n->in[X]->shape) / (size_t)(x[BATCH].extent * x[SEQ].extent);
    struct para_rows rows = para_append_rows(c);
    struct para_rows_bounds bounds = para_append_bounds(n);
    PARA_TRY(para_rows_check(&rows, &bounds, n->in[POSITION], c->err));
    for (int64_t b = 0; b < x[BATCH].extent; b++) {
        int64_t row = para_rows_at(&rows, &bounds, b), at = rows.position[b] - (rows.prefix ? rows.prefix[b] : 0);
        int64_t count = bounds.kept - at < x[SEQ].extent ? bounds.kept - at : x[SEQ].extent;
        for (int i = 0; i < 2 && row >= 0; i++)
            memcpy((char *)c->out[i] + (size_t)(row * bounds.kept + at) * inner,
                   (const char *)c->in[X + i] + (size_t)(b * x[SEQ].extent) * inner, (size_t)count * inner);
    }
    return 0;
}

static int complain(const para_node *n, int64_t at, int32_t value, para_error *err)
{
    struct para_rows_bounds bounds = para_append_bounds(n);
    return para_rows_complain(&bounds, takes_prefix(n), n->in[POSITION], at, value, err);
}

/* What it moves, not the size of the cache. */
static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 0;
    c->bytes = 4.0 * (double)para_shape_bytes(&n->in[X]->shape);
}

const struct para_op para_op_cache_append = {
    .name = "cache_append",
    .updates = {1, 2},
    .types = "T:f32|bf16 T T T i32 -> T T; T:f32|bf16 T T T i32 i32 -> T T; T:f32|bf16 T T T i32 i32 i32 -> T T",
    .infer = infer,
    .role = role,
    .cost = cost,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_cache_append_cuda),
    .complain = complain,
};

void para_cache_append(para_graph *g, para_tensor **keys, para_tensor **values, para_tensor *k, para_tensor *v,
                       const para_cache_rows *rows)
{
    para_tensor *in[MORE + 2] = {*keys, *values, k, v, rows->position};
    int n_in = MORE;
    if (rows->prefix)
        in[n_in++] = rows->prefix;
    if (rows->row)
        in[n_in++] = rows->row;
    const para_node *n = para_apply_node(&para_op_cache_append, g, in, n_in, NULL);
    *keys = n ? n->out[0] : NULL;
    *values = n ? n->out[1] : NULL;
}
