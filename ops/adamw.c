/* adamw: one step of AdamW in place.                       Loshchilov and Hutter, 2019, algorithm 2
 *   g = scale g                        (the clipping scale)
 *   p = p - lr weight_decay p
 *   m = m + (1 - beta1) (g - m)
 *   v = beta2 v + (1 - beta2) g^2
 *   p = p - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps),  t = step + 1
 * and, where there is a bfloat16 copy of p, that too. In the order of operations of PyTorch's; nothing, where the scale
 * is no number (ops/clip.c). Element by element, so every axis is parallel. */
#include "base/simd.h"
#include "ops/need.h"
#include "ops/table.h"
#include "ops/update.h"

enum { P, G, M, V, LR, STEP, SCALE, COPY };

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    for (int i = G; i <= V; i++)
        PARA_TRY(para_need_same(n, P, i, err));
    PARA_TRY(para_need_scalar(n, LR, err));
    PARA_TRY(para_need_scalar(n, STEP, err));
    PARA_TRY(para_need_scalar(n, SCALE, err));
    para_infer_like(n, P, out);
    out[1] = out[2] = out[3] = out[0];
    return n->n_in > COPY ? para_need_same(n, P, COPY, err) : 0;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 16.0 * (double)para_shape_elements(&n->out[0]->shape);
}

/* The step's factors. */
struct rates {
    double scale, keep, beta1, beta2, step_size, root, eps;
};

static struct rates rates_of(const struct para_call *c)
{
    const union para_attr *attr = c->node->attr;
    double lr = *(const float *)c->in[LR], t = *(const int32_t *)c->in[STEP] + 1.0;
    struct rates r = {.scale = *(const float *)c->in[SCALE], .beta1 = attr[0].f, .beta2 = attr[1].f, .eps = attr[2].f};
    r.keep = 1.0 - lr * attr[3].f;
    r.step_size = lr / (1.0 - pow(r.beta1, t));
    r.root = sqrt(1.0 - pow(r.beta2, t));
    return r;
}

/* p, m, v (E) in place, from g (E) */
static int reference(const struct para_call *c)
{
    struct rates r = rates_of(c);
    if (isnan(r.scale))
        return 0;
    const float *g = c->in[G];
    float *p = c->out[0], *m = c->out[1], *v = c->out[2];
    int64_t elements = para_shape_elements(&c->node->out[0]->shape);
    for (int64_t e = 0; e < elements; e++) {
        double slope = r.scale * g[e];
        double m_new = m[e] + (1.0 - r.beta1) * (slope - m[e]);
        double v_new = r.beta2 * v[e] + (1.0 - r.beta2) * slope * slope;
        p[e] = (float)(p[e] * r.keep - r.step_size * m_new / (sqrt(v_new) / r.root + r.eps));
        m[e] = (float)m_new;
        v[e] = (float)v_new;
    }
    para_update_copy(c, 3);
    return 0;
}

PARA_SIMD static void update(int64_t elements, const struct rates *r, const float *restrict g, float *restrict p,
                             float *restrict m, float *restrict v)
{
    const float scale = (float)r->scale, keep = (float)r->keep, move1 = (float)(1.0 - r->beta1);
    const float beta2 = (float)r->beta2, move2 = (float)(1.0 - r->beta2), step_size = (float)r->step_size;
    const float root = (float)r->root, eps = (float)r->eps;
#pragma omp simd
    for (int64_t e = 0; e < elements; e++) {
        float slope = scale * g[e];
        m[e] = m[e] + move1 * (slope - m[e]);
        v[e] = beta2 * v[e] + move2 * slope * slope;
        p[e] = p[e] * keep - step_size * (m[e] / (sqrtf(v[e]) / root + eps));
    }
}

static int cpu(const struct para_call *c)
{
    struct rates r = rates_of(c);
    if (isnan(r.scale))
        return 0;
    update(para_shape_elements(&c->node->out[0]->shape), &r, c->in[G], c->out[0], c->out[1], c->out[2]);
    para_update_copy(c, 3);
    return 0;
}

const struct para_op para_op_adamw = {
    .name = "adamw",
    .attrs = {{"beta1", PARA_ATTR_FLOAT},
              {"beta2", PARA_ATTR_FLOAT},
              {"eps", PARA_ATTR_FLOAT},
              {"weight_decay", PARA_ATTR_FLOAT}},
    .types = "f32 f32 f32 f32 f32 i32 f32 -> f32 f32 f32; f32 f32 f32 f32 f32 i32 f32 bf16 -> f32 f32 f32 bf16",
    .infer = infer,
    .cost = cost,
    .updates = {1 + P, 1 + M, 1 + V, 1 + COPY},
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_adamw_cuda),
    .cuda_many = PARA_CUDA(para_adamw_cuda_many),
};
