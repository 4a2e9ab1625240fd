/* What a node costs: FLOPs and bytes by the op's own count, time at nominal rates; and runs as sums of these. */
#include "graph/time.h"

#include "base/fail.h"
#include "graph/op.h"

#include <math.h>
#include <stdlib.h>

/* A core, and a GPU with others beside it, of the day. */
const struct para_rates para_rates[PARA_DEVICES] = {
    [PARA_CPU] = {"cpu", .flops_per_ns = 60.0, .bytes_per_ns = 8.0, .task_ns = 20000.0, .kernel_ns = 0.0},
    [PARA_GPU] = {"gpu", .flops_per_ns = 50000.0, .bytes_per_ns = 3000.0, .task_ns = 15000.0, .kernel_ns = 3000.0,
                  .hop_ns = 35000.0, .link_bytes_per_ns = 370.0},
};

static struct para_cost cost_of(const para_node *n)
{
    struct para_cost c = {0};
    for (int i = 0; i < n->n_in; i++)
        c.bytes += (double)para_shape_bytes(&n->in[i]->shape);
    for (int k = 0; k < n->n_out; k++) {
        c.bytes += (double)para_shape_bytes(&n->out[k]->shape);
        c.flops += (double)para_shape_elements(&n->out[k]->shape);
    }
    if (n->op->cost)
        n->op->cost(n, &c);
    return c;
}

double para_node_flops(const para_node *n)
{
    return cost_of(n).flops;
}

double para_node_bytes(const para_node *n)
{
    return cost_of(n).bytes;
}

double para_node_time_ns(const para_node *n)
{
    return para_node_time_on_ns(n, PARA_CPU);
}

double para_hop_ns(double bytes)
{
    return para_rates[PARA_GPU].hop_ns + bytes / para_rates[PARA_GPU].link_bytes_per_ns;
}

double para_node_time_on_ns(const para_node *n, enum para_device device)
{
    const struct para_rates *r = &para_rates[device];
    struct para_cost c = cost_of(n);
    double ns = r->kernel_ns + fmax(c.flops / r->flops_per_ns, c.bytes / r->bytes_per_ns);
    return rint(ns * 1024.0) / 1024.0;
}

static void measure(struct para_times *t, const para_graph *g, const para_deps *d, double task_ns)
{
    int count;
    for (int i = 0; i < g->n_nodes; i++) {
        const para_edge *edges = para_deps_of(d, i, &count);
        for (int e = 0; e < count; e++)
            t->start_ns[i] = fmax(t->start_ns[i], t->start_ns[edges[e].from] + t->cost_ns[edges[e].from]);
        t->cost_ns[i] = para_node_time_ns(g->nodes[i]) + task_ns;
        t->work_ns += t->cost_ns[i];
        t->critical_ns = fmax(t->critical_ns, t->start_ns[i] + t->cost_ns[i]);
    }
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        const para_edge *edges = para_deps_of(d, i, &count);
        t->rest_ns[i] += t->cost_ns[i];
        for (int e = 0; e < count; e++)
            t->rest_ns[edges[e].from] = fmax(t->rest_ns[edges[e].from], t->rest_ns[i]);
    }
}

int para_times_new(struct para_times *out, const para_graph *g, const para_deps *d, double task_ns)
{
    size_t nodes = (size_t)g->n_nodes + 1;
    struct para_times t = {.cost_ns = calloc(nodes, sizeof *t.cost_ns),
                           .start_ns = calloc(nodes, sizeof *t.start_ns),
                           .rest_ns = calloc(nodes, sizeof *t.rest_ns)};
    if (!t.cost_ns || !t.start_ns || !t.rest_ns) {
        para_times_free(&t);
        return PARA_ENOMEM;
    }
    measure(&t, g, d, task_ns);
    *out = t;
    return 0;
}

void para_times_free(struct para_times *t)
{
    free(t->cost_ns);
    free(t->start_ns);
    free(t->rest_ns);
    *t = (struct para_times){0};
}
