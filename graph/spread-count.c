/* What a spread graph consists of, and what crosses between its places. */
#include "graph/spread.h"

#include "base/fail.h"
#include "graph/cuts.h"
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

/* --- kinds of nodes --- */

/* What repeated nodes have in common, and nothing else that stands at another place. */
static int by_result(const para_node *a, const para_node *b)
{
    int result_a = a->out[0]->origin, result_b = b->out[0]->origin;
    if (result_a != result_b)
        return result_a < result_b ? -1 : 1;
    if (a->op != b->op)
        return strcmp(a->op->name, b->op->name);
    return strcmp(a->part, b->part);
}

static int by_result_and_place(const void *left, const void *right)
{
    const para_node *a = *(const para_node *const *)left, *b = *(const para_node *const *)right;
    int order = by_result(a, b);
    return order ? order : (a->place > b->place) - (a->place < b->place);
}

static bool updates_parameter(const para_node *n)
{
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k]->overwrites && n->out[k]->overwrites->kind == PARA_PARAMETER)
            return true;
    return false;
}

/* Nodes from `first` to `end` - 1 have one result. */
static void count_equal(struct para_spread_counts *c, const struct para_spreading *s, const para_node *const *n,
                        int first, int end)
{
    bool repeated = n[first]->place != n[end - 1]->place;
    for (int i = first; i < end; i++)
        if (para_spreading_device(s, n[i]) >= 0)
            c->parts++;
        else if (updates_parameter(n[i]))
            c->updates++;
        else if (repeated)
            c->repeated++;
        else
            c->others++;
}

static int count_kinds(struct para_spread_counts *c, const para_graph *g)
{
    struct para_spreading s;
    if (!g->spread[0] || para_spreading_read(&s, g, g->spread, NULL) < 0)
        return 0;
    const para_node **n = malloc(((size_t)g->n_nodes + 1) * sizeof *n);
    if (!n)
        return PARA_ENOMEM;
    for (int i = 0; i < g->n_nodes; i++)
        n[i] = g->nodes[i];
    qsort(n, (size_t)g->n_nodes, sizeof *n, by_result_and_place);
    for (int first = 0, end; first < g->n_nodes; first = end) {
        for (end = first + 1; end < g->n_nodes && by_result(n[first], n[end]) == 0;)
            end++;
        count_equal(c, &s, n, first, end);
    }
    free(n);
    return 0;
}

/* --- what crosses --- */

struct use {
    int tensor, place;
};

static int by_tensor_and_place(const void *left, const void *right)
{
    const struct use *a = left, *b = right;
    return a->tensor != b->tensor ? (a->tensor > b->tensor) - (a->tensor < b->tensor)
                                  : (a->place > b->place) - (a->place < b->place);
}

/* Where a value is made; one that is there before the run, where it is updated, or -1. */
static int home_of(const para_tensor *t)
{
    while (!t->producer && t->overwritten_by)
        t = t->overwritten_by;
    return t->producer ? t->producer->place : -1;
}

static void count_owned(struct para_spread_counts *c, const para_graph *g)
{
    for (int i = 0; i < g->n_tensors; i++) {
        const para_tensor *t = g->tensors[i];
        int home = home_of(t);
        if (t->kind == PARA_PARAMETER && !t->producer && home >= 0)
            c->owned[home] += para_shape_bytes(&t->shape);
    }
}

static int count_crossing(struct para_spread_counts *c, const para_graph *g)
{
    size_t most = 1, uses = 0;
    for (int i = 0; i < g->n_nodes; i++)
        most += (size_t)g->nodes[i]->n_in;
    struct use *use = malloc(most * sizeof *use);
    if (!use)
        return PARA_ENOMEM;
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i]->n_in && g->nodes[i]->place >= 0; k++) {
            const para_tensor *t = g->nodes[i]->in[k];
            if (home_of(t) >= 0 && home_of(t) != g->nodes[i]->place)
                use[uses++] = (struct use){t->id, g->nodes[i]->place};
        }
    qsort(use, uses, sizeof *use, by_tensor_and_place);
    for (size_t i = 0; i < uses; i++) {
        if (i > 0 && by_tensor_and_place(&use[i - 1], &use[i]) == 0)
            continue;
        size_t bytes = para_shape_bytes(&g->tensors[use[i].tensor]->shape);
        c->values++;
        c->bytes += bytes;
        c->in[use[i].place] += bytes;
    }
    free(use);
    return 0;
}

int para_spread_count(struct para_spread_counts *out, const para_graph *g)
{
    *out = (struct para_spread_counts){.parts = 0};
    PARA_TRY(count_kinds(out, g));
    count_owned(out, g);
    return count_crossing(out, g);
}
