/* Sums that accumulate in place: which terms become a chain, which don't, and that the sum stays what it was. */
#include "tests/graph-text.h"

#include <stdlib.h>
#include <string.h>

#include "graph/op.h"

static para_graph *accumulated(const para_graph *g)
{
    para_error err = {0};
    para_graph *chained = NULL;
    must(para_graph_accumulate(&chained, g, &err), err);
    must(para_graph_verify(chained, &err), err);
    return chained;
}

static int count_op(const para_graph *g, const char *op)
{
    int count = 0;
    for (int i = 0; i < g->n_nodes; i++)
        count += strcmp(g->nodes[i]->op->name, op) == 0;
    return count;
}

/* Two layers' weight gradients; that of the second layer, found early, has time until the first layer's is found. */
static const char TWO_LAYERS[] =
    "x:input[batch=4,a=64]; v:param[a=64,b=64]; w:param[b=64,c=64]; h = matmul(x, v, \"a\"); y = matmul(h, w, \"b\");"
    "l = reduce_mean(y, \"\"); backward(l); train_sgd(0.1, 0, 0, 0)";

static para_graph *split_layers(void)
{
    para_error err = {0};
    para_graph *g = graph_of(TWO_LAYERS), *cut = NULL;
    must(para_graph_split(&cut, g, "batch", 2, &err), err);
    para_graph_free(g);
    return cut;
}

static void weight_gradients_become_chains(void **state)
{
    (void)state;
    para_graph *g = split_layers(), *chained = accumulated(g);
    assert_graph(chained, count_op(chained, "matmul_add") >= 1, "the second layer's parts make a chain");
    assert_true(count_op(chained, "sum") < count_op(g, "sum"));
    assert_int_equal(count_op(chained, "matmul") + count_op(chained, "matmul_add"), count_op(g, "matmul"));

    /* Each link overwrites the one before, and the optimizer reads the last. */
    const para_node *update = NULL;
    for (int i = 0; i < chained->n_nodes; i++)
        if (strcmp(chained->nodes[i]->op->name, "sgd") == 0 && strcmp(chained->nodes[i]->in[0]->name, "w") == 0)
            update = chained->nodes[i];
    assert_non_null(update);
    int links = 0;
    for (const para_tensor *t = update->in[1]; t; t = t->overwrites)
        links++;
    assert_int_equal(links, 2);
    para_graph_free(chained);
    para_graph_free(g);
}

static void values_stay(void **state)
{
    (void)state;
    para_graph *g = split_layers(), *chained = accumulated(g);
    float x[4 * 64], w[2][64 * 64];
    fill_uniform(x, 4 * 64, 1, 0, -1, 1);
    para_graph *const graphs[] = {g, chained};
    for (int i = 0; i < 2; i++) {
        para_session *s = serial_session(graphs[i], false);
        set_value(s, "x", x, sizeof x);
        run_once(s);
        float *after = get_floats(s, "w", 64 * 64);
        memcpy(w[i], after, sizeof w[i]);
        free(after);
        para_session_free(s);
    }
    assert_close(chained, "w", w[1], w[0], 64 * 64, 1e-6);
    para_graph_free(chained);
    para_graph_free(g);
}

/* The next node waits for both halves, which can run at the same time: a chain would double the way. */
static void partial_sums_that_are_waited_for_stay_apart(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = graph_of("x:input[m=64,k=64]; w:param[k=64,n=64]; y = matmul(x, w, \"k\"); z = gelu(y); output(z)");
    para_graph *cut = NULL;
    must(para_graph_split(&cut, g, "k", 2, &err), err);
    para_graph *chained = accumulated(cut);
    assert_int_equal(count_op(chained, "matmul_add"), 0);
    assert_int_equal(count_op(chained, "sum"), 1);
    para_graph_free(chained);
    para_graph_free(cut);
    para_graph_free(g);
}

/* A longer way beside the sum gives its terms time. The other uses of its terms decide. */
static const char BESIDE[] =
    "x:input[m=64,k=64]; w:param[k=64,n=64]; v:param[k=64,n=64]; u:param[n=64,n2=64];"
    "a = matmul(x, w, \"k\"); b = matmul(x, v, \"k\"); long = matmul(x, w, \"k\");"
    "long2 = matmul(long, u, \"n\"); long3 = matmul(long2, u, \"n2\");"
    "long4 = matmul(long3, u, \"n\"); long5 = matmul(long4, u, \"n2\"); %s y = sum(%s); z = add(y, long5); output(z)";

static para_graph *beside(const char *more, const char *terms)
{
    char text[512];
    snprintf(text, sizeof text, BESIDE, more, terms);
    para_graph *g = graph_of(text), *chained = accumulated(g);
    para_graph_free(g);
    return chained;
}

static void terms_that_others_read_stay(void **state)
{
    (void)state;
    static const struct {
        const char *more, *terms;
        int links, sums;
    } cases[] = {
        {"", "a, b", 1, 0},
        {"c = gelu(a); output(c);", "a, b", 0, 1},                  /* a is read again */
        {"output(b);", "a, b", 0, 1},                               /* b must stay */
        {"c = gelu(long);", "a, b, c", 1, 1},                       /* gelu can't accumulate: it is added after */
        {"c = matmul(x, v, \"k\"); d = sum(b, c);", "a, d", 2, 0},  /* an inner sum is taken in */
        {"c = gelu(x); d = matmul(c, v, \"k\");", "d, a, b", 2, 0}, /* in program order, whatever the sum's */
        {"", "a, a", 0, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        para_graph *g = beside(cases[i].more, cases[i].terms);
        assert_graph(g, count_op(g, "matmul_add") == cases[i].links, "%s %s: %d links", cases[i].more, cases[i].terms,
                     cases[i].links);
        assert_graph(g, count_op(g, "sum") == cases[i].sums, "%s %s: %d sums", cases[i].more, cases[i].terms,
                     cases[i].sums);
        para_graph_free(g);
    }
}

static void groups_keep_their_own(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = split_layers(), *placed = NULL;
    must(para_graph_place(&placed, g, "batch=1", 1, &err), err);
    para_graph *chained = accumulated(placed);
    assert_int_equal(count_op(chained, "matmul_add"), 0);
    para_graph_free(chained);
    para_graph_free(placed);
    para_graph_free(g);
}

/* A node comes after the inner sum, which therefore stays, and is still there to be waited for. */
static void sums_that_are_waited_for_stay(void **state)
{
    (void)state;
    para_error err = {0};
    char text[512];
    snprintf(text, sizeof text, BESIDE, "c = matmul(x, v, \"k\"); d = sum(b, c);", "a, d");
    para_graph *g = graph_open(text);
    const para_node *inner = node_of(g, "d");
    para_node *last = g->nodes[g->n_nodes - 1];
    assert_int_equal(para_node_add_after(last, g->nodes[inner->id]), 0);
    must(para_graph_seal(g, &err), err);
    para_graph *chained = accumulated(g);
    assert_int_equal(node_of(chained, "z")->n_after, 1);
    para_graph_free(chained);
    para_graph_free(g);
}

static void open_graphs_are_refused(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = graph_open("x:input[m=2]; y = gelu(x)"), *out = NULL;
    assert_int_equal(para_graph_accumulate(&out, g, &err), PARA_EINVAL);
    assert_non_null(strstr(err.message, "not sealed"));
    assert_null(out);
    para_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weight_gradients_become_chains),
        cmocka_unit_test(values_stay),
        cmocka_unit_test(partial_sums_that_are_waited_for_stay_apart),
        cmocka_unit_test(terms_that_others_read_stay),
        cmocka_unit_test(groups_keep_their_own),
        cmocka_unit_test(sums_that_are_waited_for_stay),
        cmocka_unit_test(open_graphs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
