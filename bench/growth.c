/* How time and memory grow with a graph: training steps of ever more nodes are built, analyzed, split, accumulated,
 * planned, written and read, each in a process of its own. Nothing runs.
 *
 * Three ways to grow: more layers, in 4 parts along the batch; more layers, in rows and columns; and more parts. Ops
 * have no names of their own, so that names are made too. */
#define _GNU_SOURCE /* wait4 */
#include <paragraph.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* What is measured, in this order. */
enum { BUILD, ANALYZE, SPLIT, ACCUMULATE, PLAN, PHASES };
static const char *const phase_names[PHASES] = {"build", "analyze", "split", "accumulate", "plan"};

struct family {
    const char *name;
    int layers, rows, columns; /* 0: as many as it takes */
};
static const struct family families[] = {{"deep", 0, 4, 1}, {"mixed", 0, 8, 4}, {"wide", 6, 0, 1}};
enum { FAMILIES = sizeof families / sizeof families[0] };

struct result {
    int nodes, edges;
    double seconds[PHASES];
    para_plan_summary plan;
    double mib; /* of resident memory, at most, less what an idle process has */
};

/* This process's time on a core: it has one thread, and other processes don't count. */
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static para_tensor *layer(para_graph *g, para_tensor *x, int number)
{
    const para_init normal = {PARA_INIT_NORMAL, 0.0, 0.02}, zero = {PARA_INIT_FILL, 0, 0}, one = {PARA_INIT_FILL, 1, 0};
    char name[32];
    para_tensor *p[6];
    for (int k = 0; k < 6; k++) {
        static const para_dim embd = {"embd", 64}, ff = {"ff", 256};
        const para_dim dims[6][3] = {{embd}, {embd}, {embd, ff}, {ff}, {ff, embd}, {embd}};
        snprintf(name, sizeof name, "p%d.%d", number, k);
        p[k] = para_param(g, name, dims[k], k == 0 ? one : k % 2 ? zero : normal);
    }
    para_tensor *h = para_layernorm(g, x, p[0], p[1], 1e-5);
    h = para_gelu(g, para_add(g, para_matmul(g, h, p[2], "embd"), p[3]));
    return para_add(g, x, para_add(g, para_matmul(g, h, p[4], "ff"), p[5]));
}

static int build(para_graph **out, int layers, int rows, para_error *err)
{
    para_graph *g = para_graph_new();
    if (!g)
        return PARA_ENOMEM;
    para_tensor *x = para_input(g, "x", PARA_F32, PARA_DIMS({"batch", rows}, {"seq", 16}, {"embd", 64}));
    for (int l = 0; l < layers; l++)
        x = layer(g, x, l);
    para_tensor *loss = para_output(para_reduce_mean(g, para_mul(g, x, x), ""));
    para_adamw_options adamw = para_adamw_default();
    int status = para_graph_backward(g, loss, err);
    status = status ? status : para_graph_adamw(g, &adamw, err);
    status = status ? status : para_graph_seal(g, err);
    if (status < 0)
        para_graph_free(g);
    else
        *out = g;
    return status;
}

/* Replace a graph by what a pass has made of it. */
static void step_to(para_graph **g, para_graph *next)
{
    para_graph_free(*g);
    *g = next;
}

static int measure(struct result *r, int layers, int rows, int columns, para_error *err)
{
    para_graph *g = NULL, *next = NULL;
    para_deps *d = NULL;
    para_plan *plan = NULL;
    char list[64];
    double at[PHASES + 1];
    snprintf(list, sizeof list, columns > 1 ? "batch=%d,ff=%d" : "batch=%d", rows, columns);
    at[0] = now();
    int status = build(&g, layers, rows, err);
    if (status < 0)
        return status;
    at[1] = now();
    status = para_deps_new(&d, g, NULL, err);
    para_deps_free(d);
    at[2] = now();
    status = status ? status : para_graph_split_list(&next, g, list, NULL, 0, err);
    if (status == 0)
        step_to(&g, next);
    at[3] = now();
    status = status ? status : para_graph_accumulate(&next, g, err);
    if (status == 0)
        step_to(&g, next);
    at[4] = now();
    status = status ? status : para_plan_new(&plan, g, 8, err);
    at[5] = now();
    if (status == 0) {
        for (int p = 0; p < PHASES; p++)
            r->seconds[p] = at[p + 1] - at[p];
        r->nodes = para_graph_node_count(g);
        r->edges = para_deps_edge_count(para_plan_deps(plan));
        r->plan = para_plan_summarize(plan);
    }
    para_plan_free(plan);
    para_graph_free(g);
    return status;
}

/* Measure in a process of its own; with no layers it does nothing. */
static int measure_apart(struct result *r, int layers, int rows, int columns)
{
    int ends[2], status = 0;
    struct rusage usage;
    *r = (struct result){0};
    if (pipe(ends) < 0)
        return -1;
    pid_t child = fork();
    if (child == 0) {
        para_error err = {0};
        int failed = layers ? measure(r, layers, rows, columns, &err) : 0;
        if (failed)
            fprintf(stderr, "growth: %s\n", err.message);
        failed = failed || write(ends[1], r, sizeof *r) != sizeof *r;
        _exit(failed ? 1 : 0);
    }
    close(ends[1]);
    bool got = child > 0 && read(ends[0], r, sizeof *r) == sizeof *r;
    close(ends[0]);
    if (child < 0 || wait4(child, &status, 0, &usage) < 0 || status != 0 || !got)
        return -1;
    r->mib = (double)usage.ru_maxrss / 1024;
    return 0;
}

/* About so many nodes: nodes grow in proportion to what is left open. */
static int grow_to(struct result *r, const struct family *f, int nodes)
{
    int open = 8, wanted = 0;
    for (int tries = 0; tries < 3 && open != wanted; tries++) {
        if (measure_apart(r, f->layers ? f->layers : open, f->rows ? f->rows : open, f->columns) < 0)
            return -1;
        wanted = open;
        open = (int)((double)open * nodes / r->nodes + 0.5);
        open = abs(r->nodes - nodes) < nodes / 50 || open < 1 ? wanted : open;
    }
    return 0;
}

static double total(const struct result *r)
{
    double seconds = 0;
    for (int p = 0; p < PHASES; p++)
        seconds += r->seconds[p];
    return seconds;
}

static void print_result(const struct family *f, const struct result *r)
{
    printf("%-6s %7d", f->name, r->nodes);
    for (int p = 0; p < PHASES; p++)
        printf(" %10.3f", r->seconds[p]);
    printf(" %8.2f %8.1f %8.0f %9.2f %8d %8d %8d %12zu\n", total(r), 1e6 * total(r) / r->nodes, r->mib,
           1024 * r->mib / r->nodes, r->edges, r->plan.tasks, r->plan.buffers, r->plan.peak_bytes);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const int usual[] = {1000, 10000, 100000, 300000};
    int sizes[16], count = 0;
    struct result idle, r;
    for (int i = 1; i < argc && count < 16; i++)
        if ((sizes[count++] = atoi(argv[i])) < 1000) {
            fprintf(stderr, "usage: growth [NODES...]: numbers of nodes, at least 1000 each\n");
            return 2;
        }
    if (!count)
        memcpy(sizes, usual, sizeof usual);
    count = count ? count : 4;
    if (measure_apart(&idle, 0, 0, 0) < 0)
        return 1;
    printf("%-6s %7s", "graph", "nodes");
    for (int p = 0; p < PHASES; p++)
        printf(" %10s", phase_names[p]);
    printf(" %8s %8s %8s %9s %8s %8s %8s %12s\n", "total s", "us/node", "MiB", "KiB/node", "edges", "tasks", "buffers",
           "bytes");
    for (int f = 0; f < FAMILIES; f++)
        for (int s = 0; s < count; s++) {
            if (grow_to(&r, &families[f], sizes[s]) < 0)
                return 1;
            r.mib -= idle.mib;
            print_result(&families[f], &r);
        }
    return 0;
}
