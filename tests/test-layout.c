/* Where a drawing's boxes stand: they lie apart, wires run between them and down, and nothing moves that needn't. */
#include "tests/drawings.h"
#include "tests/model-graphs.h"

#include <stdlib.h>
#include <string.h>

#include "graph/op.h"
#include "graph/rewrite.h"

/* Boxes lie within the one around them and apart from each other. */
static void check_apart(const struct drawing *w)
{
    const struct para_layout *l = &w->l;
    for (int b = 0; b < w->o.n_boxes; b++) {
        if (!is_open(w, b))
            continue;
        for (int c = first_in(w, b); c >= 0; c = next_in(w, c)) {
            assert_true(l->shown[c]);
            assert_true(l->x[c] > l->x[b] && l->x[c] + l->w[c] <= l->x[b] + l->w[b]);
            assert_true(l->y[c] >= l->y[b] + (b ? PARA_HEADER : 0) && l->y[c] + l->h[c] <= l->y[b] + l->h[b]);
            for (int d = next_in(w, c); d >= 0; d = next_in(w, d))
                assert_true(l->x[c] + l->w[c] < l->x[d] || l->x[d] + l->w[d] < l->x[c] || l->y[c] + l->h[c] < l->y[d] ||
                            l->y[d] + l->h[d] < l->y[c]);
        }
    }
}

/* A line along x or y, and what it is a part of. */
struct line {
    int x, y, to_x, to_y, source;
};

/* The lines of a wire, at most three. */
static int lines_of(const struct drawing *w, int wire, struct line lines[3])
{
    const struct para_run *r = &w->l.runs[wire];
    int source = w->o.wires[wire].from;
    if (r->entry == r->x) {
        lines[0] = (struct line){r->x, r->y, r->x, r->end, source};
        return 1;
    }
    lines[0] = (struct line){r->x, r->y, r->x, r->turn, source};
    lines[1] =
        (struct line){r->x < r->entry ? r->x : r->entry, r->turn, r->x < r->entry ? r->entry : r->x, r->turn, source};
    lines[2] = (struct line){r->entry, r->turn, r->entry, r->end, source};
    return 3;
}

/* Wires begin at the bottom of what they come from, end at the top of where they go, descend all the way, and run
 * behind no box. */
static void check_run(const struct drawing *w, int wire)
{
    const struct para_layout *l = &w->l;
    const struct para_wire *v = &w->o.wires[wire];
    const struct para_run *r = &l->runs[wire];
    struct line lines[3];
    int around = w->o.boxes[v->to].parent, count = lines_of(w, wire, lines);
    if (v->from < w->o.n_boxes) {
        assert_int_equal(r->y, l->y[v->from] + l->h[v->from]);
        assert_true(r->x > l->x[v->from] && r->x < l->x[v->from] + l->w[v->from]);
    } else {
        const struct para_run *outer = &l->runs[v->from - w->o.n_boxes];
        assert_int_equal(r->y, l->y[around] + PARA_TURN);
        if (!w->o.wires[v->from - w->o.n_boxes].back)
            assert_int_equal(r->x, outer->lane);
    }
    assert_int_equal(r->end, l->y[v->to]);
    assert_true(r->entry > l->x[v->to] && r->entry < l->x[v->to] + l->w[v->to]);
    for (int k = 0; k < count; k++)
        assert_true(lines[k].y <= lines[k].to_y);
    for (int c = first_in(w, around); c >= 0; c = next_in(w, c))
        for (int k = 0; k < count; k++)
            assert_false(lines[k].x < l->x[c] + l->w[c] && lines[k].to_x > l->x[c] && lines[k].y < l->y[c] + l->h[c] &&
                         lines[k].to_y > l->y[c]);
}

/* Whether two lines share more than a point. */
static bool overlap(const struct line *a, const struct line *b)
{
    if (a->x == a->to_x && b->x == b->to_x)
        return a->x == b->x && a->y < b->to_y && b->y < a->to_y;
    return a->y == a->to_y && b->y == b->to_y && a->y == b->y && a->x < b->to_x && b->x < a->to_x;
}

/* Wires of two sources cross and do no more. */
static void check_tracks(const struct drawing *w, int around)
{
    int count = 0, room = 0;
    for (int c = first_in(w, around); c >= 0; c = next_in(w, c))
        room += 3 * w->o.boxes[c].n_in;
    struct line *lines = calloc((size_t)room + 1, sizeof *lines);
    assert_non_null(lines);
    for (int c = first_in(w, around); c >= 0; c = next_in(w, c))
        for (int k = 0; k < w->o.boxes[c].n_in; k++) {
            int wire = w->o.wires_in[w->o.boxes[c].in + k];
            count += w->o.wires[wire].back ? 0 : lines_of(w, wire, lines + count);
        }
    for (int i = 0; i < count; i++)
        for (int k = 0; k < i; k++)
            assert_graph(NULL, lines[i].source == lines[k].source || !overlap(&lines[i], &lines[k]),
                         "from %d: %d,%d to %d,%d; from %d: %d,%d to %d,%d; in box %d", lines[i].source, lines[i].x,
                         lines[i].y, lines[i].to_x, lines[i].to_y, lines[k].source, lines[k].x, lines[k].y,
                         lines[k].to_x, lines[k].to_y, around);
    free(lines);
}

/* What leaves an open box from its last rank, or alone, has a way to its bottom, behind no box. */
static void check_ways_out(const struct drawing *w, int around)
{
    const struct para_layout *l = &w->l;
    int leavers = 0, ranks = 0;
    for (int c = first_in(w, around); c >= 0; c = next_in(w, c)) {
        leavers += w->o.boxes[c].leaves;
        ranks = w->o.boxes[c].rank > ranks ? w->o.boxes[c].rank : ranks;
    }
    for (int c = first_in(w, around); c >= 0; c = next_in(w, c)) {
        const struct para_run *r = &l->ways_out[c];
        bool drawn = w->o.boxes[c].leaves && (leavers == 1 || w->o.boxes[c].rank == ranks);
        assert_int_equal(r->end, drawn ? l->y[around] + l->h[around] : 0);
        if (!drawn)
            continue;
        assert_int_equal(r->y, l->y[c] + l->h[c]);
        assert_true(r->y < r->turn && r->turn < r->end);
        for (int d = first_in(w, around); d >= 0; d = next_in(w, d))
            assert_false(r->x > l->x[d] && r->x < l->x[d] + l->w[d] && l->y[d] > r->y);
    }
}

static void check_layout(const struct drawing *w)
{
    check_apart(w);
    for (int b = 1; b < w->o.n_boxes; b++)
        if (is_open(w, b))
            check_ways_out(w, b);
    for (int i = 0; i < w->o.n_wires; i++) {
        int around = w->o.boxes[w->o.wires[i].to].parent;
        assert_int_equal(w->l.drawn[i], is_open(w, around));
        if (w->l.drawn[i] && !w->o.wires[i].back)
            check_run(w, i);
    }
    for (int b = 0; b < w->o.n_boxes; b++)
        if (is_open(w, b))
            check_tracks(w, b);
}

/* The same again gives the same numbers. */
static void check_repeats(const struct drawing *w, int flags)
{
    struct drawing again = {.g = w->g};
    para_error err = {0};
    must(para_outline_new(&again.o, w->g, flags, &err), err);
    assert_int_equal(again.o.n_boxes, w->o.n_boxes);
    must(para_layout_new(&again.l, &again.o, w->open, &err), err);
    for (int b = 0; b < w->o.n_boxes; b++) {
        assert_int_equal(again.l.x[b], w->l.x[b]);
        assert_int_equal(again.l.y[b], w->l.y[b]);
        assert_string_equal(again.o.boxes[b].name, w->o.boxes[b].name);
    }
    assert_memory_equal(again.l.runs, w->l.runs, sizeof *w->l.runs * (size_t)w->o.n_wires);
    discard(&again);
}

static void check_graph(const para_graph *g, struct dice *d)
{
    for (int flags = 0; flags <= PARA_OUTLINE_ALIKE; flags++)
        for (int opening = ALL; opening <= SOME; opening++) {
            struct drawing w;
            draw(&w, g, flags, (enum opening)opening, d);
            if (opening == ALL)
                check_repeats(&w, flags);
            check_layout(&w);
            discard(&w);
        }
}

static void random_graphs_lie_well(void **state)
{
    (void)state;
    for_random_graphs(check_graph);
}

static void random_scopes_lie_well(void **state)
{
    (void)state;
    for_random_scopes(check_graph);
}

static void models_lie_well(void **state)
{
    (void)state;
    for_models(check_graph);
}

/* ---- small changes ---- */

/* A copy of g with a gelu behind the first result of one node, in its scope. By chance later readers of that all read
 * the new one, or the first of them does, or none. *added is the new node's id; old nodes keep their order. */
static para_graph *with_one_more(const para_graph *g, int behind, struct dice *d, int *added)
{
    para_error err = {0};
    para_graph *out = NULL;
    struct para_rewrite r;
    para_tensor *old = NULL, *new = NULL;
    int readers = 0, most = (int[]){0, 1, g->n_nodes}[roll(d, 3)];
    must(para_rewrite_begin(&r, g, &err, "add a node"), err);
    r.drops_gradients = true;
    for (int id = 0; id < g->n_nodes; id++) {
        const para_node *n = g->nodes[id];
        if (id > behind)
            r.value[g->nodes[behind]->out[0]->id] = readers < most ? new : old;
        assert_int_equal(para_rewrite_sources(&r, n), 0);
        const para_node *copy = para_rewrite_copy_node(&r, n, n->op, NULL, n->n_in);
        assert_non_null(copy);
        for (int i = 0; i < copy->n_in; i++)
            readers += copy->in[i] == new;
        if (id != behind)
            continue;
        char name[256];
        old = r.value[n->out[0]->id];
        snprintf(name, sizeof name, "%s.added", n->name);
        para_node *more = para_rewrite_add_node(&r, n, para_op_find("gelu"), name, &old, 1, PARA_ATTRS({.s = "tanh"}));
        assert_non_null(more);
        *added = more->id;
        new = para_rewrite_add_between(n->out[0], more, name, &n->out[0]->shape);
    }
    must(para_rewrite_finish(&r, para_rewrite_sources(&r, NULL), &out, &err), err);
    return out;
}

/* Whether a node's first result may pass through a gelu. */
static bool can_pass(const para_node *n)
{
    const para_tensor *t = n->n_out > 0 ? n->out[0] : NULL;
    return t && t->shape.dtype == PARA_F32 && t->kind == PARA_INTERMEDIATE && !t->overwrites && !t->overwritten_by &&
           !t->is_output;
}

/* The node drawn on a side of another in its rank; -1: none. */
static int neighbour(const struct drawing *w, int node, int side)
{
    int box = w->o.box_of[node], found = -1;
    for (int c = first_in(w, w->o.boxes[box].parent); c >= 0; c = next_in(w, c)) {
        int beyond = (w->l.x[c] - w->l.x[box]) * side;
        if (w->o.boxes[c].kind == PARA_BOX_NODE && w->o.boxes[c].rank == w->o.boxes[box].rank && beyond > 0 &&
            (found < 0 || beyond < (w->l.x[found] - w->l.x[box]) * side))
            found = c;
    }
    return found < 0 ? -1 : w->o.boxes[found].item;
}

/* Compare drawings without and with a node. Returns how many others have got other neighbours. */
static int check_change(const struct drawing *a, const struct drawing *b, int added)
{
    int changed = 0, home = b->o.boxes[b->o.box_of[added]].parent;
    for (int id = 0; id < a->g->n_nodes; id++) {
        int there = id + (id >= added), in_a = a->o.box_of[id], in_b = b->o.box_of[there];
        int around_a = a->o.boxes[in_a].parent, around_b = b->o.boxes[in_b].parent;
        for (int c = next_in(a, in_a); c >= 0; c = next_in(a, c)) {
            if (a->o.boxes[c].kind != PARA_BOX_NODE || a->o.boxes[c].rank != a->o.boxes[in_a].rank)
                continue;
            int other = b->o.box_of[a->o.boxes[c].item + (a->o.boxes[c].item >= added)];
            if (b->o.boxes[other].parent == around_b && b->o.boxes[other].rank == b->o.boxes[in_b].rank) {
                assert_int_equal(a->l.x[in_a] < a->l.x[c], b->l.x[in_b] < b->l.x[other]);
            }
        }
        if (!para_box_holds(&b->o, around_b, home) && a->o.boxes[around_a].n_in == b->o.boxes[around_b].n_in) {
            assert_int_equal(a->l.x[in_a] - a->l.x[around_a], b->l.x[in_b] - b->l.x[around_b]);
            assert_int_equal(a->l.y[in_a] - a->l.y[around_a], b->l.y[in_b] - b->l.y[around_b]);
        }
        for (int side = -1; side <= 1; side += 2) {
            int before = neighbour(a, id, side), after = neighbour(b, there, side);
            if (after != added && (before < 0 ? after >= 0 : after != before + (before >= added))) {
                changed++;
                break;
            }
        }
    }
    return changed;
}

/* Adding a node, and, the other way round, removing it, moves no two others past each other, and nothing in other
 * scopes; few get other neighbours. */
static void small_changes_stay_small(void **state)
{
    (void)state;
    enum { EDITS = 200 };
    struct dice d = {.seed = 18};
    int64_t changed = 0, nodes = 0;
    para_graph *g = model_graph("tiny", TRAIN, 6, "batch=2");
    struct drawing before;
    draw(&before, g, 0, ALL, &d);
    for (int edit = 0; edit < EDITS; edit++) {
        struct drawing after;
        int behind = roll(&d, g->n_nodes), added = -1;
        while (!can_pass(g->nodes[behind]))
            behind = roll(&d, g->n_nodes);
        para_graph *more = with_one_more(g, behind, &d, &added);
        draw(&after, more, 0, ALL, &d);
        changed += check_change(&before, &after, added);
        nodes += g->n_nodes;
        discard(&after);
        para_graph_free(more);
    }
    assert_graph(NULL, 50 * changed <= nodes, "%lld of %lld nodes have other neighbours", (long long)changed,
                 (long long)nodes);
    discard(&before);
    para_graph_free(g);
}

static void small_changes_of_random_graphs(void **state)
{
    (void)state;
    struct dice d = {.seed = 19};
    int compared = 0;
    for (int i = 0; i < 20; i++) {
        para_graph *g = i % 2 ? random_scopes(&d, 40 + roll(&d, 50), roll(&d, 3), 4) : random_graph(&d, 60, 0);
        struct drawing before, after;
        draw(&before, g, 0, ALL, &d);
        for (int edit = 0; edit < 10; edit++) {
            int behind = roll(&d, g->n_nodes), added = -1;
            if (!can_pass(g->nodes[behind]))
                continue;
            para_graph *more = with_one_more(g, behind, &d, &added);
            draw(&after, more, 0, ALL, &d);
            if (g->n_nodes < PARA_BOX_CHILDREN - 1) {
                check_change(&before, &after, added);
                compared++;
            }
            discard(&after);
            para_graph_free(more);
        }
        discard(&before);
        para_graph_free(g);
    }
    assert_true(compared > 50);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_lie_well),
        cmocka_unit_test(random_scopes_lie_well),
        cmocka_unit_test(models_lie_well),
        cmocka_unit_test(small_changes_stay_small),
        cmocka_unit_test(small_changes_of_random_graphs),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
