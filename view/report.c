/* A profile as text for reading: what bounds the run, the workers, heat by scope and op, the measured critical path,
 * the longest gaps. */
#include "view/timeline.h"

#include "base/fail.h"
#include "graph/dump.h"
#include "view/text.h"

#include <stdlib.h>
#include <string.h>

enum { LINE = 100, NAME = 40, ROWS = 24, GAPS = 10, SHORT = 200 };

/* What several nodes took together. */
struct heat {
    const char *name, *class;
    int nodes;
    int64_t ns;
    double flops, bytes;
};

struct report {
    FILE *out;
    const para_profile *p;
    struct para_timeline t;
    struct para_fold fold;
    struct heat *heats; /* room for a row per node */
};

static double ms(int64_t ns)
{
    return (double)ns / 1e6;
}

/* A node's, scope's or op's name in visible characters, of any bytes. */
static const char *shown(struct report *r, const char *name)
{
    const char *visible = para_text_visible(&r->t.arena, name);
    return visible ? visible : "";
}

/* Words of a text, in lines. */
static void write_wrapped(FILE *out, const char *text)
{
    int column = 0;
    while (*text) {
        int word = (int)strcspn(text, " ");
        if (column > 0 && column + 1 + word > LINE) {
            fputc('\n', out);
            column = 0;
        }
        column += fprintf(out, column ? " %.*s" : "%.*s", word, text);
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static void write_head(struct report *r)
{
    const para_profile *p = r->p;
    int tasks = 0;
    for (int i = 0; i < p->g->n_nodes; i++)
        tasks += r->t.last_node[p->nodes[i].task] == i;
    fprintf(r->out, "%s", p->command[0] ? shown(r, p->command) : "run");
    if (p->model[0])
        fprintf(r->out, " %s", shown(r, p->model));
    fprintf(r->out, ": run %lld, %.3f ms, %d nodes in %d tasks", (long long)p->run, ms(p->wall_ns), p->g->n_nodes,
            tasks);
    if (p->g->splits[0])
        fprintf(r->out, ", split %s", p->g->splits);
    if (p->recompute[0])
        fprintf(r->out, ", recompute %s", shown(r, p->recompute));
    fprintf(r->out, "\ngraph %s\n\n", p->digest);
}

static int write_workers(struct report *r, para_error *err)
{
    char device[PARA_DEVICE_TEXT];
    para_worker_time *times = calloc((size_t)r->p->workers, sizeof *times);
    int status = times ? para_profile_times(r->p, times, err) : para_fail_memory(err, "a report");
    double wall = r->p->wall_ns > 0 ? (double)r->p->wall_ns : 1;
    fprintf(r->out, "\n%-18s %20s %20s %20s\n", "worker", "task ms       %", "idle ms       %", "runtime ms       %");
    for (int w = 0; w < r->p->workers && status == 0; w++) {
        double parts[] = {times[w].task_ns, times[w].idle_ns, times[w].runtime_ns};
        fprintf(r->out, "%4d %-13s", w, para_profile_device(r->p, w, device));
        for (int i = 0; i < 3; i++)
            fprintf(r->out, " %12.3f %7.1f", parts[i] / 1e6, 100 * parts[i] / wall);
        fputc('\n', r->out);
    }
    free(times);
    return status;
}

/* ---- heat ---- */

static void add_heat(struct report *r, struct heat *h, int node)
{
    h->nodes++;
    h->ns += r->p->nodes[node].end_ns - r->p->nodes[node].start_ns;
    h->flops += para_node_flops(r->p->g->nodes[node]);
    h->bytes += para_node_bytes(r->p->g->nodes[node]);
}

static int hottest_first(const void *left, const void *right)
{
    const struct heat *a = left, *b = right;
    if (a->ns != b->ns)
        return (a->ns < b->ns) - (a->ns > b->ns);
    int order = strcmp(a->name, b->name);
    return order ? order : strcmp(a->class, b->class);
}

static void write_heat(struct report *r, const struct heat *h, int64_t all)
{
    fprintf(r->out, "  %-*s %-9s %10.3f %6.1f %7d %8.4g %7.3g\n", NAME, shown(r, h->name), h->class, ms(h->ns),
            all ? 100.0 * (double)h->ns / (double)all : 0, h->nodes, h->ns ? h->flops / (double)h->ns : 0,
            h->ns ? h->bytes / (double)h->ns : 0);
}

static void write_heats(struct report *r, const char *title, int count)
{
    int64_t all = 0;
    struct heat rest = {.name = "others", .class = ""};
    qsort(r->heats, (size_t)count, sizeof *r->heats, hottest_first);
    for (int i = 0; i < count; i++)
        all += r->heats[i].ns;
    fprintf(r->out, "\n%-*s %10s %6s %7s %8s %7s\n", NAME + 12, title, "ms", "%", "nodes", "GFLOP/s", "GB/s");
    for (int i = 0; i < count; i++)
        if (i < ROWS) {
            write_heat(r, &r->heats[i], all);
        } else {
            rest.nodes += r->heats[i].nodes;
            rest.ns += r->heats[i].ns;
            rest.flops += r->heats[i].flops;
            rest.bytes += r->heats[i].bytes;
        }
    if (rest.nodes)
        write_heat(r, &rest, all);
}

/* A folded scope's name, or that of a node outside of any. */
static const char *unit_name(struct report *r, int unit)
{
    const struct para_unit *u = &r->fold.units[unit];
    const char *name =
        u->folded ? para_arena_format(&r->t.arena, "%.*s", (int)u->scope_bytes, u->first->scope) : u->first->name;
    return name ? name : "";
}

static void write_scopes(struct report *r)
{
    for (int u = 0; u < r->fold.count; u++)
        r->heats[u] = (struct heat){.name = unit_name(r, u), .class = para_class_name(r->fold.units[u].class)};
    for (int i = 0; i < r->p->g->n_nodes; i++)
        add_heat(r, &r->heats[r->fold.of[i]], i);
    write_heats(r, "time in kernels, by scope", r->fold.count);
}

static void write_ops(struct report *r)
{
    int count = 0;
    for (int i = 0; i < r->p->g->n_nodes; i++) {
        const char *op = para_node_op(r->p->g->nodes[i]);
        int k = 0;
        while (k < count && strcmp(r->heats[k].name, op) != 0)
            k++;
        if (k == count)
            r->heats[count++] = (struct heat){.name = op, .class = ""};
        add_heat(r, &r->heats[k], i);
    }
    write_heats(r, "by op", count);
}

/* ---- the critical path ---- */

/* Why the first node of a run of steps couldn't begin before. */
static const char *link_text(struct report *r, const struct para_step *s)
{
    const char *wait;
    switch (s->link) {
    case PARA_LINK_WAIT:
        wait = para_wait_text(&r->t.arena, r->p->g, &r->p->waits[s->wait]);
        return wait ? wait : "";
    case PARA_LINK_WORKER:
        return "its worker was busy";
    case PARA_LINK_TASK:
        return "next in its task";
    case PARA_LINK_FIRST:
        break;
    }
    return "first";
}

static int64_t path_delay(const struct report *r, int step)
{
    const struct para_timing *n = &r->p->nodes[r->t.path[step].node];
    return n->start_ns - (step > 0 ? r->p->nodes[r->t.path[step - 1].node].end_ns : 0);
}

/* Steps that follow each other. */
struct stretch {
    int first, nodes, turns; /* how many scopes take turns in it */
    int64_t kernels, delays;
};

static struct stretch stretch_from(const struct report *r, int first)
{
    struct stretch s = {.first = first, .turns = 1};
    int unit = r->fold.of[r->t.path[first].node];
    for (int i = first; i < r->t.n_path && r->fold.of[r->t.path[i].node] == unit; i++) {
        const struct para_timing *n = &r->p->nodes[r->t.path[i].node];
        s.nodes++;
        s.kernels += n->end_ns - n->start_ns;
        s.delays += path_delay(r, i);
    }
    return s;
}

static void join(struct stretch *s, const struct stretch *next)
{
    s->nodes += next->nodes;
    s->turns += next->turns;
    s->kernels += next->kernels;
    s->delays += next->delays;
}

static void write_stretch(struct report *r, const struct stretch *s)
{
    const struct para_step *first = &r->t.path[s->first];
    int unit = r->fold.of[first->node];
    fprintf(r->out, "  %10.3f %10.3f %10.3f %6d  ", ms(r->p->nodes[first->node].start_ns), ms(s->kernels),
            ms(s->delays), s->nodes);
    if (s->turns > 1)
        fprintf(r->out, "%d short turns of several scopes\n", s->turns);
    else
        fprintf(r->out, "%s, %s: %s\n", shown(r, unit_name(r, unit)), para_class_name(r->fold.units[unit].class),
                link_text(r, first));
}

/* A line per stretch of steps in one scope; of those that take little time, one for as many as follow each other. */
static void write_path(struct report *r)
{
    struct stretch all = {.turns = 0}, pending = {.turns = 0}, s;
    for (int i = 0; i < r->t.n_path; i += s.nodes) {
        s = stretch_from(r, i);
        join(&all, &s);
    }
    fprintf(r->out, "\nmeasured critical path: %d nodes, %.3f ms in kernels, %.3f ms before and between them\n",
            all.nodes, ms(all.kernels), ms(all.delays));
    fprintf(r->out, "  %10s %10s %10s %6s  %s\n", "from ms", "kernels", "between", "nodes",
            "where, and what its first node waited for");
    for (int i = 0; i < r->t.n_path; i += s.nodes) {
        s = stretch_from(r, i);
        bool is_short = (s.kernels + s.delays) * SHORT < all.kernels + all.delays;
        if (pending.turns && is_short) {
            join(&pending, &s);
            continue;
        }
        if (pending.turns)
            write_stretch(r, &pending);
        pending = is_short ? s : (struct stretch){.turns = 0};
        if (!is_short)
            write_stretch(r, &s);
    }
    if (pending.turns)
        write_stretch(r, &pending);
}

/* ---- gaps ---- */

static int longest_first(const void *left, const void *right)
{
    const struct para_gap *a = *(const struct para_gap *const *)left, *b = *(const struct para_gap *const *)right;
    int64_t x = a->end_ns - a->begin_ns, y = b->end_ns - b->begin_ns;
    if (x != y)
        return (x < y) - (x > y);
    return (a > b) - (a < b);
}

static int write_gaps(struct report *r, para_error *err)
{
    const struct para_gap **gaps = calloc((size_t)r->t.n_gaps + 1, sizeof *gaps);
    if (!gaps)
        return para_fail_memory(err, "a report");
    for (int i = 0; i < r->t.n_gaps; i++)
        gaps[i] = &r->t.gaps[i];
    qsort(gaps, (size_t)r->t.n_gaps, sizeof *gaps, longest_first);
    fprintf(r->out, "\nlongest of %d gaps\n  %10s %10s %6s  %s\n", r->t.n_gaps, "from ms", "ms", "worker", "why");
    for (int i = 0; i < r->t.n_gaps && i < GAPS; i++) {
        const char *why = para_gap_text(&r->t.arena, r->p, gaps[i]);
        int64_t ns;
        int other = para_gap_meanwhile(&r->t, gaps[i], &ns);
        fprintf(r->out, "  %10.3f %10.3f %6d  %s\n", ms(gaps[i]->begin_ns), ms(gaps[i]->end_ns - gaps[i]->begin_ns),
                gaps[i]->worker, why ? why : "");
        if (other >= 0)
            fprintf(r->out, "  %28s    meanwhile worker %d ran %s, %.3f ms\n", "", r->p->nodes[other].worker,
                    shown(r, r->p->g->nodes[other]->name), ms(ns));
    }
    free(gaps);
    return 0;
}

static int write_all(struct report *r, para_error *err)
{
    r->heats = para_arena_alloc(&r->t.arena, ((size_t)r->p->g->n_nodes + 1) * sizeof *r->heats);
    if (!r->heats)
        return para_fail_memory(err, "a report");
    write_head(r);
    write_wrapped(r->out, r->t.summary);
    PARA_TRY(write_workers(r, err));
    write_scopes(r);
    write_ops(r);
    write_path(r);
    return write_gaps(r, err);
}

int para_profile_dump_text(const para_profile *p, FILE *out, int fold, para_error *err)
{
    struct report r = {.out = out, .p = p};
    if (fold < 1)
        return para_fail(err, PARA_ERANGE, "fold is %d, expected a depth of scopes, 1 or more", fold);
    PARA_TRY(para_timeline_new(&r.t, p, err));
    int status = para_fold_new(&r.fold, p->g, fold, err);
    if (status == 0) {
        status = write_all(&r, err);
        para_fold_free(&r.fold);
    }
    para_timeline_free(&r.t);
    return status < 0 ? status : para_dump_finish(out, "the report", err);
}
