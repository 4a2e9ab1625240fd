/* broadcast: y (like's axes) = x, repeated along the axes that x lacks; like is read for its shape alone.
 * Element by element, so every axis is parallel. It is the gradient of a sum over those axes. */
#include "ops/broadcast.h"

#include <paragraph/ops.h>

#include "base/simd.h"
#include "ops/dims.h"
#include "ops/need.h"
#include "ops/table.h"
#include "ops/walk.h"

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_part(n, 1, 0, err));
    return para_infer_like(n, 1, out);
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    dx[0] = para_reduce_to(g, dy[0], n->in[0]);
    return 0;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 0;
    c->bytes -= (double)para_shape_bytes(&n->in[1]->shape);
}

/* y (E) = x (part of E) */
static int reference(const struct para_call *c)
{
    const struct para_shape *full = &c->node->out[0]->shape, *part = &c->node->in[0]->shape;
    const float *x = c->in[0];
    float *y = c->out[0];
    int64_t elements = para_shape_elements(full);
    for (int64_t e = 0; e < elements; e++)
        y[e] = x[para_part_offset(full, part, e)];
    return 0;
}

PARA_SIMD static void forward(struct para_walk *w, const float *restrict x, float *restrict y)
{
    for (int64_t row = 0; row < w->rows; row++, y += w->length, para_walk_step(w)) {
        const float *from = x + w->offset;
        if (w->step == 1)
            memcpy(y, from, sizeof *y * (size_t)w->length);
        else
#pragma omp simd
            for (int64_t e = 0; e < w->length; e++)
                y[e] = from[e * w->step];
    }
}

static int cpu(const struct para_call *c)
{
    struct para_walk w;
    para_walk_begin(&w, &c->node->out[0]->shape, &c->node->in[0]->shape);
    forward(&w, c->in[0], c->out[0]);
    return 0;
}

const struct para_op para_op_broadcast = {
    .name = "broadcast",
    .types = "T:f32|bf16 f32|bf16 -> T",
    .float32 = true,
    .infer = infer,
    .grad = grad,
    .cost = cost,
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_broadcast_cuda),
};

para_tensor *para_broadcast(para_graph *g, para_tensor *x, para_tensor *like)
{
    return para_apply(&para_op_broadcast, g, PARA_IN(x, like), NULL);
}

para_tensor *para_reduce_to(para_graph *g, para_tensor *x, const para_tensor *like)
{
    if (!x)
        return NULL;
    char missing[PARA_AXES_TEXT], kept[PARA_AXES_TEXT], order[PARA_AXES_TEXT];
    para_axes_list(&x->shape, &like->shape, false, missing);
    para_axes_list(&x->shape, &like->shape, true, kept);
    para_axes_list(&like->shape, &x->shape, true, order);
    para_tensor *sum = missing[0] ? para_reduce_sum(g, x, missing) : x;
    return strcmp(kept, order) == 0 ? sum : para_permute(g, sum, order);
}
