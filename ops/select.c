/* select: y = x at one index of an axis, which y lacks; the index is int32, known at the run.
 *   x (R..., E, inner), index (R...) -> y (R..., inner), y[r] = x[r, index[r]]; an index of -1 gives 0
 * R are x's first axes, some or none: each row has an index of its own. E is whole, the others are parallel. */
#include <paragraph/ops.h>

#include "ops/move.h"
#include "ops/need.h"
#include "ops/table.h"

#include <string.h>

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    int dim = para_need_axis(n, 0, n->attr[0].s, err);
    PARA_TRY(dim);
    const struct para_shape *x = &n->in[0]->shape, *index = &n->in[1]->shape;
    bool first = index->rank <= dim;
    for (int d = 0; d < index->rank && first; d++)
        first = strcmp(index->dim[d].axis, x->dim[d].axis) == 0;
    char index_text[PARA_SHAPE_TEXT], x_text[PARA_SHAPE_TEXT];
    if (!first)
        return para_fail(err, PARA_ESHAPE,
                         "\"%s\" is %s, expected the first axes of \"%s\", %s, before \"%s\", or none", n->in[1]->name,
                         para_shape_text(index, index_text), n->in[0]->name, para_shape_text(x, x_text), n->attr[0].s);
    return para_infer_without(n, 0, n->attr[0].s, out);
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    if (strcmp(axis, n->attr[0].s) != 0)
        return PARA_PARALLEL;
    *why = "the index is known at the run alone";
    return PARA_WHOLE;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 0;
    c->bytes = 2.0 * (double)para_shape_bytes(&n->out[0]->shape);
}

static int complain(const para_node *n, int64_t position, int32_t index, para_error *err)
{
    (void)position;
    const struct para_shape *x = &n->in[0]->shape;
    return para_fail(err, PARA_ERANGE, "index is %d, expected 0 to %lld, or -1 for none", index,
                     (long long)x->dim[para_shape_find(x, n->attr[0].s)].extent - 1);
}

/* y (rows, outer, inner) = x (rows, outer, extent, inner) at index (rows) */
static int cpu(const struct para_call *c)
{
    const struct para_shape *x = &c->node->in[0]->shape;
    struct para_planes from = para_planes_of(x, para_shape_find(x, c->node->attr[0].s)), to = from;
    int64_t rows = para_shape_elements(&c->node->in[1]->shape);
    size_t x_bytes = para_shape_bytes(x) / (size_t)rows, y_bytes = x_bytes / (size_t)from.extent;
    from.outer /= rows;
    to.outer /= rows;
    to.extent = 1;
    for (int64_t r = 0; r < rows; r++) {
        int32_t index = ((const int32_t *)c->in[1])[r];
        char *y = (char *)c->out[0] + (size_t)r * y_bytes;
        if (index < -1 || index >= from.extent)
            return complain(c->node, r, index, c->err);
        if (index < 0)
            memset(y, 0, y_bytes);
        else
            PARA_TRY(para_move_planes(c, to, y, 0, from, (const char *)c->in[0] + (size_t)r * x_bytes, index, 1));
    }
    return 0;
}

const struct para_op para_op_select = {
    .name = "select",
    .attrs = {{"axis", PARA_ATTR_STRING}},
    .types = "T i32 -> T",
    .infer = infer,
    .role = role,
    .cost = cost,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_select_cuda),
    .complain = complain,
};

para_tensor *para_select(para_graph *g, para_tensor *x, para_tensor *index, const char *axis)
{
    return para_apply(&para_op_select, g, PARA_IN(x, index), PARA_ATTRS({.s = axis}));
}
