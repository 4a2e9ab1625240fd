/* concat: y = x[0], x[1], ... one after another along one dimension, whose name may differ from input to input.
 * That dimension is whole, under all its names; the others are parallel. */
#include <paragraph/ops.h>

#include "ops/move.h"
#include "ops/need.h"
#include "ops/table.h"

#include <string.h>

static int need_alike(const para_node *n, int i, int position, para_error *err)
{
    const struct para_shape *a = &n->in[0]->shape, *b = &n->in[i]->shape;
    bool alike = a->rank == b->rank;
    for (int d = 0; alike && d < a->rank; d++)
        alike = d == position || (strcmp(a->dim[d].axis, b->dim[d].axis) == 0 && a->dim[d].whole == b->dim[d].whole);
    char first[PARA_SHAPE_TEXT], other[PARA_SHAPE_TEXT];
    if (!alike)
        return para_fail(err, PARA_ESHAPE, "\"%s\" is %s, expected like \"%s\", %s, but for axis number %d",
                         n->in[i]->name, para_shape_text(b, other), n->in[0]->name, para_shape_text(a, first),
                         position);
    return 0;
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    int64_t position = n->attr[0].i, whole = 0;
    if (position < 0 || position >= n->in[0]->shape.rank)
        return para_fail(err, PARA_EAXIS, "axis number %lld, expected 0 to %d", (long long)position,
                         n->in[0]->shape.rank - 1);
    for (int i = 0; i < n->n_in; i++) {
        PARA_TRY(need_alike(n, i, (int)position, err));
        int64_t own = n->in[i]->shape.dim[position].whole;
        if (own > INT64_MAX - whole)
            return para_fail(err, PARA_ERANGE, "the number of elements overflows");
        whole += own;
    }
    para_infer_like(n, 0, out);
    out[0].dim[position] = (struct para_extent){n->attr[1].s, whole, 0, whole};
    return 0;
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    bool joined = strcmp(axis, n->attr[1].s) == 0;
    for (int i = 0; i < n->n_in && !joined; i++)
        joined = strcmp(axis, n->in[i]->shape.dim[n->attr[0].i].axis) == 0;
    if (!joined)
        return PARA_PARALLEL;
    *why = "concatenated: a tile of the result doesn't follow the tiles of the inputs";
    return PARA_WHOLE;
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    int64_t start = 0;
    for (int i = 0; i < n->n_in; i++) {
        const struct para_extent *e = &n->in[i]->shape.dim[n->attr[0].i];
        dx[i] = para_slice(g, dy[0], n->attr[1].s, start, e->whole, e->axis);
        start += e->whole;
    }
    return 0;
}

/* y (outer, sum of extents, inner) = x[i] (outer, extent i, inner) side by side */
static int run(const struct para_call *c)
{
    int dim = (int)c->node->attr[0].i;
    struct para_planes y = para_planes_of(&c->node->out[0]->shape, dim);
    int64_t start = 0;
    for (int i = 0; i < c->node->n_in; i++) {
        struct para_planes x = para_planes_of(&c->node->in[i]->shape, dim);
        PARA_TRY(para_move_planes(c, y, c->out[0], start, x, c->in[i], 0, x.extent));
        start += x.extent;
    }
    return 0;
}

const struct para_op para_op_concat = {
    .name = "concat",
    .attrs = {{"position", PARA_ATTR_INT}, {"as", PARA_ATTR_STRING}},
    .types = "T... -> T",
    .infer = infer,
    .role = role,
    .grad = grad,
    .cost = para_cost_move,
    .cpu = run,
    .cuda = PARA_CUDA(run),
};

para_tensor *para_concat(para_graph *g, para_tensor *const x[], int count, int position, const char *as)
{
    return para_apply(&para_op_concat, g, x, count, PARA_ATTRS({.i = position}, {.s = as}));
}
