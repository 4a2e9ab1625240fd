/* Optimizers as nodes: the learning rate, the gradient norm and its clipping scale once; an update per parameter;
 * at last the step's count, once all that read it stand before it. */
#include <paragraph/ops.h>
#include <paragraph/optim.h>

#include "ops/table.h"

#include <math.h>
#include <string.h>

/* What both optimizers hand to each update. */
struct optimizer {
    para_graph *g;
    para_tensor *lr, *step, *scale;
    int count; /* parameters that have gradients */
    para_tensor **param;
};

para_adamw_options para_adamw_default(void)
{
    return (para_adamw_options){
        .schedule = {PARA_SCHEDULE_CONSTANT, 1e-3, 0, 0, 0}, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
}

para_sgd_options para_sgd_default(void)
{
    return (para_sgd_options){.schedule = {PARA_SCHEDULE_CONSTANT, 1e-2, 0, 0, 0}};
}

/* Open a scope given in full in place of those that are open, which are returned. */
static const char *enter(para_graph *g, const char *scope)
{
    const char *open = g->scope;
    g->scope = scope;
    return open;
}

para_tensor *para_step(para_graph *g)
{
    const para_tensor *step = para_graph_find(g, PARA_STEP);
    if (step)
        return g->tensors[step->id];
    const char *open = enter(g, "");
    para_tensor *made = para_state(g, PARA_STEP, PARA_I32, PARA_SCALAR, (para_init){PARA_INIT_FILL, 0, 0});
    enter(g, open);
    return made;
}

static int need(bool within, const char *option, double value, const char *expected, para_error *err)
{
    return within ? 0 : para_fail(err, PARA_EINVAL, "%s is %g, expected %s", option, value, expected);
}

static int check_schedule(const para_schedule *s, para_error *err)
{
    bool constant = s->kind == PARA_SCHEDULE_CONSTANT;
    PARA_TRY(need(s->kind >= PARA_SCHEDULE_CONSTANT && s->kind <= PARA_SCHEDULE_LINEAR, "schedule.kind", s->kind,
                  "one of the three kinds", err));
    PARA_TRY(need(s->lr >= 0 && isfinite(s->lr), "schedule.lr", s->lr, "at least 0", err));
    PARA_TRY(need(s->min_lr >= 0 && isfinite(s->min_lr), "schedule.min_lr", s->min_lr, "at least 0", err));
    PARA_TRY(need(s->warmup >= 0, "schedule.warmup", (double)s->warmup, "at least 0", err));
    return need(constant || s->steps > s->warmup, "schedule.steps", (double)s->steps, "more than schedule.warmup", err);
}

static int check_common(const para_schedule *s, double weight_decay, double clip, para_error *err)
{
    PARA_TRY(check_schedule(s, err));
    PARA_TRY(need(weight_decay >= 0 && isfinite(weight_decay), "weight_decay", weight_decay, "at least 0", err));
    return need(clip >= 0 && isfinite(clip), "clip", clip, "at least 0 (0: no clipping)", err);
}

/* "<parameter>.suffix"; NULL with the error kept. */
static const char *join_name(para_graph *g, const para_tensor *param, const char *suffix)
{
    const char *name = para_arena_format(&g->arena, "%s.%s", param->name, suffix);
    return name ? name : para_graph_error(g, PARA_ENOMEM, "out of memory: appending an optimizer");
}

/* Make a node in the scope of `grad`'s, so that it is placed with the layer, under the parameter's name. */
static para_node *apply_beside(struct optimizer *o, const struct para_op *op, para_tensor *const in[], int n_in,
                               const union para_attr attr[], const para_tensor *param, const char *suffix)
{
    const char *name = join_name(o->g, param, suffix);
    const char *open = enter(o->g, para_grad(o->g, param)->producer->scope);
    para_node *n = name ? para_apply_node(op, o->g, in, n_in, attr) : NULL;
    enter(o->g, "");
    bool named = n && para_name(n->out[0], name);
    enter(o->g, open);
    return named ? n : NULL;
}

static int collect(struct optimizer *o, para_error *err)
{
    para_graph *g = o->g;
    o->param = para_arena_alloc(&g->arena, sizeof(para_tensor *) * (size_t)(g->n_grads + 1));
    if (!o->param)
        return para_fail_memory(err, "appending an optimizer");
    for (int t = 0; t < g->n_grads; t++)
        if (g->tensors[t]->kind == PARA_PARAMETER && para_grad(g, g->tensors[t]))
            o->param[o->count++] = g->tensors[t];
    if (o->count == 0)
        return para_fail(err, PARA_EINVAL, "no parameter has a gradient to be updated by");
    return 0;
}

/* The learning rate, the norm and the clipping scale. The norm is one sum in the order of the parameters. */
static int begin(struct optimizer *o, para_graph *g, const para_schedule *s, double clip, para_error *err)
{
    *o = (struct optimizer){.g = g};
    if (g->error.code)
        return para_fail(err, g->error.code, "%s", g->error.message);
    if (g->sealed || !g->has_backward)
        return para_fail(err, PARA_EINVAL, "the graph %s",
                         g->sealed ? "is sealed" : "has no gradients: call para_graph_backward() first");
    PARA_TRY(collect(o, err));
    o->step = para_step(g);
    if (o->step && o->step->overwritten_by)
        return para_fail(err, PARA_EINVAL, "the graph has an optimizer already");
    para_tensor **square = para_arena_alloc(&g->arena, sizeof(para_tensor *) * (size_t)o->count);
    if (!square)
        return para_fail_memory(err, "appending an optimizer");
    for (int i = 0; i < o->count; i++) {
        para_node *n =
            apply_beside(o, &para_op_sumsq, PARA_IN(para_grad(g, o->param[i])), NULL, o->param[i], "grad.sumsq");
        square[i] = n ? n->out[0] : NULL;
    }
    const char *open = enter(g, "optimizer");
    o->lr = para_apply(&para_op_schedule, g, PARA_IN(o->step),
                       PARA_ATTRS({.s = para_schedule_name(s->kind)}, {.f = s->lr}, {.f = s->min_lr}, {.i = s->warmup},
                                  {.i = s->steps}));
    para_output(para_name(o->lr, "lr"));
    para_tensor *norm = para_apply(&para_op_norm, g, PARA_IN(para_sum(g, square, o->count)), NULL);
    para_output(para_name(norm, "grad_norm"));
    o->scale = para_apply(&para_op_clip_scale, g, PARA_IN(norm, g->loss), PARA_ATTRS({.f = clip}));
    enter(g, open);
    return 0;
}

static int finish(struct optimizer *o, para_error *err)
{
    const char *open = enter(o->g, "optimizer");
    para_apply(&para_op_increment, o->g, PARA_IN(o->step, o->scale), NULL);
    enter(o->g, open);
    if (o->g->error.code)
        return para_fail(err, o->g->error.code, "%s", o->g->error.message);
    return 0;
}

/* A state like the parameter, all zeros, called "<parameter>.suffix". */
static para_tensor *moment(struct optimizer *o, const para_tensor *param, const char *suffix)
{
    const char *name = join_name(o->g, param, suffix);
    para_dim dims[PARA_MAX_RANK + 1] = {{NULL, 0}};
    for (int d = 0; d < param->shape.rank; d++)
        dims[d] = (para_dim){param->shape.dim[d].axis, param->shape.dim[d].whole};
    const char *open = enter(o->g, "");
    para_tensor *state = name ? para_state(o->g, name, PARA_F32, dims, (para_init){PARA_INIT_FILL, 0, 0}) : NULL;
    enter(o->g, open);
    return state;
}

/* Biases and norms aren't decayed. A bias may have several axes (qkv, heads, head_dim), so names decide too. */
static double decay_of(const para_tensor *param, double weight_decay)
{
    const char *dot = strrchr(param->name, '.');
    bool bias = strcmp(dot ? dot + 1 : param->name, "bias") == 0;
    return bias || param->shape.rank < 2 ? 0.0 : weight_decay;
}

int para_graph_adamw(para_graph *g, const para_adamw_options *options, para_error *err)
{
    const para_adamw_options standard = para_adamw_default(), *opt = options ? options : &standard;
    struct optimizer o;
    PARA_TRY(check_common(&opt->schedule, opt->weight_decay, opt->clip, err));
    PARA_TRY(need(opt->beta1 >= 0 && opt->beta1 < 1, "beta1", opt->beta1, "at least 0, below 1", err));
    PARA_TRY(need(opt->beta2 >= 0 && opt->beta2 < 1, "beta2", opt->beta2, "at least 0, below 1", err));
    PARA_TRY(need(opt->eps > 0 && isfinite(opt->eps), "eps", opt->eps, "more than 0", err));
    PARA_TRY(begin(&o, g, &opt->schedule, opt->clip, err));
    for (int i = 0; i < o.count; i++) {
        para_tensor *p = o.param[i], *m = moment(&o, p, "m"), *v = moment(&o, p, "v");
        apply_beside(
            &o, &para_op_adamw, PARA_IN(p, para_grad(g, p), m, v, o.lr, o.step, o.scale),
            PARA_ATTRS({.f = opt->beta1}, {.f = opt->beta2}, {.f = opt->eps}, {.f = decay_of(p, opt->weight_decay)}), p,
            "adamw");
    }
    return finish(&o, err);
}

int para_graph_sgd(para_graph *g, const para_sgd_options *options, para_error *err)
{
    const para_sgd_options standard = para_sgd_default(), *opt = options ? options : &standard;
    struct optimizer o;
    PARA_TRY(check_common(&opt->schedule, opt->weight_decay, opt->clip, err));
    PARA_TRY(need(opt->momentum >= 0 && opt->momentum < 1, "momentum", opt->momentum, "at least 0, below 1", err));
    PARA_TRY(begin(&o, g, &opt->schedule, opt->clip, err));
    for (int i = 0; i < o.count; i++) {
        para_tensor *p = o.param[i], *dp = para_grad(g, p);
        double decay = decay_of(p, opt->weight_decay);
        if (opt->momentum > 0)
            apply_beside(&o, &para_op_sgd_momentum, PARA_IN(p, dp, moment(&o, p, "v"), o.lr, o.scale),
                         PARA_ATTRS({.f = opt->momentum}, {.f = decay}), p, "sgd");
        else
            apply_beside(&o, &para_op_sgd, PARA_IN(p, dp, o.lr, o.scale), PARA_ATTRS({.f = decay}), p, "sgd");
    }
    return finish(&o, err);
}
