/* Gathering: nodes in program order are put at the end of open tasks. A task is closed, and grows no more, before
 * another waits for it. So tasks wait for such that were closed before them, and never for each other. */
#include "graph/gather.h"

#include "graph/time.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { NONE = -1 };

struct task {
    int gpu;
    const char *part; /* NULL: any */
    int first;        /* node */
    int awaited;      /* the latest node of another device that it waits for, or NONE */
    size_t bytes;     /* of the buffers it holds */
    double spare_ns;  /* how much may follow before another device waits for what crosses to it; HUGE_VAL: any */
};

struct gathering {
    const para_graph *g;
    const para_deps *d;
    const struct para_gpus *gpus;
    int *first;        /* by node */
    struct task *open; /* that may grow */
    int n_open;
    int *held; /* by buffer: the first node of the last task that holds it */
    struct para_times times;
    double *spare_ns; /* by node: how long other devices can wait for it; HUGE_VAL: none does */
    bool several;     /* devices */
};

static bool on_gpu(const struct gathering *s, int node)
{
    return s->gpus->of[node] >= 0;
}

static void close_task(struct gathering *s, int first)
{
    for (int t = 0; t < s->n_open; t++)
        if (s->open[t].first == first) {
            s->open[t] = s->open[--s->n_open];
            return;
        }
}

/* A node that waits for another device can begin as late as leaves the longest path as it is. */
static void find_crossings(struct gathering *s)
{
    const struct para_times *t = &s->times;
    for (int i = 0; i < s->g->n_nodes; i++)
        s->spare_ns[i] = HUGE_VAL;
    for (int i = 0; i < s->g->n_nodes; i++) {
        int count;
        const para_edge *edges = para_deps_of(s->d, i, &count);
        double spare_ns = t->critical_ns - t->rest_ns[i] - t->start_ns[i];
        s->several = s->several || s->gpus->of[i] != s->gpus->of[0];
        for (int e = 0; e < count; e++)
            if (s->gpus->of[edges[e].from] != s->gpus->of[i])
                s->spare_ns[edges[e].from] = fmin(s->spare_ns[edges[e].from], spare_ns);
    }
}

/* The latest node of another device that a node waits for, or NONE. */
static int awaited_by(const struct gathering *s, int node)
{
    int count, latest = NONE;
    const para_edge *edges = para_deps_of(s->d, node, &count);
    for (int e = 0; e < count; e++)
        if (s->gpus->of[edges[e].from] != s->gpus->of[node] && edges[e].from > latest)
            latest = edges[e].from;
    return latest;
}

static struct task *open_of(struct gathering *s, int node)
{
    const char *part = s->several ? s->g->nodes[node]->part : NULL;
    for (int t = 0; t < s->n_open; t++)
        if (s->open[t].gpu == s->gpus->of[node] && (!part || strcmp(s->open[t].part, part) == 0))
            return &s->open[t];
    return NULL;
}

/* The bytes that a node's buffers add to a task's, which then holds them if `take`. */
static size_t added_bytes(struct gathering *s, int node, int task, bool take)
{
    const para_node *n = s->g->nodes[node];
    size_t bytes = 0;
    for (int k = 0; k < n->n_in + n->n_out; k++) {
        int buffer = s->gpus->buffer[para_node_operand(n, k)->id];
        if (s->held[buffer] == task)
            continue;
        bytes += s->gpus->bytes[buffer];
        if (take)
            s->held[buffer] = task;
    }
    return bytes;
}

static bool fits(struct gathering *s, const struct task *t, int node, int awaited)
{
    size_t most = s->gpus->most_bytes;
    return awaited <= t->awaited && s->times.cost_ns[node] <= t->spare_ns &&
           (!most || t->bytes + added_bytes(s, node, t->first, false) <= most);
}

static void put(struct gathering *s, int node)
{
    int count, awaited = awaited_by(s, node);
    const para_edge *edges = para_deps_of(s->d, node, &count);
    struct task *t = open_of(s, node);
    if (t && !fits(s, t, node, awaited)) {
        close_task(s, t->first);
        t = NULL;
    }
    int first = t ? t->first : node;
    for (int e = 0; e < count; e++)
        if (s->first[edges[e].from] != first)
            close_task(s, s->first[edges[e].from]);
    t = open_of(s, node);
    if (!t) {
        t = &s->open[s->n_open++];
        *t = (struct task){s->gpus->of[node], s->g->nodes[node]->part, node, awaited, 0, HUGE_VAL};
    }
    s->first[node] = t->first;
    t->bytes += added_bytes(s, node, t->first, true);
    t->spare_ns = fmin(t->spare_ns - s->times.cost_ns[node], s->spare_ns[node]);
    if (t->spare_ns <= 0)
        close_task(s, t->first);
}

int para_gather(int first[], const para_graph *g, const para_deps *d, const struct para_gpus *gpus)
{
    size_t nodes = (size_t)g->n_nodes + 1;
    struct gathering s = {.g = g, .d = d, .gpus = gpus, .first = first};
    s.open = calloc(nodes, sizeof *s.open);
    s.held = calloc((size_t)gpus->n_buffers + 1, sizeof *s.held);
    s.spare_ns = calloc(nodes, sizeof *s.spare_ns);
    bool allocated = s.open && s.held && s.spare_ns && para_times_new(&s.times, g, d, 0) == 0;
    for (int b = 0; b < gpus->n_buffers && allocated; b++)
        s.held[b] = NONE;
    if (allocated)
        find_crossings(&s);
    for (int i = 0; i < g->n_nodes && allocated; i++) {
        first[i] = i;
        if (on_gpu(&s, i))
            put(&s, i);
    }
    free(s.open);
    free(s.held);
    free(s.spare_ns);
    para_times_free(&s.times);
    return allocated ? 0 : PARA_ENOMEM;
}
