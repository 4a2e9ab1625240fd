/* The profile: what each node's run took, and where each worker's time went. */
#include "runtime/session.h"

#include "base/fail.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int para_profile_prepare(para_session *s, para_error *err)
{
    s->samples = calloc((size_t)s->g->n_nodes + 1, sizeof *s->samples);
    if (!s->samples)
        return para_fail_memory(err, "the profile");
    for (int i = 0; i < s->g->n_nodes; i++)
        s->samples[i] = (para_sample){
            .node = i, .task = s->machine ? s->plan->clusters.of[i] : i, .bytes = para_node_bytes(s->g->nodes[i])};
    return 0;
}

void para_profile_submit(para_session *s, const para_node *n)
{
    s->samples[n->id].submit_ns = para_now_ns() - s->run_began_ns;
}

/* When a task ended: its last node. */
static double end_of(const para_session *s, int task)
{
    const struct para_clusters *c = &s->plan->clusters;
    return s->samples[c->nodes[c->first[task + 1] - 1]].end_ns;
}

/* When each node could have begun: what its task waits for and the nodes before it in the task had ended. */
void para_profile_finish(para_session *s)
{
    const struct para_clusters *c = &s->plan->clusters;
    for (int t = 0; t < c->count && s->tasks; t++) {
        double ready = s->samples[c->nodes[c->first[t]]].submit_ns;
        for (int e = c->first_edge[t]; e < c->first_edge[t + 1]; e++)
            ready = fmax(ready, end_of(s, c->from[e]));
        for (int i = c->first[t]; i < c->first[t + 1]; i++) {
            para_sample *sample = &s->samples[c->nodes[i]];
            sample->ready_ns = fmax(ready, sample->submit_ns);
            ready = sample->end_ns;
        }
    }
    for (int i = 0; i < s->g->n_nodes && !s->tasks; i++)
        s->samples[i].ready_ns = s->samples[i].submit_ns;
}

const para_sample *para_session_profile(const para_session *s, int *count)
{
    *count = s->samples ? s->g->n_nodes : 0;
    return s->samples;
}

static int by_worker_and_start(const void *left, const void *right)
{
    const para_sample *a = left, *b = right;
    if (a->worker != b->worker)
        return (a->worker > b->worker) - (a->worker < b->worker);
    return (a->start_ns > b->start_ns) - (a->start_ns < b->start_ns);
}

/* The time from `from` to `to`, of which the worker was idle up to `ready`. */
static void add_gap(para_worker_time *w, double from, double ready, double to)
{
    double idle = fmax(0.0, fmin(ready, to) - from);
    w->idle_ns += idle;
    w->runtime_ns += to - from - idle;
}

int para_profile_account(para_worker_time *out, int workers, const para_sample *samples, int count, double run_ns,
                         para_error *err)
{
    double first = count ? samples[0].submit_ns : run_ns, last = first;
    for (int i = 0; i < count; i++) {
        if (samples[i].worker < 0 || samples[i].worker >= workers)
            return para_fail(err, PARA_ERANGE, "a sample of worker %d, expected 0 to %d", samples[i].worker,
                             workers - 1);
        first = fmin(first, samples[i].submit_ns);
        last = fmax(last, samples[i].end_ns);
    }
    para_sample *sorted = malloc(((size_t)count + 1) * sizeof *sorted);
    if (!sorted)
        return para_fail_memory(err, "the profile");
    if (count)
        memcpy(sorted, samples, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_worker_and_start);
    const para_sample *p = sorted, *end = sorted + count;
    for (int w = 0; w < workers; w++) {
        double now = first;
        out[w] = (para_worker_time){.runtime_ns = first};
        for (; p < end && p->worker == w; p++) {
            add_gap(&out[w], now, p->ready_ns, p->start_ns);
            out[w].task_ns += p->end_ns - p->start_ns;
            now = p->end_ns;
        }
        add_gap(&out[w], now, last, run_ns);
    }
    free(sorted);
    return 0;
}
