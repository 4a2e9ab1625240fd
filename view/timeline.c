/* The analysis of a profile. Each part is one pass over its rows or its waits. */
#include "view/timeline.h"

#include "base/fail.h"
#include "base/grow.h"
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

/* From when a task was ready, or a run of them, to when the worker that took it had ended what it ran before. */
struct queued {
    int64_t begin_ns, end_ns;
    int node;
};

/* What gaps are found from. */
struct finder {
    struct para_timeline *t;
    int64_t first, last;     /* the first submission, the last end of all */
    int *first_of, *last_of; /* by worker group: the first and the last worker that ran nodes of it */
    struct queued *queue;    /* of all tasks, in the order of time */
    int n_queue;
    int *ready; /* each task's first node, in the order in which they became ready */
    int n_ready;
    struct queued *here; /* what the worker at hand might have run: no two overlap */
    int n_here, at;      /* at: the first that ends after the last gap's begin */
};

static int64_t ready_ns(const para_profile *p, int node)
{
    return sooner(p->nodes[node].ready_ns, p->nodes[node].start_ns);
}

static int by_begin(const void *left, const void *right)
{
    const struct queued *a = left, *b = right;
    if (a->begin_ns != b->begin_ns)
        return (a->begin_ns > b->begin_ns) - (a->begin_ns < b->begin_ns);
    return a->node - b->node;
}

/* Whether a worker might have run a node: another of its kind did, of the same group. */
static bool runs_here(const struct finder *f, int node, int worker)
{
    const para_profile *p = f->t->p;
    int place = p->g->nodes[node]->place;
    return p->gpu[p->nodes[node].worker] == p->gpu[worker] &&
           (place < 0 || (f->first_of[place] <= worker && worker <= f->last_of[place]));
}

static void find_groups(struct finder *f)
{
    const para_profile *p = f->t->p;
    for (int i = 0; i < PARA_MAX_PLACES; i++) {
        f->first_of[i] = p->workers;
        f->last_of[i] = -1;
    }
    for (int i = 0; i < p->g->n_nodes; i++) {
        int place = p->g->nodes[i]->place, worker = p->nodes[i].worker;
        if (place < 0)
            continue;
        f->first_of[place] = worker < f->first_of[place] ? worker : f->first_of[place];
        f->last_of[place] = worker > f->last_of[place] ? worker : f->last_of[place];
    }
}

/* Tasks in the order in which they became ready, and of them those that waited for a busy worker. */
static void find_queue(struct finder *f)
{
    const para_profile *p = f->t->p;
    for (int w = 0; w < p->workers; w++)
        for (int i = p->first_row[w]; i < p->first_row[w + 1]; i++) {
            int node = p->row[i], before = i > p->first_row[w] ? p->row[i - 1] : -1;
            if (before >= 0 && p->nodes[before].task == p->nodes[node].task)
                continue;
            f->queue[f->n_ready++] = (struct queued){ready_ns(p, node), 0, node};
            if (before >= 0)
                f->queue[f->n_ready - 1].end_ns = p->nodes[before].end_ns;
        }
    qsort(f->queue, (size_t)f->n_ready, sizeof *f->queue, by_begin);
    for (int i = 0; i < f->n_ready; i++) {
        f->ready[i] = f->queue[i].node;
        if (f->queue[i].end_ns > f->queue[i].begin_ns)
            f->queue[f->n_queue++] = f->queue[i];
    }
}

static void begin_worker(struct finder *f, int worker)
{
    f->n_here = f->at = 0;
    for (int i = 0; i < f->n_queue; i++) {
        struct queued q = f->queue[i], *last = f->n_here ? &f->here[f->n_here - 1] : NULL;
        if (!runs_here(f, q.node, worker))
            continue;
        if (last && q.begin_ns <= last->end_ns)
            last->end_ns = later(last->end_ns, q.end_ns);
        else
            f->here[f->n_here++] = q;
    }
}

static int add_gap(struct para_timeline *t, struct para_gap gap)
{
    if (gap.end_ns <= gap.begin_ns)
        return 0;
    if (para_grow(&t->gaps, t->n_gaps, &t->gap_capacity, sizeof *t->gaps) < 0)
        return -1;
    t->gaps[t->n_gaps++] = gap;
    return 0;
}

/* A worker's time until a node is ready. */
static struct para_gap until_ready(const struct para_timeline *t, int worker, int node, int64_t begin, int64_t end)
{
    int wait = t->last_wait[t->p->nodes[node].task];
    bool waited = wait >= 0 && wait_end(t, wait) >= t->p->nodes[node].submit_ns;
    return (struct para_gap){worker, begin, end, waited ? PARA_GAP_WAIT : PARA_GAP_SUBMIT, node, waited ? wait : -1};
}

/* Add idle time. Where a task was ready meanwhile that another worker had taken, that is why; before it, that the task
 * wasn't ready yet. */
static int add_idle(struct finder *f, struct para_gap gap)
{
    int64_t end = gap.end_ns;
    while (f->at < f->n_here && f->here[f->at].end_ns <= gap.begin_ns)
        f->at++;
    for (int i = f->at; i < f->n_here && f->here[i].begin_ns < end; i++) {
        const struct queued *q = &f->here[i];
        int64_t ready = later(q->begin_ns, gap.begin_ns);
        struct para_gap queued = {gap.worker, ready, sooner(q->end_ns, end), PARA_GAP_QUEUED, q->node, -1};
        if (add_gap(f->t, until_ready(f->t, gap.worker, q->node, gap.begin_ns, ready)) < 0 || add_gap(f->t, queued) < 0)
            return -1;
        gap.begin_ns = queued.end_ns;
    }
    return add_gap(f->t, gap);
}

static int add_gaps_before(struct finder *f, int node, int64_t now)
{
    const struct para_timing *n = &f->t->p->nodes[node];
    int64_t ready = later(now, ready_ns(f->t->p, node));
    if (add_idle(f, until_ready(f->t, n->worker, node, now, ready)) < 0)
        return -1;
    return add_gap(f->t, (struct para_gap){n->worker, ready, n->start_ns, PARA_GAP_RUNTIME, node, -1});
}

/* The time of a worker after its last node: until the last of what it might have run was ready, as one gap that names
 * what took longest to become so. */
static int add_gaps_after(struct finder *f, int worker, int64_t now)
{
    const para_profile *p = f->t->p;
    int64_t before = now, longest = 0;
    int node = -1;
    for (int i = 0; i < f->n_ready; i++) {
        int64_t ready = ready_ns(p, f->ready[i]);
        if (ready <= before || !runs_here(f, f->ready[i], worker))
            continue;
        if (ready - before > longest) {
            longest = ready - before;
            node = f->ready[i];
        }
        before = ready;
    }
    if (node >= 0 && add_idle(f, until_ready(f->t, worker, node, now, before)) < 0)
        return -1;
    return add_idle(f, (struct para_gap){worker, before, f->last, PARA_GAP_END, -1, -1});
}

static int add_gaps_of(struct finder *f, int worker)
{
    struct para_timeline *t = f->t;
    const para_profile *p = t->p;
    int at = p->first_row[worker], end = p->first_row[worker + 1];
    int64_t now = f->first;
    begin_worker(f, worker);
    t->first_gap[worker] = t->n_gaps;
    if (add_gap(t, (struct para_gap){worker, 0, f->first, PARA_GAP_OUTSIDE, -1, -1}) < 0)
        return -1;
    for (; at < end; at++) {
        if (add_gaps_before(f, p->row[at], now) < 0)
            return -1;
        now = p->nodes[p->row[at]].end_ns;
    }
    if (add_gaps_after(f, worker, now) < 0)
        return -1;
    return add_gap(t, (struct para_gap){worker, f->last, p->wall_ns, PARA_GAP_OUTSIDE, -1, -1});
}

static void find_span(struct finder *f)
{
    const para_profile *p = f->t->p;
    f->first = f->last = p->g->n_nodes ? p->nodes[0].submit_ns : p->wall_ns;
    for (int i = 0; i < p->g->n_nodes; i++) {
        f->first = sooner(f->first, p->nodes[i].submit_ns);
        f->last = later(f->last, p->nodes[i].end_ns);
    }
}

static int find_gaps(struct para_timeline *t)
{
    const para_profile *p = t->p;
    size_t tasks = (size_t)p->g->n_nodes + 1;
    struct finder f = {.t = t,
                       .first_of = malloc(PARA_MAX_PLACES * sizeof(int)),
                       .last_of = malloc(PARA_MAX_PLACES * sizeof(int)),
                       .queue = malloc(tasks * sizeof *f.queue),
                       .ready = malloc(tasks * sizeof *f.ready),
                       .here = malloc(tasks * sizeof *f.here)};
    t->first_gap = para_arena_alloc(&t->arena, ((size_t)p->workers + 1) * sizeof *t->first_gap);
    bool failed = !t->first_gap || !f.first_of || !f.last_of || !f.queue || !f.ready || !f.here;
    if (!failed) {
        find_span(&f);
        find_groups(&f);
        find_queue(&f);
        for (int w = 0; w < p->workers && !failed; w++)
            failed = add_gaps_of(&f, w) < 0;
        t->first_gap[p->workers] = t->n_gaps;
    }
    free(f.first_of);
    free(f.last_of);
    free(f.queue);
    free(f.ready);
    free(f.here);
    return failed ? -1 : 0;
}

int para_gap_meanwhile(const struct para_timeline *t, const struct para_gap *g, int64_t *ns)
{
    const para_profile *p = t->p;
    int longest = -1;
    *ns = 0;
    for (int w = 0; w < p->workers; w++) {
        int low = p->first_row[w], high = p->first_row[w + 1];
        while (low < high) { /* the first that ends after the gap's begin */
            int middle = low + (high - low) / 2;
            if (p->nodes[p->row[middle]].end_ns > g->begin_ns)
                high = middle;
            else
                low = middle + 1;
        }
        for (; low < p->first_row[w + 1] && p->nodes[p->row[low]].start_ns < g->end_ns; low++) {
            const struct para_timing *n = &p->nodes[p->row[low]];
            int64_t overlap = sooner(n->end_ns, g->end_ns) - later(n->start_ns, g->begin_ns);
            if (overlap > *ns) {
                *ns = overlap;
                longest = p->row[low];
            }
        }
    }
    return longest;
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
    free(t->gaps);
    para_arena_free(&t->arena);
}
