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

size_t para_gpu_rounded(size_t bytes)
{
    return (bytes + PARA_GPU_ALIGNMENT - 1) / PARA_GPU_ALIGNMENT * PARA_GPU_ALIGNMENT;
}

/* The longest path from each node to the end, its own cost included; in microseconds, at most INT_MAX, for StarPU. */
static void set_priorities(para_plan *p)
{
    for (int i = 0; i < p->g->n_nodes; i++)
        p->priority[i] = (int)fmin(p->times.rest_ns[i] / 1000.0, INT_MAX);
}

static void note_scratch(para_plan *p, const para_node *n)
{
    bool on_cpu = p->gpu[n->id] == PARA_ON_CPUS;
    size_t on_gpu = !on_cpu && n->op->cuda_scratch ? n->op->cuda_scratch(n) : 0;
    size_t bytes = on_cpu ? para_op_scratch(n) : on_gpu, *most = on_cpu ? &p->scratch_bytes : &p->gpu_scratch_bytes;
    *most = bytes > *most ? bytes : *most;
}

/* The largest task on a GPU may take this part of its memory, so that the next one's values can come while it runs. */
enum { TASK_SHARE = 3 };

static size_t task_limit(const struct para_devices *d)
{
    size_t least = 0;
    for (int i = 0; i < d->count; i++)
        if (d->bytes[i] && (!least || d->bytes[i] < least))
            least = d->bytes[i];
    return least / TASK_SHARE;
}

/* Intermediates that take no more are few: nothing waits for memory that they share. */
static const size_t FEW_BYTES = 4 << 20;

static bool has_few_bytes(const para_graph *g)
{
    size_t bytes = 0;
    for (int t = 0; t < g->n_tensors; t++) {
        const para_tensor *v = g->tensors[t];
        bytes += v->producer && !v->overwrites && !v->is_output ? para_shape_bytes(&v->shape) : 0;
    }
    return bytes <= FEW_BYTES;
}

static int find_clusters(para_plan *p, para_error *err)
{
    const struct para_gpus gpus = {.of = p->gpu,
                                   .buffer = p->buffers.of,
                                   .bytes = p->buffers.bytes,
                                   .n_buffers = p->buffers.count,
                                   .most_bytes = task_limit(&p->devices)};
    return para_clusters_new(&p->clusters, p->g, p->deps, p->devices.n_gpus ? &gpus : NULL, p->workers, err);
}

/* Add a buffer to the memory of the devices that its tasks run on. `seen` has, by buffer, a bit for each that has it
 * already. */
static void count_on_gpu(para_plan *p, int buffer, int gpu, uint32_t *seen)
{
    for (int i = 0; i < p->devices.count; i++)
        if (gpu >= 0 && p->devices.gpu[i] == gpu && !(seen[buffer] >> i & 1)) {
            seen[buffer] |= 1u << i;
            p->gpu_bytes[i] += para_gpu_rounded(p->buffers.bytes[buffer]);
        }
}

static void count_gpus(para_plan *p, uint32_t *seen)
{
    for (int b = 0; b < p->buffers.count; b++)
        count_on_gpu(p, b, p->buffers.gpu[b], seen);
    for (int i = 0; i < p->g->n_nodes; i++) {
        const para_node *n = p->g->nodes[i];
        for (int k = 0; k < n->n_in + n->n_out; k++)
            count_on_gpu(p, p->buffers.of[para_node_operand(n, k)->id], p->gpu[i], seen);
    }
    for (int i = 0; i < p->devices.count; i++)
        p->gpu_bytes[i] += p->devices.gpu[i] == PARA_ON_CPUS ? 0 : para_gpu_rounded(p->gpu_scratch_bytes);
}

static int measure_gpus(para_plan *p, para_error *err)
{
    uint32_t *seen = calloc((size_t)p->buffers.count + 1, sizeof *seen);
    if (!seen)
        return para_fail_memory(err, "planning");
    count_gpus(p, seen);
    free(seen);
    return 0;
}

static int fill(para_plan *p, int workers, const struct para_devices *d, para_error *err)
{
    const para_graph *g = p->g;
    para_deps *values = NULL;
    p->priority = calloc((size_t)g->n_nodes + 1, sizeof *p->priority);
    p->gpu = calloc((size_t)g->n_nodes + 1, sizeof *p->gpu);
    if (!p->priority || !p->gpu)
        return para_fail_memory(err, "planning");
    for (int i = 0; i < g->n_nodes; i++) {
        const para_node *n = g->nodes[i];
        if (n->place >= PARA_MAX_PLACES)
            return para_fail(err, PARA_ERANGE, "plan: %s is placed on group %d, expected 0 to %d", n->name, n->place,
                             PARA_MAX_PLACES - 1);
        p->gpu[i] = para_devices_of(d, n);
        note_scratch(p, n);
        p->groups = n->place >= p->groups ? n->place + 1 : p->groups;
    }
    PARA_TRY(para_deps_new(&values, g, NULL, err));
    p->devices = *d;
    int status =
        para_buffers_new(&p->buffers, g, values, d->n_gpus ? p->gpu : NULL, has_few_bytes(g) ? 0 : workers, err);
    para_deps_free(values);
    if (status == 0)
        status = para_deps_new(&p->deps, g, p->buffers.of, err);
    if (status == 0)
        status = find_clusters(p, err);
    if (status == 0 && d->n_gpus)
        status = measure_gpus(p, err);
    if (status == 0 && para_times_new(&p->times, g, p->deps, 0) < 0)
        status = para_fail_memory(err, "planning");
    if (status == 0)
        set_priorities(p);
    return status;
}

int para_plan_new_on(para_plan **out, const para_graph *g, int workers, const struct para_devices *d, para_error *err)
{
    if (!g->sealed)
        return para_fail(err, PARA_EINVAL, "plan: the graph is not sealed");
    para_plan *p = calloc(1, sizeof *p);
    if (!p)
        return para_fail_memory(err, "planning");
    p->g = g;
    p->workers = workers;
    int status = fill(p, workers, d, err);
    if (status < 0)
        para_plan_free(p);
    else
        *out = p;
    return status;
}

int para_plan_new(para_plan **out, const para_graph *g, int workers, para_error *err)
{
    const struct para_devices cpus = {.count = 1, .gpu = {PARA_ON_CPUS}};
    return para_plan_new_on(out, g, workers, &cpus, err);
}

void para_plan_free(para_plan *p)
{
    if (!p)
        return;
    para_deps_free(p->deps);
    para_buffers_free(&p->buffers);
    para_clusters_free(&p->clusters);
    free(p->gpu);
    para_times_free(&p->times);
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
        bool parameter = g->tensors[t]->kind == PARA_PARAMETER || g->tensors[t]->kind == PARA_COPY;
        s.parameter_bytes += parameter ? bytes : 0;
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
    return p->times.cost_ns[node];
}
