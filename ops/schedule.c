/* schedule: the learning rate of step i (int32 scalar, from 0) as a scalar.
 *   i < warmup:  lr (i + 1) / (warmup + 1)
 *   after it, with t = (i - warmup) / (steps - warmup), at most 1:
 *     constant:  lr
 *     cosine:    min_lr + (lr - min_lr) (1 + cos(pi t)) / 2          Loshchilov and Hutter, 2017, eq. 5
 *     linear:    lr + (min_lr - lr) t
 * Scalars have no axes, so nothing is split. */
#include <paragraph/optim.h>

#include "ops/need.h"
#include "ops/table.h"

#include <math.h>
#include <string.h>

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    const char *kind = n->attr[0].s;
    bool constant = strcmp(kind, "constant") == 0;
    (void)out;
    PARA_TRY(para_need_scalar(n, 0, err));
    if (!constant && strcmp(kind, "cosine") != 0 && strcmp(kind, "linear") != 0)
        return para_fail(err, PARA_EINVAL, "kind is \"%s\", expected constant, cosine or linear", kind);
    if (n->attr[3].i < 0 || (!constant && n->attr[4].i <= n->attr[3].i))
        return para_fail(err, PARA_ERANGE, "warmup is %lld and steps %lld, expected 0 <= warmup < steps",
                         (long long)n->attr[3].i, (long long)n->attr[4].i);
    return 0;
}

/* lr () = schedule(step ()) */
static int cpu(const struct para_call *c)
{
    const union para_attr *attr = c->node->attr;
    double lr = attr[1].f, min_lr = attr[2].f, warmup = (double)attr[3].i, steps = (double)attr[4].i;
    double i = *(const int32_t *)c->in[0], t = fmin((i - warmup) / (steps - warmup), 1.0), rate = lr;
    if (i < warmup)
        rate = lr * (i + 1) / (warmup + 1);
    else if (strcmp(attr[0].s, "cosine") == 0)
        rate = min_lr + (lr - min_lr) * 0.5 * (1.0 + cos(M_PI * t));
    else if (strcmp(attr[0].s, "linear") == 0)
        rate = lr + (min_lr - lr) * t;
    *(float *)c->out[0] = (float)rate;
    return 0;
}

const struct para_op para_op_schedule = {
    .name = "schedule",
    .attrs = {{"kind", PARA_ATTR_STRING},
              {"lr", PARA_ATTR_FLOAT},
              {"min_lr", PARA_ATTR_FLOAT},
              {"warmup", PARA_ATTR_INT},
              {"steps", PARA_ATTR_INT}},
    .types = "i32 -> f32",
    .infer = infer,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_schedule_cuda),
};

const char *para_schedule_name(para_schedule_kind kind)
{
    static const char *const names[] = {"constant", "cosine", "linear"};
    return (unsigned)kind < sizeof names / sizeof *names ? names[kind] : NULL;
}
