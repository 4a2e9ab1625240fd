/* add: y (A) = a (A) + b (B), where B is some or all of A's axes, in any order; b is repeated along the others.
 * Element by element, so every axis is parallel; the sum over repeats in db is a node of its own. */
#include <paragraph/ops.h>

#include "base/simd.h"
#include "ops/broadcast.h"
#include "ops/need.h"
#include "ops/table.h"
#include "ops/walk.h"

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_part(n, 0, 1, err));
    return para_infer_like(n, 0, out);
}

/* da = dy, db = the sum of dy over the axes that b lacks */
static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    dx[0] = dy[0];
    if (para_wants_grad(g, n->in[1]))
        dx[1] = para_reduce_to(g, dy[0], n->in[1]);
    return 0;
}

/* y (A) = a (A) + b (B) */
static int reference(const struct para_call *c)
{
    const struct para_shape *full = &c->node->in[0]->shape, *part = &c->node->in[1]->shape;
    const float *a = c->in[0], *b = c->in[1];
    float *y = c->out[0];
    int64_t elements = para_shape_elements(full);
    for (int64_t e = 0; e < elements; e++)
        y[e] = (float)((double)a[e] + b[para_part_offset(full, part, e)]);
    return 0;
}

PARA_SIMD static void forward(struct para_walk *w, const float *a, const float *restrict b, float *y)
{
    int64_t length = w->length, step = w->step;
    for (int64_t row = 0; row < w->rows; row++, a += length, y += length, para_walk_step(w)) {
        const float *from = b + w->offset;
        if (step == 1) {
#pragma omp simd
            for (int64_t e = 0; e < length; e++)
                y[e] = a[e] + from[e];
        } else {
#pragma omp simd
            for (int64_t e = 0; e < length; e++)
                y[e] = a[e] + from[e * step];
        }
    }
}

static int cpu(const struct para_call *c)
{
    struct para_walk w;
    para_walk_begin(&w, &c->node->in[0]->shape, &c->node->in[1]->shape);
    forward(&w, c->in[0], c->in[1], c->out[0]);
    return 0;
}

const struct para_op para_op_add = {
    .name = "add",
    .types = "T:f32|bf16 T -> T",
    .float32 = true,
    .infer = infer,
    .grad = grad,
    .over = {1 + 0},
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_add_cuda),
};

para_tensor *para_add(para_graph *g, para_tensor *a, para_tensor *b)
{
    return para_apply(&para_op_add, g, PARA_IN(a, b), NULL);
}
