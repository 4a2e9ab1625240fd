/* paragraph plan: what a graph's plan costs and what bounds its time; nothing runs. */
#include "tools/commands.h"
#include "tools/source.h"

#include <stdlib.h>

static const char NOMINAL_RATES[] = "nominal rates: 60 GFLOP/s and 8 GB/s per worker";

struct plan_options {
    struct source_options source;
    int64_t workers;
    bool explain, path, json;
};

static const struct option plan_table[] = {
    {"explain", OPTION_FLAG, offsetof(struct plan_options, explain), NULL,
     "say what the critical path consists of, what bounds the time, what each stage has", 0, 0, false},
    {"path", OPTION_FLAG, offsetof(struct plan_options, path), NULL, "list the nodes of the critical path", 0, 0,
     false},
    {"workers", OPTION_COUNT, offsetof(struct plan_options, workers), "N",
     "plan for N workers; 0 takes as many as train would here", 0, 65536, false},
    {"json", OPTION_FLAG, offsetof(struct plan_options, json), NULL,
     "print JSON: one object, and one more per node with --path", 0, 0, false},
    {0},
};

/* A plan with what is asked of it. */
struct study {
    const para_graph *graph;
    para_plan *plan;
    para_plan_summary summary;
    para_parallelism parallelism;
    double *cost_ns; /* by node */
    int *path;
    int workers;
    char splits[SPLIT_TEXT];
};

static int study_plan(struct study *s)
{
    para_error err;
    int nodes = para_graph_node_count(s->graph);
    if (para_plan_new(&s->plan, s->graph, s->workers, &err) < 0)
        return broken(&err);
    s->cost_ns = calloc((size_t)nodes + 1, sizeof *s->cost_ns);
    s->path = calloc((size_t)nodes + 1, sizeof *s->path);
    if (!s->cost_ns || !s->path)
        return out_of_memory("the nodes' costs", 12.0 * nodes);
    for (int i = 0; i < nodes; i++)
        s->cost_ns[i] = para_plan_cost_ns(s->plan, i);
    s->summary = para_plan_summarize(s->plan);
    int status = para_deps_measure(para_plan_deps(s->plan), s->cost_ns, &s->parallelism, s->path, &err);
    return status < 0 ? broken(&err) : EXIT_DONE;
}

/* No run is shorter than the longest path, nor than the work shared evenly. */
static double bound_ns(const struct study *s)
{
    double shared = s->parallelism.work / s->workers;
    return shared > s->parallelism.critical ? shared : s->parallelism.critical;
}

static void print_json(const struct study *s)
{
    const para_plan_summary *m = &s->summary;
    const para_parallelism *p = &s->parallelism;
    printf("{\"splits\":");
    write_json_string(stdout, s->splits);
    printf(",\"workers\":%d,\"tasks\":%d,\"edges\":%d,\"buffers\":%d,\"parameter_bytes\":%zu,\"state_bytes\":%zu,"
           "\"input_bytes\":%zu,\"intermediate_bytes\":%zu,\"intermediate_bytes_live\":%zu,"
           "\"intermediate_bytes_unshared\":%zu,\"scratch_bytes\":%zu,\"peak_bytes\":%zu,\"resident_bytes\":%zu,",
           s->workers, m->tasks, m->edges, m->buffers, m->parameter_bytes, m->state_bytes, m->input_bytes,
           m->intermediate_bytes, m->intermediate_bytes_live, m->intermediate_bytes_unshared, m->scratch_bytes,
           m->peak_bytes, m->resident_bytes);
    write_json_number(stdout, "\"flops\":", m->flops);
    write_json_number(stdout, ",\"bytes\":", m->bytes);
    write_json_number(stdout, ",\"work_ns\":", p->work);
    write_json_number(stdout, ",\"critical_ns\":", p->critical);
    write_json_number(stdout, ",\"bound_ns\":", bound_ns(s));
    write_json_number(stdout, ",\"average_width\":", p->average_width);
    printf(",\"peak_width\":%d,\"path_length\":%d}\n", p->peak_width, p->path_length);
}

/* In the words of para_plan_explain(), which says more. */
static void print_text(const struct study *s)
{
    const para_parallelism *p = &s->parallelism;
    printf("tasks: %d, edges: %d, buffers: %d\n", s->summary.tasks, s->summary.edges, s->summary.buffers);
    printf("splits: %s\n", s->splits[0] ? s->splits : "none");
    printf("work: %.3f ms on one worker at nominal rates, %.3f GFLOP, %.3f GB\n", p->work * 1e-6,
           s->summary.flops * 1e-9, s->summary.bytes * 1e-9);
    printf("critical path: %.3f ms, %d nodes\n", p->critical * 1e-6, p->path_length);
    printf("width: %.2f on average, %d at most\n", p->average_width, p->peak_width);
    printf("lower bound on %d worker%s: %.3f ms\n", s->workers, s->workers == 1 ? "" : "s", bound_ns(s) * 1e-6);
    printf("memory: %.1f MiB, %.1f MiB resident in a run\n", (double)s->summary.peak_bytes / (1 << 20),
           (double)s->summary.resident_bytes / (1 << 20));
}

static void print_path(const struct study *s, bool json)
{
    double begin = 0;
    for (int i = 0; i < s->parallelism.path_length; i++) {
        const para_node *n = para_graph_node(s->graph, s->path[i]);
        double cost = s->cost_ns[s->path[i]];
        if (json) {
            printf("{\"node\":%d,\"op\":", s->path[i]);
            write_json_string(stdout, para_node_op(n));
            fputs(",\"name\":", stdout);
            write_json_string(stdout, para_node_name(n));
            fputs(",\"part\":", stdout);
            write_json_string(stdout, para_node_part(n));
            write_json_number(stdout, ",\"begin_ns\":", begin);
            write_json_number(stdout, ",\"cost_ns\":", cost);
            puts("}");
        } else {
            printf("%12.3f us  +%10.3f us  %-24s %s\n", begin * 1e-3, cost * 1e-3, para_node_op(n), para_node_name(n));
        }
        begin += cost;
    }
}

static int print_study(const struct study *s, const struct plan_options *o)
{
    para_error err;
    if (o->json)
        print_json(s);
    else if (!o->explain)
        print_text(s);
    else if (para_plan_explain(s->plan, s->workers, stdout, &err) < 0)
        return broken(&err);
    if (!o->json)
        puts(NOMINAL_RATES);
    if (o->path)
        print_path(s, o->json);
    return EXIT_DONE;
}

static int run(const void *parsed)
{
    const struct plan_options *o = parsed;
    para_graph *g;
    struct plan_options own = *o;
    struct study s = {.workers = (int)o->workers};
    if (o->explain && o->json)
        return misused("--explain is for reading; it doesn't go with --json");
    if (s.workers == 0)
        s.workers = para_default_workers();
    if (!own.source.split.split)
        own.source.split.split = own.source.graph ? "none" : "auto";
    TRY(source_graph(&g, &own.source, s.workers, s.splits));
    s.graph = g;
    int code = study_plan(&s);
    code = code ? code : print_study(&s, o);
    para_plan_free(s.plan);
    free(s.cost_ns);
    free(s.path);
    para_graph_free(g);
    return code;
}

static const struct option_group plan_groups[] = {
    {"Options", plan_table, 0},
    SOURCE_GROUPS(struct plan_options, source),
    {0},
};

static const struct plan_options plan_defaults = {.source.split.stages = 1};

const struct command command_plan = {
    .name = "plan",
    .summary = "tell what a graph costs and what bounds its time, without running it",
    .text = "Plan a graph and print its tasks, memory, work, critical path and width. Times come from each node's "
            "operations and bytes at nominal rates, 60 GFLOP/s and 8 GB/s per worker; begins along the path are sums "
            "of these. The path is the plan's, whose tasks hold one node or more and wait for memory that values "
            "share; that "
            "on a page is of nodes alone. A model is split as train splits it (--split auto), a graph file no further "
            "than it is, unless --split says otherwise.\n\n"
            "JSON keys: splits, workers, tasks, edges, buffers, parameter_bytes, state_bytes, input_bytes, "
            "intermediate_bytes, "
            "intermediate_bytes_live (the most that is needed at once in program order), intermediate_bytes_unshared, "
            "scratch_bytes, peak_bytes (of all buffers), resident_bytes (what a session is predicted to add to the "
            "process's memory), flops, bytes, work_ns, critical_ns, bound_ns, "
            "average_width, peak_width, path_length; of a node on the path: node, op, name, part, begin_ns, cost_ns.",
    .groups = plan_groups,
    .defaults = &plan_defaults,
    .bytes = sizeof plan_defaults,
    .run = run,
};
