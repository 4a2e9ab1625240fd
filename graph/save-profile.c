/* A profile as JSON, one worker or node to a line; doc/profile-format.md describes it, graph/load-profile.c reads it.
 * What a reader needs none of, since the graph says it too, stands in the lines of nodes for people and scripts. */
#include "graph/profile.h"

#include "base/fail.h"
#include "graph/dump.h"

#include <stdlib.h>

static void write_text(FILE *out, const char *lead, const char *text)
{
    fputs(lead, out);
    para_json_string(out, text);
}

static void write_number(FILE *out, const char *lead, double value)
{
    char text[PARA_DOUBLE_TEXT];
    fprintf(out, "%s%s", lead, para_double_text(value, text));
}

static void write_head(const para_profile *p, FILE *out)
{
    fputs("{\"format\":\"paragraph-profile\",\"version\":2", out);
    write_text(out, ",\"command\":", p->command);
    write_text(out, ",\"model\":", p->model);
    write_text(out, ",\"recompute\":", p->recompute);
    fprintf(out, ",\"run\":%lld,\"wall_ns\":%lld", (long long)p->run, (long long)p->wall_ns);
    write_text(out, ",\"graph_digest\":", p->digest);
}

int para_profile_times(const para_profile *p, para_worker_time *times, para_error *err)
{
    int count = p->g->n_nodes;
    para_sample *samples = calloc((size_t)count + 1, sizeof *samples);
    if (!samples)
        return para_fail_memory(err, "a profile's account");
    for (int i = 0; i < count; i++)
        samples[i] = (para_sample){.node = i,
                                   .worker = p->nodes[i].worker,
                                   .submit_ns = (double)p->nodes[i].submit_ns,
                                   .ready_ns = (double)p->nodes[i].ready_ns,
                                   .start_ns = (double)p->nodes[i].start_ns,
                                   .end_ns = (double)p->nodes[i].end_ns};
    int status = para_profile_account(times, p->workers, samples, count, (double)p->wall_ns, err);
    free(samples);
    return status;
}

static int write_workers(const para_profile *p, FILE *out, para_error *err)
{
    char device[PARA_DEVICE_TEXT];
    para_worker_time *times = calloc((size_t)p->workers + 1, sizeof *times);
    int status = times ? para_profile_times(p, times, err) : para_fail_memory(err, "a profile's account");
    fputs(",\n\"workers\":[\n", out);
    for (int w = 0; w < p->workers && status == 0; w++) {
        fprintf(out, "{\"worker\":%d,\"device\":\"%s\"", w, para_profile_device(p, w, device));
        write_number(out, ",\"task_ns\":", times[w].task_ns);
        write_number(out, ",\"idle_ns\":", times[w].idle_ns);
        write_number(out, ",\"runtime_ns\":", times[w].runtime_ns);
        fputs(w + 1 < p->workers ? "},\n" : "}\n", out);
    }
    fputs("]", out);
    free(times);
    return status;
}

static void write_waits(const para_profile *p, int id, FILE *out)
{
    fputs(",\"waits\":[", out);
    for (int e = p->first_wait[id]; e < p->first_wait[id + 1]; e++) {
        const struct para_wait *wait = &p->waits[e];
        fprintf(out, "%s[%d,\"%s\",%d,%d]", e > p->first_wait[id] ? "," : "", wait->from, para_wait_names[wait->kind],
                wait->tensor, wait->buffer);
    }
    fputs("]}", out);
}

static void write_node(const para_profile *p, int id, FILE *out)
{
    const para_node *n = p->g->nodes[id];
    const struct para_timing *t = &p->nodes[id];
    fprintf(out, "{\"node\":%d", id);
    write_text(out, ",\"name\":", n->name);
    write_text(out, ",\"op\":", para_node_op(n));
    write_text(out, ",\"scope\":", n->scope);
    write_text(out, ",\"part\":", n->part);
    fprintf(out, ",\"task\":%d,\"worker\":%d,\"submit_ns\":%lld,\"ready_ns\":%lld,\"start_ns\":%lld,\"end_ns\":%lld",
            t->task, t->worker, (long long)t->submit_ns, (long long)t->ready_ns, (long long)t->start_ns,
            (long long)t->end_ns);
    write_number(out, ",\"bytes\":", para_node_bytes(n));
    write_number(out, ",\"flops\":", para_node_flops(n));
    write_waits(p, id, out);
}

int para_profile_save(const para_profile *p, FILE *out, para_error *err)
{
    write_head(p, out);
    PARA_TRY(write_workers(p, out, err));
    fputs(",\n\"graph\":\n", out);
    PARA_TRY(para_graph_dump_json(p->g, out, err));
    fputs(",\n\"nodes\":[\n", out);
    for (int id = 0; id < p->g->n_nodes; id++) {
        write_node(p, id, out);
        fputs(id + 1 < p->g->n_nodes ? ",\n" : "\n", out);
    }
    fputs("]}\n", out);
    return para_dump_finish(out, "the profile", err);
}
