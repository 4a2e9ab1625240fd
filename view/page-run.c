/* A measured run as columns. */
#include "view/page-run.h"

#include "base/fail.h"

#include <inttypes.h>
#include <stdlib.h>

struct source {
    const struct para_timeline *t;
    const para_profile *p;
    struct para_columns *columns;
    para_worker_time *times; /* by worker */
};

/* ---- workers ---- */

static int64_t worker_device(void *source, int i)
{
    struct source *s = source;
    char device[PARA_DEVICE_TEXT];
    return para_columns_text(s->columns, para_profile_device(s->p, i, device));
}

static int64_t worker_task(void *source, int i)
{
    return para_columns_whole(((struct source *)source)->times[i].task_ns);
}

static int64_t worker_idle(void *source, int i)
{
    return para_columns_whole(((struct source *)source)->times[i].idle_ns);
}

static int64_t worker_runtime(void *source, int i)
{
    return para_columns_whole(((struct source *)source)->times[i].runtime_ns);
}

static const struct para_column worker_columns[] = {
    {"device", worker_device}, {"taskNs", worker_task}, {"idleNs", worker_idle}, {"runtimeNs", worker_runtime}, {0}};

/* ---- nodes ---- */

static const struct para_timing *timing_at(void *source, int i)
{
    return &((struct source *)source)->p->nodes[i];
}

static int64_t timing_task(void *s, int i)
{
    return timing_at(s, i)->task;
}

static int64_t timing_worker(void *s, int i)
{
    return timing_at(s, i)->worker;
}

static int64_t timing_submit(void *s, int i)
{
    return timing_at(s, i)->submit_ns;
}

static int64_t timing_ready(void *s, int i)
{
    return timing_at(s, i)->ready_ns;
}

static int64_t timing_start(void *s, int i)
{
    return timing_at(s, i)->start_ns;
}

static int64_t timing_end(void *s, int i)
{
    return timing_at(s, i)->end_ns;
}

static const struct para_column timing_columns[] = {
    {"task", timing_task},
    {"worker", timing_worker},
    {"submitNs", timing_submit},
    {"readyNs", timing_ready},
    {"startNs", timing_start},
    {"endNs", timing_end},
    {0},
};

/* ---- gaps, the critical path, ready tasks ---- */

static const struct para_gap *gap_at(void *source, int i)
{
    return &((struct source *)source)->t->gaps[i];
}

static int64_t gap_worker(void *s, int i)
{
    return gap_at(s, i)->worker;
}

static int64_t gap_begin(void *s, int i)
{
    return gap_at(s, i)->begin_ns;
}

static int64_t gap_end(void *s, int i)
{
    return gap_at(s, i)->end_ns;
}

static int64_t gap_cause(void *s, int i)
{
    return (int64_t)gap_at(s, i)->cause;
}

static int64_t gap_node(void *s, int i)
{
    return gap_at(s, i)->node;
}

static int64_t gap_wait(void *s, int i)
{
    return gap_at(s, i)->wait;
}

static const struct para_column gap_columns[] = {
    {"worker", gap_worker},
    {"beginNs", gap_begin},
    {"endNs", gap_end},
    {"cause", gap_cause},
    {"node", gap_node},
    {"wait", gap_wait},
    {0},
};

static const struct para_step *step_at(void *source, int i)
{
    return &((struct source *)source)->t->path[i];
}

static int64_t step_node(void *s, int i)
{
    return step_at(s, i)->node;
}

static int64_t step_link(void *s, int i)
{
    return (int64_t)step_at(s, i)->link;
}

static int64_t step_wait(void *s, int i)
{
    return step_at(s, i)->wait;
}

static const struct para_column step_columns[] = {{"node", step_node}, {"link", step_link}, {"wait", step_wait}, {0}};

static const struct para_load *load_at(void *source, int i)
{
    return &((struct source *)source)->t->loads[i];
}

static int64_t load_time(void *s, int i)
{
    return load_at(s, i)->time_ns;
}

static int64_t load_ready(void *s, int i)
{
    return load_at(s, i)->ready;
}

static int64_t load_running(void *s, int i)
{
    return load_at(s, i)->running;
}

static const struct para_column load_columns[] = {
    {"timeNs", load_time}, {"ready", load_ready}, {"running", load_running}, {0}};

/* ---- the whole ---- */

static void write_run(struct source *s)
{
    const struct para_timeline *t = s->t;
    const para_profile *p = s->p;
    int command = para_columns_text(s->columns, p->command), model = para_columns_text(s->columns, p->model);
    int summary = para_columns_visible(s->columns, t->summary);
    fprintf(s->columns->out,
            ",\n\"run\":{\"command\":%d,\"model\":%d,\"summary\":%d,\"number\":%" PRId64 ",\"wallNs\":%" PRId64,
            command, model, summary, p->run, p->wall_ns);
    para_columns_write_group(s->columns, "workers", worker_columns, s, p->workers);
    para_columns_write_group(s->columns, "timings", timing_columns, s, p->g->n_nodes);
    para_columns_write_group(s->columns, "gaps", gap_columns, s, t->n_gaps);
    para_columns_write_group(s->columns, "path", step_columns, s, t->n_path);
    para_columns_write_group(s->columns, "loads", load_columns, s, t->n_loads);
    fputc('}', s->columns->out);
}

int para_page_run(const struct para_timeline *t, struct para_columns *c, para_error *err)
{
    struct source s = {.t = t, .p = t->p, .columns = c};
    s.times = calloc((size_t)t->p->workers + 1, sizeof *s.times);
    if (!s.times)
        return para_fail_memory(err, "writing a page");
    int status = para_profile_times(t->p, s.times, err);
    if (status == 0)
        write_run(&s);
    free(s.times);
    return status;
}
