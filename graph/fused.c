/* Ops that are nothing but the nodes that they stand for: what these infer, cost and compute, one after another. */
#include "graph/pattern.h"

#include "base/fail.h"

#include <string.h>

static int count_attributes(const struct para_op *op)
{
    int count = 0;
    while (count < PARA_MAX_ATTRS && op->attrs[count].name)
        count++;
    return count;
}

void para_fused_attributes(const para_node *const of[], int count, union para_attr attr[])
{
    for (int i = 0; i < count; i++) {
        int own = count_attributes(of[i]->op);
        memcpy(attr, of[i]->attr, (size_t)own * sizeof *attr);
        attr += own;
    }
}

/* A tile's dimensions are those of an operand that has the axis. */
static void cut_like(struct para_shape *s, const para_node *n)
{
    for (int d = 0; d < s->rank; d++)
        for (int k = 0; k < n->n_in; k++) {
            int at = para_shape_find(&n->in[k]->shape, s->dim[d].axis);
            if (at >= 0)
                s->dim[d] = n->in[k]->shape.dim[at];
        }
}

static int open_node(struct para_fused *f, int number, const para_node *n, int attribute, para_error *err)
{
    const struct para_statement *s = &f->pattern.node[number];
    struct para_shape shape[PARA_MAX_OUT] = {{0}};
    para_node *own = &f->node[number];
    *own = (para_node){.graph = n->graph,
                       .op = s->op,
                       .name = n->name,
                       .in = f->in[number],
                       .out = f->out[number],
                       .n_in = s->n_in,
                       .n_out = s->n_out};
    memcpy(own->attr, n->attr + attribute, (size_t)count_attributes(s->op) * sizeof *own->attr);
    memcpy(own->words, n->words + attribute, (size_t)count_attributes(s->op) * sizeof *own->words);
    for (int i = 0; i < s->n_in; i++)
        own->in[i] = &f->value[s->in[i]];
    int made = para_node_infer(own, shape, err);
    PARA_TRY(made);
    for (int k = 0; k < s->n_out; k++) {
        para_tensor *t = own->out[k] = &f->value[s->out[k]];
        cut_like(&shape[k], own);
        *t = (para_tensor){.graph = n->graph, .name = n->name, .base = n->name, .shape = shape[k], .producer = own};
    }
    return 0;
}

int para_fused_open(struct para_fused *f, const para_node *n, para_error *err)
{
    struct para_pattern *p = &f->pattern;
    int attribute = count_attributes(n->op), form = 0;
    bool found = para_pattern_read(p, n->op, form);
    while (found && p->n_in != n->n_in)
        found = para_pattern_read(p, n->op, ++form);
    if (!found)
        return para_fail(err, PARA_EINVAL, "%d inputs, of which %s has no form", n->n_in, n->op->name);
    for (int i = 0; i < p->n_in; i++)
        f->value[p->in[i]] = *n->in[i];
    for (int i = p->count - 1; i >= 0; i--) {
        attribute -= count_attributes(p->node[i].op);
        PARA_TRY(open_node(f, i, n, attribute, err));
    }
    return 0;
}

int para_fused_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    struct para_fused f;
    PARA_TRY(para_fused_open(&f, n, err));
    for (int k = 0; k < f.pattern.n_out; k++) {
        const struct para_shape *made = &f.value[f.pattern.out[k]].shape;
        for (int d = 0; d < made->rank; d++)
            para_shape_append(&out[k], made->dim[d].axis, made->dim[d].whole);
    }
    return 0;
}

enum para_role para_fused_role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)n, (void)axis, (void)output;
    *why = "splits come before fusing";
    return PARA_WHOLE;
}

static double flops_of(const para_node *n)
{
    struct para_cost c = {.flops = (double)para_shape_elements(&n->out[0]->shape)};
    if (n->op->cost)
        n->op->cost(n, &c);
    return c.flops;
}

void para_fused_cost(const para_node *n, struct para_cost *c)
{
    struct para_fused f;
    c->flops = 0;
    if (para_fused_open(&f, n, NULL) == 0)
        for (int i = 0; i < f.pattern.count; i++)
            c->flops += flops_of(&f.node[i]);
}

/* --- on a CPU --- */

static size_t in_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static bool is_handed_out(const struct para_pattern *p, int name)
{
    for (int k = 0; k < p->n_out; k++)
        if (p->out[k] == name)
            return true;
    return false;
}

/* Give the values that lie between nodes their places in scratch; returns the bytes that they take. */
static size_t place_values(const struct para_fused *f, char *scratch, void *at[])
{
    const struct para_pattern *p = &f->pattern;
    size_t used = 0;
    for (int i = 0; i < p->count; i++)
        for (int k = 0; k < p->node[i].n_out; k++) {
            int name = p->node[i].out[k];
            if (is_handed_out(p, name))
                continue;
            at[name] = scratch ? scratch + used : NULL;
            used += in_lines(para_shape_bytes(&f->value[name].shape));
        }
    return used;
}

size_t para_fused_scratch(const para_node *n)
{
    struct para_fused f;
    void *at[PARA_PATTERN_NAMES];
    size_t most = 0;
    if (para_fused_open(&f, n, NULL) < 0)
        return 0;
    for (int i = 0; i < f.pattern.count; i++) {
        size_t bytes = para_op_scratch(&f.node[i]);
        most = bytes > most ? bytes : most;
    }
    return place_values(&f, NULL, at) + most;
}

int para_fused_cpu(const struct para_call *c)
{
    struct para_fused f;
    void *at[PARA_PATTERN_NAMES];
    PARA_TRY(para_fused_open(&f, c->node, c->err));
    const struct para_pattern *p = &f.pattern;
    size_t used = place_values(&f, c->scratch, at);
    for (int i = 0; i < p->n_in; i++)
        at[p->in[i]] = c->in[i];
    for (int k = 0; k < p->n_out; k++)
        at[p->out[k]] = c->out[k];
    for (int i = p->count - 1; i >= 0; i--) {
        void *in[PARA_PATTERN_OPERANDS], *out[PARA_MAX_OUT];
        struct para_call call = *c;
        call.node = &f.node[i];
        call.in = in;
        call.out = out;
        call.scratch = (char *)c->scratch + used;
        for (int k = 0; k < p->node[i].n_in; k++)
            in[k] = at[p->node[i].in[k]];
        for (int k = 0; k < p->node[i].n_out; k++)
            out[k] = at[p->node[i].out[k]];
        PARA_TRY(para_op_call(&call, false));
    }
    return 0;
}

int para_fused_complain(const para_node *n, int64_t position, int32_t value, para_error *err)
{
    struct para_fused f;
    PARA_TRY(para_fused_open(&f, n, err));
    int i = 0;
    while (i + 1 < f.pattern.count && !f.node[i].op->complain)
        i++;
    return f.node[i].op->complain(&f.node[i], position, value, err);
}
