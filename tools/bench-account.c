/* Where the time of runs goes: by op, by phase, by worker. */
#include "tools/bench.h"

#include <stdlib.h>
#include <string.h>

int account_open(struct account *a, int workers)
{
    *a = (struct account){.worker_count = workers, .workers = calloc((size_t)workers, sizeof *a->workers)};
    return a->workers ? EXIT_DONE : out_of_memory("the account", (double)workers * sizeof *a->workers);
}

void account_close(struct account *a)
{
    free(a->workers);
}

/* A node belongs to the phase of the node as written that it comes from, unless it is repeated in the backward pass. */
static enum phase phase_of(const struct work *w, const para_node *n)
{
    int origin = para_node_origin(n);
    if (origin < w->begins.backward && !para_node_backward(n))
        return PHASE_FORWARD;
    return origin < w->begins.optimizer ? PHASE_BACKWARD : PHASE_OPTIMIZER;
}

/* What a node computes and moves. Attention to caches, which its graph takes as full, reads the tokens before and
 * those of the run, of which a query sees no later ones: half of them on average. */
static void count_node(const struct work *w, const para_node *n, double *flops, double *bytes)
{
    *flops = para_node_flops(n);
    *bytes = para_node_bytes(n);
    if (strcmp(para_node_op(n), "attention_cached") != 0)
        return;
    const para_tensor *keys = para_node_input(n, 1), *values = para_node_input(n, 2);
    double held = (double)(w->position + w->seq), seen = (double)w->position + 0.5 * (double)(w->seq + 1);
    double places = (double)para_tensor_dim(keys, 1).extent;
    *flops *= seen / places;
    *bytes -= (double)(para_tensor_bytes(keys) + para_tensor_bytes(values)) * (1 - held / places);
}

static void add_op(struct account *a, const struct work *w, const para_node *n, enum phase phase, double ns)
{
    int i = 0;
    while (i < a->op_count && (a->ops[i].phase != phase || strcmp(a->ops[i].op, para_node_op(n)) != 0))
        i++;
    if (i == MAX_OPS)
        return;
    if (i == a->op_count)
        a->ops[a->op_count++] = (struct op_share){.op = para_node_op(n), .phase = phase};
    a->ops[i].ns += ns;
    double flops, bytes;
    count_node(w, n, &flops, &bytes);
    a->ops[i].flops += flops;
    a->ops[i].bytes += bytes;
}

static int add_workers(struct account *a, const para_sample *samples, int count, double run_ns)
{
    para_error err;
    para_worker_time *own = calloc((size_t)a->worker_count, sizeof *own);
    if (!own)
        return out_of_memory("the account", (double)a->worker_count * sizeof *own);
    int status = para_profile_account(own, a->worker_count, samples, count, run_ns, &err);
    for (int w = 0; w < a->worker_count && status == 0; w++) {
        a->workers[w].task_ns += own[w].task_ns;
        a->workers[w].idle_ns += own[w].idle_ns;
        a->workers[w].runtime_ns += own[w].runtime_ns;
    }
    free(own);
    return status < 0 ? broken(&err) : EXIT_DONE;
}

static int by_start(const void *left, const void *right)
{
    double a = ((const para_sample *)left)->start_ns, b = ((const para_sample *)right)->start_ns;
    return (a > b) - (a < b);
}

/* Add kernels in order of their starts. */
static void add_kernels(struct account *a, const struct work *w, const para_sample *samples, int count)
{
    double covered[PHASES] = {0}; /* up to when the phase's time is counted */
    for (int i = 0; i < count; i++) {
        const para_node *n = para_graph_node(w->graph, samples[i].node);
        enum phase p = phase_of(w, n);
        double start = samples[i].start_ns, end = samples[i].end_ns;
        add_op(a, w, n, p, end - start);
        a->task_ns[p] += end - start;
        if (end > covered[p]) {
            a->span_ns[p] += end - (start > covered[p] ? start : covered[p]);
            covered[p] = end;
        }
    }
}

int account_add(struct account *a, const struct work *w)
{
    int count;
    const para_sample *samples = para_session_profile(w->session, &count);
    double run_ns = para_session_count(w->session).run_ns;
    para_sample *sorted = malloc((size_t)count * sizeof *sorted);
    if (!sorted)
        return out_of_memory("the account", (double)count * sizeof *sorted);
    memcpy(sorted, samples, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_start);
    add_kernels(a, w, sorted, count);
    free(sorted);
    a->run_ns += run_ns;
    a->runs++;
    return add_workers(a, samples, count, run_ns);
}
