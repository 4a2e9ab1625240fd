/* cache_append: keys and values of new positions go into a cache that is kept between runs.
 *   cache (B, S, 2, H, D), qkv (B, T, 3, H, D), position () -> cache', in place: cache'[:, position + t] = k, v of t
 * B and H are parallel; positions are known at the run alone, so S and T are whole. Positions past S are dropped: the
 * last block of a prompt may be longer than what is left of it. */
#include <paragraph/ops.h>

#include "ops/need.h"
#include "ops/table.h"

#include <string.h>

enum { BATCH, SEQ, PLANES, HEADS, WIDTH, RANK }; /* dimensions of cache and of qkv */

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    char cache_text[PARA_SHAPE_TEXT], qkv_text[PARA_SHAPE_TEXT];
    PARA_TRY(para_need_dtype(n, 0, PARA_F32, err));
    PARA_TRY(para_need_dtype(n, 1, PARA_F32, err));
    PARA_TRY(para_need_scalar(n, 2, PARA_I32, err));
    const struct para_shape *cache = &n->in[0]->shape, *qkv = &n->in[1]->shape;
    bool fits = cache->rank == RANK && qkv->rank == RANK;
    for (int d = 0; d < RANK && fits; d++)
        fits = d == SEQ || d == PLANES || strcmp(cache->dim[d].axis, qkv->dim[d].axis) == 0;
    if (!fits || cache->dim[PLANES].whole != 2 || qkv->dim[PLANES].whole != 3)
        return para_fail(err, PARA_ESHAPE,
                         "the cache is %s and qkv is %s, expected (batch, cache, kv, heads, head_dim), "
                         "kv of extent 2, and (batch, seq, qkv, heads, head_dim), qkv of extent 3",
                         para_shape_text(cache, cache_text), para_shape_text(qkv, qkv_text));
    return para_infer_like(n, 0, out);
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    const struct para_extent *dim = n->in[0]->shape.dim;
    if (strcmp(axis, dim[BATCH].axis) == 0 || strcmp(axis, dim[HEADS].axis) == 0 || strcmp(axis, dim[WIDTH].axis) == 0)
        return PARA_PARALLEL;
    *why = "it is written at positions known at the run alone";
    return PARA_WHOLE;
}

/* cache (B, position + t, 2, H D) = qkv (B, t, 1 to 2, H D) */
static int cpu(const struct para_call *c)
{
    const struct para_extent *cache = c->node->in[0]->shape.dim, *qkv = c->node->in[1]->shape.dim;
    int64_t plane = cache[HEADS].extent * cache[WIDTH].extent, position = *(const int32_t *)c->in[2];
    if (position < 0)
        return para_fail(c->err, PARA_ERANGE, "position is %lld, expected at least 0", (long long)position);
    for (int64_t b = 0; b < cache[BATCH].extent; b++)
        for (int64_t t = 0; t < qkv[SEQ].extent && position + t < cache[SEQ].extent; t++)
            memcpy((float *)c->out[0] + (b * cache[SEQ].extent + position + t) * 2 * plane,
                   (const float *)c->in[1] + ((b * qkv[SEQ].extent + t) * 3 + 1) * plane,
                   2 * (size_t)plane * sizeof(float));
    return 0;
}

/* What it moves, not the size of the cache. */
static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 0;
    c->bytes = 2.0 * (double)para_shape_bytes(&n->in[1]->shape);
}

const struct para_op para_op_cache_append = {
    .name = "cache_append",
    .updates = {1},
    .inputs = {3, 3},
    .infer = infer,
    .role = role,
    .cost = cost,
    .cpu = cpu,
};

para_tensor *para_cache_append(para_graph *g, para_tensor *cache, para_tensor *qkv, para_tensor *position)
{
    return para_apply(&para_op_cache_append, g, PARA_IN(cache, qkv, position), NULL);
}
