/* reduce_max: y = the largest of x over the listed axes, which y lacks; "" lists all; NaN if one of them is.
 * The listed axes are reduced, parts being combined by max; the others are parallel. */
#include <paragraph/ops.h>

#include "base/simd.h"
#include "ops/need.h"
#include "ops/reduce.h"
#include "ops/table.h"
#include "ops/walk.h"

/* Where several elements are the largest, each gets its share of dy. */
static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    para_tensor *count = para_apply(&para_op_reduce_max_count, g, PARA_IN(n->in[0], n->out[0]), NULL);
    dx[0] = para_apply(&para_op_reduce_max_backward, g, PARA_IN(n->in[0], n->out[0], dy[0], count), NULL);
    return 0;
}

static float larger(float a, float b)
{
    return b > a || b != b ? b : a;
}

/* y (K) = max over R of x (K and R) */
static int reference(const struct para_call *c)
{
    const struct para_shape *full = &c->node->in[0]->shape, *part = &c->node->out[0]->shape;
    const float *x = c->in[0];
    float *y = c->out[0];
    int64_t elements = para_shape_elements(full), kept = para_shape_elements(part);
    for (int64_t e = 0; e < kept; e++)
        y[e] = -INFINITY;
    for (int64_t e = 0; e < elements; e++) {
        int64_t k = para_part_offset(full, part, e);
        y[k] = larger(y[k], x[e]);
    }
    return 0;
}

PARA_SIMD static void max_rows(struct para_walk *w, const float *restrict x, float *restrict y)
{
    for (int64_t row = 0; row < w->rows; row++, x += w->length, para_walk_step(w)) {
        float *to = y + w->offset;
        if (w->step == 1) {
#pragma omp simd
            for (int64_t e = 0; e < w->length; e++)
                to[e] = larger(to[e], x[e]);
        } else {
            for (int64_t e = 0; e < w->length; e++)
                to[e * w->step] = larger(to[e * w->step], x[e]);
        }
    }
}

static int cpu(const struct para_call *c)
{
    struct para_walk w;
    para_walk_begin(&w, &c->node->in[0]->shape, &c->node->out[0]->shape);
    float *y = c->out[0];
    int64_t kept = para_shape_elements(&c->node->out[0]->shape);
    for (int64_t e = 0; e < kept; e++)
        y[e] = -INFINITY;
    max_rows(&w, c->in[0], y);
    return 0;
}

const struct para_op para_op_reduce_max = {
    .name = "reduce_max",
    .attrs = {{"axes", PARA_ATTR_STRING}},
    .types = "f32 -> f32",
    .infer = para_reduce_infer,
    .role = para_reduce_role,
    .combine = &para_op_max,
    .grad = grad,
    .cost = para_reduce_cost,
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_reduce_max_cuda),
    .cuda_scratch = PARA_CUDA(para_reduce_max_cuda_scratch),
};

/* reduce_max_count: how many elements of x equal the largest, y, of those they were taken from. The axes that y
 * lacks are reduced (parts count their own), the others parallel. */

static int count_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_part(n, 0, 1, err));
    return para_infer_like(n, 1, out);
}

static enum para_role count_role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output, (void)why;
    return para_shape_find(&n->in[1]->shape, axis) < 0 ? PARA_REDUCE : PARA_PARALLEL;
}

/* count (K) = sum over R of [x (K and R) = y (K)] */
static int count_cpu(const struct para_call *c)
{
    struct para_walk w;
    para_walk_begin(&w, &c->node->in[0]->shape, &c->node->in[1]->shape);
    const float *x = c->in[0], *y = c->in[1];
    float *count = c->out[0];
    memset(count, 0, para_shape_bytes(&c->node->out[0]->shape));
    for (int64_t row = 0; row < w.rows; row++, x += w.length, para_walk_step(&w))
        for (int64_t e = 0; e < w.length; e++)
            count[w.offset + e * w.step] += x[e] == y[w.offset + e * w.step];
    return 0;
}

const struct para_op para_op_reduce_max_count = {
    .name = "reduce_max_count",
    .types = "f32 f32 -> f32",
    .infer = count_infer,
    .role = count_role,
    .cost = para_reduce_cost,
    .cpu = count_cpu,
    .cuda = PARA_CUDA(para_reduce_max_count_cuda),
};

/* reduce_max_backward: dx = dy / count where x = y, else 0. Element by element of x, so every axis is parallel. */

static int backward_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_part(n, 0, 1, err));
    PARA_TRY(para_need_same(n, 1, 2, err));
    PARA_TRY(para_need_same(n, 1, 3, err));
    return para_infer_like(n, 0, out);
}

/* dx (K and R) = [x (K and R) = y (K)] dy (K) / count (K) */
static int backward_cpu(const struct para_call *c)
{
    struct para_walk w;
    para_walk_begin(&w, &c->node->in[0]->shape, &c->node->in[1]->shape);
    const float *x = c->in[0], *y = c->in[1], *dy = c->in[2], *count = c->in[3];
    float *dx = c->out[0];
    for (int64_t row = 0; row < w.rows; row++, x += w.length, dx += w.length, para_walk_step(&w))
        for (int64_t e = 0; e < w.length; e++) {
            int64_t k = w.offset + e * w.step;
            dx[e] = x[e] == y[k] ? dy[k] / count[k] : 0.0f;
        }
    return 0;
}

const struct para_op para_op_reduce_max_backward = {
    .name = "reduce_max_backward",
    .types = "f32 f32 f32 f32 -> f32",
    .infer = backward_infer,
    .cpu = backward_cpu,
    .cuda = PARA_CUDA(para_reduce_max_backward_cuda),
};

para_tensor *para_reduce_max(para_graph *g, para_tensor *x, const char *axes)
{
    return para_apply(&para_op_reduce_max, g, PARA_IN(x), PARA_ATTRS({.s = axes}));
}
