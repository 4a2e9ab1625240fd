/* Accumulating in place: a sum whose terms can be added where an earlier term lies becomes a chain of updates.
 *
 * sum(a, b, c) becomes a; b added to a; c added to that, in program order: neither memory for b and c nor the traffic
 * of adding them up later. A term is chained only if waiting for the terms before it alone can't make the run longer:
 * with unlimited workers at nominal rates, its latest end that leaves the critical path as it is must not be passed. So
 * weight gradients, which wait for the optimizer, are chained, and partial sums that the next node waits for aren't. */
#include "graph/ir.h"
#include "graph/op.h"

#include <math.h>
#include <stdlib.h>

struct chains {
    const para_graph *from;
    para_graph *to;
    const struct para_op *sum;
    int *uses;                   /* by old tensor id: how often nodes read it */
    double *start_ns;            /* by old node: earliest */
    double *end_ns;              /* by old node: latest */
    int *before;                 /* by old node: the node to whose result it adds; -1: none */
    bool *awaited;               /* by old node: another comes after it */
    bool *dropped;               /* by old node: a sum that a chain or another sum has taken in */
    const para_tensor **becomes; /* by old node: the sum that the end of a chain stands for, its result; or NULL */
    struct terms {
        const para_tensor **of;
        int count;
    } * rest;           /* by old node: what is left for a sum to add, the chain first; count 0: all it had */
    para_tensor **made; /* by old tensor id */
};

/* Earliest starts and latest ends with unlimited workers. */
static int measure_slack(struct chains *c)
{
    const para_graph *g = c->from;
    para_deps *d = NULL;
    double last = 0;
    PARA_TRY(para_deps_new(&d, g, NULL, &c->to->error));
    for (int i = 0; i < g->n_nodes; i++) {
        int count;
        const para_edge *edges = para_deps_of(d, i, &count);
        for (int e = 0; e < count; e++)
            c->start_ns[i] =
                fmax(c->start_ns[i], c->start_ns[edges[e].from] + para_node_time_ns(g->nodes[edges[e].from]));
        last = fmax(last, c->start_ns[i] + para_node_time_ns(g->nodes[i]));
    }
    for (int i = 0; i < g->n_nodes; i++)
        c->end_ns[i] = last;
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        int count;
        const para_edge *edges = para_deps_of(d, i, &count);
        for (int e = 0; e < count; e++)
            c->end_ns[edges[e].from] = fmin(c->end_ns[edges[e].from], c->end_ns[i] - para_node_time_ns(g->nodes[i]));
    }
    para_deps_free(d);
    return 0;
}

/* Whether a value may be overwritten once the sum has it: nothing else reads it, and it is the only thing of its
 * storage. */
static bool is_free(const struct chains *c, const para_tensor *t)
{
    return t->producer && !t->producer->op->retiles && c->uses[t->id] == 1 && !t->is_output && !t->overwrites &&
           !t->overwritten_by;
}

/* Whether a term is a sum that can be taken in: no node comes after it. */
static bool is_inner(const struct chains *c, const para_tensor *t)
{
    return is_free(c, t) && t->producer->op == c->sum && !c->awaited[t->producer->id];
}

/* The terms of a sum, those of sums that it alone reads among them; returns their number. terms may be NULL. */
static int collect(const struct chains *c, const para_node *sum, const para_tensor **terms)
{
    int count = 0;
    for (int i = 0; i < sum->n_in; i++) {
        const para_tensor *t = sum->in[i];
        if (is_inner(c, t))
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
        if (is_inner(c, sum->in[i])) {
            c->dropped[sum->in[i]->producer->id] = true;
            drop_inner(c, sum->in[i]->producer);
        }
}

static int in_program_order(const void *left, const void *right)
{
    const para_tensor *a = *(const para_tensor *const *)left, *b = *(const para_tensor *const *)right;
    return (a->id > b->id) - (a->id < b->id);
}

/* Move the terms that can be chained to the front, note the chain, and return its length; 0: none. */
static int link_terms(struct chains *c, const para_tensor **terms, int count)
{
    int length = 0;
    double free_ns = 0; /* when the chain so far has been added up */
    qsort(terms, (size_t)count, sizeof(const para_tensor *), in_program_order);
    for (int i = 0; i < count; i++) {
        const para_tensor *t = terms[i];
        if (!is_free(c, t) || (length && !(t->producer->op->accumulate && t->producer->n_out == 1)) ||
            (length && t->producer->place != terms[0]->producer->place))
            continue;
        int node = t->producer->id;
        double end_ns = fmax(c->start_ns[node], free_ns) + para_node_time_ns(t->producer);
        if (length && end_ns > c->end_ns[node])
            continue;
        free_ns = end_ns;
        if (length)
            c->before[node] = terms[length - 1]->producer->id;
        for (int k = i; k > length; k--)
            terms[k] = terms[k - 1];
        terms[length++] = t;
    }
    return length > 1 ? length : 0;
}

/* Chain a sum's terms, if any can be; those that can't stay terms of the sum, after the chain. */
static int chain_sum(struct chains *c, struct para_arena *arena, const para_node *sum)
{
    int count = collect(c, sum, NULL);
    const para_tensor **terms = para_arena_alloc(arena, sizeof(*terms) * (size_t)count);
    if (!terms)
        return PARA_ENOMEM;
    collect(c, sum, terms);
    int length = link_terms(c, terms, count);
    if (!length)
        return 0;
    drop_inner(c, sum);
    if (length == count) {
        c->dropped[sum->id] = true;
        c->becomes[terms[length - 1]->producer->id] = sum->out[0];
        return 0;
    }
    c->rest[sum->id] = (struct terms){terms + length - 1, count - length + 1};
    return 0;
}

static para_node *copy_node(struct chains *c, const para_node *n)
{
    const struct terms *rest = &c->rest[n->id];
    int count = rest->count ? rest->count : n->n_in, before = c->before[n->id];
    para_tensor **in = para_arena_alloc(&c->to->arena, sizeof *in * ((size_t)count + 1));
    if (!in)
        return para_graph_error(c->to, PARA_ENOMEM, "out of memory: accumulating in place");
    for (int i = 0; i < count; i++)
        in[i] = c->made[rest->count ? rest->of[i]->id : n->in[i]->id];
    if (before >= 0)
        in[count++] = c->made[c->from->nodes[before]->out[0]->id];
    para_node *copy = para_node_add_like(c->to, n, before < 0 ? n->op : n->op->accumulate, in, count);
    for (int i = 0; i < n->n_after && copy; i++)
        if (para_node_add_after(copy, c->made[n->after[i]->out[0]->id]->producer) < 0)
            return NULL;
    return copy;
}

/* The gradients that are still there: of a value whose gradient was a sum that another has taken in, none is. */
static bool copy_gradients(struct chains *c)
{
    if (!c->from->grads)
        return true;
    c->to->grads = calloc((size_t)c->to->n_tensors + 1, sizeof(para_tensor *));
    c->to->n_grads = c->to->grads ? c->to->n_tensors : 0;
    for (int t = 0; t < c->from->n_grads && c->to->grads; t++)
        if (c->from->grads[t] && c->made[t])
            c->to->grads[c->made[t]->id] = c->made[c->from->grads[t]->id];
    return c->to->grads;
}

static int rebuild(struct chains *c)
{
    const para_graph *g = c->from;
    for (int t = 0; t < g->n_tensors; t++)
        if (!g->tensors[t]->producer && !(c->made[t] = para_tensor_add_like(c->to, g->tensors[t], NULL)))
            return PARA_ENOMEM;
    for (int i = 0; i < g->n_nodes; i++) {
        const para_node *n = g->nodes[i];
        para_node *copy = c->dropped[i] ? NULL : copy_node(c, n);
        if (!copy && !c->dropped[i])
            return PARA_ENOMEM;
        for (int k = 0; k < n->n_out && copy; k++) {
            const para_tensor *old = c->becomes[i] ? c->becomes[i] : n->out[k];
            para_tensor *t = para_tensor_add_like(c->to, old, copy);
            if (!t)
                return PARA_ENOMEM;
            c->made[old->id] = c->made[n->out[k]->id] = t;
        }
    }
    if (!copy_gradients(c))
        return PARA_ENOMEM;
    c->to->has_backward = g->has_backward;
    c->to->splits = para_arena_string(&c->to->arena, g->splits);
    return c->to->splits ? para_graph_seal(c->to, &c->to->error) : PARA_ENOMEM;
}

static int run(struct chains *c, struct para_arena *arena)
{
    const para_graph *g = c->from;
    size_t nodes = (size_t)g->n_nodes + 1, tensors = (size_t)g->n_tensors + 1;
    c->uses = para_arena_alloc(arena, tensors * sizeof *c->uses);
    c->made = para_arena_alloc(arena, tensors * sizeof *c->made);
    c->start_ns = para_arena_alloc(arena, nodes * sizeof *c->start_ns);
    c->end_ns = para_arena_alloc(arena, nodes * sizeof *c->end_ns);
    c->before = para_arena_alloc(arena, nodes * sizeof *c->before);
    c->awaited = para_arena_alloc(arena, nodes * sizeof *c->awaited);
    c->dropped = para_arena_alloc(arena, nodes * sizeof *c->dropped);
    c->becomes = para_arena_alloc(arena, nodes * sizeof *c->becomes);
    c->rest = para_arena_alloc(arena, nodes * sizeof *c->rest);
    if (!c->uses || !c->made || !c->start_ns || !c->end_ns || !c->before || !c->awaited || !c->dropped || !c->becomes ||
        !c->rest)
        return PARA_ENOMEM;
    PARA_TRY(measure_slack(c));
    for (int i = 0; i < g->n_nodes; i++) {
        c->before[i] = -1;
        for (int k = 0; k < g->nodes[i]->n_after; k++)
            c->awaited[g->nodes[i]->after[k]->id] = true;
        for (int k = 0; k < g->nodes[i]->n_in; k++)
            c->uses[g->nodes[i]->in[k]->id]++;
    }
    for (int i = g->n_nodes - 1; i >= 0; i--)
        if (g->nodes[i]->op == c->sum && !c->dropped[i])
            PARA_TRY(chain_sum(c, arena, g->nodes[i]));
    return rebuild(c);
}

int para_graph_accumulate(para_graph **out, const para_graph *g, para_error *err)
{
    if (!g->sealed)
        return para_fail(err, PARA_EINVAL, "accumulate: the graph is not sealed");
    struct chains c = {.from = g, .to = para_graph_new(), .sum = para_op_find("sum")};
    struct para_arena arena = {0};
    int status = c.to ? run(&c, &arena) : PARA_ENOMEM;
    para_arena_free(&arena);
    if (status == 0) {
        *out = c.to;
        return 0;
    }
    if (c.to && c.to->error.code)
        status = para_fail(err, c.to->error.code, "%s", c.to->error.message);
    else
        status = para_fail_memory(err, "accumulating in place");
    para_graph_free(c.to);
    return status;
}
