/* norm and clip_scale on a GPU. */
#include "ops/cuda.h"

int para_norm_cuda(const struct para_call *c)
{
    return para_map<1>(c, [] __device__(const float *x) { return sqrtf(x[0]); });
}

int para_clip_scale_cuda(const struct para_call *c)
{
    double limit = c->node->attr[0].f;
    const float *norm = (const float *)c->in[0], *loss = c->node->n_in > 1 ? (const float *)c->in[1] : norm;
    float *y = (float *)c->out[0];
    return para_each(c, 1, [=] __device__(int64_t) {
        double scale = limit / (*norm + 1e-6);
        if (!isfinite(*norm) || !isfinite(*loss))
            *y = NAN;
        else
            *y = limit > 0 && scale < 1 ? (float)scale : 1.0f;
    });
}
