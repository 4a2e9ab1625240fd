/* A profile in Chrome's trace format, which Perfetto reads: a thread per worker, with a slice per task and in it one
 * per node; an arrow from what each task waited for last; how many tasks were ready. Times are microseconds with
 * exactly three decimals, as whole nanoseconds are, so that no slice sticks out of another. Threads begin at 2, since
 * 1, the process's own number, would be its main thread, and 0 is Linux's idle task. */
#include "view/timeline.h"

#include "base/fail.h"
#include "graph/dump.h"

enum { PROCESS = 1, FIRST_THREAD = 2 };

struct trace {
    FILE *out;
    const para_profile *p;
    const struct para_timeline *t;
};

static void write_time(const struct trace *x, const char *key, int64_t ns)
{
    fprintf(x->out, ",\"%s\":%lld.%03d", key, (long long)(ns / 1000), (int)(ns % 1000));
}

/* An event of a worker's thread, without its end; `name` may be any bytes. */
static void begin_event(const struct trace *x, const char *phase, int worker, int64_t ns, const char *name)
{
    fprintf(x->out, ",\n{\"ph\":\"%s\",\"pid\":%d,\"tid\":%d", phase, PROCESS, FIRST_THREAD + worker);
    write_time(x, "ts", ns);
    fputs(",\"name\":", x->out);
    para_json_string(x->out, name);
}

static void write_process(const struct trace *x)
{
    fprintf(x->out, "{\"ph\":\"M\",\"pid\":%d,\"name\":\"process_name\",\"args\":{\"name\":", PROCESS);
    para_json_string(x->out, x->p->model[0] ? x->p->model : "paragraph");
    fputs("}}", x->out);
    for (int w = 0; w < x->p->workers; w++) {
        char device[PARA_DEVICE_TEXT];
        fprintf(
            x->out,
            ",\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"name\":\"thread_name\",\"args\":{\"name\":\"worker %d, %s\"}}",
            PROCESS, FIRST_THREAD + w, w, para_profile_device(x->p, w, device));
        fprintf(x->out,
                ",\n{\"ph\":\"M\",\"pid\":%d,\"tid\":%d,\"name\":\"thread_sort_index\",\"args\":{\"sort_index\":%d}}",
                PROCESS, FIRST_THREAD + w, w);
    }
}

/* Nodes of one task that follow each other on a worker are one slice, from row[at] to row[end - 1]. */
static int task_end(const para_profile *p, int at)
{
    int end = at + 1, last = p->first_row[p->nodes[p->row[at]].worker + 1];
    while (end < last && p->nodes[p->row[end]].task == p->nodes[p->row[at]].task)
        end++;
    return end;
}

static void write_task(const struct trace *x, int at, int end)
{
    const struct para_timing *first = &x->p->nodes[x->p->row[at]], *last = &x->p->nodes[x->p->row[end - 1]];
    begin_event(x, "X", first->worker, first->start_ns, x->p->g->nodes[x->p->row[at]]->scope);
    write_time(x, "dur", last->end_ns - first->start_ns);
    fprintf(x->out, ",\"cat\":\"task\",\"args\":{\"task\":%d,\"nodes\":%d", first->task, end - at);
    write_time(x, "submitted_us", first->submit_ns);
    write_time(x, "ready_us", first->ready_ns);
    fputs("}}", x->out);
}

static void write_node(const struct trace *x, int id)
{
    const struct para_timing *n = &x->p->nodes[id];
    const para_node *node = x->p->g->nodes[id];
    begin_event(x, "X", n->worker, n->start_ns, node->name);
    write_time(x, "dur", n->end_ns - n->start_ns);
    fprintf(x->out,
            ",\"cat\":\"%s\",\"args\":{\"node\":%d,\"op\":\"%s\",\"part\":", para_class_name(para_class_of(node)), id,
            para_node_op(node));
    para_json_string(x->out, node->part);
    fprintf(x->out, ",\"flops\":%.0f,\"bytes\":%.0f}}", para_node_flops(node), para_node_bytes(node));
}

static void write_slices(const struct trace *x)
{
    for (int at = 0, end; at < x->p->g->n_nodes; at = end) {
        end = task_end(x->p, at);
        write_task(x, at, end);
        for (int i = at; i < end; i++)
            write_node(x, x->p->row[i]);
    }
}

static void write_flow(const struct trace *x, const char *phase, int id, int node, const char *rest)
{
    const struct para_timing *n = &x->p->nodes[node];
    begin_event(x, phase, n->worker, n->start_ns, "wait");
    fprintf(x->out, ",\"cat\":\"wait\",\"id\":%d%s}", id + 1, rest);
}

/* Of each task the wait that ended last. */
static void write_flows(const struct trace *x)
{
    static const char *const kinds[] = {"RAW", "WAR", "WAW", "after", "reuse"};
    for (int i = 0; i < x->p->g->n_nodes; i++)
        for (int e = x->p->first_wait[i]; e < x->p->first_wait[i + 1]; e++) {
            const struct para_wait *wait = &x->p->waits[e];
            if (x->t->last_wait[x->p->nodes[i].task] != e)
                continue;
            char args[80];
            snprintf(args, sizeof args, ",\"args\":{\"kind\":\"%s\",\"tensor\":%d,\"buffer\":%d}", kinds[wait->kind],
                     wait->tensor, wait->buffer);
            write_flow(x, "s", e, wait->from, args);
            write_flow(x, "f", e, i, ",\"bp\":\"e\"");
        }
}

static void write_counts(const struct trace *x)
{
    for (int i = 0; i < x->t->n_loads; i++) {
        const struct para_load *load = &x->t->loads[i];
        begin_event(x, "C", 0, load->time_ns, "ready tasks");
        fprintf(x->out, ",\"args\":{\"ready\":%d}}", load->ready);
    }
}

int para_profile_dump_trace(const para_profile *p, FILE *out, para_error *err)
{
    struct para_timeline t;
    struct trace x = {out, p, &t};
    PARA_TRY(para_timeline_new(&t, p, err));
    fputs("{\"displayTimeUnit\":\"ns\",\"traceEvents\":[\n", out);
    write_process(&x);
    write_slices(&x);
    write_flows(&x);
    write_counts(&x);
    fputs("\n]}\n", out);
    para_timeline_free(&t);
    return para_dump_finish(out, "the trace", err);
}
