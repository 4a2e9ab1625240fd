/* Lists of splits, copies, and the static rule behind "auto". */
#define _XOPEN_SOURCE 700 /* open_memstream, setenv */
#include "tests/graph-text.h"

#include <stdlib.h>
#include <string.h>

#include "graph/ir.h"

/* A step of training of two products, `batch` rows deep. */
static para_graph *training_graph(int batch, int width)
{
    char text[512];
    snprintf(
        text, sizeof text,
        "x:input[batch=%d,in=%d]; w:param[in=%d,ff=%d]; v:param[ff=%d,out=%d]; h = matmul(x, w, \"in\"); a = gelu(h);"
        "y = matmul(a, v, \"ff\"); loss = reduce_mean(y, \"\"); output(loss); backward(loss); train_sgd(0.1, 0, 0, 0)",
        batch, width, width, 2 * width, 2 * width, width);
    return graph_of(text);
}

/* Everything in a graph, as JSON; to be freed. */
static char *written(const para_graph *g)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    para_error err = {0};
    assert_non_null(f);
    must(para_graph_dump_json(g, f, &err), err);
    assert_int_equal(fclose(f), 0);
    return text;
}

static void assert_same(const para_graph *a, const para_graph *b)
{
    char *left = written(a), *right = written(b);
    assert_string_equal(left, right);
    free(left);
    free(right);
}

static para_graph *split_of(const para_graph *g, const char *list, char *chosen, size_t bytes)
{
    para_error err = {0};
    para_graph *cut = NULL;
    must(para_graph_split_list(&cut, g, list, chosen, bytes, &err), err);
    must(para_graph_verify(cut, &err), err);
    return cut;
}

static void an_empty_list_copies(void **state)
{
    (void)state;
    para_graph *g = training_graph(4, 8);
    char chosen[16] = "before";
    for (int i = 0; i < 2; i++) {
        para_graph *copy = split_of(g, i ? "" : NULL, chosen, sizeof chosen);
        assert_ptr_not_equal(copy, g);
        assert_true(copy->sealed);
        assert_string_equal(chosen, "");
        assert_same(copy, g);
        para_graph_free(copy);
    }
    para_graph_free(g);
}

/* A list is its splits one after another, and its copy is like it. */
static void a_list_is_its_splits_in_order(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = training_graph(4, 8), *first = NULL, *second = NULL;
    must(para_graph_split(&first, g, "ff", 2, &err), err);
    must(para_graph_split(&second, first, "batch", 3, &err), err);
    char chosen[32];
    para_graph *cut = split_of(g, "ff=2,batch=3", chosen, sizeof chosen), *copy = split_of(cut, "", NULL, 0);
    assert_string_equal(chosen, "ff=2,batch=3");
    assert_string_equal(cut->splits, "ff=2,batch=3");
    assert_same(cut, second);
    assert_same(copy, cut);
    para_graph_free(copy);
    para_graph_free(cut);
    para_graph_free(second);
    para_graph_free(first);
    para_graph_free(g);
}

static void bad_lists_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        int code;
        const char *message;
    } bad[] = {
        {"batch", PARA_EINVAL, "split \"batch\": expected AXIS=PARTS,..."},
        {"batch=", PARA_EINVAL, "expected AXIS=PARTS"},
        {"=2", PARA_EINVAL, "expected AXIS=PARTS"},
        {"batch=two", PARA_EINVAL, "expected AXIS=PARTS"},
        {"batch=2x", PARA_EINVAL, "expected AXIS=PARTS"},
        {"batch=0", PARA_EINVAL, "parts of at least 1"},
        {"batch=-1", PARA_EINVAL, "parts of at least 1"},
        {"batch=99999999999999999999", PARA_EINVAL, "expected AXIS=PARTS"},
        {"batch=2,", PARA_EINVAL, "ends in a comma"},
        {",batch=2", PARA_EINVAL, "expected AXIS=PARTS"},
        {"batch=2,,ff=2", PARA_EINVAL, "split \",ff=2\": expected AXIS=PARTS"},
        {"batch=2,auto", PARA_EINVAL, "expected AXIS=PARTS"},
        {"batch=2,ff", PARA_EINVAL, "split \"ff\""},
        {"an_axis_whose_name_is_far_too_long=2", PARA_EINVAL, "expected AXIS=PARTS"},
        {"head=2", PARA_EAXIS, "no axis is called \"head\"; this graph has batch, in, ff, out"},
        {"batch=2,batch=2", PARA_EAXIS, "split before"},
        {"ff=2,batch=5", PARA_ERANGE, "batch=5: expected 1 to 4 parts"},
    };
    para_graph *g = training_graph(4, 8);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        para_error err = {0};
        para_graph *cut = NULL;
        char chosen[16] = "before";
        int status = para_graph_split_list(&cut, g, bad[i].list, chosen, sizeof chosen, &err);
        if (status != bad[i].code || cut || !strstr(err.message, bad[i].message) || strcmp(chosen, "before") != 0)
            fail_msg("\"%s\" gives %s: \"%s\", expected %s: \"%s\"", bad[i].list, para_status_name(status), err.message,
                     para_status_name(bad[i].code), bad[i].message);
    }
    para_graph_free(g);
    g = graph_open("x:input[batch=4]");
    para_graph *cut = NULL;
    assert_int_equal(para_graph_split_list(&cut, g, "auto", NULL, 0, NULL), PARA_EINVAL);
    assert_int_equal(para_graph_split_list(&cut, g, "", NULL, 0, NULL), PARA_EINVAL);
    assert_null(cut);
    para_graph_free(g);
}

/* The rule cuts what is worth it, names what it chose, and the list in full gives the same graph. */
static void auto_says_what_it_chose(void **state)
{
    (void)state;
    para_graph *g = training_graph(256, 256);
    char chosen[128], again[128];
    para_graph *cut = split_of(g, "auto", chosen, sizeof chosen);
    assert_graph(g, chosen[0] != 0 && strcmp(chosen, "auto") != 0, "auto chose \"%s\"", chosen);
    assert_true(cut->n_nodes > g->n_nodes);
    para_graph *by_list = split_of(g, chosen, again, sizeof again);
    assert_string_equal(again, chosen);
    assert_same(by_list, cut);
    para_graph_free(by_list);
    para_graph_free(cut);
    para_graph_free(g);
}

/* Where tasks cost more than they save, nothing is cut. */
static void auto_leaves_small_graphs_alone(void **state)
{
    (void)state;
    para_graph *g = training_graph(2, 4);
    char chosen[128] = "before";
    para_graph *cut = split_of(g, "auto", chosen, sizeof chosen);
    assert_string_equal(chosen, "");
    assert_same(cut, g);
    para_graph_free(cut);
    para_graph_free(g);
}

/* Axes that an earlier split has cut are left as they are. */
static void auto_takes_a_split_graph(void **state)
{
    (void)state;
    para_graph *g = training_graph(256, 256), *cut = split_of(g, "ff=2", NULL, 0);
    char chosen[128];
    para_graph *again = split_of(cut, "auto", chosen, sizeof chosen);
    assert_graph(again, strstr(chosen, "ff=") == NULL && chosen[0] != 0, "auto chose \"%s\"", chosen);
    para_graph_free(again);
    para_graph_free(cut);
    para_graph_free(g);
}

/* No count of workers, threads or processors that the environment may tell changes the choice, nor does asking twice.
 */
static void auto_knows_no_machine(void **state)
{
    (void)state;
    static const char *const variables[] = {"STARPU_NCPU", "STARPU_NCPUS", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS",
                                            "HWLOC_SYNTHETIC"};
    static const char *const values[][5] = {{"1", "1", "1", "1", "NUMANode:1 Core:1 PU:1"},
                                            {"64", "64", "64", "64", "NUMANode:4 Core:16 PU:1"}};
    para_graph *g = training_graph(256, 256);
    char first[128], chosen[128];
    para_graph_free(split_of(g, "auto", first, sizeof first));
    for (int i = 0; i < 2; i++) {
        for (int v = 0; v < 5; v++)
            assert_int_equal(setenv(variables[v], values[i][v], 1), 0);
        para_graph_free(split_of(g, "auto", chosen, sizeof chosen));
        assert_string_equal(chosen, first);
    }
    for (int v = 0; v < 5; v++)
        assert_int_equal(unsetenv(variables[v]), 0);
    para_graph_free(g);
}

/* A list that doesn't fit is cut short, never written past the end. */
static void a_short_buffer_is_enough(void **state)
{
    (void)state;
    para_graph *g = training_graph(4, 8);
    char chosen[8] = "-------";
    para_graph_free(split_of(g, "batch=2,ff=2", chosen, 6));
    assert_string_equal(chosen, "batch");
    assert_int_equal(chosen[6], '-');
    para_graph_free(split_of(g, "batch=2,ff=2", chosen, 0));
    assert_string_equal(chosen, "batch");
    para_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_list_copies),     cmocka_unit_test(a_list_is_its_splits_in_order),
        cmocka_unit_test(bad_lists_are_refused),    cmocka_unit_test(auto_says_what_it_chose),
        cmocka_unit_test(auto_knows_no_machine),    cmocka_unit_test(auto_leaves_small_graphs_alone),
        cmocka_unit_test(a_short_buffer_is_enough), cmocka_unit_test(auto_takes_a_split_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
