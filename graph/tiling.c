/* Splits by list, and the tiling rule behind "auto" and "auto:CORES".
 *
 * The rule compares a few ways to cut the graph and takes the one with the least predicted time on so many nominal
 * cores, four for "auto": max(critical path, work / cores), where work counts the sums, gathers and tasks that a split
 * adds. It knows the graph, the number and nominal rates, never the machine, so that the same graph is cut the same
 * way everywhere. */
#include "base/fail.h"
#include "graph/cuts.h"
#include "graph/op.h"
#include "graph/rewrite.h"
#include "graph/time.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CHOICES = 16, NOMINAL_CORES = 4, MAX_CORES = 1024 };
/* Room for all choices, "axis=1024,". */
enum { LIST_TEXT = MAX_CHOICES * (PARA_MAX_AXIS_NAME + 6) + 1 };

static int copy(para_graph **out, const para_graph *g, para_error *err)
{
    struct para_rewrite pass;
    PARA_TRY(para_rewrite_begin(&pass, g, err, "split"));
    return para_rewrite_finish(&pass, para_rewrite_copy_all(&pass), out, err);
}

static int refuse_list(const char *list, para_error *err)
{
    return para_fail(err, PARA_EINVAL,
                     "split \"%s\"%s: expected AXIS=PARTS,... with parts of at least 1, auto, or auto:CORES", list,
                     list[strlen(list) - 1] == ',' ? " ends in a comma" : "");
}

/* Splits in the order of the list. */
static int split_in_order(para_graph **out, const para_graph *g, const char *list, para_error *err)
{
    para_graph *now = NULL;
    if (!*list)
        return copy(out, g, err);
    while (*list) {
        struct para_cut cut;
        para_graph *next = NULL;
        int status;
        const char *rest = list;
        if (para_cut_next(&rest, &cut) > 0 && cut.number >= 1)
            status = para_graph_split(&next, now ? now : g, cut.axis, cut.number, err);
        else
            status = refuse_list(list, err);
        list = rest;
        para_graph_free(now);
        if (status < 0)
            return status;
        now = next;
    }
    *out = now;
    return 0;
}

/* Predicted time on the nominal machine, a task per node. */
static int predict(double *ns, const para_graph *g, int cores, para_error *err)
{
    para_deps *d = NULL;
    struct para_times t;
    PARA_TRY(para_deps_new(&d, g, NULL, err));
    int status = para_times_new(&t, g, d, para_rates[PARA_CPU].task_ns);
    para_deps_free(d);
    if (status < 0)
        return para_fail_memory(err, "choosing a split");
    *ns = fmax(t.critical_ns, t.work_ns / cores);
    para_times_free(&t);
    return 0;
}

/* An axis that may be cut, and what is known of it. */
struct choice {
    const char *axis;
    int64_t whole;
    bool of_input, of_parameter;
};

/* An axis is worth cutting if it hasn't been split, no node needs it whole, and nodes that have it do a hundredth of
 * the FLOPs. */
static bool worth_cutting(const para_graph *g, const char *axis)
{
    double all = 0, with = 0;
    if (para_cut_find(g->splits, axis) >= 0)
        return false;
    for (int i = 0; i < g->n_nodes; i++) {
        const para_node *n = g->nodes[i];
        double flops = para_node_flops(n);
        all += flops;
        if (!para_node_has_axis(n, axis))
            continue;
        with += flops;
        const char *why;
        for (int k = 0; k < n->n_out && n->op->role; k++)
            if (n->op->role(n, axis, k, &why) == PARA_WHOLE)
                return false;
    }
    return with >= 0.01 * all;
}

/* The axes of inputs and parameters in order of appearance. Where parameters are frozen it is their axes that count:
 * adapters beside them have one more, which is short. */
static int find_choices(const para_graph *g, struct choice choice[MAX_CHOICES])
{
    int count = 0;
    bool frozen = para_graph_has_frozen(g);
    for (int t = 0; t < g->n_tensors; t++) {
        const para_tensor *source = g->tensors[t];
        for (int d = 0; d < source->shape.rank && source->kind != PARA_INTERMEDIATE; d++) {
            const struct para_extent *e = &source->shape.dim[d];
            int c = 0;
            while (c < count && strcmp(choice[c].axis, e->axis) != 0)
                c++;
            if (c == MAX_CHOICES || (c == count && !worth_cutting(g, e->axis)))
                continue;
            if (c == count)
                choice[count++] = (struct choice){.axis = e->axis, .whole = e->whole};
            choice[c].of_input |= source->kind == PARA_INPUT;
            choice[c].of_parameter |= source->kind == PARA_PARAMETER && source->frozen == frozen;
        }
    }
    return count;
}

/* Rows: the first axis that inputs have and parameters lack (data parallel). Columns: all axes that parameters
 * have (operator parallel). */
static void write_candidate(const struct choice choice[], int count, int rows, int columns, char list[LIST_TEXT])
{
    size_t used = 0;
    bool row_found = false;
    list[0] = '\0';
    for (int c = 0; c < count; c++) {
        bool row = choice[c].of_input && !choice[c].of_parameter && !row_found;
        int parts = choice[c].of_parameter ? columns : row ? rows : 1;
        row_found = row_found || row;
        if (parts > 1 && parts <= choice[c].whole)
            used += (size_t)snprintf(list + used, LIST_TEXT - used, "%s%s=%d", used ? "," : "", choice[c].axis, parts);
    }
}

/* The predicted time of a graph split by a list. */
static int predict_split(double *ns, const para_graph *g, const char *list, int cores, para_error *err)
{
    para_graph *cut = NULL;
    PARA_TRY(split_in_order(&cut, g, list, err));
    int status = predict(ns, cut, cores, err);
    para_graph_free(cut);
    return status;
}

/* Rows and columns in 1, 2, 4, ... parts each, at most one part per core of each, and two tiles per core of both.
 * Columns are doubled as long as that gains, and rows as long as they gain with some columns. */
static int choose(const para_graph *g, int cores, char best[LIST_TEXT], para_error *err)
{
    struct choice choice[MAX_CHOICES];
    int count = find_choices(g, choice);
    double whole_ns, best_ns;
    int misses = 0;
    PARA_TRY(predict(&whole_ns, g, cores, err));
    best_ns = whole_ns;
    best[0] = '\0';
    for (int rows = 1; rows <= cores && misses < 2; rows *= 2) {
        double before_ns = INFINITY, ns;
        misses++;
        for (int columns = 1; columns <= cores && rows * columns <= 2 * cores; columns *= 2) {
            char list[LIST_TEXT];
            write_candidate(choice, count, rows, columns, list);
            ns = whole_ns;
            if (list[0])
                PARA_TRY(predict_split(&ns, g, list, cores, err));
            if (ns < best_ns) {
                best_ns = ns;
                memcpy(best, list, LIST_TEXT);
                misses = 0;
            }
            if (ns >= before_ns)
                break;
            before_ns = ns;
        }
    }
    return 0;
}

/* The cores that "auto" or "auto:CORES" stands for; 0 for another list; or an error. */
static int auto_cores(const char *list, para_error *err)
{
    if (strcmp(list, "auto") == 0)
        return NOMINAL_CORES;
    if (strncmp(list, "auto:", 5) != 0)
        return 0;
    char *end;
    long cores = strtol(list + 5, &end, 10);
    if (end == list + 5 || *end || cores < 1 || cores > MAX_CORES)
        return para_fail(err, PARA_EINVAL, "split \"%s\": expected auto:CORES, 1 to %d of them", list, MAX_CORES);
    return (int)cores;
}

int para_graph_split_list(para_graph **out, const para_graph *g, const char *list, char *chosen, size_t chosen_bytes,
                          para_error *err)
{
    char best[LIST_TEXT];
    if (!g->sealed)
        return para_fail(err, PARA_EINVAL, "split: the graph is not sealed");
    int cores = auto_cores(list ? list : "", err);
    if (cores < 0)
        return cores;
    if (cores > 0) {
        PARA_TRY(choose(g, cores, best, err));
        list = best;
    }
    PARA_TRY(split_in_order(out, g, list ? list : "", err));
    if (chosen && chosen_bytes)
        snprintf(chosen, chosen_bytes, "%s", list ? list : "");
    return 0;
}
