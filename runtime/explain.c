/* Why a plan takes the time it does. */
#include "runtime/plan.h"

#include "base/fail.h"
#include "graph/cuts.h"
#include "graph/dump.h"
#include "graph/op.h"
#include "graph/spread.h"

#include <stdlib.h>
#include <string.h>

struct share {
    const char *op;
    double ns;
    int nodes;
};

static int more_time_first(const void *left, const void *right)
{
    const struct share *a = left, *b = right;
    return (a->ns < b->ns) - (a->ns > b->ns);
}

/* The longest path by op, the costliest first; `shares` has room for one a node. */
static void print_path(const para_plan *p, const int *path, int length, double critical, struct share *shares,
                       FILE *out)
{
    int count = 0;
    for (int i = 0; i < length; i++) {
        const char *op = p->g->nodes[path[i]]->op->name;
        int k = 0;
        while (k < count && strcmp(shares[k].op, op) != 0)
            k++;
        if (k == count)
            shares[count++] = (struct share){.op = op};
        shares[k].ns += p->times.cost_ns[path[i]];
        shares[k].nodes++;
    }
    qsort(shares, (size_t)count, sizeof *shares, more_time_first);
    fprintf(out, "critical path by op:\n");
    for (int k = 0; k < count && k < 8; k++)
        fprintf(out, "  %-26s %5d nodes %10.3f ms %5.1f %%\n", shares[k].op, shares[k].nodes, shares[k].ns * 1e-6,
                critical > 0 ? 100.0 * shares[k].ns / critical : 0.0);
}

static void print_memory(const para_plan_summary *s, FILE *out)
{
    const double mib = 1.0 / (1 << 20);
    fprintf(
        out,
        "memory: %.1f MiB = parameters %.1f + state %.1f + inputs %.1f + intermediates %.1f (%.1f at once in program "
        "order, %.1f without reuse); %.1f MiB resident in a run\n",
        (double)s->peak_bytes * mib, (double)s->parameter_bytes * mib, (double)s->state_bytes * mib,
        (double)s->input_bytes * mib, (double)s->intermediate_bytes * mib, (double)s->intermediate_bytes_live * mib,
        (double)s->intermediate_bytes_unshared * mib, (double)s->resident_bytes * mib);
}

/* A lower bound for the time of a run is the larger of the longest path and the work shared evenly. */
static void print_bound(const para_parallelism *m, int workers, FILE *out)
{
    double shared = m->work / workers;
    double bound = m->critical > shared ? m->critical : shared;
    fprintf(out, "lower bound on %d worker%s: %.3f ms, set by the %s (work / workers %.3f ms, critical path %.3f ms)\n",
            workers, workers == 1 ? "" : "s", bound * 1e-6, m->critical > shared ? "critical path" : "work",
            shared * 1e-6, m->critical * 1e-6);
    if (m->critical > shared)
        fprintf(out, "more workers than %.1f don't help; a finer split would\n", m->average_width);
}

/* A stage, or a device of one. */
static void print_group_name(const para_plan *p, int group, int devices, FILE *out)
{
    if (devices == 0)
        fprintf(out, "stage %d", group);
    else if (p->groups <= devices)
        fprintf(out, "device %d", group);
    else
        fprintf(out, "stage %d, device %d", group / devices, group % devices);
}

/* What a graph that is spread consists of. Returns how many devices each stage has; 0: it isn't spread. */
static int print_spread(const para_graph *g, const struct para_spread_counts *c, FILE *out)
{
    struct para_spreading s = {.devices = 0};
    if (!g->spread[0] || para_spreading_read(&s, g, g->spread, NULL) < 0)
        return 0;
    fprintf(out, "spread: %s; %d nodes of parts, %d updates by owners, %d repeated on several devices, %d others\n",
            g->spread, c->parts, c->updates, c->repeated, c->others);
    return s.devices;
}

/* What each stage, a group of workers that nodes are placed on, has: nodes, a share of the work, the parameters that
 * its nodes read, and what comes from others. `counted` has a zero for each tensor. */
static void print_groups(const para_plan *p, double work, const struct para_spread_counts *c, int *counted, FILE *out)
{
    const double mib = 1.0 / (1 << 20);
    int devices = print_spread(p->g, c, out);
    for (int group = 0; group < p->groups; group++) {
        double ns = 0;
        size_t bytes = 0;
        int nodes = 0;
        for (int i = 0; i < p->g->n_nodes; i++) {
            const para_node *n = p->g->nodes[i];
            if (n->place != group)
                continue;
            ns += p->times.cost_ns[i];
            nodes++;
            for (int k = 0; k < n->n_in; k++) {
                const para_tensor *t = n->in[k];
                if (t->kind == PARA_PARAMETER && counted[t->id] != group + 1)
                    bytes += para_shape_bytes(&t->shape);
                counted[t->id] = group + 1;
            }
        }
        if (!nodes)
            continue;
        print_group_name(p, group, devices, out);
        fprintf(out, ": %d nodes, %.1f %% of the work, %.1f MiB of parameters", nodes,
                work > 0 ? 100.0 * ns / work : 0.0, (double)bytes * mib);
        if (devices)
            fprintf(out, ", %.1f updated here", (double)c->owned[group] * mib);
        fprintf(out, ", %.1f MiB a run from others\n", (double)c->in[group] * mib);
    }
    if (p->groups > 1)
        fprintf(out, "between them: %d values, %.1f MiB a run\n", c->values, (double)c->bytes * mib);
}

int para_plan_explain(const para_plan *p, int workers, FILE *out, para_error *err)
{
    para_parallelism m;
    if (workers < 1)
        return para_fail(err, PARA_ERANGE, "%d workers, expected at least 1", workers);
    int *path = malloc(sizeof *path * (size_t)(p->g->n_nodes + 1));
    int *counted = calloc((size_t)p->g->n_tensors + 1, sizeof *counted);
    struct para_spread_counts *crossing = calloc(1, sizeof *crossing);
    struct share *shares = malloc(sizeof *shares * (size_t)(p->g->n_nodes + 1));
    bool made = path && counted && shares && crossing && para_spread_count(crossing, p->g) == 0;
    int status =
        made ? para_deps_measure(p->deps, p->times.cost_ns, &m, path, err) : para_fail_memory(err, "explaining a plan");
    if (status == 0) {
        para_plan_summary s = para_plan_summarize(p);
        fprintf(out, "tasks: %d, edges: %d, buffers: %d\n", s.tasks, s.edges, s.buffers);
        fprintf(out, "splits: %s\n", p->g->splits[0] ? p->g->splits : "none");
        fprintf(out, "work: %.3f ms on one worker at nominal rates, %.3f GFLOP, %.3f GB\n", m.work * 1e-6,
                s.flops * 1e-9, s.bytes * 1e-9);
        fprintf(out, "critical path: %.3f ms, %d nodes\n", m.critical * 1e-6, m.path_length);
        fprintf(out, "width: %.2f on average, %d at most\n", m.average_width, m.peak_width);
        print_bound(&m, workers, out);
        print_path(p, path, m.path_length, m.critical, shares, out);
        print_groups(p, m.work, crossing, counted, out);
        print_memory(&s, out);
        status = para_dump_finish(out, "the explanation", err);
    }
    free(path);
    free(counted);
    free(crossing);
    free(shares);
    return status;
}
