/* --profile FILE: one JSON object, with a line per worker and per node, so that it can be searched and compared. */
#include "tools/profile-file.h"

#include <stdlib.h>

enum { FORMAT_VERSION = 1 };

int profile_file_open(struct new_file *f, const char *path)
{
    *f = (struct new_file){.path = path};
    return path ? new_file_open(f, path) : EXIT_DONE;
}

void profile_file_abandon(struct new_file *f)
{
    new_file_close(f, EXIT_FAILED);
}

static void write_text(FILE *out, const char *lead, const char *text)
{
    fputs(lead, out);
    json_string(out, text);
}

static void write_head(FILE *out, const struct profiled_run *run)
{
    para_session_counters count = para_session_count(run->session);
    fprintf(out, "{\"format\":%d", FORMAT_VERSION);
    write_text(out, ",\"command\":", run->command);
    write_text(out, ",\"model\":", run->model);
    write_text(out, ",\"splits\":", run->splits);
    fprintf(out, ",\"stages\":%lld", (long long)run->stages);
    write_text(out, ",\"recompute\":", run->recompute ? run->recompute : "none");
    fprintf(out, ",\"workers\":%d,\"run\":%lld,\"wall_ns\":%.17g,\n", run->workers, (long long)count.runs,
            count.run_ns);
}

static int write_account(FILE *out, const struct profiled_run *run, const para_sample *samples, int count)
{
    para_error err;
    para_worker_time *times = calloc((size_t)run->workers, sizeof *times);
    if (!times)
        return out_of_memory("the account", (double)run->workers * sizeof *times);
    double run_ns = para_session_count(run->session).run_ns;
    int status = para_profile_account(times, run->workers, samples, count, run_ns, &err);
    fputs("\"account\":[\n", out);
    for (int w = 0; w < run->workers && status == 0; w++)
        fprintf(out, "{\"worker\":%d,\"task_ns\":%.17g,\"idle_ns\":%.17g,\"runtime_ns\":%.17g}%s\n", w,
                times[w].task_ns, times[w].idle_ns, times[w].runtime_ns, w + 1 < run->workers ? "," : "");
    fputs("],\n", out);
    free(times);
    return status < 0 ? broken(&err) : EXIT_DONE;
}

static void write_node(FILE *out, const para_node *n, const para_sample *s)
{
    fprintf(out, "{\"node\":%d", s->node);
    write_text(out, ",\"name\":", para_node_name(n));
    write_text(out, ",\"op\":", para_node_op(n));
    write_text(out, ",\"scope\":", para_node_scope(n));
    write_text(out, ",\"part\":", para_node_part(n));
    fprintf(out, ",\"task\":%d,\"worker\":%d,\"submit_ns\":%.17g,\"ready_ns\":%.17g,\"start_ns\":%.17g", s->task,
            s->worker, s->submit_ns, s->ready_ns, s->start_ns);
    fprintf(out, ",\"end_ns\":%.17g,\"bytes\":%.17g,\"flops\":%.17g}", s->end_ns, s->bytes, para_node_flops(n));
}

int profile_file_write(struct new_file *f, const struct profiled_run *run)
{
    int count;
    if (!f->stream)
        return EXIT_DONE;
    const para_sample *samples = para_session_profile(run->session, &count);
    if (para_session_count(run->session).runs == 0)
        return failed("%s: isn't written: there was no run to profile", f->path);
    write_head(f->stream, run);
    int code = write_account(f->stream, run, samples, count);
    fputs("\"nodes\":[\n", f->stream);
    for (int i = 0; i < count && code == EXIT_DONE; i++) {
        write_node(f->stream, para_graph_node(run->graph, samples[i].node), &samples[i]);
        fputs(i + 1 < count ? ",\n" : "\n", f->stream);
    }
    fputs("]}\n", f->stream);
    return new_file_close(f, code);
}
