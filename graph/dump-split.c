/* What splits and placement did to a graph, for the text dump. */
#include "graph/cuts.h"
#include "graph/dump.h"
#include "graph/op.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One op's nodes of the graph as written: how many have the axis, and how many of them are cut along it. */
struct tally {
    const struct para_op *op;
    int have, cut;
};

struct report {
    FILE *out;
    const para_graph *g;
    const para_node **by_origin; /* nodes by what they were made from, then in program order */
    struct tally *tally;         /* at most one per node */
};

static int by_origin(const void *a, const void *b)
{
    const para_node *x = *(const para_node *const *)a, *y = *(const para_node *const *)b;
    return x->origin != y->origin ? (x->origin < y->origin ? -1 : 1) : (x->id > y->id) - (x->id < y->id);
}

/* Count the nodes made from one: its op is the first that isn't there to move tiles. Nodes that combine
 * partial results come after it. */
static void count_made(struct report *r, int begin, int end, const char *axis, int *tallies)
{
    const struct para_op *op = NULL;
    bool have = false, cut = false;
    for (int i = begin; i < end; i++) {
        const para_node *n = r->by_origin[i];
        if (!op && !n->op->retiles)
            op = n->op;
        if (n->op != op)
            continue;
        have = have || para_node_has_axis(n, axis);
        cut = cut || para_cut_find(n->part, axis) >= 0;
    }
    if (!have)
        return;
    int t = 0;
    while (t < *tallies && r->tally[t].op != op)
        t++;
    if (t == *tallies)
        r->tally[(*tallies)++] = (struct tally){op, 0, 0};
    r->tally[t].have++;
    r->tally[t].cut += cut;
}

static void write_cuts(struct report *r, const struct para_cut *c)
{
    int tallies = 0;
    for (int begin = 0, end; begin < r->g->n_nodes; begin = end) {
        for (end = begin + 1; end < r->g->n_nodes && r->by_origin[end]->origin == r->by_origin[begin]->origin;)
            end++;
        count_made(r, begin, end, c->axis, &tallies);
    }
    fprintf(r->out, "\nsplit %s=%d\n", c->axis, c->number);
    for (int t = 0; t < tallies; t++) {
        const struct tally *y = &r->tally[t];
        fprintf(r->out, "  %s: %d of %d that have %s %s cut in %d\n", y->op->name, y->cut, y->have, c->axis,
                y->cut == 1 ? "is" : "are", c->number);
    }
}

/* Values with the same reason stand together, where the first of them would. */
static int write_whole(const struct report *r)
{
    struct para_strmap said = {0};
    int status = 0;
    for (int id = 0; id < r->g->n_tensors && status == 0; id++) {
        const char *why = r->g->tensors[id]->why_whole;
        if (!why || para_strmap_get(&said, why))
            continue;
        if (said.count == 0)
            fputs("\nleft whole\n", r->out);
        status = para_strmap_set(&said, why, r->g->tensors[id]);
        fprintf(r->out, "  %s\n", why);
        for (int other = id; other < r->g->n_tensors; other++)
            if (r->g->tensors[other]->why_whole && strcmp(r->g->tensors[other]->why_whole, why) == 0)
                fprintf(r->out, "    %s\n", r->g->tensors[other]->name);
    }
    if (said.count == 0)
        fputs("\nleft whole: nothing\n", r->out);
    para_strmap_free(&said);
    return status;
}

/* Parameter bytes in each part along an axis: a tile of part p begins where p parts end, larger ones first. What lacks
 * the axis, or is left whole, is in none. */
static int write_part_bytes(const struct report *r, const struct para_cut *c)
{
    uint64_t uncut = 0, sum = 0;
    uint64_t *bytes = calloc((size_t)c->number, sizeof *bytes);
    if (!bytes)
        return PARA_ENOMEM;
    for (int id = 0; id < r->g->n_tensors; id++) {
        const para_tensor *t = r->g->tensors[id];
        int d = t->kind == PARA_PARAMETER ? para_shape_find(&t->shape, c->axis) : -1;
        const struct para_extent *e = &t->shape.dim[d < 0 ? 0 : d];
        bool cut = d >= 0 && (e->extent < e->whole || c->number == 1);
        if (cut) {
            bytes[para_part_at(e->whole, c->number, e->begin)] += para_shape_bytes(&t->shape);
            sum += para_shape_bytes(&t->shape);
        } else if (t->kind == PARA_PARAMETER) {
            uncut += para_shape_bytes(&t->shape);
        }
    }
    for (int p = 0; p < c->number && sum > 0; p++)
        fprintf(r->out, "  %s=%d: %" PRIu64 "\n", c->axis, p, bytes[p]);
    fprintf(r->out, "  without %s: %" PRIu64 "\n", c->axis, uncut);
    free(bytes);
    return 0;
}

/* A parameter that a worker group reads. */
struct use {
    int group, tensor;
};

static int by_group(const void *a, const void *b)
{
    const struct use *x = a, *y = b;
    return x->group != y->group ? (x->group > y->group) - (x->group < y->group)
                                : (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

/* Parameters by the groups whose nodes read them; one that two groups read counts in both. */
static int write_group_bytes(const struct report *r)
{
    size_t slots = 1, uses = 0;
    for (int id = 0; id < r->g->n_nodes; id++)
        slots += (size_t)r->g->nodes[id]->n_in;
    struct use *use = calloc(slots, sizeof *use);
    if (!use)
        return PARA_ENOMEM;
    for (int id = 0; id < r->g->n_nodes; id++)
        for (int i = 0; i < r->g->nodes[id]->n_in; i++)
            if (r->g->nodes[id]->place >= 0 && r->g->nodes[id]->in[i]->kind == PARA_PARAMETER)
                use[uses++] = (struct use){r->g->nodes[id]->place, r->g->nodes[id]->in[i]->id};
    qsort(use, uses, sizeof *use, by_group);
    uint64_t bytes = 0;
    for (size_t i = 0; i < uses; i++) {
        if (i == 0 || by_group(&use[i - 1], &use[i]) != 0)
            bytes += para_shape_bytes(&r->g->tensors[use[i].tensor]->shape);
        if (i + 1 < uses && use[i + 1].group == use[i].group)
            continue;
        fprintf(r->out, "  group %d: %" PRIu64 "\n", use[i].group, bytes);
        bytes = 0;
    }
    free(use);
    return 0;
}

static bool is_placed(const para_graph *g)
{
    for (int id = 0; id < g->n_nodes; id++)
        if (g->nodes[id]->place >= 0)
            return true;
    return false;
}

static int write_report(struct report *r)
{
    struct para_cut c;
    bool placed = is_placed(r->g);
    if (!r->by_origin || !r->tally)
        return PARA_ENOMEM;
    if (r->g->n_nodes > 0)
        memcpy(r->by_origin, r->g->nodes, sizeof *r->by_origin * (size_t)r->g->n_nodes);
    qsort(r->by_origin, (size_t)r->g->n_nodes, sizeof *r->by_origin, by_origin);
    for (const char *rest = r->g->splits; para_cut_next(&rest, &c) > 0;)
        write_cuts(r, &c);
    if (r->g->splits[0])
        PARA_TRY(write_whole(r));
    if (r->g->splits[0] || placed)
        fputs("\nparameter bytes\n", r->out);
    for (const char *rest = r->g->splits; para_cut_next(&rest, &c) > 0;)
        PARA_TRY(write_part_bytes(r, &c));
    return placed ? write_group_bytes(r) : 0;
}

int para_dump_splits(const para_graph *g, FILE *out, para_error *err)
{
    size_t slots = (size_t)g->n_nodes + 1;
    struct report r = {out, g, calloc(slots, sizeof *r.by_origin), calloc(slots, sizeof *r.tally)};
    int status = write_report(&r);
    free(r.by_origin);
    free(r.tally);
    return status < 0 ? para_fail_memory(err, "dumping a graph") : 0;
}
