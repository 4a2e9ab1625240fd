/* The analysis of a profile. Each part is one pass over its rows or its waits. */
#include "view/timeline.h"

#include "base/fail.h"
#include "view/verdict.h"

#include <stdlib.h>
#include <string.h>

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* When the task of the node that is waited for had ended. */
static int64_t wait_end(const struct para_timeline *t, int wait)
{
    const para_profile *p = t->p;
    return p->nodes[t->last_node[p->nodes[p->waits[wait].from].task]].end_ns;
}

static int find_tasks(struct para_timeline *t)
{
    const para_profile *p = t->p;
    int nodes = p->g->n_nodes;
    t->last_node = para_arena_alloc(&t->arena, ((size_t)nodes + 1) * sizeof *t->last_node);
    t->last_wait = para_arena_alloc(&t->arena, ((size_t)nodes + 1) * sizeof *t->last_wait);
    if (!t->last_node || !t->last_wait)
        return -1;
    for (int i = 0; i < nodes; i++)
        t->last_node[i] = t->last_wait[i] = -1;
    for (int i = 0; i < nodes; i++) {
        int *last = &t->last_node[p->nodes[i].task];
        if (*last < 0 || p->nodes[i].end_ns >= p->nodes[*last].end_ns)
            *last = i;
    }
    for (int i = 0; i < nodes; i++)
        for (int e = p->first_wait[i]; e < p->first_wait[i + 1]; e++) {
            int task = p->nodes[i].task, *wait = &t->last_wait[task];
            if (p->nodes[p->waits[e].from].task != task && (*wait < 0 || wait_end(t, e) > wait_end(t, *wait)))
                *wait = e;
        }
    return 0;
}

/* ---- gaps ---- */

static void add_gap(struct para_timeline *t, struct para_gap gap)
{
    if (gap.end_ns > gap.begin_ns)
        t->gaps[t->n_gaps++] = gap;
}

/* The time of a worker before a node, idle until that is ready. */
static void add_gap_before(struct para_timeline *t, int node, int64_t now)
{
    const struct para_timing *n = &t->p->nodes[node];
    int64_t ready = later(now, sooner(n->ready_ns, n->start_ns));
    int wait = t->last_wait[n->task];
    bool waited = wait >= 0 && wait_end(t, wait) >= n->submit_ns;
    add_gap(t, (struct para_gap){n->worker, now, ready, waited ? PARA_GAP_WAIT : PARA_GAP_SUBMIT, node,
                                 waited ? wait : -1});
    add_gap(t, (struct para_gap){n->worker, ready, n->start_ns, PARA_GAP_RUNTIME, node, -1});
}

/* The first submission and the last end of all. */
static void find_span(const para_profile *p, int64_t *first, int64_t *last)
{
    *first = *last = p->g->n_nodes ? p->nodes[0].submit_ns : p->wall_ns;
    for (int i = 0; i < p->g->n_nodes; i++) {
        *first = sooner(*first, p->nodes[i].submit_ns);
        *last = later(*last, p->nodes[i].end_ns);
    }
}

static int find_gaps(struct para_timeline *t)
{
    const para_profile *p = t->p;
    int64_t first, last;
    size_t most = 2 * (size_t)p->g->n_nodes + 3 * (size_t)p->workers;
    t->gaps = para_arena_alloc(&t->arena, most * sizeof *t->gaps);
    t->first_gap = para_arena_alloc(&t->arena, ((size_t)p->workers + 1) * sizeof *t->first_gap);
    if (!t->gaps || !t->first_gap)
        return -1;
    find_span(p, &first, &last);
    for (int w = 0; w < p->workers; w++) {
        int at = p->first_row[w], end = p->first_row[w + 1];
        int64_t now = first;
        t->first_gap[w] = t->n_gaps;
        add_gap(t, (struct para_gap){w, 0, first, PARA_GAP_RUNTIME, at < end ? p->row[at] : -1, -1});
        for (; at < end; at++) {
            add_gap_before(t, p->row[at], now);
            now = p->nodes[p->row[at]].end_ns;
        }
        add_gap(t, (struct para_gap){w, now, last, PARA_GAP_END, -1, -1});
        add_gap(t, (struct para_gap){w, last, p->wall_ns, PARA_GAP_RUNTIME, -1, -1});
    }
    t->first_gap[p->workers] = t->n_gaps;
    return 0;
}

/* ---- the measured critical path ---- */

/* Which node had to end before this one could begin: the later of what its task waited for, and what ran before it on
 * its worker. */
static struct para_step step_before(const struct para_timeline *t, const int *before, struct para_step *to)
{
    const para_profile *p = t->p;
    const struct para_timing *n = &p->nodes[to->node];
    int previous = before[to->node], wait = t->last_wait[n->task];
    bool same_task = previous >= 0 && p->nodes[previous].task == n->task;
    bool waited = wait >= 0 && !same_task && wait_end(t, wait) <= n->start_ns &&
                  (previous < 0 || wait_end(t, wait) >= p->nodes[previous].end_ns);
    to->link = waited          ? PARA_LINK_WAIT
               : same_task     ? PARA_LINK_TASK
               : previous >= 0 ? PARA_LINK_WORKER
                               : PARA_LINK_FIRST;
    to->wait = waited ? wait : -1;
    return (struct para_step){waited ? t->last_node[p->nodes[p->waits[wait].from].task] : previous, PARA_LINK_FIRST,
                              -1};
}

static int last_to_end(const para_profile *p)
{
    int last = -1;
    for (int i = 0; i < p->g->n_nodes; i++)
        if (last < 0 || p->nodes[i].end_ns >= p->nodes[last].end_ns)
            last = i;
    return last;
}

/* Walk back from what ended last. A path has each node at most once: where nodes of no length wait for each other, it
 * begins. */
static int find_path(struct para_timeline *t)
{
    const para_profile *p = t->p;
    int nodes = p->g->n_nodes, *before = para_arena_alloc(&t->arena, ((size_t)nodes + 1) * sizeof *before);
    bool *met = para_arena_alloc(&t->arena, ((size_t)nodes + 1) * sizeof *met);
    t->path = para_arena_alloc(&t->arena, ((size_t)nodes + 1) * sizeof *t->path);
    if (!t->path || !before || !met)
        return -1;
    memset(met, 0, (size_t)nodes * sizeof *met);
    for (int i = 0; i < nodes; i++)
        before[p->row[i]] = i > 0 && p->nodes[p->row[i - 1]].worker == p->nodes[p->row[i]].worker ? p->row[i - 1] : -1;
    struct para_step step = {last_to_end(p), PARA_LINK_FIRST, -1};
    while (step.node >= 0) {
        struct para_step next = step_before(t, before, &step);
        met[step.node] = true;
        if (next.node >= 0 && met[next.node]) {
            step = (struct para_step){step.node, PARA_LINK_FIRST, -1};
            next.node = -1;
        }
        t->path[t->n_path++] = step;
        step = next;
    }
    for (int i = 0, j = t->n_path - 1; i < j; i++, j--) {
        struct para_step swap = t->path[i];
        t->path[i] = t->path[j];
        t->path[j] = swap;
    }
    return 0;
}

/* ---- ready tasks over time ---- */

static int by_time(const void *left, const void *right)
{
    const struct para_load *a = left, *b = right;
    return (a->time_ns > b->time_ns) - (a->time_ns < b->time_ns);
}

/* Changes first, which are then added up. */
static int find_loads(struct para_timeline *t)
{
    const para_profile *p = t->p;
    int nodes = p->g->n_nodes, count = 0, kept = 0;
    t->loads = para_arena_alloc(&t->arena, (3 * (size_t)nodes + 1) * sizeof *t->loads);
    if (!t->loads)
        return -1;
    for (int i = 0; i < nodes; i++) {
        const struct para_timing *n = &p->nodes[p->row[i]], *before = i > 0 ? &p->nodes[p->row[i - 1]] : NULL,
                                 *next = i + 1 < nodes ? &p->nodes[p->row[i + 1]] : NULL;
        if (!before || before->worker != n->worker || before->task != n->task) {
            t->loads[count++] = (struct para_load){sooner(n->ready_ns, n->start_ns), 1, 0};
            t->loads[count++] = (struct para_load){n->start_ns, -1, 1};
        }
        if (!next || next->worker != n->worker || next->task != n->task)
            t->loads[count++] = (struct para_load){n->end_ns, 0, -1};
    }
    qsort(t->loads, (size_t)count, sizeof *t->loads, by_time);
    struct para_load sum = {0, 0, 0};
    for (int i = 0; i < count; i++) {
        sum = (struct para_load){t->loads[i].time_ns, sum.ready + t->loads[i].ready, sum.running + t->loads[i].running};
        if (i + 1 == count || t->loads[i + 1].time_ns > sum.time_ns)
            t->loads[kept++] = sum;
    }
    t->n_loads = kept;
    return 0;
}

/* ---- the longest chain ---- */

static int find_chain(struct para_timeline *t)
{
    const para_profile *p = t->p;
    int64_t *chain = calloc((size_t)p->g->n_nodes + 1, sizeof *chain);
    if (!chain)
        return -1;
    for (int i = 0; i < p->g->n_nodes; i++) {
        for (int e = p->first_wait[i]; e < p->first_wait[i + 1]; e++)
            chain[i] = later(chain[i], chain[p->waits[e].from]);
        chain[i] += p->nodes[i].end_ns - p->nodes[i].start_ns;
        t->chain_ns = later(t->chain_ns, chain[i]);
    }
    free(chain);
    return 0;
}

int para_timeline_new(struct para_timeline *out, const para_profile *p, para_error *err)
{
    struct para_timeline t = {.p = p};
    if (find_tasks(&t) < 0 || find_gaps(&t) < 0 || find_path(&t) < 0 || find_loads(&t) < 0 || find_chain(&t) < 0 ||
        para_verdict_add(&t) < 0) {
        para_timeline_free(&t);
        return para_fail_memory(err, "a timeline");
    }
    *out = t;
    return 0;
}

void para_timeline_free(struct para_timeline *t)
{
    para_arena_free(&t->arena);
}
