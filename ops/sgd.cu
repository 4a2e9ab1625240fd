/* sgd and sgd_momentum on a GPU: the formulas of ops/sgd.c. */
#include "ops/update-cuda.h"

struct sgd {
    float momentum, decay;
    const float *lr;

    typedef float rates;

    __device__ float of() const
    {
        return *lr;
    }
};

struct plain : sgd {
    __device__ void operator()(float rate, float slope, float &p, float &, float &) const
    {
        p -= rate * (slope + decay * p);
    }
};

struct with_momentum : sgd {
    __device__ void operator()(float rate, float slope, float &p, float &v, float &) const
    {
        v = momentum * v + (slope + decay * p);
        p -= rate * v;
    }
};

int para_sgd_cuda(const struct para_call *c)
{
    struct plain f = {{0, (float)c->node->attr[0].f, (const float *)c->in[2]}};
    struct para_update u = {};
    u.scale = (const float *)c->in[3];
    u.g = (const float *)c->in[1];
    u.p = (float *)c->out[0];
    return para_update<0>(c, f, u);
}

int para_sgd_momentum_cuda(const struct para_call *c)
{
    struct with_momentum f = {{(float)c->node->attr[0].f, (float)c->node->attr[1].f, (const float *)c->in[3]}};
    struct para_update u = {};
    u.scale = (const float *)c->in[4];
    u.g = (const float *)c->in[1];
    u.p = (float *)c->out[0];
    u.moment[0] = (float *)c->out[1];
    return para_update<1>(c, f, u);
}
