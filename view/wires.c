/* The wires of an outline, and the ranks of its boxes. */
#include "view/wires.h"

#include "base/grow.h"
#include "view/pairs.h"

#include <stdlib.h>
#include <string.h>

struct weaver {
    struct para_outline *o;
    struct para_pairs by_ends; /* (from, to) -> wire */
    int capacity;
    int *path;  /* room for boxes, innermost first */
    int *begin; /* by tensor: its readers among reader[] */
    int *reader;
};

/* Find or make the wire between two ends, and let it carry a value. */
static int wire_between(struct weaver *w, int from, int to, int tensor)
{
    struct para_outline *o = w->o;
    int *at;
    int fresh = para_pairs_at(&w->by_ends, from, to, o->n_wires, &at);
    if (fresh < 0 || (fresh && para_grow(&o->wires, o->n_wires, &w->capacity, sizeof *o->wires) < 0))
        return -1;
    if (fresh)
        o->wires[o->n_wires++] = (struct para_wire){.from = from, .to = to, .slot = -1};
    struct para_wire *wire = &o->wires[*at];
    wire->values += wire->slot != tensor; /* until wires have their slots: the value counted last */
    wire->slot = tensor;
    o->steps++;
    return *at;
}

/* Draw a value from the box that makes it to one that reads it: beside each other, and on into what holds the reader.
 */
static int connect(struct weaver *w, int maker, int reader, int tensor)
{
    struct para_outline *o = w->o;
    struct para_box *boxes = o->boxes;
    bool same = boxes[maker].kind == PARA_BOX_INPUT || boxes[maker].class == boxes[reader].class;
    int from = maker, depth = 0;
    for (; !para_box_holds(o, boxes[from].parent, reader); from = boxes[from].parent)
        boxes[from].leaves = boxes[from].leaves || same;
    for (int b = reader; b != boxes[from].parent; b = boxes[b].parent)
        w->path[depth++] = b;
    boxes[maker].kept = boxes[maker].kept || (!same && from != maker);
    boxes[reader].fed = boxes[reader].fed || (!same && depth > 1);
    o->steps += depth;
    int wire = wire_between(w, from, w->path[--depth], tensor);
    while (same && depth > 0 && wire >= 0)
        wire = wire_between(w, o->n_boxes + wire, w->path[--depth], tensor);
    return wire;
}

/* List the readers of each tensor, a node as often as it reads it; of two graphs, in either. */
static int list_readers(struct weaver *w)
{
    const para_graph *g = w->o->graph;
    const struct para_union *joined = w->o->joined;
    w->begin = calloc((size_t)g->n_tensors + 2, sizeof *w->begin);
    if (!w->begin)
        return -1;
    for (int id = 0; id < g->n_nodes; id++)
        for (int i = 0; i < g->nodes[id]->n_in; i++)
            w->begin[g->nodes[id]->in[i]->id + 2]++;
    for (int k = 0; joined && k < joined->n_only_a; k++)
        w->begin[joined->only_a[k].tensor + 2]++;
    for (int t = 0; t < g->n_tensors; t++)
        w->begin[t + 2] += w->begin[t + 1];
    w->reader = calloc((size_t)w->begin[g->n_tensors + 1] + 1, sizeof *w->reader);
    if (!w->reader)
        return -1;
    for (int id = 0; id < g->n_nodes; id++)
        for (int i = 0; i < g->nodes[id]->n_in; i++)
            w->reader[w->begin[g->nodes[id]->in[i]->id + 1]++] = id;
    for (int k = 0; joined && k < joined->n_only_a; k++)
        w->reader[w->begin[joined->only_a[k].tensor + 1]++] = joined->only_a[k].node;
    return 0;
}

static int connect_all(struct weaver *w)
{
    const struct para_outline *o = w->o;
    for (int t = 0; t < o->graph->n_tensors; t++) {
        const para_node *producer = o->graph->tensors[t]->producer;
        int maker = producer ? o->box_of[producer->id] : o->input_of[t];
        if (maker < 0)
            continue;
        for (int k = w->begin[t]; k < w->begin[t + 1]; k++)
            if (connect(w, maker, o->box_of[w->reader[k]], t) < 0)
                return -1;
    }
    return 0;
}

/* Sort the numbers of wires by what they come from, and make room for them by where they go. */
static int index_wires(struct para_outline *o)
{
    int in = 0, out = 0;
    o->wires_in = calloc((size_t)o->n_wires + 1, sizeof *o->wires_in);
    o->wires_out = calloc((size_t)o->n_wires + 1, sizeof *o->wires_out);
    if (!o->wires_in || !o->wires_out)
        return -1;
    for (int i = 0; i < o->n_wires; i++) {
        int from = o->wires[i].from;
        o->boxes[o->wires[i].to].n_in++;
        *(from < o->n_boxes ? &o->boxes[from].n_out : &o->wires[from - o->n_boxes].n_out) += 1;
    }
    for (int b = 0; b < o->n_boxes; b++) {
        o->boxes[b].in = in;
        o->boxes[b].out = out;
        in += o->boxes[b].n_in;
        out += o->boxes[b].n_out;
        o->boxes[b].n_out = 0;
    }
    for (int i = 0; i < o->n_wires; i++) {
        o->wires[i].out = out;
        out += o->wires[i].n_out;
        o->wires[i].n_out = 0;
    }
    for (int i = 0; i < o->n_wires; i++) {
        int from = o->wires[i].from;
        if (from < o->n_boxes)
            o->wires_out[o->boxes[from].out + o->boxes[from].n_out++] = i;
        else
            o->wires_out[o->wires[from - o->n_boxes].out + o->wires[from - o->n_boxes].n_out++] = i;
    }
    return 0;
}

/* ---- cycles: Tarjan, "Depth-first search and linear graph algorithms", 1972, without recursion ---- */

struct finder {
    struct para_outline *o;
    int *found;  /* by box: when it was first seen, from 1 on */
    int *lowest; /* by box: the first seen that it leads back to */
    int *knot;   /* by box: number of its strongly connected component, from 1 on, those that are led to first */
    int *next;   /* by box: which of its wires is looked at next */
    int *way;    /* boxes on the way to the one looked at */
    int *open;   /* boxes seen that have no component yet */
    int seen, ways, opened, knots;
};

static void enter(struct finder *f, int box)
{
    f->found[box] = f->lowest[box] = ++f->seen;
    f->way[f->ways++] = f->open[f->opened++] = box;
}

static void leave(struct finder *f, int box)
{
    f->ways--;
    if (f->ways > 0 && f->lowest[box] < f->lowest[f->way[f->ways - 1]])
        f->lowest[f->way[f->ways - 1]] = f->lowest[box];
    if (f->lowest[box] < f->found[box])
        return;
    f->knots++;
    do
        f->knot[f->open[--f->opened]] = f->knots;
    while (f->open[f->opened] != box);
}

static void find_knots(struct finder *f)
{
    struct para_outline *o = f->o;
    for (int root = 1; root < o->n_boxes; root++) {
        if (!f->found[root])
            enter(f, root);
        while (f->ways > 0) {
            int box = f->way[f->ways - 1];
            o->steps++;
            if (f->next[box] == o->boxes[box].n_out) {
                leave(f, box);
                continue;
            }
            int to = o->wires[o->wires_out[o->boxes[box].out + f->next[box]++]].to;
            if (!f->found[to])
                enter(f, to);
            else if (!f->knot[to] && f->found[to] < f->lowest[box])
                f->lowest[box] = f->found[to];
        }
    }
}

/* ---- ranks ---- */

/* Write boxes 1 on in ascending order of key (1 to keys), then of number, to `order`. */
static int sort_boxes(const struct para_outline *o, const int *key, int keys, int *order)
{
    int *begin = calloc((size_t)keys + 2, sizeof *begin);
    if (!begin)
        return -1;
    for (int b = 1; b < o->n_boxes; b++)
        begin[key[b] + 1]++;
    for (int k = 1; k <= keys; k++)
        begin[k + 1] += begin[k];
    for (int b = 1; b < o->n_boxes; b++)
        order[begin[key[b]]++] = b;
    free(begin);
    return 0;
}

struct ranker {
    struct para_outline *o;
    int *order; /* boxes but the first */
    int *key;
    int *row;  /* of each box: where its ranks' counts begin among rows[] */
    int *rows; /* how many boxes a rank has */
};

/* Let the boxes after a box stand below it. */
static void push(struct para_outline *o, int box)
{
    for (int k = 0; k < o->boxes[box].n_out; k++) {
        const struct para_wire *wire = &o->wires[o->wires_out[o->boxes[box].out + k]];
        struct para_box *to = &o->boxes[wire->to];
        o->steps++;
        if (!wire->back && to->rank <= o->boxes[box].rank)
            to->rank = o->boxes[box].rank + 1;
    }
}

static int *row_of(const struct ranker *r, int box, int rank)
{
    return &r->rows[r->row[r->o->boxes[box].parent] + rank];
}

/* Longest paths, no more than PARA_BOX_ROW boxes of one parent in a rank. */
static void rank_boxes(struct ranker *r)
{
    struct para_outline *o = r->o;
    for (int i = 0; i < o->n_boxes - 1; i++) {
        int b = r->order[i];
        while (*row_of(r, b, o->boxes[b].rank) >= PARA_BOX_ROW) {
            o->boxes[b].rank++;
            o->steps++;
        }
        ++*row_of(r, b, o->boxes[b].rank);
        push(o, b);
    }
}

/* A box that nothing comes into stands right above the first that it goes into, where there is room. */
static void lower_sources(struct ranker *r)
{
    struct para_outline *o = r->o;
    for (int b = 1; b < o->n_boxes; b++) {
        struct para_box *box = &o->boxes[b];
        int lowest = 0;
        for (int k = 0; k < box->n_out && box->n_in == 0; k++) {
            const struct para_wire *wire = &o->wires[o->wires_out[box->out + k]];
            if (!wire->back && (lowest == 0 || o->boxes[wire->to].rank - 1 < lowest))
                lowest = o->boxes[wire->to].rank - 1;
        }
        while (lowest > box->rank && *row_of(r, b, lowest) >= PARA_BOX_ROW)
            lowest--;
        if (lowest <= box->rank)
            continue;
        --*row_of(r, b, box->rank);
        ++*row_of(r, b, lowest);
        box->rank = lowest;
    }
}

/* Longest paths alone give an order in which every box comes after those above it, and earlier ones first; ranks with
 * a bounded number of boxes are filled in that order (Coffman and Graham, 1972). */
static int find_ranks(struct ranker *r)
{
    struct para_outline *o = r->o;
    int deepest = 1, rows = 0;
    for (int b = 0; b < o->n_boxes; b++) {
        o->boxes[b].rank = 1;
        r->row[b] = rows;
        rows += o->boxes[b].members + 2;
    }
    r->rows = calloc((size_t)rows, sizeof *r->rows);
    if (!r->rows)
        return -1;
    for (int i = 0; i < o->n_boxes - 1; i++)
        push(o, r->order[i]);
    for (int b = 1; b < o->n_boxes; b++) {
        r->key[b] = o->boxes[b].rank;
        deepest = r->key[b] > deepest ? r->key[b] : deepest;
        o->boxes[b].rank = 1;
    }
    if (sort_boxes(o, r->key, deepest, r->order) < 0)
        return -1;
    rank_boxes(r);
    lower_sources(r);
    return 0;
}

static int add_ranks(struct para_outline *o)
{
    size_t n = (size_t)o->n_boxes + 1;
    int *memory = calloc(9 * n, sizeof *memory);
    if (!memory)
        return -1;
    struct finder f = {.o = o,
                       .found = memory,
                       .lowest = memory + n,
                       .knot = memory + 2 * n,
                       .next = memory + 3 * n,
                       .way = memory + 4 * n,
                       .open = memory + 5 * n};
    struct ranker r = {.o = o, .order = memory + 6 * n, .key = memory + 7 * n, .row = memory + 8 * n};
    find_knots(&f);
    for (int i = 0; i < o->n_wires; i++) {
        int from = o->wires[i].from, to = o->wires[i].to;
        o->wires[i].back = from < o->n_boxes && f.knot[from] == f.knot[to] && from > to;
    }
    for (int b = 1; b < o->n_boxes; b++)
        r.key[b] = f.knots + 1 - f.knot[b];
    int status = sort_boxes(o, r.key, f.knots, r.order);
    if (status == 0)
        status = find_ranks(&r);
    free(r.rows);
    free(memory);
    return status;
}

/* ---- slots ---- */

static void take_slots(struct para_outline *o, int out, int count)
{
    for (int k = out; k < out + count; k++) {
        struct para_wire *wire = &o->wires[o->wires_out[k]];
        struct para_box *to = &o->boxes[wire->to];
        wire->slot = to->n_in++;
        o->wires_in[to->in + wire->slot] = o->wires_out[k];
    }
}

/* Wires come into a box in the order of what they come from, from left to right: what comes from outside, then boxes.
 */
static void sort_wires(struct para_outline *o)
{
    for (int b = 0; b < o->n_boxes; b++)
        o->boxes[b].n_in = 0;
    for (int b = 0; b < o->n_boxes; b++) {
        const struct para_box *box = &o->boxes[b];
        for (int k = 0; k < box->n_in; k++) {
            const struct para_wire *wire = &o->wires[o->wires_in[box->in + k]];
            take_slots(o, wire->out, wire->n_out);
        }
        for (int c = b + 1; c < box->end; c = o->boxes[c].end)
            take_slots(o, o->boxes[c].out, o->boxes[c].n_out);
    }
}

int para_wires_add(struct para_outline *o)
{
    struct weaver w = {.o = o, .path = calloc((size_t)o->n_boxes, sizeof *w.path)};
    int status = !w.path || list_readers(&w) < 0 || connect_all(&w) < 0 ? -1 : 0;
    free(w.by_ends.slots);
    free(w.path);
    free(w.begin);
    free(w.reader);
    if (status < 0 || index_wires(o) < 0 || add_ranks(o) < 0)
        return -1;
    sort_wires(o);
    return 0;
}
