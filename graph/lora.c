/* Low-rank adapters beside products: y = x W becomes y = x W + s (x A^T) B^T, and all but A and B is frozen. Hu et al.,
 * "LoRA: low-rank adaptation of large language models", 2021.
 *
 * The sum has the product's old name, so that nothing else changes. What comes out is the graph as written: its nodes
 * and values count anew. */
#include <paragraph/lora.h>
#include <paragraph/ops.h>

#include "base/fail.h"
#include "graph/op.h"
#include "graph/rewrite.h"

#include <math.h>
#include <string.h>

#define AXIS "lora"
#define WEIGHT ".weight"

struct adapting {
    struct para_rewrite pass;
    const para_lora *how;
    double scale;
    bool *used; /* by target: a product has its name */
    int adapters;
};

para_lora para_lora_default(void)
{
    return (para_lora){.rank = 8, .alpha = 16};
}

double para_lora_scale(const para_lora *how)
{
    return how->alpha / (how->rslora ? sqrt((double)how->rank) : (double)how->rank);
}

/* --- which products --- */

/* The length of a parameter's name without ".weight". */
static size_t stem_of(const char *name)
{
    size_t length = strlen(name), end = strlen(WEIGHT);
    return length > end && strcmp(name + length - end, WEIGHT) == 0 ? length - end : length;
}

static bool is_product(const para_node *n)
{
    return strcmp(n->op->name, "matmul") == 0 && n->in[1]->kind == PARA_PARAMETER;
}

/* Whether a target of so many bytes is a parameter's name, or its last words. */
static bool is_meant(const char *target, size_t length, const char *name)
{
    size_t stem = stem_of(name);
    return length > 0 && stem >= length && strncmp(name + stem - length, target, length) == 0 &&
           (stem == length || name[stem - length - 1] == '.');
}

/* Whether a product gets an adapter; notes the targets that say so. */
static bool chooses(struct adapting *a, const para_node *n)
{
    bool chosen = !a->how->targets;
    const char *target = a->how->targets;
    for (int i = 0; target; i++) {
        size_t length = strcspn(target, ",");
        bool meant = is_meant(target, length, n->in[1]->base);
        a->used[i] = a->used[i] || meant;
        chosen = chosen || meant;
        target = target[length] ? target + length + 1 : NULL;
    }
    return chosen;
}

static int count_targets(const char *targets)
{
    int count = 1;
    for (; targets && *targets; targets++)
        count += *targets == ',';
    return count;
}

static int fail_target(const struct adapting *a, const char *target, size_t length)
{
    char list[400] = "";
    size_t used = 0;
    for (int i = 0; i < a->pass.from->n_nodes && used < sizeof list; i++) {
        const para_node *n = a->pass.from->nodes[i];
        if (is_product(n))
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%.*s", used ? ", " : "",
                                     (int)stem_of(n->in[1]->base), n->in[1]->base);
    }
    return para_fail(&a->pass.to->error, PARA_ENAME, "no product has the target \"%.*s\"; there are %s", (int)length,
                     target, list);
}

static int check_targets(const struct adapting *a)
{
    const char *target = a->how->targets;
    for (int i = 0; target; i++) {
        size_t length = strcspn(target, ",");
        if (!a->used[i])
            return fail_target(a, target, length);
        target = target[length] ? target + length + 1 : NULL;
    }
    return a->adapters ? 0 : fail_target(a, "", 0);
}

/* --- adapters --- */

/* A parameter beside `of`: "N.lora_A.weight" beside "N.weight". */
static para_tensor *add_matrix(struct adapting *a, const para_tensor *of, const char *word,
                               const struct para_shape *shape, para_init init)
{
    para_graph *to = a->pass.to;
    const char *name = para_arena_format(&to->arena, "%.*s.%s" WEIGHT, (int)stem_of(of->base), of->base, word);
    para_tensor *t = name ? para_tensor_add(to, PARA_PARAMETER, name, shape) : NULL;
    if (t)
        t->init = init;
    return t;
}

/* A (lora, axes of w that are contracted) and B (its other axes, lora), in w's order. */
static void shape_matrices(const struct adapting *a, const para_node *n, struct para_shape *down, struct para_shape *up)
{
    const struct para_shape *w = &n->in[1]->shape;
    *down = *up = (struct para_shape){.dtype = PARA_F32};
    para_shape_append(down, AXIS, a->how->rank);
    for (int d = 0; d < w->rank; d++)
        para_shape_append(para_word_in(w->dim[d].axis, n->attr[0].s) ? down : up, w->dim[d].axis, w->dim[d].whole);
    para_shape_append(up, AXIS, a->how->rank);
}

/* Give a value a name in full, whatever scope is open. */
static para_tensor *rename_to(para_graph *g, para_tensor *t, const char *name)
{
    const char *scope = g->scope;
    g->scope = "";
    t = name ? para_name(t, name) : NULL;
    g->scope = scope;
    return t;
}

static para_tensor *named(const struct adapting *a, para_tensor *t, const para_node *n, const char *word)
{
    return rename_to(a->pass.to, t, para_arena_format(&a->pass.to->arena, "%s.%s", n->out[0]->name, word));
}

/* What is added to a product of x, in the order of its axes. */
static para_tensor *add_adapter(struct adapting *a, const para_node *n, para_tensor *x)
{
    struct para_shape down, up;
    para_graph *to = a->pass.to;
    shape_matrices(a, n, &down, &up);
    double bound = 1 / sqrt((double)para_shape_elements(&down) / (double)a->how->rank);
    para_tensor *matrix_a = add_matrix(a, n->in[1], "lora_A", &down, (para_init){PARA_INIT_UNIFORM, 0, bound});
    para_tensor *matrix_b = add_matrix(a, n->in[1], "lora_B", &up, (para_init){PARA_INIT_FILL, 0, 0});
    para_tensor *h = named(a, para_matmul(to, x, matrix_a, n->attr[0].s), n, "lora_A");
    h = named(a, para_scale(to, h, a->scale), n, "lora_scale");
    return named(a, para_apply(n->op, to, PARA_IN(h, matrix_b), PARA_ATTRS({.s = AXIS}, {.s = n->attr[1].s})), n,
                 "lora_B");
}

/* The product of int8 weights isn't y yet: scales follow. */
static int check_weight(const para_tensor *w, para_error *err)
{
    return w->shape.dtype != PARA_I8 ? 0
                                     : para_fail(err, PARA_ESUPPORT, "\"%s\" is i8, which takes no adapter", w->name);
}

/* The product under another name, its adapter, and their sum in its place. */
static int adapt(struct adapting *a, const para_node *n)
{
    struct para_rewrite *r = &a->pass;
    const para_tensor *old = n->out[0];
    para_tensor *in[] = {r->value[n->in[0]->id], r->value[n->in[1]->id]};
    PARA_TRY(check_weight(n->in[1], &r->to->error));
    const char *base = para_name_unique(r->to, "%s.base", n->name);
    para_node *product = para_rewrite_add_node(r, n, n->op, base, in, 2, n->attr);
    PARA_TRY(para_rewrite_add_after(r, product, n));
    para_tensor *y = para_rewrite_add_between(old, product, base, &old->shape);
    if (!y)
        return PARA_ENOMEM;
    r->to->scope = product->scope;
    para_tensor *more = add_adapter(a, n, in[0]);
    para_tensor *sum = para_sum(r->to, (para_tensor *const[]){y, more}, 2);
    sum = rename_to(r->to, sum, old->name);
    r->to->scope = "";
    if (!sum)
        return PARA_ENOMEM;
    sum->is_output = old->is_output;
    r->value[old->id] = sum;
    r->node[n->id] = sum->producer;
    a->adapters++;
    return 0;
}

/* --- the whole --- */

static int check(const struct adapting *a, const para_lora *how)
{
    const para_graph *g = a->pass.from;
    para_error *err = &a->pass.to->error;
    if (g->has_backward)
        return para_fail(err, PARA_EINVAL, "the graph has its gradients already");
    if (para_graph_has_frozen(g))
        return para_fail(err, PARA_EINVAL, "the graph has frozen parameters already");
    if (g->splits[0])
        return para_fail(err, PARA_EINVAL, "the graph is split (%s), expected one as written", g->splits);
    if (how->rank < 1 || how->rank > INT32_MAX)
        return para_fail(err, PARA_ERANGE, "rank is %lld, expected 1 or more", (long long)how->rank);
    if (!isfinite(how->alpha) || how->alpha <= 0)
        return para_fail(err, PARA_ERANGE, "alpha is %g, expected more than 0", how->alpha);
    return 0;
}

static void freeze(para_graph *g)
{
    for (int t = 0; t < g->n_tensors; t++)
        g->tensors[t]->frozen = g->tensors[t]->kind == PARA_PARAMETER && !g->tensors[t]->producer;
}

/* The graph that comes out is the one as written. */
static void count_anew(para_graph *g)
{
    for (int t = 0; t < g->n_tensors; t++)
        g->tensors[t]->origin = t;
    for (int i = 0; i < g->n_nodes; i++)
        g->nodes[i]->origin = i;
}

static int run(struct adapting *a)
{
    struct para_rewrite *r = &a->pass;
    PARA_TRY(check(a, a->how));
    a->used = para_rewrite_alloc(r, count_targets(a->how->targets), sizeof *a->used);
    PARA_TRY(a->used ? para_rewrite_sources(r, NULL) : PARA_ENOMEM);
    freeze(r->to);
    for (int i = 0; i < r->from->n_nodes; i++) {
        const para_node *n = r->from->nodes[i];
        if (is_product(n) && chooses(a, n))
            PARA_TRY(adapt(a, n));
        else if (!para_rewrite_copy_node(r, n, n->op, NULL, n->n_in))
            return PARA_ENOMEM;
    }
    count_anew(r->to);
    return check_targets(a);
}

int para_graph_lora(para_graph **out, const para_graph *g, const para_lora *how, para_error *err)
{
    struct adapting a = {.how = how, .scale = para_lora_scale(how)};
    PARA_TRY(para_rewrite_begin(&a.pass, g, err, "lora"));
    a.pass.stays_open = true;
    return para_rewrite_finish(&a.pass, run(&a), out, err);
}
