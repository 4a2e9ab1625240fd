/* argmax: y = the index along an axis, which y lacks, of the largest element of x, the first of equal ones; -1 where
 * that is no finite number, or where one is NaN.
 *   x (outer, E, inner) -> y (outer, inner), int32
 * The axis is whole, as indices of parts can't be added up; the others are parallel. It has no gradient. */
#include <paragraph/ops.h>

#include "ops/move.h"
#include "ops/need.h"
#include "ops/table.h"

#include <math.h>
#include <string.h>

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_axis(n, 0, n->attr[0].s, err));
    return para_infer_without(n, 0, n->attr[0].s, out);
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    if (strcmp(axis, n->attr[0].s) != 0)
        return PARA_PARALLEL;
    *why = "indices of parts can't be added up";
    return PARA_WHOLE;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = (double)para_shape_elements(&n->in[0]->shape);
}

static int cpu(const struct para_call *c)
{
    const struct para_shape *x = &c->node->in[0]->shape;
    struct para_planes p = para_planes_of(x, para_shape_find(x, c->node->attr[0].s));
    int64_t inner = (int64_t)(p.inner_bytes / sizeof(float));
    int32_t *y = c->out[0];
    for (int64_t e = 0; e < p.outer * inner; e++) {
        const float *line = (const float *)c->in[0] + e / inner * p.extent * inner + e % inner;
        int64_t best = 0;
        bool nan = false;
        for (int64_t i = 0; i < p.extent; i++) {
            nan = nan || isnan(line[i * inner]);
            best = line[i * inner] > line[best * inner] ? i : best;
        }
        y[e] = nan || !isfinite(line[best * inner]) ? -1 : (int32_t)best;
    }
    return 0;
}

const struct para_op para_op_argmax = {
    .name = "argmax",
    .attrs = {{"axis", PARA_ATTR_STRING}},
    .types = "f32 -> i32",
    .infer = infer,
    .role = role,
    .cost = cost,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_argmax_cuda),
};

para_tensor *para_argmax(para_graph *g, para_tensor *x, const char *axis)
{
    return para_apply(&para_op_argmax, g, PARA_IN(x), PARA_ATTRS({.s = axis}));
}
