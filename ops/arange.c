/* arange: y = 0, 1, ..., extent - 1 along one axis, int32. The axis is parallel: a tile counts from its origin. */
#include <paragraph/ops.h>

#include "ops/need.h"
#include "ops/table.h"

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    int64_t extent = n->attr[1].i;
    if (extent < 1 || extent > INT32_MAX)
        return para_fail(err, PARA_ERANGE, "extent is %lld, expected 1 to %d", (long long)extent, INT32_MAX);
    out[0] = (struct para_shape){.dtype = PARA_I32};
    para_shape_append(&out[0], n->attr[0].s, extent);
    return 1;
}

/* y (E) = origin + e */
static int cpu(const struct para_call *c)
{
    const struct para_extent *dim = &c->node->out[0]->shape.dim[0];
    int32_t *y = c->out[0];
    for (int64_t e = 0; e < dim->extent; e++)
        y[e] = (int32_t)(dim->origin + e);
    return 0;
}

const struct para_op para_op_arange = {
    .name = "arange",
    .attrs = {{"axis", PARA_ATTR_STRING}, {"extent", PARA_ATTR_INT}},
    .infer = infer,
    .cost = para_cost_move,
    .cpu = cpu,
};

para_tensor *para_arange(para_graph *g, const char *axis, int64_t extent)
{
    return para_apply(&para_op_arange, g, NULL, 0, PARA_ATTRS({.s = axis}, {.i = extent}));
}
