/* reduce_sum: y = the sum of x over the listed axes, which y lacks; "" lists all.
 * The listed axes are reduced, the others parallel. Added up in double. */
#include <paragraph/ops.h>

#include "base/simd.h"
#include "ops/broadcast.h"
#include "ops/need.h"
#include "ops/reduce.h"
#include "ops/table.h"
#include "ops/walk.h"

static bool is_reduced(const para_node *n, const char *axis)
{
    return n->attr[0].s[0] == '\0' || para_word_in(axis, n->attr[0].s);
}

int para_reduce_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    char axis[PARA_MAX_AXIS_NAME + 1];
    for (int i = 0; para_word(n->attr[0].s, i, axis); i++)
        PARA_TRY(para_need_axis(n, 0, axis, err));
    const struct para_shape *x = &n->in[0]->shape;
    for (int d = 0; d < x->rank; d++)
        if (!is_reduced(n, x->dim[d].axis))
            para_shape_append(&out[0], x->dim[d].axis, x->dim[d].whole);
    return 0;
}

enum para_role para_reduce_role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output, (void)why;
    return is_reduced(n, axis) ? PARA_REDUCE : PARA_PARALLEL;
}

void para_reduce_cost(const para_node *n, struct para_cost *c)
{
    c->flops = (double)para_shape_elements(&n->in[0]->shape);
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    dx[0] = para_broadcast(g, dy[0], n->in[0]);
    return 0;
}

/* One double per element of y. */
static size_t scratch(const para_node *n)
{
    return sizeof(double) * (size_t)para_shape_elements(&n->out[0]->shape);
}

/* y (K) = sum over R of x (K and R) */
static int reference(const struct para_call *c)
{
    const struct para_shape *full = &c->node->in[0]->shape, *part = &c->node->out[0]->shape;
    const float *x = c->in[0];
    float *y = c->out[0];
    double *total = c->scratch;
    memset(total, 0, scratch(c->node));
    int64_t elements = para_shape_elements(full), kept = para_shape_elements(part);
    for (int64_t e = 0; e < elements; e++)
        total[para_part_offset(full, part, e)] += x[e];
    for (int64_t e = 0; e < kept; e++)
        y[e] = (float)total[e];
    return 0;
}

PARA_SIMD static void add_rows(struct para_walk *w, const float *restrict x, double *restrict total)
{
    for (int64_t row = 0; row < w->rows; row++, x += w->length, para_walk_step(w)) {
        double *to = total + w->offset;
        if (w->step == 0) {
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t e = 0; e < w->length; e++)
                sum += (double)x[e];
            *to += sum;
        } else if (w->step == 1) {
#pragma omp simd
            for (int64_t e = 0; e < w->length; e++)
                to[e] += (double)x[e];
        } else {
            for (int64_t e = 0; e < w->length; e++)
                to[e * w->step] += (double)x[e];
        }
    }
}

static int cpu(const struct para_call *c)
{
    struct para_walk w;
    para_walk_begin(&w, &c->node->in[0]->shape, &c->node->out[0]->shape);
    double *total = c->scratch;
    float *y = c->out[0];
    memset(total, 0, scratch(c->node));
    add_rows(&w, c->in[0], total);
    int64_t kept = para_shape_elements(&c->node->out[0]->shape);
    for (int64_t e = 0; e < kept; e++)
        y[e] = (float)total[e];
    return 0;
}

const struct para_op para_op_reduce_sum = {
    .name = "reduce_sum",
    .attrs = {{"axes", PARA_ATTR_STRING}},
    .types = "f32|bf16 -> f32",
    .float32 = true,
    .infer = para_reduce_infer,
    .role = para_reduce_role,
    .grad = grad,
    .cost = para_reduce_cost,
    .scratch = scratch,
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_reduce_sum_cuda),
    .cuda_scratch = PARA_CUDA(para_reduce_sum_cuda_scratch),
};

para_tensor *para_reduce_sum(para_graph *g, para_tensor *x, const char *axes)
{
    return para_apply(&para_op_reduce_sum, g, PARA_IN(x), PARA_ATTRS({.s = axes}));
}

para_tensor *para_reduce_mean(para_graph *g, para_tensor *x, const char *axes)
{
    para_tensor *sum = para_reduce_sum(g, x, axes);
    if (!sum)
        return NULL;
    double count = 1;
    for (int d = 0; d < x->shape.rank; d++)
        if (is_reduced(sum->producer, x->shape.dim[d].axis))
            count *= (double)x->shape.dim[d].whole;
    return para_scale(g, sum, 1.0 / count);
}
