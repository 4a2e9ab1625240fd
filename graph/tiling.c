/* Splits by list, and the tiling rule behind "auto" and "auto:CORES".
 *
 * The rule compares a few ways to cut the graph and takes the one with the least predicted time on so many nominal
 * cores, four for "auto": max(critical path, work / cores), where work counts the sums, gathers and tasks that a split
 * adds. It knows the graph, the number and nominal rates, never the machine, so that the same graph is cut the same
 * way everywhere. */
#include "graph/ir.h"
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_CHOICES = 16, NOMINAL_CORES = 4, MAX_CORES = 1024 };
/* Room for all choices, "axis=1024,". */
enum { LIST_TEXT = MAX_CHOICES * (PARA_MAX_AXIS_NAME + 6) + 1 };

/* Read "axis=parts" from *list and step past it; false at the end. */
static int next_split(const char **list, char axis[PARA_MAX_AXIS_NAME + 1], int *parts, para_error *err)
{
    const char *text = *list;
    size_t length = strcspn(text, "=,");
    char *end = NULL;
    long count = text[length] == '=' ? strtol(text + length + 1, &end, 10) : 0;
    bool number = end && end > text + length + 1 && (*end == ',' || *end == '\0');
    if (length == 0 || length > PARA_MAX_AXIS_NAME || !number || count < 1 || count > 1 << 20)
        return para_fail(err, PARA_EINVAL, "split \"%s\": expected AXIS=PARTS,... with parts of at least 1, auto, or auto:CORES",
                         text);
    memcpy(axis, text, length);
    axis[length] = '\0';
    *parts = (int)count;
    *list = *end ? end + 1 : end;
    if (*end && !**list)
        return para_fail(err, PARA_EINVAL, "split \"%s\": ends in a comma; expected AXIS=PARTS,...", text);
    return 0;
}

/* Splits in the order of the list. */
static int split_in_order(para_graph **out, const para_graph *g, const char *list, para_error *err)
{
    para_graph *now = NULL;
    if (!*list) {
        now = para_graph_copy(g);
        if (!now)
            return para_fail_memory(err, "copying a graph");
        int status = para_graph_seal(now, err);
        if (status < 0) {
            para_graph_free(now);
            return status;
        }
    }
    while (*list) {
        char axis[PARA_MAX_AXIS_NAME + 1];
        int parts = 0;
        para_graph *next = NULL;
        int status = next_split(&list, axis, &parts, err);
        if (status == 0)
            status = para_graph_split(&next, now ? now : g, axis, parts, err);
        para_graph_free(now);
        if (status < 0)
            return status;
        now = next;
    }
    *out = now;
    return 0;
}

/* Predicted time on the nominal machine; negative if it can't be told. */
static double predict_ns(const para_graph *g, int cores)
{
    para_deps *d = NULL;
    para_parallelism p;
    double *cost = calloc((size_t)g->n_nodes + 1, sizeof *cost), time = -1;
    if (cost && para_deps_new(&d, g, NULL, NULL) == 0) {
        for (int i = 0; i < g->n_nodes; i++)
            cost[i] = para_node_time_ns(g->nodes[i]) + PARA_TASK_NS;
        if (para_deps_measure(d, cost, &p, NULL, NULL) == 0)
            time = p.critical > p.work / cores ? p.critical : p.work / cores;
    }
    para_deps_free(d);
    free(cost);
    return time;
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
    if (para_axis_is_split(g, axis))
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

/* The axes of inputs and parameters in order of appearance. */
static int find_choices(const para_graph *g, struct choice choice[MAX_CHOICES])
{
    int count = 0;
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
            choice[c].of_parameter |= source->kind == PARA_PARAMETER;
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

/* Rows and columns in 1, 2, 4, ... parts each, up to one part per core, in every combination. */
static int choose(const para_graph *g, int cores, char best[LIST_TEXT], para_error *err)
{
    struct choice choice[MAX_CHOICES];
    int count = find_choices(g, choice);
    double best_ns = predict_ns(g, cores);
    best[0] = '\0';
    for (int rows = 1; rows <= cores; rows *= 2)
        for (int columns = 1; columns <= cores; columns *= 2) {
            char list[LIST_TEXT];
            para_graph *cut = NULL;
            write_candidate(choice, count, rows, columns, list);
            if (!list[0])
                continue;
            PARA_TRY(split_in_order(&cut, g, list, err));
            double ns = predict_ns(cut, cores);
            para_graph_free(cut);
            if (ns >= 0 && ns < best_ns) {
                best_ns = ns;
                memcpy(best, list, LIST_TEXT);
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
