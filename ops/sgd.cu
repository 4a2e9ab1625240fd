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

static void describe_plain(const struct para_call *c, struct plain *f, struct para_update *u)
{
    *f = {{0, (float)c->node->attr[0].f, (const float *)c->in[2]}};
    u->scale = (const float *)c->in[3];
    u->g = (const float *)c->in[1];
    u->p = (float *)c->out[0];
}

int para_sgd_cuda_many(const struct para_call calls[], int count)
{
    return para_update<0>(calls, count, describe_plain);
}

int para_sgd_cuda(const struct para_call *c)
{
    return para_sgd_cuda_many(c, 1);
}

static void describe_momentum(const struct para_call *c, struct with_momentum *f, struct para_update *u)
{
    *f = {{(float)c->node->attr[0].f, (float)c->node->attr[1].f, (const float *)c->in[3]}};
    u->scale = (const float *)c->in[4];
    u->g = (const float *)c->in[1];
    u->p = (float *)c->out[0];
    u->moment[0] = (float *)c->out[1];
}

int para_sgd_momentum_cuda_many(const struct para_call calls[], int count)
{
    return para_update<1>(calls, count, describe_momentum);
}

int para_sgd_momentum_cuda(const struct para_call *c)
{
    return para_sgd_momentum_cuda_many(c, 1);
}
