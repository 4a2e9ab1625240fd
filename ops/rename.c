/* rename: y = x with one axis called otherwise; the data stays in place.
 * The renamed axis is whole: the tiles of the two names are tiles of different loops. Others are parallel. */
#include <paragraph/ops.h>

#include "ops/move.h"
#include "ops/need.h"
#include "ops/table.h"

#include <string.h>

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    int dim = para_need_axis(n, 0, n->attr[0].s, err);
    PARA_TRY(dim);
    para_infer_like(n, 0, out);
    out[0].dim[dim].axis = n->attr[1].s;
    return 0;
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    if (strcmp(axis, n->attr[0].s) != 0 && strcmp(axis, n->attr[1].s) != 0)
        return PARA_PARALLEL;
    *why = "renamed: a split of one name is no split of the other";
    return PARA_WHOLE;
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    dx[0] = para_rename(g, dy[0], n->attr[1].s, n->attr[0].s);
    return 0;
}

const struct para_op para_op_rename = {
    .name = "rename",
    .attrs = {{"from", PARA_ATTR_STRING}, {"to", PARA_ATTR_STRING}},
    .types = "T -> T",
    .infer = infer,
    .role = role,
    .grad = grad,
    .cost = para_cost_move,
    .cpu = para_move_all,
    .cuda = PARA_CUDA(para_move_all),
};

para_tensor *para_rename(para_graph *g, para_tensor *x, const char *from, const char *to)
{
    return para_apply(&para_op_rename, g, PARA_IN(x), PARA_ATTRS({.s = from}, {.s = to}));
}
