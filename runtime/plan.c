/* Planning: from a sealed graph to plain data. Nothing is allocated for values, nothing runs. */
#include "runtime/plan.h"

#include "base/fail.h"
#include "graph/op.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

/* What a session takes beside values and scratch, by measurements on StarPU 1.3.10: a task with its handles and edges,
 * StarPU's copies of them included; and code and stacks that the first run makes resident. */
enum { TASK_BYTES = 5 << 10, RUN_BYTES = 2 << 20 };

/* The longest path from each node to the end, its own cost included; in microseconds, at most INT_MAX, for StarPU. */
static int set_priorities(para_plan *p)
{
    double *to_end = calloc((size_t)p->g->n_nodes + 1, sizeof *to_end);
    if (!to_end)
        return PARA_ENOMEM;
    for (int i = p->g->n_nodes - 1; i >= 0; i--) {
        int count;
        const para_edge *edges = para_deps_of(p->deps, i, &count);
        to_end[i] += p->cost_ns[i];
        for (int e = 0; e < count; e++)
            if (to_end[i] > to_end[edges[e].from])
                to_end[edges[e].from] = to_end[i];
        p->priority[i] = (int)fmin(to_end[i] / 1000.0, INT_MAX);
    }
    free(to_end);
    return 0;
}

static int fill(para_plan *p, int workers, para_error *err)
{
    const para_graph *g = p->g;
    para_deps *values = NULL;
    p->cost_ns = calloc((size_t)g->n_nodes + 1, sizeof *p->cost_ns);
    p->priority = calloc((size_t)g->n_nodes + 1, sizeof *p->priority);
    if (!p->cost_ns || !p->priority)
        return para_fail_memory(err, "planning");
    for (int i = 0; i < g->n_nodes; i++) {
        const para_node *n = g->nodes[i];
        size_t scratch = n->op->scratch ? n->op->scratch(n) : 0;
        p->scratch_bytes = scratch > p->scratch_bytes ? scratch : p->scratch_bytes;
        p->groups = n->place >= p->groups ? n->place + 1 : p->groups;
        p->cost_ns[i] = para_node_time_ns(n);
    }
    PARA_TRY(para_deps_new(&values, g, NULL, err));
    int status = para_buffers_new(&p->buffers, g, values, workers, err);
    para_deps_free(values);
    if (status == 0)
        status = para_deps_new(&p->deps, g, p->buffers.of, err);
    if (status == 0)
        status = para_clusters_new(&p->clusters, g, p->deps, err);
    return status == 0 ? set_priorities(p) : status;
}

int para_plan_new(para_plan **out, const para_graph *g, int workers, para_error *err)
{
    if (!g->sealed)
        return para_fail(err, PARA_EINVAL, "plan: the graph is not sealed");
    para_plan *p = calloc(1, sizeof *p);
    if (!p)
        return para_fail_memory(err, "planning");
    p->g = g;
    p->workers = workers;
    int status = fill(p, workers, err);
    if (status < 0)
        para_plan_free(p);
    else
        *out = p;
    return status;
}

void para_plan_free(para_plan *p)
{
    if (!p)
        return;
    para_deps_free(p->deps);
    para_buffers_free(&p->buffers);
    para_clusters_free(&p->clusters);
    free(p->cost_ns);
    free(p->priority);
    free(p);
}

para_plan_summary para_plan_summarize(const para_plan *p)
{
    const para_graph *g = p->g;
    para_plan_summary s = {.tasks = p->clusters.count,
                           .edges = p->clusters.n_edges,
                           .buffers = p->buffers.count,
                           .scratch_bytes = p->scratch_bytes,
                           .intermediate_bytes_live = p->buffers.live_bytes,
                           .intermediate_bytes_unshared = p->buffers.unshared_bytes};
    for (int b = 0; b < p->buffers.count; b++)
        s.peak_bytes += p->buffers.bytes[b];
    for (int t = 0; t < g->n_tensors; t++) {
        size_t bytes = para_shape_bytes(&g->tensors[t]->shape);
        if (g->tensors[t]->producer)
            continue;
        s.parameter_bytes += g->tensors[t]->kind == PARA_PARAMETER ? bytes : 0;
        s.state_bytes += g->tensors[t]->kind == PARA_STATE ? bytes : 0;
        s.input_bytes += g->tensors[t]->kind == PARA_INPUT ? bytes : 0;
    }
    s.resident_bytes = s.peak_bytes + s.scratch_bytes * (size_t)(p->workers > 1 ? p->workers : 1) +
                       TASK_BYTES * (size_t)s.tasks + RUN_BYTES;
    s.intermediate_bytes = s.peak_bytes - s.parameter_bytes - s.state_bytes - s.input_bytes;
    for (int i = 0; i < g->n_nodes; i++) {
        s.flops += para_node_flops(g->nodes[i]);
        s.bytes += para_node_bytes(g->nodes[i]);
    }
    return s;
}

const para_deps *para_plan_deps(const para_plan *p)
{
    return p->deps;
}

int para_plan_buffer(const para_plan *p, int tensor)
{
    return p->buffers.of[tensor];
}

double para_plan_cost_ns(const para_plan *p, int node)
{
    return p->cost_ns[node];
}
