/* adamw on a GPU: the formulas of ops/adamw.c, one pass over memory for many parameters. */
#include "ops/update-cuda.h"

struct adamw {
    double beta1, beta2, weight_decay;
    float move1, keep2, move2, eps;
    const float *lr;
    const int32_t *step;

    struct rates {
        float keep, step_size, root;
    };

    __device__ struct rates of() const
    {
        double t = *step + 1.0;
        return {(float)(1.0 - *lr * weight_decay), (float)(*lr / (1.0 - pow(beta1, t))),
                (float)sqrt(1.0 - pow(beta2, t))};
    }

    __device__ void operator()(const struct rates &r, float slope, float &p, float &m, float &v) const
    {
        m = m + move1 * (slope - m);
        v = keep2 * v + move2 * slope * slope;
        p = p * r.keep - r.step_size * (m / (sqrtf(v) / r.root + eps));
    }
};

static void describe(const struct para_call *c, struct adamw *f, struct para_update *u)
{
    const union para_attr *attr = c->node->attr;
    double beta1 = attr[0].f, beta2 = attr[1].f;
    *f = {beta1,
          beta2,
          attr[3].f,
          (float)(1.0 - beta1),
          (float)beta2,
          (float)(1.0 - beta2),
          (float)attr[2].f,
          (const float *)c->in[4],
          (const int32_t *)c->in[5]};
    u->scale = (const float *)c->in[6];
    u->g = (const float *)c->in[1];
    u->p = (float *)c->out[0];
    u->moment[0] = (float *)c->out[1];
    u->moment[1] = (float *)c->out[2];
}

int para_adamw_cuda_many(const struct para_call calls[], int count)
{
    return para_update<2>(calls, count, describe);
}

int para_adamw_cuda(const struct para_call *c)
{
    return para_adamw_cuda_many(c, 1);
}
