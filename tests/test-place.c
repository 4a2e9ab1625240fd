/* Placing nodes on worker groups: in stages by cost, by scope, by part. */
#include "tests/graph-text.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "graph/op.h"

enum { MAX_LAYERS = 8 };

/* A training step of layers of these widths, one scope each, after an "embed" and before a loss at the top. */
static para_graph *layers(const int width[], int count)
{
    char text[512], last[32] = "embed.h";
    para_graph *g = graph_open("x:input[batch=8,embd=16]; push(\"embed\"); h = gelu(x); pop()");
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof text,
                 "w%d:param[embd=16,ff%d=%d]; v%d:param[ff%d=%d,embd=16]; push(\"layer.%d\"); push(\"mlp\");"
                 "a = matmul(%s, w%d, \"embd\"); h = matmul(a, v%d, \"ff%d\"); pop(); pop()",
                 i, i, width[i], i, i, width[i], i, last, i, i, i);
        graph_append(g, text);
        snprintf(last, sizeof last, "layer.%d.mlp.h", i);
    }
    snprintf(text, sizeof text, "loss = reduce_mean(%s, \"\"); backward(loss); train_adamw(0.01, 0.1, 1)", last);
    graph_append(g, text);
    para_error err = {0};
    must(para_graph_seal(g, &err), err);
    return g;
}

static para_graph *staged(const para_graph *g, int stages)
{
    para_error err = {0};
    para_graph *placed = NULL;
    must(para_graph_stage(&placed, g, stages, &err), err);
    assert_true(placed->sealed);
    assert_int_equal(placed->n_nodes, g->n_nodes);
    return placed;
}

/* The number of the layer in whose scope a node stands, -1: none. */
static int layer_of(const para_node *n)
{
    int layer;
    return sscanf(n->scope, "layer.%d", &layer) == 1 ? layer : -1;
}

/* The stage of each layer; every node of a layer, forward, gradient and optimizer's, must agree. */
static void find_stages(const para_graph *g, int count, int stage[MAX_LAYERS])
{
    int backward = 0, updates = 0;
    for (int i = 0; i < count; i++)
        stage[i] = -1;
    for (int i = 0; i < g->n_nodes; i++) {
        const para_node *n = g->nodes[i];
        int layer = layer_of(n);
        if (layer < 0)
            continue;
        assert_graph(g, stage[layer] < 0 || stage[layer] == n->place, "%s is with layer %d", n->name, layer);
        stage[layer] = n->place;
        backward += n->backward;
        updates += n->op->updates[0] > 0;
    }
    assert_true(backward > count);
    assert_int_equal(updates, 2 * count);
}

static void stages_are_contiguous_and_balanced(void **state)
{
    (void)state;
    static const struct {
        int count, width[MAX_LAYERS], stages, expected[MAX_LAYERS];
    } cases[] = {
        {4, {64, 64, 64, 64}, 1, {0, 0, 0, 0}},  {4, {64, 64, 64, 64}, 2, {0, 0, 1, 1}},
        {4, {64, 64, 64, 64}, 4, {0, 1, 2, 3}},  {6, {64, 64, 64, 64, 64, 64}, 3, {0, 0, 1, 1, 2, 2}},
        {4, {512, 64, 64, 64}, 2, {0, 1, 1, 1}}, {4, {64, 64, 64, 512}, 2, {0, 0, 0, 1}},
        {3, {64, 64, 64}, 2, {0, 0, 1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        para_graph *g = layers(cases[i].width, cases[i].count), *placed = staged(g, cases[i].stages);
        int stage[MAX_LAYERS], seen = 0;
        find_stages(placed, cases[i].count, stage);
        for (int k = 0; k < cases[i].count; k++)
            assert_graph(placed, stage[k] == cases[i].expected[k], "case %zu, layer %d is on stage %d", i, k, stage[k]);
        for (int k = 0; k < placed->n_nodes; k++) {
            assert_in_range(placed->nodes[k]->place, 0, cases[i].stages - 1);
            seen |= 1 << placed->nodes[k]->place;
        }
        assert_int_equal(seen, (1 << cases[i].stages) - 1);
        para_graph_free(placed);
        para_graph_free(g);
    }
}

/* As many stages as scopes: each gets one, also where one scope costs next to nothing. */
static void every_stage_has_a_scope(void **state)
{
    (void)state;
    para_graph *g = layers((int[]){512, 16, 16, 16}, 4), *placed = staged(g, 5);
    assert_int_equal(node_of(placed, "embed.h")->place, 0);
    for (int k = 0; k < 4; k++) {
        char name[32];
        snprintf(name, sizeof name, "layer.%d.mlp.h", k);
        assert_int_equal(node_of(placed, name)->place, k + 1);
    }
    assert_int_equal(node_of(placed, "loss")->place, 4);
    para_graph_free(placed);
    para_graph_free(g);
}

/* Placing changes nothing else, and the graph it came from not at all. */
static void staging_copies(void **state)
{
    (void)state;
    para_graph *g = layers((int[]){64, 64}, 2), *placed = staged(g, 2);
    for (int i = 0; i < g->n_nodes; i++) {
        assert_int_equal(g->nodes[i]->place, -1);
        assert_string_equal(g->nodes[i]->name, placed->nodes[i]->name);
        assert_ptr_equal(g->nodes[i]->op, placed->nodes[i]->op);
    }
    para_graph_free(g);
    int stage[MAX_LAYERS];
    find_stages(placed, 2, stage);
    assert_int_equal(stage[1], 1);
    para_graph_free(placed);
}

static para_graph *placed_of(const para_graph *g, const char *what, int group)
{
    para_error err = {0};
    para_graph *placed = NULL;
    must(para_graph_place(&placed, g, what, group, &err), err);
    return placed;
}

/* "layer.1" is neither "layer.10" nor "layer.1" elsewhere in a scope; "" is every node. */
static void scopes_are_placed_by_whole_words(void **state)
{
    (void)state;
    para_graph *g =
        graph_of("x:input[4]; push(\"layer.1\"); a = gelu(x); push(\"mlp\"); b = gelu(a); pop(); pop();"
                 "push(\"layer.10\"); c = gelu(b); pop(); push(\"head.layer.1\"); d = gelu(c); pop(); e = gelu(d)");
    para_graph *placed = placed_of(g, "layer.1", 3);
    static const int expected[] = {3, 3, -1, -1, -1};
    for (int i = 0; i < 5; i++)
        assert_graph(placed, placed->nodes[i]->place == expected[i], "%s", placed->nodes[i]->name);
    para_graph *all = placed_of(placed, "", 1);
    for (int i = 0; i < 5; i++)
        assert_int_equal(all->nodes[i]->place, 1);
    para_graph_free(all);
    para_graph_free(placed);
    para_graph_free(g);
}

static void parts_are_placed_by_axis(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[rows=4,cols=22]; y = gelu(x)"), *cut = NULL;
    para_error err = {0};
    must(para_graph_split_list(&cut, g, "rows=2,cols=11", NULL, 0, &err), err);
    para_graph *placed = placed_of(cut, "cols=1", 2);
    int found = 0;
    for (int i = 0; i < placed->n_nodes; i++) {
        const char *part = placed->nodes[i]->part;
        bool meant = strcmp(part, "rows=0,cols=1") == 0 || strcmp(part, "rows=1,cols=1") == 0;
        assert_int_equal(placed->nodes[i]->place, meant ? 2 : -1);
        found += meant;
    }
    assert_int_equal(found, 2);
    para_graph_free(placed);
    para_graph_free(cut);
    para_graph_free(g);
}

static void assert_refused(int status, int code, const para_graph *out, const para_error *err, const char *text)
{
    assert_int_equal(status, code);
    assert_null(out);
    assert_graph(NULL, strstr(err->message, text) != NULL, "the message \"%s\" says \"%s\"", err->message, text);
}

static void bad_places_are_refused(void **state)
{
    (void)state;
    para_graph *g = layers((int[]){64, 64}, 2), *out = NULL;
    para_error err = {0};
    assert_refused(para_graph_stage(&out, g, 0, &err), PARA_ERANGE, out, &err, "stages 0: expected at least 1");
    assert_refused(para_graph_stage(&out, g, 4, &err), PARA_ERANGE, out, &err,
                   "stages 4: at most 3 here: embed, 2 layers");
    assert_refused(para_graph_place(&out, g, "layer.7", 0, &err), PARA_ENAME, out, &err, "no node is of that scope");
    assert_refused(para_graph_place(&out, g, "ff0=1", 0, &err), PARA_ENAME, out, &err, "no node is of that part");
    assert_refused(para_graph_place(&out, g, "embed", -1, &err), PARA_ERANGE, out, &err,
                   "place embed: group -1, expected 0 to 4095");
    para_graph_free(g);
    g = graph_of("x:input[4]; push(\"layer.0\"); a = gelu(x); pop(); push(\"head\"); b = gelu(a); pop();"
                 "push(\"layer.7.mlp\"); c = gelu(b); pop()");
    assert_refused(para_graph_stage(&out, g, 9, &err), PARA_ERANGE, out, &err,
                   "stages 9: at most 3 here: 1 layer, head, 1 layer");
    para_graph_free(g);
    g = graph_of("x:input[4]; a = gelu(x)");
    assert_refused(para_graph_stage(&out, g, 1, &err), PARA_ERANGE, out, &err, "stages 1: the graph has no scopes");
    para_graph_free(g);
    g = graph_open("x:input[rows=4]; z:input[cols=4]; y = gelu(x); add(y, z)"); /* its last node failed */
    assert_refused(para_graph_place(&out, g, "", 0, &err), PARA_EINVAL, out, &err, "the graph is not sealed");
    assert_refused(para_graph_stage(&out, g, 1, &err), PARA_EINVAL, out, &err, "the graph is not sealed");
    para_graph_free(g);
}

/* The last group that there can be is taken, and its plan ends; the next is refused, wherever it comes from. */
static void places_that_no_machine_has_are_refused(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = graph_of("x:input[4]; y = gelu(x); output(y)"), *out = NULL;
    assert_refused(para_graph_place(&out, g, "", PARA_MAX_PLACES, &err), PARA_ERANGE, out, &err,
                   "group 4096, expected 0 to 4095");
    assert_refused(para_graph_place(&out, g, "", INT_MAX, &err), PARA_ERANGE, out, &err,
                   "group 2147483647, expected 0 to 4095");
    para_graph *placed = placed_of(g, "", PARA_MAX_PLACES - 1);
    para_plan *p = NULL;
    must(para_plan_new(&p, placed, 2, &err), err);
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    must(para_plan_explain(p, 2, file, &err), err);
    fclose(file);
    assert_non_null(strstr(text, "stage 4095: 1 nodes"));
    assert_null(strstr(text, "stage 0:")); /* nothing is placed there */
    free(text);
    file = fopen("/dev/full", "w");
    assert_non_null(file);
    assert_int_equal(para_plan_explain(p, 2, file, &err), PARA_EIO);
    assert_non_null(strstr(err.message, "writing the explanation: No space left"));
    fclose(file);
    para_plan_free(p);
    p = NULL;
    static const int wild[] = {PARA_MAX_PLACES, 300000000, INT_MAX};
    for (size_t i = 0; i < sizeof wild / sizeof wild[0]; i++) {
        placed->nodes[0]->place = wild[i];
        assert_refused(para_plan_new(&p, placed, 2, &err), PARA_ERANGE, NULL, &err, "plan: y is placed on group");
        assert_null(p);
    }
    para_graph_free(placed);
    para_graph_free(g);
}

/* A layer more than there are groups. */
static void stages_are_no_more_than_groups(void **state)
{
    (void)state;
    para_graph *g = graph_open("x:input[1]"), *out = NULL;
    para_tensor *t = graph_append(g, "y = gelu(x)");
    for (int i = 0; i <= PARA_MAX_PLACES; i++) {
        para_scope_push(g, "layer.%d", i);
        t = para_gelu(g, t);
        para_scope_pop(g);
    }
    para_error err = {0};
    must(para_graph_seal(g, &err), err);
    assert_refused(para_graph_stage(&out, g, PARA_MAX_PLACES + 1, &err), PARA_ERANGE, out, &err,
                   "stages 4097: at most 4096 here: 4097 layers");
    para_graph *placed = staged(g, PARA_MAX_PLACES);
    assert_int_equal(placed->nodes[placed->n_nodes - 1]->place, PARA_MAX_PLACES - 1);
    para_graph_free(placed);
    para_graph_free(g);
}

/* One call goes through the passes in their order; what it isn't asked for doesn't happen. */
static void arranging_is_the_passes_in_their_order(void **state)
{
    static const int widths[] = {32, 16};
    char chosen[64] = "", digest[2][PARA_DIGEST_TEXT];
    (void)state;
    para_graph *g = layers(widths, 2), *passed[5] = {NULL}, *arranged[3] = {NULL};
    para_error err = {0};
    must(para_graph_precision(&passed[0], g, PARA_BF16, &err), err);
    must(para_graph_split_list(&passed[1], passed[0], "batch=2", NULL, 0, &err), err);
    must(para_graph_stage(&passed[2], passed[1], 2, &err), err);
    must(para_graph_accumulate(&passed[3], passed[2], &err), err);
    must(para_graph_fuse(&passed[4], passed[3], &err), err);
    para_arrangement how = {.precision = PARA_BF16, .split = "batch=2", .stages = 2, .fuse = true};
    must(para_graph_arrange(&arranged[0], g, &how, chosen, sizeof chosen, &err), err);
    assert_string_equal(chosen, "batch=2");
    must(para_graph_digest(passed[4], digest[0], &err), err);
    must(para_graph_digest(arranged[0], digest[1], &err), err);
    assert_string_equal(digest[0], digest[1]);
    must(para_graph_arrange(&arranged[1], g, &(para_arrangement){.as_written = true}, NULL, 0, &err), err);
    must(para_graph_digest(g, digest[0], &err), err);
    must(para_graph_digest(arranged[1], digest[1], &err), err);
    assert_string_equal(digest[0], digest[1]);
    how.stages = 9;
    assert_int_equal(para_graph_arrange(&arranged[2], g, &how, NULL, 0, &err), PARA_ERANGE);
    assert_null(arranged[2]);
    for (int i = 0; i < 5; i++)
        para_graph_free(passed[i]);
    for (int i = 0; i < 2; i++)
        para_graph_free(arranged[i]);
    para_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stages_are_contiguous_and_balanced),
        cmocka_unit_test(every_stage_has_a_scope),
        cmocka_unit_test(staging_copies),
        cmocka_unit_test(scopes_are_placed_by_whole_words),
        cmocka_unit_test(parts_are_placed_by_axis),
        cmocka_unit_test(bad_places_are_refused),
        cmocka_unit_test(places_that_no_machine_has_are_refused),
        cmocka_unit_test(stages_are_no_more_than_groups),
        cmocka_unit_test(arranging_is_the_passes_in_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
