/* schedule on a GPU: the formula of ops/schedule.c. */
#include "ops/cuda.h"

#include <string.h>

int para_schedule_cuda(const struct para_call *c)
{
    const union para_attr *attr = c->node->attr;
    bool cosine = strcmp(attr[0].s, "cosine") == 0, linear = strcmp(attr[0].s, "linear") == 0;
    double lr = attr[1].f, min_lr = attr[2].f, warmup = (double)attr[3].i, steps = (double)attr[4].i;
    const int32_t *step = (const int32_t *)c->in[0];
    float *y = (float *)c->out[0];
    return para_each(c, 1, [=] __device__(int64_t) {
        double i = *step, t = fmin((i - warmup) / (steps - warmup), 1.0), rate = lr;
        if (i < warmup)
            rate = lr * (i + 1) / (warmup + 1);
        else if (cosine)
            rate = min_lr + (lr - min_lr) * 0.5 * (1.0 + cospi(t));
        else if (linear)
            rate = lr + (min_lr - lr) * t;
        *y = (float)rate;
    });
}
