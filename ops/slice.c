/* slice: y = elements start to start + count - 1 of x along one axis, which y calls by another name.
 * The sliced axis is whole, under both names; the others are parallel. */
#include <paragraph/ops.h>

#include "ops/move.h"
#include "ops/need.h"
#include "ops/table.h"

#include <string.h>

/* Attributes, alike in both ops: x's axis, y's axis, the first element taken; then the other extent. */
static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    if (strcmp(axis, n->attr[0].s) != 0 && strcmp(axis, n->attr[1].s) != 0)
        return PARA_PARALLEL;
    *why = "sliced: a tile of the slice doesn't follow the tiles of the whole";
    return PARA_WHOLE;
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    int dim = para_need_axis(n, 0, n->attr[0].s, err);
    PARA_TRY(dim);
    int64_t start = n->attr[2].i, count = n->attr[3].i, whole = n->in[0]->shape.dim[dim].whole;
    if (start < 0 || count < 1 || start > whole - count)
        return para_fail(err, PARA_ERANGE, "%lld elements from %lld on, expected at least 1 within the %lld of \"%s\"",
                         (long long)count, (long long)start, (long long)whole, n->attr[0].s);
    para_infer_like(n, 0, out);
    out[0].dim[dim] = (struct para_extent){n->attr[1].s, count, 0, count};
    return 0;
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    const struct para_shape *x = &n->in[0]->shape;
    int64_t whole = x->dim[para_shape_find(x, n->attr[0].s)].whole;
    dx[0] = para_apply(&para_op_slice_backward, g, PARA_IN(dy[0]),
                       PARA_ATTRS(n->attr[0], n->attr[1], n->attr[2], {.i = whole}));
    return 0;
}

/* y (outer, count, inner) = x (outer, start.., inner) */
static int run(const struct para_call *c)
{
    const struct para_shape *x = &c->node->in[0]->shape, *y = &c->node->out[0]->shape;
    int dim = para_shape_find(x, c->node->attr[0].s);
    return para_move_planes(c, para_planes_of(y, dim), c->out[0], 0, para_planes_of(x, dim), c->in[0],
                            c->node->attr[2].i, c->node->attr[3].i);
}

const struct para_op para_op_slice = {
    .name = "slice",
    .attrs = {{"axis", PARA_ATTR_STRING}, {"as", PARA_ATTR_STRING}, {"start", PARA_ATTR_INT}, {"count", PARA_ATTR_INT}},
    .types = "T -> T",
    .infer = infer,
    .role = role,
    .grad = grad,
    .cost = para_cost_move,
    .cpu = run,
    .cuda = PARA_CUDA(run),
};

/* slice_backward: dx = dy where the slice was taken, else 0. Roles as above. */

static int backward_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    int dim = para_need_axis(n, 0, n->attr[1].s, err);
    PARA_TRY(dim);
    int64_t start = n->attr[2].i, whole = n->attr[3].i, count = n->in[0]->shape.dim[dim].whole;
    if (start < 0 || whole < count || start > whole - count)
        return para_fail(err, PARA_ERANGE, "%lld elements from %lld on don't lie within %lld", (long long)count,
                         (long long)start, (long long)whole);
    para_infer_like(n, 0, out);
    out[0].dim[dim] = (struct para_extent){n->attr[0].s, whole, 0, whole};
    return 0;
}

static int backward_grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    const struct para_shape *x = &n->in[0]->shape;
    int64_t count = x->dim[para_shape_find(x, n->attr[1].s)].whole;
    dx[0] = para_slice(g, dy[0], n->attr[0].s, n->attr[2].i, count, n->attr[1].s);
    return 0;
}

/* dx (outer, start.., inner) = dy (outer, count, inner), the rest 0 */
static int backward_run(const struct para_call *c)
{
    const struct para_shape *dy = &c->node->in[0]->shape, *dx = &c->node->out[0]->shape;
    int dim = para_shape_find(dy, c->node->attr[1].s);
    PARA_TRY(para_move_zeros(c));
    return para_move_planes(c, para_planes_of(dx, dim), c->out[0], c->node->attr[2].i, para_planes_of(dy, dim),
                            c->in[0], 0, dy->dim[dim].extent);
}

const struct para_op para_op_slice_backward = {
    .name = "slice_backward",
    .attrs = {{"axis", PARA_ATTR_STRING},
              {"as", PARA_ATTR_STRING},
              {"start", PARA_ATTR_INT},
              {"extent", PARA_ATTR_INT}},
    .types = "T -> T",
    .infer = backward_infer,
    .role = role,
    .grad = backward_grad,
    .cost = para_cost_move,
    .cpu = backward_run,
    .cuda = PARA_CUDA(backward_run),
};

para_tensor *para_slice(para_graph *g, para_tensor *x, const char *axis, int64_t start, int64_t count, const char *as)
{
    return para_apply(&para_op_slice, g, PARA_IN(x), PARA_ATTRS({.s = axis}, {.s = as}, {.i = start}, {.i = count}));
}
