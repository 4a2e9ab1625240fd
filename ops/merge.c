/* merge: y = x with adjacent axes taken as one, the outer first.
 * unmerge: y = x with one axis taken apart into adjacent ones, the outer first.
 * The data stays in place; each is the other's gradient. Axes that neither touches are parallel. The others are
 * whole: a tile of the merged axis is in general no tile of the axes it is made of. */
#include <paragraph/ops.h>

#include "base/checked.h"
#include "ops/dims.h"
#include "ops/move.h"
#include "ops/need.h"
#include "ops/table.h"

#include <string.h>

/* Copy a list's axes as dimensions of x. */
static void dims_of(const struct para_shape *x, const char *axes, para_dim dims[PARA_MAX_RANK + 1])
{
    char axis[PARA_MAX_AXIS_NAME + 1];
    int count = 0;
    for (; count < PARA_MAX_RANK && para_word(axes, count, axis); count++) {
        const struct para_extent *e = &x->dim[para_shape_find(x, axis)];
        dims[count] = (para_dim){e->axis, e->whole};
    }
    dims[count] = (para_dim){NULL, 0};
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    const struct para_shape *x = &n->in[0]->shape;
    const char *axes = n->attr[0].s, *merged = n->attr[1].s;
    char axis[PARA_MAX_AXIS_NAME + 1];
    if (!para_word(axes, 0, axis))
        return para_fail(err, PARA_EAXIS, "no axes to merge are listed");
    int first = para_need_axis(n, 0, axis, err);
    PARA_TRY(first);
    int64_t whole = 1;
    int count = 0;
    for (; para_word(axes, count, axis); count++) {
        int dim = para_need_axis(n, 0, axis, err);
        PARA_TRY(dim);
        char text[PARA_SHAPE_TEXT];
        if (dim != first + count)
            return para_fail(err, PARA_EAXIS, "\"%s\" are not adjacent and in that order in %s", axes,
                             para_shape_text(x, text));
        whole *= x->dim[dim].whole;
    }
    for (int d = 0; d < x->rank; d++) {
        if (d == first)
            para_shape_append(&out[0], merged, whole);
        if (d < first || d >= first + count)
            para_shape_append(&out[0], x->dim[d].axis, x->dim[d].whole);
    }
    return 0;
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    if (!para_word_in(axis, n->attr[0].s) && strcmp(axis, n->attr[1].s) != 0)
        return PARA_PARALLEL;
    *why = "a tile of a merged axis is no tile of the axes it is made of";
    return PARA_WHOLE;
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    para_dim dims[PARA_MAX_RANK + 1];
    dims_of(&n->in[0]->shape, n->attr[0].s, dims);
    dx[0] = para_unmerge(g, dy[0], n->attr[1].s, dims);
    return 0;
}

const struct para_op para_op_merge = {
    .name = "merge",
    .attrs = {{"axes", PARA_ATTR_STRING}, {"merged", PARA_ATTR_STRING}},
    .types = "T -> T",
    .infer = infer,
    .role = role,
    .grad = grad,
    .cost = para_cost_move,
    .cpu = para_move_all,
    .cuda = PARA_CUDA(para_move_all),
};

static int apart_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    int dim = para_need_axis(n, 0, n->attr[0].s, err);
    PARA_TRY(dim);
    const struct para_shape *x = &n->in[0]->shape;
    struct para_shape parts = {0};
    PARA_TRY(para_dims_append(n, 1, &parts, err));
    int64_t whole = parts.rank > 0;
    for (int d = 0; d < parts.rank; d++)
        if (!para_mul_i64(whole, parts.dim[d].whole, &whole))
            whole = 0;
    if (whole != x->dim[dim].whole)
        return para_fail(err, PARA_ESHAPE, "\"%s\" don't multiply to axis \"%s\" of extent %lld", n->attr[1].s,
                         n->attr[0].s, (long long)x->dim[dim].whole);
    if (x->rank - 1 + parts.rank > PARA_MAX_RANK)
        return para_fail(err, PARA_ESHAPE, "the result has more than %d dimensions", PARA_MAX_RANK);
    for (int d = 0; d < x->rank; d++) {
        if (d != dim)
            para_shape_append(&out[0], x->dim[d].axis, x->dim[d].whole);
        for (int k = 0; d == dim && k < parts.rank; k++)
            para_shape_append(&out[0], parts.dim[k].axis, parts.dim[k].whole);
    }
    return 0;
}

static enum para_role apart_role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    if (strcmp(axis, n->attr[0].s) != 0 && !para_dims_have(n->attr[1].s, axis))
        return PARA_PARALLEL;
    *why = "a tile of a merged axis is no tile of the axes it is made of";
    return PARA_WHOLE;
}

static int apart_grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    char axes[PARA_AXES_TEXT];
    para_dims_axes(n->attr[1].s, axes);
    dx[0] = para_merge(g, dy[0], axes, n->attr[0].s);
    return 0;
}

const struct para_op para_op_unmerge = {
    .name = "unmerge",
    .attrs = {{"axis", PARA_ATTR_STRING}, {"dims", PARA_ATTR_STRING}},
    .types = "T -> T",
    .infer = apart_infer,
    .role = apart_role,
    .grad = apart_grad,
    .cost = para_cost_move,
    .cpu = para_move_all,
    .cuda = PARA_CUDA(para_move_all),
};

para_tensor *para_merge(para_graph *g, para_tensor *x, const char *axes, const char *merged)
{
    return para_apply(&para_op_merge, g, PARA_IN(x), PARA_ATTRS({.s = axes}, {.s = merged}));
}

para_tensor *para_unmerge(para_graph *g, para_tensor *x, const char *axis, const para_dim *dims)
{
    char list[PARA_DIMS_TEXT];
    if (!para_dims_write(g, dims, list))
        return NULL;
    return para_apply(&para_op_unmerge, g, PARA_IN(x), PARA_ATTRS({.s = axis}, {.s = list}));
}
