/* stack: y = x[0], x[1], x[2] side by side along a new axis, number `position` of y's. Each is the other's gradient:
 * unstack: y[k] = x at k of an axis of extent 3.
 * The stacked axis is whole, the others are parallel. */
#include <paragraph/ops.h>

#include "ops/move.h"
#include "ops/need.h"
#include "ops/table.h"

#include <string.h>

enum { COUNT = 3 };

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    if (strcmp(axis, n->attr[0].s) != 0)
        return PARA_PARALLEL;
    *why = "stacked: its elements are values of their own";
    return PARA_WHOLE;
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    int64_t position = n->attr[1].i;
    PARA_TRY(para_need_alike(n, err));
    const struct para_shape *x = &n->in[0]->shape;
    if (position < 0 || position > x->rank)
        return para_fail(err, PARA_EAXIS, "axis number %lld, expected 0 to %d", (long long)position, x->rank);
    if (x->rank == PARA_MAX_RANK)
        return para_fail(err, PARA_ESHAPE, "the result has more than %d dimensions", PARA_MAX_RANK);
    for (int d = 0; d <= x->rank; d++) {
        if (d == position)
            para_shape_append(&out[0], n->attr[0].s, COUNT);
        if (d < x->rank)
            para_shape_append(&out[0], x->dim[d].axis, x->dim[d].whole);
    }
    return 0;
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    const para_node *parts = para_apply_node(&para_op_unstack, g, PARA_IN(dy[0]), PARA_ATTRS(n->attr[0]));
    for (int i = 0; i < COUNT && parts; i++)
        dx[i] = parts->out[i];
    return 0;
}

/* y (outer, inputs, inner) = x[i] (outer, inner) */
static int run(const struct para_call *c)
{
    struct para_planes y = para_planes_of(&c->node->out[0]->shape, (int)c->node->attr[1].i), x = y;
    x.extent = 1;
    for (int i = 0; i < COUNT; i++)
        PARA_TRY(para_move_planes(c, y, c->out[0], i, x, c->in[i], 0, 1));
    return 0;
}

const struct para_op para_op_stack = {
    .name = "stack",
    .attrs = {{"axis", PARA_ATTR_STRING}, {"position", PARA_ATTR_INT}},
    .types = "T T T -> T",
    .infer = infer,
    .role = role,
    .grad = grad,
    .cost = para_cost_move,
    .cpu = run,
    .cuda = PARA_CUDA(run),
};

static int unstack_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    int dim = para_need_axis(n, 0, n->attr[0].s, err);
    PARA_TRY(dim);
    int64_t whole = n->in[0]->shape.dim[dim].whole;
    if (whole != COUNT)
        return para_fail(err, PARA_ERANGE, "\"%s\" has extent %lld, expected %d", n->attr[0].s, (long long)whole,
                         COUNT);
    for (int k = 0; k < COUNT; k++)
        para_infer_without(n, 0, n->attr[0].s, &out[k]);
    return 0;
}

static para_tensor *zeros_like(para_graph *g, const para_tensor *x)
{
    para_dim dims[PARA_MAX_RANK + 1] = {{NULL, 0}};
    for (int d = 0; d < x->shape.rank; d++)
        dims[d] = (para_dim){x->shape.dim[d].axis, x->shape.dim[d].whole};
    return para_fill(g, dims, 0);
}

static int unstack_grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    para_tensor *parts[COUNT];
    for (int k = 0; k < COUNT; k++)
        parts[k] = dy[k] ? dy[k] : zeros_like(g, n->out[k]);
    dx[0] = para_stack(g, parts, n->attr[0].s, para_shape_find(&n->in[0]->shape, n->attr[0].s));
    return 0;
}

/* y[k] (outer, inner) = x (outer, outputs, inner) */
static int unstack_run(const struct para_call *c)
{
    const struct para_shape *shape = &c->node->in[0]->shape;
    struct para_planes x = para_planes_of(shape, para_shape_find(shape, c->node->attr[0].s)), y = x;
    y.extent = 1;
    for (int k = 0; k < COUNT; k++)
        PARA_TRY(para_move_planes(c, y, c->out[k], 0, x, c->in[0], k, 1));
    return 0;
}

const struct para_op para_op_unstack = {
    .name = "unstack",
    .attrs = {{"axis", PARA_ATTR_STRING}},
    .types = "T -> T T T",
    .infer = unstack_infer,
    .role = role,
    .grad = unstack_grad,
    .cost = para_cost_move,
    .cpu = unstack_run,
    .cuda = PARA_CUDA(unstack_run),
};

para_tensor *para_stack(para_graph *g, para_tensor *const x[3], const char *axis, int position)
{
    return para_apply(&para_op_stack, g, x, COUNT, PARA_ATTRS({.s = axis}, {.i = position}));
}

void para_unstack(para_graph *g, para_tensor *x, const char *axis, para_tensor *out[3])
{
    const para_node *n = para_apply_node(&para_op_unstack, g, PARA_IN(x), PARA_ATTRS({.s = axis}));
    for (int k = 0; k < COUNT; k++)
        out[k] = n ? n->out[k] : NULL;
}
