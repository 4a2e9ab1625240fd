/* The two ops by which a split moves values between tiles and wholes along one axis:
 *   gather: y, whole along the axis, = x[0], x[1], ..., its consecutive tiles
 *   tile:   y, one tile along the axis, = that part of x
 * In terms of whole values both are y = x. Other axes are parallel; the axis itself is moved already. */
#include "ops/move.h"
#include "ops/need.h"
#include "ops/table.h"

#include <string.h>

static int gather_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_axis(n, 0, n->attr[0].s, err));
    PARA_TRY(para_need_alike(n, err));
    return para_infer_like(n, 0, out);
}

static int tile_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_axis(n, 0, n->attr[0].s, err));
    return para_infer_like(n, 0, out);
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    if (strcmp(axis, n->attr[0].s) != 0)
        return PARA_PARALLEL;
    *why = "moved between tiles and the whole along this axis";
    return PARA_WHOLE;
}

/* y (outer, whole, inner) = x[i] (outer, tile i, inner) where they lie */
static int gather_run(const struct para_call *c)
{
    const struct para_shape *y = &c->node->out[0]->shape;
    int dim = para_shape_find(y, c->node->attr[0].s);
    for (int i = 0; i < c->node->n_in; i++) {
        const struct para_shape *x = &c->node->in[i]->shape;
        PARA_TRY(para_move_planes(c, para_planes_of(y, dim), c->out[0], x->dim[dim].begin - y->dim[dim].begin,
                                  para_planes_of(x, dim), c->in[i], 0, x->dim[dim].extent));
    }
    return 0;
}

/* y (outer, tile, inner) = x (outer, whole, inner) where it lies */
static int tile_run(const struct para_call *c)
{
    const struct para_shape *x = &c->node->in[0]->shape, *y = &c->node->out[0]->shape;
    int dim = para_shape_find(y, c->node->attr[0].s);
    return para_move_planes(c, para_planes_of(y, dim), c->out[0], 0, para_planes_of(x, dim), c->in[0],
                            y->dim[dim].begin - x->dim[dim].begin, y->dim[dim].extent);
}

const struct para_op para_op_gather = {
    .name = "gather",
    .retiles = PARA_GATHERS,
    .attrs = {{"axis", PARA_ATTR_STRING}},
    .types = "T... -> T",
    .infer = gather_infer,
    .role = role,
    .cost = para_cost_move,
    .cpu = gather_run,
    .cuda = PARA_CUDA(gather_run),
};

const struct para_op para_op_tile = {
    .name = "tile",
    .retiles = PARA_CUTS,
    .attrs = {{"axis", PARA_ATTR_STRING}},
    .types = "T -> T",
    .infer = tile_infer,
    .role = role,
    .cost = para_cost_move,
    .cpu = tile_run,
    .cuda = PARA_CUDA(tile_run),
};
