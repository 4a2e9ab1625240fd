/* select: y = x at one position of an axis, which y lacks; the position is an int32 scalar known at the run.
 * The axis is whole, the others are parallel. */
#include <paragraph/ops.h>

#include "ops/need.h"
#include "ops/plane.h"
#include "ops/table.h"

#include <string.h>

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_axis(n, 0, n->attr[0].s, err));
    PARA_TRY(para_need_scalar(n, 1, PARA_I32, err));
    const struct para_shape *x = &n->in[0]->shape;
    out[0] = (struct para_shape){.dtype = x->dtype};
    for (int d = 0; d < x->rank; d++)
        if (strcmp(x->dim[d].axis, n->attr[0].s) != 0)
            para_shape_append(&out[0], x->dim[d].axis, x->dim[d].whole);
    return 1;
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    if (strcmp(axis, n->attr[0].s) != 0)
        return PARA_PARALLEL;
    *why = "the position is known at the run alone";
    return PARA_WHOLE;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 0;
    c->bytes = 2.0 * (double)para_shape_bytes(&n->out[0]->shape);
}

/* y (outer, inner) = x (outer, extent, inner) at index */
static int cpu(const struct para_call *c)
{
    const struct para_shape *x = &c->node->in[0]->shape;
    struct para_planes from = para_planes_of(x, para_shape_find(x, c->node->attr[0].s)), to = from;
    int32_t index = *(const int32_t *)c->in[1];
    if (index < 0 || index >= from.extent)
        return para_fail(c->err, PARA_ERANGE, "index is %d, expected 0 to %lld", index, (long long)from.extent - 1);
    to.extent = 1;
    para_planes_copy(to, c->out[0], 0, from, c->in[0], index, 1);
    return 0;
}

const struct para_op para_op_select = {
    .name = "select",
    .attrs = {{"axis", PARA_ATTR_STRING}},
    .inputs = {2, 2},
    .infer = infer,
    .role = role,
    .cost = cost,
    .cpu = cpu,
};

para_tensor *para_select(para_graph *g, para_tensor *x, para_tensor *index, const char *axis)
{
    return para_apply(&para_op_select, g, PARA_IN(x, index), PARA_ATTRS({.s = axis}));
}
