/* arange: y = 0, 1, ..., extent - 1 along one axis, int32. The axis is parallel: a tile counts from its origin.
 * With an int32 scalar as its input, y counts from there and stays at limit - 1 once it gets there. */
#include <paragraph/ops.h>

#include "ops/need.h"
#include "ops/table.h"

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    int64_t extent = n->attr[1].i;
    if (extent < 1 || extent > INT32_MAX)
        return para_fail(err, PARA_ERANGE, "extent is %lld, expected 1 to %d", (long long)extent, INT32_MAX);
    if (n->n_in > 0)
        PARA_TRY(para_need_scalar(n, 0, PARA_I32, err));
    if (n->attr[2].i < 1)
        return para_fail(err, PARA_ERANGE, "limit is %lld, expected at least 1", (long long)n->attr[2].i);
    out[0] = (struct para_shape){.dtype = PARA_I32};
    para_shape_append(&out[0], n->attr[0].s, extent);
    return 1;
}

/* y (E) = min(start + origin + e, limit - 1) */
static int cpu(const struct para_call *c)
{
    const struct para_extent *dim = &c->node->out[0]->shape.dim[0];
    int64_t begin = dim->origin + (c->node->n_in ? *(const int32_t *)c->in[0] : 0), last = c->node->attr[2].i - 1;
    int32_t *y = c->out[0];
    for (int64_t e = 0; e < dim->extent; e++)
        y[e] = (int32_t)(begin + e < last ? begin + e : last);
    return 0;
}

const struct para_op para_op_arange = {
    .name = "arange",
    .attrs = {{"axis", PARA_ATTR_STRING}, {"extent", PARA_ATTR_INT}, {"limit", PARA_ATTR_INT}},
    .inputs = {0, 1},
    .infer = infer,
    .cost = para_cost_move,
    .cpu = cpu,
};

para_tensor *para_arange(para_graph *g, const char *axis, int64_t extent)
{
    return para_apply(&para_op_arange, g, NULL, 0, PARA_ATTRS({.s = axis}, {.i = extent}, {.i = INT32_MAX}));
}

para_tensor *para_arange_from(para_graph *g, para_tensor *start, const char *axis, int64_t extent, int64_t limit)
{
    return para_apply(&para_op_arange, g, PARA_IN(start), PARA_ATTRS({.s = axis}, {.i = extent}, {.i = limit}));
}
