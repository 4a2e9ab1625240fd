/* Accumulating in place: a sum whose terms can be added where an earlier term lies becomes a chain of updates.
 *
 * sum(a, b, c) becomes a; b added to a; c added to that, in program order: neither memory for b and c nor the traffic
 * of adding them up later. Terms that are made at one place are one chain, and what a sum has left to add are the
 * chains' ends. A term is chained only if waiting for the terms before it alone can't make the run longer: with
 * unlimited workers at nominal rates, its latest end that leaves the critical path as it is must not be passed. So
 * weight gradients, which wait for the optimizer, are chained, and partial sums that the next node waits for aren't. */
#include "base/fail.h"
#include "graph/op.h"
#include "graph/rewrite.h"
#include "graph/time.h"

#include <math.h>
#include <stdlib.h>

struct chains {
    struct para_rewrite pass;
    const struct para_op *sum;
    int *uses;                   /* by old tensor id: how often nodes read it */
    struct para_times times;     /* of the old graph */
    int *before;                 /* by old node: the node to whose result it adds; -1: none */
    bool *followed;              /* by old node: another adds to its result */
    bool *awaited;               /* by old node: another comes after it */
    bool *dropped;               /* by old node: a sum that a chain or another sum has taken in */
    const para_tensor **becomes; /* by old node: the sum that the end of a chain stands for, its result; or NULL */
    struct terms {
        const para_tensor **of;
        int count;
    } * rest; /* by old node: what is left for a sum to add, chains first; count 0: all it had */
};

static int measure(struct chains *c)
{
    const para_graph *g = c->pass.from;
    para_deps *d = NULL;
    PARA_TRY(para_deps_new(&d, g, NULL, &c->pass.to->error));
    int status = para_times_new(&c->times, g, d, 0);
    para_deps_free(d);
    return status;
}

/* When a node must be done so that the run takes no longer. */
static double latest_end_ns(const struct para_times *t, int node)
{
    return t->critical_ns - t->rest_ns[node] + t->cost_ns[node];
}

/* Whether a value may be overwritten once the sum has it: nothing else reads it, and it is the only thing of its
 * storage. */
static bool is_free(const struct chains *c, const para_tensor *t)
{
    return t->producer && !t->producer->op->retiles && c->uses[t->id] == 1 && !t->is_output && !t->overwrites &&
           !t->overwritten_by;
}

/* Whether a term is a sum that can be taken in: of the same place; no node comes after it, nor it after another but for
 * data. */
static bool is_inner(const struct chains *c, const para_node *sum, const para_tensor *t)
{
    return is_free(c, t) && t->producer->op == c->sum && t->producer->place == sum->place &&
           !c->awaited[t->producer->id] && !t->producer->n_after;
}

/* The terms of a sum, those of sums that it alone reads among them; returns their number. terms may be NULL. */
static int collect(const struct chains *c, const para_node *sum, const para_tensor **terms)
{
    int count = 0;
    for (int i = 0; i < sum->n_in; i++) {
        const para_tensor *t = sum->in[i];
        if (is_inner(c, sum, t))
            count += collect(c, t->producer, terms ? terms + count : NULL);
        else if (terms)
            terms[count++] = t;
        else
            count++;
    }
    return count;
}

static void drop_inner(struct chains *c, const para_node *sum)
{
    for (int i = 0; i < sum->n_in; i++)
        if (is_inner(c, sum, sum->in[i])) {
            c->dropped[sum->in[i]->producer->id] = true;
            drop_inner(c, sum->in[i]->producer);
        }
}

static int in_program_order(const void *left, const void *right)
{
    const para_tensor *a = *(const para_tensor *const *)left, *b = *(const para_tensor *const *)right;
    return (a->id > b->id) - (a->id < b->id);
}

/* Link the terms of one place that can be chained. */
static void link_terms(struct chains *c, const para_tensor *const *terms, int count, int place)
{
    const para_node *last = NULL;
    double free_ns = 0; /* when the chain so far has been added up */
    for (int i = 0; i < count; i++) {
        const para_node *n = terms[i]->producer;
        if (!is_free(c, terms[i]) || n->place != place || (last && !(n->op->accumulate && n->n_out == 1)))
            continue;
        double end_ns = fmax(c->times.start_ns[n->id], free_ns) + c->times.cost_ns[n->id];
        if (last && end_ns > latest_end_ns(&c->times, n->id))
            continue;
        free_ns = end_ns;
        if (last) {
            c->before[n->id] = last->id;
            c->followed[last->id] = true;
        }
        last = n;
    }
}

/* Whether a term is the first of its place that can be chained. */
static bool begins_place(const struct chains *c, const para_tensor *const *terms, int number)
{
    if (!is_free(c, terms[number]))
        return false;
    for (int i = 0; i < number; i++)
        if (is_free(c, terms[i]) && terms[i]->producer->place == terms[number]->producer->place)
            return false;
    return true;
}

static bool is_followed(const struct chains *c, const para_tensor *t)
{
    return t->producer && c->followed[t->producer->id];
}

static bool is_end(const struct chains *c, const para_tensor *t)
{
    return t->producer && c->before[t->producer->id] >= 0 && !c->followed[t->producer->id];
}

/* What is left for a sum to add: the ends of chains, then the terms of none. */
static struct terms what_is_left(struct chains *c, const para_tensor *const *terms, int count)
{
    struct terms left = {para_rewrite_alloc(&c->pass, count, sizeof *left.of), 0};
    for (int i = 0; i < count && left.of; i++)
        if (is_end(c, terms[i]))
            left.of[left.count++] = terms[i];
    for (int i = 0; i < count && left.of; i++)
        if (!is_end(c, terms[i]) && !is_followed(c, terms[i]))
            left.of[left.count++] = terms[i];
    return left;
}

/* Chain a sum's terms, those of each place, if any can be; what can't stays a term of the sum, after the chains. */
static int chain_sum(struct chains *c, const para_node *sum)
{
    int count = sum->n_after ? 0 : collect(c, sum, NULL);
    const para_tensor **terms = para_rewrite_alloc(&c->pass, count, sizeof *terms);
    if (!terms)
        return PARA_ENOMEM;
    collect(c, sum, terms);
    qsort(terms, (size_t)count, sizeof(const para_tensor *), in_program_order);
    for (int i = 0; i < count; i++)
        if (begins_place(c, terms, i))
            link_terms(c, terms, count, terms[i]->producer->place);
    struct terms left = what_is_left(c, terms, count);
    if (!left.of)
        return PARA_ENOMEM;
    if (left.count == count)
        return 0;
    drop_inner(c, sum);
    if (left.count > 1) {
        c->rest[sum->id] = left;
        return 0;
    }
    c->dropped[sum->id] = true;
    c->becomes[left.of[0]->producer->id] = sum->out[0];
    return 0;
}

/* What a node reads, and last, if it adds to it, the end of the chain before it. */
static para_tensor **operands(struct chains *c, const para_node *n, int *count)
{
    const struct terms *rest = &c->rest[n->id];
    int before = c->before[n->id], own = rest->count ? rest->count : n->n_in;
    *count = own + (before >= 0);
    para_tensor **in = para_rewrite_alloc(&c->pass, *count, sizeof *in);
    for (int i = 0; i < own && in; i++)
        in[i] = c->pass.value[rest->count ? rest->of[i]->id : n->in[i]->id];
    if (before >= 0 && in)
        in[own] = c->pass.value[c->pass.from->nodes[before]->out[0]->id];
    return in;
}

/* Copy the last node of a chain, whose result is a whole sum's. */
static int end_chain(struct chains *c, const para_node *n, para_tensor *const in[], int count)
{
    const para_tensor *sum = c->becomes[n->id];
    para_node *end = para_rewrite_add_node(&c->pass, n, n->op->accumulate, n->name, in, count, n->attr);
    PARA_TRY(para_rewrite_add_after(&c->pass, end, n));
    para_tensor *t = para_rewrite_add_value(&c->pass, sum, end, sum->name, &sum->shape);
    c->pass.value[sum->id] = c->pass.value[n->out[0]->id] = t;
    c->pass.node[sum->producer->id] = c->pass.node[n->id] = end;
    return t ? 0 : PARA_ENOMEM;
}

static int copy_node(struct chains *c, const para_node *n)
{
    int count;
    para_tensor **in = operands(c, n, &count);
    if (!in)
        return PARA_ENOMEM;
    if (c->becomes[n->id])
        return end_chain(c, n, in, count);
    const struct para_op *op = c->before[n->id] >= 0 ? n->op->accumulate : n->op;
    return para_rewrite_copy_node(&c->pass, n, op, in, count) ? 0 : PARA_ENOMEM;
}

static int run(struct chains *c)
{
    const para_graph *g = c->pass.from;
    c->uses = para_rewrite_alloc(&c->pass, g->n_tensors, sizeof *c->uses);
    c->before = para_rewrite_alloc(&c->pass, g->n_nodes, sizeof *c->before);
    c->followed = para_rewrite_alloc(&c->pass, g->n_nodes, sizeof *c->followed);
    c->awaited = para_rewrite_alloc(&c->pass, g->n_nodes, sizeof *c->awaited);
    c->dropped = para_rewrite_alloc(&c->pass, g->n_nodes, sizeof *c->dropped);
    c->becomes = para_rewrite_alloc(&c->pass, g->n_nodes, sizeof *c->becomes);
    c->rest = para_rewrite_alloc(&c->pass, g->n_nodes, sizeof *c->rest);
    if (c->pass.to->error.code)
        return PARA_ENOMEM;
    PARA_TRY(measure(c));
    for (int i = 0; i < g->n_nodes; i++) {
        c->before[i] = -1;
        for (int k = 0; k < g->nodes[i]->n_after; k++)
            c->awaited[g->nodes[i]->after[k]->id] = true;
        for (int k = 0; k < g->nodes[i]->n_in; k++)
            c->uses[g->nodes[i]->in[k]->id]++;
    }
    for (int i = g->n_nodes - 1; i >= 0; i--)
        if (g->nodes[i]->op == c->sum && !c->dropped[i])
            PARA_TRY(chain_sum(c, g->nodes[i]));
    PARA_TRY(para_rewrite_sources(&c->pass, NULL));
    for (int i = 0; i < g->n_nodes; i++)
        if (!c->dropped[i])
            PARA_TRY(copy_node(c, g->nodes[i]));
    return 0;
}

int para_graph_accumulate(para_graph **out, const para_graph *g, para_error *err)
{
    struct chains c = {.sum = para_op_find("sum")};
    PARA_TRY(para_rewrite_begin(&c.pass, g, err, "accumulate"));
    int status = run(&c);
    para_times_free(&c.times);
    return para_rewrite_finish(&c.pass, status, out, err);
}
