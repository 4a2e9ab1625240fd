/* Replicating: which whole nodes are made for each part and who reads them, that bits stay, and what it is for: a token
 * takes two tasks a layer and part. */
#include "tests/graph-text.h"
#include "tests/random-graph.h"

#include <paragraph/session.h>

#include <stdlib.h>
#include <string.h>

#include "graph/op.h"

enum { GRAPHS = 500 };

static para_graph *replicated(const para_graph *g)
{
    para_error err = {0};
    para_graph *out = NULL;
    must(para_graph_replicate(&out, g, &err), err);
    return out;
}

static para_graph *split_of(const char *text, const char *list)
{
    para_error err = {0};
    para_graph *g = graph_of(text), *cut = NULL;
    must(para_graph_split_list(&cut, g, list, NULL, 0, &err), err);
    para_graph_free(g);
    return cut;
}

/* Two cut products, a whole norm, and a cut product. */
#define LAYER(ROWS)                                                                                                    \
    "x:input[rows=" ROWS                                                                                               \
    ",embd=64]; w:param[embd=64,ff=8]; v:param[ff=8,embd=64]; p:param[embd=64]; q:param[embd=64];"                     \
    "u:param[embd=64,heads=4]; h = matmul(x, w, \"embd\"); y = matmul(h, v, \"ff\"); r = add(x, y);"                   \
    "n = layernorm(r, p, q, 0.01); z = matmul(n, u, \"embd\"); output(z)"

static const char *read_by(const para_graph *g, const char *name)
{
    return node_of(g, name)->in[0]->name;
}

static void each_part_sums_for_itself(void **state)
{
    (void)state;
    para_graph *cut = split_of(LAYER("1"), "ff=2,heads=2"), *g = replicated(cut);
    assert_int_equal(g->n_nodes, cut->n_nodes + 3);
    assert_string_equal(read_by(g, "z[heads=0]"), "n");
    assert_string_equal(read_by(g, "z[heads=1]"), "n.on1");
    assert_string_equal(read_by(g, "n.on1"), "r.on1");
    assert_string_equal(node_of(g, "r.on1")->in[1]->name, "y.on1");
    const para_node *sum = node_of(g, "y.on1");
    assert_string_equal(sum->op->name, "sum");
    for (int i = 0; i < 2; i++)
        assert_ptr_equal(sum->in[i], node_of(g, "y")->in[i]);
    para_graph_free(g);
    para_graph_free(cut);
}

/* What all parts read and none is waited for. */
static void what_few_read_is_made_for_few(void **state)
{
    (void)state;
    para_graph *cut = split_of(LAYER("1"), "heads=4"), *g = replicated(cut);
    assert_non_null(para_graph_find(g, "n.on3"));
    assert_null(para_graph_find(g, "n.on0"));
    para_graph_free(g);
    para_graph_free(cut);
    cut = split_of(LAYER("1"), "ff=2");
    g = replicated(cut); /* behind the sum no part is left */
    assert_int_equal(g->n_nodes, cut->n_nodes);
    para_graph_free(g);
    para_graph_free(cut);
}

static void assert_unchanged(para_graph *g)
{
    para_graph *out = replicated(g);
    assert_int_equal(out->n_nodes, g->n_nodes);
    para_graph_free(out);
    para_graph_free(g);
}

/* 256 rows of 64: sum, add and norm take some 100 us each. */
static void what_takes_longer_than_a_wait_is_made_once(void **state)
{
    (void)state;
    assert_unchanged(split_of(LAYER("256"), "ff=2,heads=2"));
}

static void other_graphs_stay(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *cut = split_of(LAYER("1"), "ff=2,heads=2"), *placed = NULL;
    must(para_graph_place(&placed, cut, "heads=1", 1, &err), err);
    para_graph_free(cut);
    assert_unchanged(placed);
    assert_unchanged(split_of(LAYER("1"), ""));
    assert_unchanged(split_of(LAYER("1") "; l = reduce_sum(z, \"\"); output(l); backward(l)", "ff=2,heads=2"));
}

/* An update is done once, and every part reads what it made. */
static void updates_are_not_replicated(void **state)
{
    (void)state;
    para_graph *cut = split_of("c:count[]; x:input[rows=2,embd=4]; u:param[embd=4,heads=4]; d = increment(c);"
                               "y = dropout(x, d, 0.5); z = matmul(y, u, \"embd\"); output(z)",
                               "heads=2"),
               *g = replicated(cut);
    assert_int_equal(g->n_nodes, cut->n_nodes + 1);
    assert_ptr_equal(node_of(g, "y.on1")->in[1], node_of(g, "y")->in[1]);
    para_graph_free(g);
    para_graph_free(cut);
}

/* --- bits --- */

static void set_inputs(const para_graph *g, para_session *s, uint64_t seed)
{
    for (int i = 0; i < g->n_tensors; i++) {
        const para_tensor *t = g->tensors[i];
        if (t->kind != PARA_INPUT)
            continue;
        float *x = must_alloc(para_shape_bytes(&t->shape));
        fill_uniform(x, para_shape_elements(&t->shape), seed, (uint64_t)i, -1.0, 1.0);
        set_value(s, t->name, x, para_shape_bytes(&t->shape));
        free(x);
    }
}

static void assert_same_bits(const para_graph *g, para_session *a, para_session *b, int number)
{
    for (int i = 0; i < g->n_tensors; i++) {
        const para_tensor *t = g->tensors[i];
        if (t->producer && !t->is_output)
            continue;
        int64_t n = para_shape_elements(&t->shape);
        float *x = get_floats(a, t->name, n), *y = get_floats(b, t->name, n);
        assert_graph(g, memcmp(x, y, para_shape_bytes(&t->shape)) == 0, "graph %d: \"%s\"", number, t->name);
        free(x);
        free(y);
    }
}

/* Random graphs, cut along one or two axes: two runs leave the same bits in outputs, parameters and states. */
static void bits_stay(void **state)
{
    (void)state;
    static const char *const lists[] = {"rows=2", "cols=2", "rows=2,cols=2"};
    int more = 0;
    for (int number = 0; number < GRAPHS; number++) {
        struct dice d = {.seed = 4000 + (uint64_t)number};
        para_error err = {0};
        para_graph *g = random_graph(&d, 4 + number % 30, RANDOM_WHOLES | RANDOM_UPDATES), *cut = NULL;
        if (para_graph_split_list(&cut, g, lists[number % 3], NULL, 0, &err) < 0) { /* it lacks the axis */
            para_graph_free(g);
            continue;
        }
        para_graph *copies = replicated(cut);
        para_session *a = serial_session(cut, false), *b = serial_session(copies, false);
        set_inputs(g, a, (uint64_t)number);
        set_inputs(g, b, (uint64_t)number);
        for (int run = 0; run < 2; run++) {
            run_once(a);
            run_once(b);
        }
        assert_same_bits(g, a, b, number);
        more += copies->n_nodes > cut->n_nodes;
        para_session_free(a);
        para_session_free(b);
        para_graph_free(copies);
        para_graph_free(cut);
        para_graph_free(g);
    }
    assert_true(more > GRAPHS / 4);
}

/* --- a token --- */

static para_plan_summary token(int layers, int workers)
{
    para_error err = {0};
    para_model *model = NULL;
    para_graph *g = para_graph_new(), *cut = NULL;
    para_plan *p = NULL;
    must(para_model_preset(&model, "gpt2-124m", &err), err);
    must(para_model_set_size(model, "layers", layers, &err), err);
    para_model_build_cached(g, model, &(para_caches){.batch = 1, .seq = 1, .cache = 1024});
    must(para_graph_seal(g, &err), err);
    const para_arrangement how = {.split = "vocab=2,heads=2,ff=2"};
    must(para_graph_arrange(&cut, g, &how, NULL, 0, &err), err);
    must(para_plan_new(&p, cut, workers, &err), err);
    para_plan_summary s = para_plan_summarize(p);
    para_plan_free(p);
    para_graph_free(cut);
    para_graph_free(g);
    para_model_free(model);
    return s;
}

/* On two workers each half of a layer's attention and feed-forward part is a task, which waits for both before it. */
static void a_layer_of_a_token_is_two_tasks_a_part(void **state)
{
    (void)state;
    para_plan_summary some = token(2, 2), more = token(12, 2);
    assert_int_equal(more.tasks - some.tasks, 10 * 4);
    assert_int_equal(more.edges - some.edges, 10 * 8);
    assert_true(more.tasks <= 12 * 4 + 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_part_sums_for_itself),
        cmocka_unit_test(what_few_read_is_made_for_few),
        cmocka_unit_test(what_takes_longer_than_a_wait_is_made_once),
        cmocka_unit_test(other_graphs_stay),
        cmocka_unit_test(updates_are_not_replicated),
        cmocka_unit_test(bits_stay),
        cmocka_unit_test(a_layer_of_a_token_is_two_tasks_a_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
