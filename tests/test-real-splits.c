/* Splits are real: on GPT-2's training graph every product, attention, embedding and loss whose operands carry the axis
 * stands in the split graph in exactly that many parts, the parts share its work, and whatever keeps the axis whole
 * says why. */
#include "tests/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/op.h"

/* The nodes that do a GPT-2's work. */
static bool is_work(const para_node *n)
{
    static const char *const families[] = {"matmul", "attention", "embedding", "logsumexp", "cross_entropy"};
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (strncmp(n->op->name, families[i], strlen(families[i])) == 0)
            return true;
    return false;
}

static bool carries(const para_node *n, const char *axis)
{
    for (int i = 0; i < n->n_in; i++)
        if (para_shape_find(&n->in[i]->shape, axis) >= 0)
            return true;
    for (int k = 0; k < n->n_out; k++)
        if (para_shape_find(&n->out[k]->shape, axis) >= 0)
            return true;
    return false;
}

/* One axis and its parts of "batch=2,heads=2"; returns what follows, NULL at the end. */
static const char *next_axis(const char *list, char axis[PARA_MAX_AXIS_NAME + 1], int *parts)
{
    if (!*list)
        return NULL;
    assert_int_equal(sscanf(list, "%31[^=]=%d", axis, parts), 2);
    list += strcspn(list, ",");
    return *list ? list + 1 : list;
}

/* In how many parts a node of the graph as written must stand. */
static int expected_parts(const para_node *n, const char *list)
{
    char axis[PARA_MAX_AXIS_NAME + 1];
    int parts, product = 1;
    while ((list = next_axis(list, axis, &parts)))
        product *= carries(n, axis) ? parts : 1;
    return product;
}

/* Each part has its own coordinates and does a share of the work: products and attention, whose FLOPs are exact, add
 * up to the whole node's, and no part does much more than its share. */
static void check_node(const para_graph *cut, const para_node *n, const char *list)
{
    int wanted = expected_parts(n, list), count = 0;
    double flops = 0.0, most = 0.0, whole = para_node_flops(n);
    for (int i = 0; i < cut->n_nodes; i++) {
        const para_node *part = cut->nodes[i];
        if (part->origin != n->id || part->op != n->op)
            continue;
        for (int other = 0; other < i; other++)
            if (cut->nodes[other]->origin == n->id && cut->nodes[other]->op == n->op)
                assert_string_not_equal(cut->nodes[other]->part, part->part);
        double own = para_node_flops(part);
        flops += own;
        most = own > most ? own : most;
        count++;
    }
    assert_graph(NULL, count == wanted, "split %s: %s (%s) stands in %d parts, expected %d", list, n->name, n->op->name,
                 count, wanted);
    bool exact = strncmp(n->op->name, "matmul", 6) == 0 || strncmp(n->op->name, "attention", 9) == 0;
    if (exact && wanted > 1) {
        assert_graph(NULL, fabs(flops - whole) <= 1e-9 * whole, "split %s: %s does %.0f FLOPs in parts, %.0f whole",
                     list, n->name, flops, whole);
        assert_graph(NULL, most <= 0.8 * whole, "split %s: a part of %s does %.0f of %.0f FLOPs", list, n->name, most,
                     whole);
    }
}

/* Whether a value holds all of the axis though it was split. */
static const struct para_extent *kept_whole(const para_tensor *t, const char *axis)
{
    int d = para_shape_find(&t->shape, axis);
    return d >= 0 && t->shape.dim[d].extent == t->shape.dim[d].whole ? &t->shape.dim[d] : NULL;
}

/* A gather puts a value together that exists in tiles, for a reader that says why it needs it whole: its reader's
 * outputs are whole for a reason, or the reader doesn't follow the axis with that operand. */
static void check_gather(const para_graph *cut, const para_tensor *t, const char *axis)
{
    int readers = 0;
    for (int i = 0; i < cut->n_nodes; i++) {
        const para_node *n = cut->nodes[i];
        for (int k = 0; k < n->n_in; k++) {
            if (n->in[k] != t)
                continue;
            readers++;
            bool apart = n->op->follows && !n->op->follows(n, axis, k), reasoned = n->op->retiles;
            const char *why = NULL;
            for (int o = 0; o < n->n_out && n->op->role; o++)
                reasoned = reasoned || n->op->role(n, axis, o, &why) == PARA_WHOLE;
            assert_graph(NULL, apart || (reasoned && (n->op->retiles || (why && *why))),
                         "%s reads all of \"%s\" in \"%s\" without a reason", n->name, axis, t->name);
        }
    }
    assert_graph(NULL, readers > 0, "\"%s\" is gathered for nobody", t->name);
}

/* "axis: why", among others. */
static bool says_why(const para_tensor *t, const char *axis)
{
    char text[PARA_MAX_AXIS_NAME + 3];
    snprintf(text, sizeof text, "%s: ", axis);
    const char *reason = t->why_whole ? strstr(t->why_whole, text) : NULL;
    return reason && strlen(reason) > strlen(text) + 8;
}

static void check_whole(const para_graph *cut, const char *axis)
{
    for (int i = 0; i < cut->n_tensors; i++) {
        const para_tensor *t = cut->tensors[i];
        if (!kept_whole(t, axis))
            continue;
        if (t->producer && strcmp(t->producer->op->name, "gather") == 0)
            check_gather(cut, t, axis);
        else if (!t->producer || !says_why(t, axis))
            fail_msg("split %s: \"%s\" is left whole; its reason: %s", cut->splits, t->name,
                     t->why_whole ? t->why_whole : "none");
    }
}

/* Inputs, parameters and states with the axis are in as many tiles, which cover it without gap or overlap. */
static void check_sources(const para_graph *g, const para_graph *cut, const char *axis, int parts)
{
    for (int i = 0; i < g->n_tensors; i++) {
        const para_tensor *t = g->tensors[i];
        int d = para_shape_find(&t->shape, axis);
        if (t->producer || d < 0)
            continue;
        int64_t whole = t->shape.dim[d].whole, covered = 0, small = whole / parts;
        int begins = 0, tiles = 0;
        for (int k = 0; k < cut->n_tensors; k++) {
            const para_tensor *tile = cut->tensors[k];
            if (tile->producer || tile->origin != t->id)
                continue;
            const struct para_extent *e = &tile->shape.dim[d];
            assert_true(e->extent == small || e->extent == small + 1);
            assert_string_equal(tile->base, t->name);
            covered += para_shape_elements(&tile->shape);
            begins += e->begin == 0;
            tiles++;
        }
        assert_int_equal(covered, para_shape_elements(&t->shape));
        assert_int_equal(tiles, begins * parts);
    }
}

/* A split that changes nothing would pass where no work node carries the axis. */
static int count_work(const para_graph *g, const char *list)
{
    int count = 0;
    for (int i = 0; i < g->n_nodes; i++)
        count += is_work(g->nodes[i]) && expected_parts(g->nodes[i], list) > 1;
    return count;
}

static void check_split(const para_graph *g, const char *list, int least)
{
    char axis[PARA_MAX_AXIS_NAME + 1];
    int parts;
    para_graph *cut = cut_graph(g, &(struct plan_case){list, 0, NULL});
    para_error err = {0};
    must(para_graph_verify(cut, &err), err);
    assert_string_equal(cut->splits, list);
    assert_graph(NULL, count_work(g, list) >= least, "split %s concerns %d nodes", list, count_work(g, list));
    for (int i = 0; i < g->n_nodes; i++)
        if (is_work(g->nodes[i]))
            check_node(cut, g->nodes[i], list);
    for (const char *rest = list; (rest = next_axis(rest, axis, &parts));) {
        check_sources(g, cut, axis, parts);
        check_whole(cut, axis);
    }
    para_graph_free(cut);
}

/* Four layers have 4 products each forward, and twice that backward; attention and its gradient; a product and its two
 * gradients in the head; two embeddings; logsumexp and the loss with their gradients. */
static void splits_are_real(void **state)
{
    (void)state;
    para_graph *g = training_graph(&train_model, TRAIN_BATCH, TRAIN_SEQ, true);
    check_split(g, "batch=2", 4 * (4 * 3 + 2) + 3 + 2 + 2);
    check_split(g, "batch=4", 4 * (4 * 3 + 2) + 3 + 2 + 2);
    check_split(g, "seq=2", 4 * (4 * 3 + 2) + 3 + 2 + 2);
    check_split(g, "heads=2", 4 * (2 * 3 + 2));
    check_split(g, "heads=3", 4 * (2 * 3 + 2));
    check_split(g, "ff=2", 4 * 2 * 3);
    check_split(g, "vocab=2", 3 + 2 + 2);
    check_split(g, "batch=2,heads=2,ff=2,vocab=2", 4 * (4 * 3 + 2) + 3 + 2 + 2);
    para_graph_free(g);
}

/* The dump says so to a reader. */
static void the_dump_says_it(void **state)
{
    (void)state;
    para_graph *g = training_graph(&train_model, TRAIN_BATCH, TRAIN_SEQ, true);
    para_graph *cut = cut_graph(g, &(struct plan_case){"heads=2,seq=2", 0, NULL});
    char *text = NULL;
    size_t size = 0;
    para_error err = {0};
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    must(para_graph_dump_text(cut, out, 0, &err), err);
    fclose(out);
    char line[128];
    int matmuls = 0, attentions = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        matmuls += strcmp(g->nodes[i]->op->name, "matmul") == 0 && carries(g->nodes[i], "heads");
        attentions += strcmp(g->nodes[i]->op->name, "attention") == 0;
    }
    snprintf(line, sizeof line, "\n  matmul: %d of %d that have heads are cut in 2\n", matmuls, matmuls);
    assert_non_null(strstr(text, line));
    snprintf(line, sizeof line, "\n  attention: %d of %d that have seq are cut in 2\n", attentions, attentions);
    assert_non_null(strstr(text, line));
    for (int i = 0; i < cut->n_tensors; i++)
        if (cut->tensors[i]->why_whole) {
            assert_non_null(strstr(text, cut->tensors[i]->why_whole));
            assert_non_null(strstr(text, cut->tensors[i]->name));
        }
    free(text);
    para_graph_free(cut);
    para_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_are_real),
        cmocka_unit_test(the_dump_says_it),
    };
    return cmocka_run_group_tests_name("real splits", tests, NULL, NULL);
}
