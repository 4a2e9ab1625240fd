/* Where each worker's time went, from samples of any run. */
#include <paragraph/session.h>

#include "base/fail.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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
