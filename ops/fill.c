/* fill: every element of y is `value`. Every axis is parallel. */
#include <paragraph/ops.h>

#include "ops/dims.h"
#include "ops/need.h"
#include "ops/table.h"

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    return para_dims_append(n, 0, &out[0], err);
}

/* y (E) = value */
static int cpu(const struct para_call *c)
{
    float *y = c->out[0], value = (float)c->node->attr[1].f;
    int64_t elements = para_shape_elements(&c->node->out[0]->shape);
    for (int64_t e = 0; e < elements; e++)
        y[e] = value;
    return 0;
}

const struct para_op para_op_fill = {
    .name = "fill",
    .attrs = {{"dims", PARA_ATTR_STRING}, {"value", PARA_ATTR_FLOAT}},
    .types = "-> f32",
    .infer = infer,
    .cost = para_cost_move,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_fill_cuda),
};

para_tensor *para_fill(para_graph *g, const para_dim *dims, double value)
{
    char list[PARA_DIMS_TEXT];
    if (!para_dims_write(g, dims, list))
        return NULL;
    return para_apply(&para_op_fill, g, NULL, 0, PARA_ATTRS({.s = list}, {.f = value}));
}
