/* arange: y = 0, 1, ..., extent - 1 along one axis, int32. The axis is parallel: a tile counts from where it begins.
 * With an int32 input, start (R...), y (R..., extent) counts from each start and stays at limit - 1 once it gets there;
 * where start is -1, a row that is empty, y is 0. */
#include <paragraph/ops.h>

#include "ops/need.h"
#include "ops/table.h"

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    int64_t extent = n->attr[1].i;
    if (extent < 1 || extent > INT32_MAX)
        return para_fail(err, PARA_ERANGE, "extent is %lld, expected 1 to %d", (long long)extent, INT32_MAX);
    if (n->n_in > 0 && n->in[0]->shape.rank == PARA_MAX_RANK)
        return para_fail(err, PARA_ESHAPE, "the result has more than %d dimensions", PARA_MAX_RANK);
    if (n->attr[2].i < 1 || n->attr[2].i > INT32_MAX)
        return para_fail(err, PARA_ERANGE, "limit is %lld, expected 1 to %d", (long long)n->attr[2].i, INT32_MAX);
    if (n->n_in > 0)
        para_infer_like(n, 0, &out[0]);
    para_shape_append(&out[0], n->attr[0].s, extent);
    return 0;
}

static int complain(const para_node *n, int64_t position, int32_t start, para_error *err)
{
    (void)n, (void)position;
    return para_fail(err, PARA_ERANGE, "start is %d, expected at least 0, or -1 for none", start);
}

/* y (rows, E) = min(start (rows) + begin + e, limit - 1) */
static int cpu(const struct para_call *c)
{
    const struct para_shape *shape = &c->node->out[0]->shape;
    const struct para_extent *dim = &shape->dim[shape->rank - 1];
    int64_t rows = para_shape_elements(shape) / dim->extent, last = c->node->attr[2].i - 1;
    int32_t *y = c->out[0];
    for (int64_t r = 0; r < rows; r++) {
        int64_t start = c->node->n_in ? ((const int32_t *)c->in[0])[r] : 0, begin = start + dim->begin;
        if (start < -1)
            return complain(c->node, r, (int32_t)start, c->err);
        for (int64_t e = 0; e < dim->extent; e++)
            *y++ = start < 0 ? 0 : (int32_t)(begin + e < last ? begin + e : last);
    }
    return 0;
}

const struct para_op para_op_arange = {
    .name = "arange",
    .attrs = {{"axis", PARA_ATTR_STRING}, {"extent", PARA_ATTR_INT}, {"limit", PARA_ATTR_INT}},
    .types = "-> i32; i32 -> i32",
    .infer = infer,
    .cost = para_cost_move,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_arange_cuda),
    .complain = complain,
};

para_tensor *para_arange(para_graph *g, const char *axis, int64_t extent)
{
    return para_apply(&para_op_arange, g, NULL, 0, PARA_ATTRS({.s = axis}, {.i = extent}, {.i = INT32_MAX}));
}

para_tensor *para_arange_from(para_graph *g, para_tensor *start, const char *axis, int64_t extent, int64_t limit)
{
    return para_apply(&para_op_arange, g, PARA_IN(start), PARA_ATTRS({.s = axis}, {.i = extent}, {.i = limit}));
}
