/* The outline of a drawing: a tree of boxes, what is drawn as one, wires and ranks, and that the work grows with the
 * graph. */
#include "tests/drawings.h"
#include "tests/graph-text.h"
#include "tests/model-graphs.h"
#include "view/label.h"

#include <stdlib.h>
#include <string.h>

#include "graph/op.h"

/* One layer after another: so many nodes at most, each layer a chain with a bypass. */
static para_graph *layers_of(int nodes)
{
    para_graph *g = para_graph_new();
    para_error err = {0};
    para_tensor *x = para_input(g, "x", PARA_F32, PARA_DIMS({"n", 3}));
    for (int layer = 0; layer < nodes / 20; layer++) {
        para_scope_push(g, "layer.%d", layer);
        para_tensor *y = x;
        for (int i = 0; i < 19; i++)
            y = para_gelu(g, y);
        x = para_add(g, x, y);
        para_scope_pop(g);
    }
    para_output(x);
    must(para_graph_seal(g, &err), err);
    return g;
}

/* Boxes lie in each other, no more than allowed, in the order of their first nodes; every node has one. */
static void check_tree(const struct drawing *w)
{
    const struct para_outline *o = &w->o;
    int nodes = 0;
    for (int b = 0; b < o->n_boxes; b++) {
        const struct para_box *box = &o->boxes[b];
        int members = 0, last = -1;
        for (int c = first_in(w, b); c >= 0; c = next_in(w, c)) {
            assert_int_equal(o->boxes[c].parent, b);
            members++;
            if (o->boxes[c].kind == PARA_BOX_INPUT)
                continue;
            assert_true(o->boxes[c].item > last);
            last = o->boxes[c].item;
        }
        assert_int_equal(members, box->members);
        assert_in_range(members, 0, PARA_BOX_CHILDREN);
        if (box->kind == PARA_BOX_NODE)
            assert_int_equal(o->box_of[box->item], b);
        nodes += box->kind == PARA_BOX_NODE;
    }
    assert_int_equal(nodes, w->g->n_nodes);
    assert_int_equal(o->boxes[0].nodes, w->g->n_nodes);
}

/* Find the wire between two ends; -1: none. */
static int wire_between(const struct drawing *w, int from, int to)
{
    for (int k = 0; k < w->o.boxes[to].n_in; k++) {
        int wire = w->o.wires_in[w->o.boxes[to].in + k];
        assert_int_equal(w->o.wires[wire].to, to);
        assert_int_equal(w->o.wires[wire].slot, k);
        if (w->o.wires[wire].from == from)
            return wire;
    }
    return -1;
}

/* Every value that a node reads comes to it by a wire: between the boxes beside each other that hold both, and on
 * inside, if they are of one class. */
static void check_connected(const struct drawing *w)
{
    const struct para_outline *o = &w->o;
    for (int id = 0; id < w->g->n_nodes; id++) {
        const para_node *n = w->g->nodes[id];
        for (int i = 0; i < n->n_in; i++) {
            const para_node *p = n->in[i]->producer;
            int from = p ? o->box_of[p->id] : o->input_of[n->in[i]->id], to = o->box_of[id];
            if (from < 0)
                continue;
            bool same = !p || para_class_of(p) == para_class_of(n);
            while (!para_box_holds(o, o->boxes[from].parent, to))
                from = o->boxes[from].parent;
            int outer = o->boxes[from].parent, way[64], length = 0;
            for (int b = to; b != outer && length < 64; b = o->boxes[b].parent)
                way[length++] = b;
            int wire = wire_between(w, from, way[--length]);
            assert_true(wire >= 0);
            while (same && length > 0) {
                wire = wire_between(w, o->n_boxes + wire, way[--length]);
                assert_true(wire >= 0);
            }
            assert_true(same || length == 0 || o->boxes[to].fed);
        }
    }
}

/* Whether wires that don't go back lead from one box to another. */
static bool leads(const struct drawing *w, int from, int to, bool *seen)
{
    if (from == to)
        return true;
    seen[from] = true;
    for (int k = 0; k < w->o.boxes[from].n_out; k++) {
        int next = w->o.wires[w->o.wires_out[w->o.boxes[from].out + k]].to;
        if (!seen[next] && leads(w, next, to, seen))
            return true;
    }
    return false;
}

/* Wires descend, but for those marked, and these are in a cycle; none of them is between two nodes. */
static void check_ranks(const struct drawing *w)
{
    const struct para_outline *o = &w->o;
    for (int b = 1; b < o->n_boxes; b++) {
        int beside = 1;
        for (int c = next_in(w, b); c >= 0; c = next_in(w, c))
            beside += o->boxes[c].rank == o->boxes[b].rank;
        assert_in_range(beside, 1, PARA_BOX_ROW);
    }
    for (int i = 0; i < o->n_wires; i++) {
        const struct para_wire *wire = &o->wires[i];
        if (wire->from >= o->n_boxes) {
            assert_false(wire->back);
            continue;
        }
        const struct para_box *from = &o->boxes[wire->from], *to = &o->boxes[wire->to];
        assert_int_equal(from->parent, to->parent);
        if (!wire->back) {
            assert_true(from->rank < to->rank);
            continue;
        }
        assert_false(from->kind == PARA_BOX_NODE && to->kind == PARA_BOX_NODE);
        bool *seen = calloc((size_t)o->n_boxes, sizeof *seen);
        assert_true(leads(w, wire->to, wire->from, seen));
        free(seen);
    }
}

static void check_outline(const para_graph *g, struct dice *d)
{
    for (int flags = 0; flags <= PARA_OUTLINE_ALIKE; flags++) {
        struct drawing w;
        draw(&w, g, flags, ALL, d);
        check_tree(&w);
        check_connected(&w);
        check_ranks(&w);
        discard(&w);
    }
}

static void random_graphs_have_good_outlines(void **state)
{
    (void)state;
    for_random_graphs(check_outline);
}

static int count_back_wires(const para_graph *g, int flags, struct dice *d)
{
    struct drawing w;
    int count = 0;
    draw(&w, g, flags, NONE, d);
    for (int k = 0; k < w.o.n_wires; k++)
        count += w.o.wires[k].back;
    discard(&w);
    return count;
}

static int cycles;

static void check_scopes(const para_graph *g, struct dice *d)
{
    cycles += count_back_wires(g, 0, d);
    check_outline(g, d);
}

/* Scopes that feed each other are ordered, and marked. */
static void random_scopes_have_good_outlines(void **state)
{
    (void)state;
    cycles = 0;
    for_random_scopes(check_scopes);
    assert_true(cycles > 0);
}

static void check_model(const para_graph *g, struct dice *d)
{
    check_outline(g, d);
    assert_int_equal(count_back_wires(g, PARA_OUTLINE_ALIKE, d), 0);
}

/* Data flows down, without a cycle. */
static void models_have_good_outlines(void **state)
{
    (void)state;
    for_models(check_model);
}

/* ---- what is drawn as one ---- */

/* The box of a kind and name, or the test fails. */
static int box_named(const struct drawing *w, enum para_box_kind kind, enum para_class class, const char *name)
{
    for (int b = 0; b < w->o.n_boxes; b++)
        if (w->o.boxes[b].kind == kind && w->o.boxes[b].class == class && strcmp(w->o.boxes[b].name, name) == 0)
            return b;
    fail_msg("no box is called %s", name);
    return -1;
}

static void equal_layers_are_one(void **state)
{
    (void)state;
    struct dice d = {.seed = 14};
    para_graph *g = model_graph("tiny", TRAIN, 12, "batch=2");
    struct drawing w;
    draw(&w, g, PARA_OUTLINE_ALIKE, NONE, &d);
    int repeat = box_named(&w, PARA_BOX_REPEAT, PARA_CLASS_FORWARD,
                           "layer \xc3\x97"
                           "12");
    int first = first_in(&w, repeat), rest = next_in(&w, first);
    assert_string_equal(w.o.boxes[first].name, "layer.0");
    assert_int_equal(w.o.boxes[rest].kind, PARA_BOX_REST);
    assert_string_equal(w.o.boxes[rest].name, "11 more like it");
    assert_string_equal(w.o.boxes[rest].detail, "layer.1 to layer.11");
    assert_int_equal(w.o.boxes[first].nodes * 12, w.o.boxes[repeat].nodes);
    box_named(&w, PARA_BOX_REPEAT, PARA_CLASS_OPTIMIZER,
              "layer \xc3\x97"
              "12");
    int gelu = box_named(&w, PARA_BOX_PARTS, PARA_CLASS_FORWARD,
                         "mlp.gelu \xc3\x97"
                         "2");
    assert_string_equal(w.o.boxes[gelu].detail, "gelu, by batch");
    assert_string_equal(w.o.boxes[first_in(&w, gelu)].name, "batch=0");
    discard(&w);
    draw(&w, g, 0, NONE, &d);
    for (int b = 0; b < w.o.n_boxes; b++)
        assert_true(w.o.boxes[b].kind == PARA_BOX_GRAPH || w.o.boxes[b].kind == PARA_BOX_INPUT ||
                    w.o.boxes[b].kind == PARA_BOX_SCOPE || w.o.boxes[b].kind == PARA_BOX_NODE);
    discard(&w);
    para_graph_free(g);
}

/* More than a hundred are shown by the hundred, and counted one by one. */
static void many_are_counted_one_by_one(void **state)
{
    (void)state;
    struct dice d = {.seed = 17};
    para_graph *g = model_graph("tiny", FORWARD, 250, ""), *whole, *cut;
    para_error err = {0};
    struct drawing w;
    draw(&w, g, PARA_OUTLINE_ALIKE, NONE, &d);
    int repeat = box_named(&w, PARA_BOX_REPEAT, PARA_CLASS_FORWARD,
                           "layer \xc3\x97"
                           "250");
    assert_string_equal(w.o.boxes[next_in(&w, first_in(&w, repeat))].name, "249 more like it");
    discard(&w);
    para_graph_free(g);
    whole = graph_of("x:input[n=240]; y = gelu(x); output(y)");
    must(para_graph_split_list(&cut, whole, "n=120", NULL, 0, &err), err);
    draw(&w, cut, PARA_OUTLINE_ALIKE, NONE, &d);
    box_named(&w, PARA_BOX_PARTS, PARA_CLASS_FORWARD,
              "y \xc3\x97"
              "120");
    discard(&w);
    para_graph_free(cut);
    para_graph_free(whole);
}

/* What splits insert for one node is a box for each value: a box holds what its name says. */
static void what_splits_insert_is_told_apart(void **state)
{
    (void)state;
    struct dice d = {.seed = 16};
    para_graph *g = model_graph("tiny", TRAIN, 1, "batch=2,embd=2");
    struct drawing w;
    draw(&w, g, PARA_OUTLINE_ALIKE, NONE, &d);
    int gather = box_named(&w, PARA_BOX_PARTS, PARA_CLASS_FORWARD,
                           "embed.add.gather \xc3\x97"
                           "2");
    assert_string_equal(w.o.boxes[gather].detail, "gather, by batch");
    assert_string_equal(w.o.boxes[first_in(&w, gather)].name, "batch=0");
    int weight = box_named(&w, PARA_BOX_NODE, PARA_CLASS_FORWARD, "ln_1.weight.gather");
    assert_int_not_equal(w.o.boxes[w.o.boxes[weight].parent].kind, PARA_BOX_PARTS);
    assert_string_equal(para_part_text(&w.o.arena, g->nodes[w.o.boxes[weight].item]), "");
    discard(&w);
    para_graph_free(g);
}

/* Scopes are equal only if their nodes do the same with the same: one other attribute, one other source. */
static void unequal_scopes_stay(void **state)
{
    (void)state;
    static const char *const last[] = {
        "push(\"s.2\"); a = scale(x, 2); b = gelu(s.2.a); c = gelu(s.2.a); pop();",
        "push(\"s.2\"); a = scale(x, 3); b = gelu(s.2.a); c = gelu(s.2.a); pop();",
        "push(\"s.2\"); a = scale(x, 2); b = gelu(s.2.a); c = gelu(s.2.b); pop();",
        "push(\"s.2\"); a = scale(x, 2); b = gelu(s.2.a); c = gelu(s.1.a); pop();",
        "push(\"t.2\"); a = scale(x, 2); b = gelu(t.2.a); c = gelu(t.2.a); pop();",
    };
    struct dice d = {.seed = 15};
    for (int i = 0; i < 5; i++) {
        char text[512];
        snprintf(text, sizeof text,
                 "x:input[n=3]; push(\"s.0\"); a = scale(x, 2); b = gelu(s.0.a); c = gelu(s.0.a); pop();"
                 "push(\"s.1\"); a = scale(x, 2); b = gelu(s.1.a); c = gelu(s.1.a); pop(); %s",
                 last[i]);
        para_graph *g = graph_of(text);
        struct drawing w;
        int repeats = 0;
        draw(&w, g, PARA_OUTLINE_ALIKE, NONE, &d);
        for (int b = 0; b < w.o.n_boxes; b++)
            repeats += w.o.boxes[b].kind == PARA_BOX_REPEAT;
        assert_int_equal(repeats, i == 0);
        discard(&w);
        para_graph_free(g);
    }
}

/* Sums in place are part of the gradient, not updates. */
static void updates_are_of_what_is_kept(void **state)
{
    (void)state;
    para_graph *g = model_graph("tiny", TRAIN, 0, "batch=2");
    int updates = 0, sums = 0;
    for (int id = 0; id < g->n_nodes; id++) {
        const para_node *n = g->nodes[id];
        if (n->n_out == 0 || !n->out[0]->overwrites)
            continue;
        bool kept = g->tensors[n->out[0]->storage]->kind != PARA_INTERMEDIATE;
        assert_int_equal(para_class_of(n), kept ? PARA_CLASS_OPTIMIZER : PARA_CLASS_BACKWARD);
        *(kept ? &updates : &sums) += 1;
    }
    assert_true(updates > 0 && sums > 0);
    para_graph_free(g);
}

/* ---- work ---- */

static int64_t steps_of(const para_graph *g, int flags, enum opening opening)
{
    struct dice d = {.seed = 16};
    struct drawing w;
    draw(&w, g, flags, opening, &d);
    int64_t steps = w.o.steps + w.l.steps;
    discard(&w);
    return steps;
}

/* Five and four times the nodes take no more than a fifth above five and four times the steps. */
static void work_grows_with_the_graph(void **state)
{
    (void)state;
    static const int sizes[] = {1000, 5000, 20000};
    for (int kind = 0; kind < 3; kind++)
        for (int flags = 0; flags <= PARA_OUTLINE_ALIKE; flags++) {
            double before = 0.0;
            for (int i = 0; i < 3; i++) {
                struct dice d = {.seed = 17};
                para_graph *g = kind == 0   ? layers_of(sizes[i])
                                : kind == 1 ? random_scopes(&d, sizes[i], 3, 20)
                                            : random_scopes(&d, sizes[i], 0, 1);
                double steps = (double)steps_of(g, flags, ALL) / g->n_nodes;
                assert_graph(NULL, i == 0 || steps < 1.2 * before, "%d nodes: %g steps a node, %g before", g->n_nodes,
                             steps, before);
                before = steps;
                para_graph_free(g);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_have_good_outlines),
        cmocka_unit_test(random_scopes_have_good_outlines),
        cmocka_unit_test(models_have_good_outlines),
        cmocka_unit_test(equal_layers_are_one),
        cmocka_unit_test(many_are_counted_one_by_one),
        cmocka_unit_test(what_splits_insert_is_told_apart),
        cmocka_unit_test(unequal_scopes_stay),
        cmocka_unit_test(updates_are_of_what_is_kept),
        cmocka_unit_test(work_grows_with_the_graph),
    };
    return cmocka_run_group_tests_name("outline", tests, NULL, NULL);
}
