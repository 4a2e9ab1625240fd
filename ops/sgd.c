/* One step of stochastic gradient descent in place. Element by element, so every axis is parallel.
 *   sgd:          p = p - lr (scale g + weight_decay p)
 *   sgd_momentum: v = momentum v + (scale g + weight_decay p), p = p - lr v
 * and, where there is a bfloat16 copy of p, that too; scale is the clipping scale: nothing, where that is no number
 * (ops/clip.c). */
#include "base/simd.h"
#include "ops/need.h"
#include "ops/table.h"
#include "ops/update.h"

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_same(n, 0, 1, err));
    PARA_TRY(para_need_scalar(n, 2, err));
    PARA_TRY(para_need_scalar(n, 3, err));
    para_infer_like(n, 0, out);
    out[1] = out[0];
    return n->n_in > 4 ? para_need_same(n, 0, 4, err) : 0;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 5.0 * (double)para_shape_elements(&n->out[0]->shape);
}

/* p (E) in place, from g (E) */
static int reference(const struct para_call *c)
{
    const float *g = c->in[1];
    float *p = c->out[0];
    double lr = *(const float *)c->in[2], scale = *(const float *)c->in[3], decay = c->node->attr[0].f;
    if (isnan(scale))
        return 0;
    int64_t elements = para_shape_elements(&c->node->out[0]->shape);
    for (int64_t e = 0; e < elements; e++)
        p[e] = (float)(p[e] - lr * (scale * g[e] + decay * p[e]));
    para_update_copy(c, 1);
    return 0;
}

PARA_SIMD static void update(int64_t elements, float lr, float scale, float decay, const float *restrict g,
                             float *restrict p)
{
#pragma omp simd
    for (int64_t e = 0; e < elements; e++)
        p[e] -= lr * (scale * g[e] + decay * p[e]);
}

static int cpu(const struct para_call *c)
{
    if (isnan(*(const float *)c->in[3]))
        return 0;
    update(para_shape_elements(&c->node->out[0]->shape), *(const float *)c->in[2], *(const float *)c->in[3],
           (float)c->node->attr[0].f, c->in[1], c->out[0]);
    para_update_copy(c, 1);
    return 0;
}

const struct para_op para_op_sgd = {
    .name = "sgd",
    .attrs = {{"weight_decay", PARA_ATTR_FLOAT}},
    .types = "f32 f32 f32 f32 -> f32; f32 f32 f32 f32 bf16 -> f32 bf16",
    .infer = infer,
    .cost = cost,
    .updates = {1, 1 + 4},
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_sgd_cuda),
    .cuda_many = PARA_CUDA(para_sgd_cuda_many),
};

static int momentum_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(para_need_same(n, 0, 1, err));
    PARA_TRY(para_need_same(n, 0, 2, err));
    PARA_TRY(para_need_scalar(n, 3, err));
    PARA_TRY(para_need_scalar(n, 4, err));
    para_infer_like(n, 0, out);
    out[1] = out[2] = out[0];
    return n->n_in > 5 ? para_need_same(n, 0, 5, err) : 0;
}

/* p, v (E) in place, from g (E) */
static int momentum_reference(const struct para_call *c)
{
    const float *g = c->in[1];
    float *p = c->out[0], *v = c->out[1];
    double lr = *(const float *)c->in[3], scale = *(const float *)c->in[4];
    double momentum = c->node->attr[0].f, decay = c->node->attr[1].f;
    if (isnan(scale))
        return 0;
    int64_t elements = para_shape_elements(&c->node->out[0]->shape);
    for (int64_t e = 0; e < elements; e++) {
        double v_new = momentum * v[e] + (scale * g[e] + decay * p[e]);
        p[e] = (float)(p[e] - lr * v_new);
        v[e] = (float)v_new;
    }
    para_update_copy(c, 2);
    return 0;
}

PARA_SIMD static void momentum_update(int64_t elements, float lr, float scale, float momentum, float decay,
                                      const float *restrict g, float *restrict p, float *restrict v)
{
#pragma omp simd
    for (int64_t e = 0; e < elements; e++) {
        v[e] = momentum * v[e] + (scale * g[e] + decay * p[e]);
        p[e] -= lr * v[e];
    }
}

static int momentum_cpu(const struct para_call *c)
{
    if (isnan(*(const float *)c->in[4]))
        return 0;
    momentum_update(para_shape_elements(&c->node->out[0]->shape), *(const float *)c->in[3], *(const float *)c->in[4],
                    (float)c->node->attr[0].f, (float)c->node->attr[1].f, c->in[1], c->out[0], c->out[1]);
    para_update_copy(c, 2);
    return 0;
}

const struct para_op para_op_sgd_momentum = {
    .name = "sgd_momentum",
    .attrs = {{"momentum", PARA_ATTR_FLOAT}, {"weight_decay", PARA_ATTR_FLOAT}},
    .types = "f32 f32 f32 f32 f32 -> f32 f32; f32 f32 f32 f32 f32 bf16 -> f32 f32 bf16",
    .infer = momentum_infer,
    .cost = cost,
    .updates = {1, 3, 1 + 5},
    .reference = momentum_reference,
    .cpu = momentum_cpu,
    .cuda = PARA_CUDA(para_sgd_momentum_cuda),
    .cuda_many = PARA_CUDA(para_sgd_momentum_cuda_many),
};
