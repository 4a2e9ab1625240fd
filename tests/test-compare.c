/* Comparing graphs and runs. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include "tests/dumps.h"
#include "tests/graph-text.h"
#include "tests/profiles.h"
#include "tests/training.h"

#include <stdlib.h>
#include <string.h>

#include "view/union.h"

static char *compare(const para_graph *a, const para_graph *b, int flags, bool *same)
{
    para_error err = {0};
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    must(para_graph_compare(a, b, flags, out, same, &err), err);
    fclose(out);
    return text;
}

static void equal_graphs_are_the_same(void **state)
{
    (void)state;
    bool same = false;
    para_graph *g = training_graph(&train_model, 6, 15, true), *again = training_graph(&train_model, 6, 15, true);
    char *text = compare(g, again, PARA_COMPARE_CHANGED, &same);
    assert_true(same);
    assert_has(text, "what they begin with: ");
    assert_has(text,
               " the same, 0 changed (~), 0 in the first alone (-), 0 in the second alone (+)\nnodes, each part one: ");
    assert_int_equal(strchr(strchr(text, '\n') + 1, '\n')[1], '\0');
    free(text);
    para_graph_free(g);
    para_graph_free(again);
}

/* One node goes, one comes, one changes, one reads another. */
static const char *const before =
    "x:input[batch=2,rows=4]; w:param[rows=4]; a = add(x, w); b = scale(a, 2); c = scale(b, 3); "
    "d = scale(c, 4); output(d)";
static const char *const after =
    "x:input[batch=2,rows=4]; w:bf16[rows=4]; a = scale(x, 7); n = gelu(a); c = scale(n, 5); "
    "d = scale(c, 4); output(d)";

static void signs_say_what_differs(void **state)
{
    (void)state;
    bool same = true;
    para_graph *a = graph_of(before), *b = graph_of(after);
    char *text = compare(a, b, 0, &same);
    assert_false(same);
    assert_string_equal(text, "  x  input f32 (batch 2, rows 4)\n"
                              "~ w  parameter f32 (rows 4) normal 0 +- 1 -> parameter bf16 (rows 4) normal 0 +- 1\n"
                              "~ a  scale  op: add -> scale; reads: w -> none\n"
                              "- b  scale\n"
                              "+ n  gelu\n"
                              "~ c  scale  factor: 3 -> 5; reads: b -> n\n"
                              "  d  scale\n"
                              "what they begin with: 1 the same, 1 changed (~), 0 in the first alone (-), 0 in the "
                              "second alone (+)\n"
                              "nodes, each part one: 1 the same, 2 changed (~), 1 in the first alone (-), 1 in the "
                              "second alone (+)\n");
    free(text);
    text = compare(a, b, PARA_COMPARE_CHANGED | PARA_COMPARE_JSON, &same);
    assert_has(text,
               "{\"sign\":\"-\",\"name\":\"b\",\"op\":\"scale\",\"scope\":\"\",\"a\":1,\"b\":0,\"change\":\"\"}\n");
    assert_has(text, "{\"sign\":\"~\",\"name\":\"c\",\"op\":\"scale\",\"scope\":\"\",\"a\":1,\"b\":1,\"change\":"
                     "\"factor: 3 -> 5; reads: b -> n\"}\n");
    assert_has(text, "{\"of\":\"begin\",\"same\":1,\"changed\":1,\"only_a\":0,\"only_b\":0}\n"
                     "{\"of\":\"nodes\",\"same\":1,\"changed\":2,\"only_a\":1,\"only_b\":1}\n");
    assert_null(strstr(text, "\"name\":\"d\""));
    free(text);
    para_graph_free(a);
    para_graph_free(b);
}

/* Parts stand for the node that they were, on either side. */
static void parts_are_matched_by_origin(void **state)
{
    (void)state;
    bool same = true;
    para_error err = {0};
    para_graph *g = graph_of("x:input[batch=4,rows=4]; push(\"in\"); y = scale(x, 2); pop(); z = gelu(y); output(z)");
    para_graph *cut = NULL;
    must(para_graph_split(&cut, g, "batch", 2, &err), err);
    char *text = compare(g, cut, PARA_COMPARE_CHANGED, &same);
    assert_false(same);
    assert_has(text, "~ in.y[batch=0]  scale  1 node -> 2\n");
    assert_has(text, "~ z[batch=0]  gelu  1 node -> 2\n");
    assert_null(strstr(text, "\n- "));
    free(text);
    text = compare(cut, g, PARA_COMPARE_CHANGED, &same);
    assert_has(text, "~ in.y  scale  2 nodes -> 1\n");
    assert_null(strstr(text, "\n+ "));
    free(text);
    para_graph_free(g);
    para_graph_free(cut);
}

/* ---- as one graph ---- */

/* The union has what either has, in one order, and what its nodes read on either side. */
static void a_union_has_both(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *a = graph_of(before), *b = graph_of(after);
    struct para_matching m;
    struct para_union u;
    must(para_matching_new(&m, a, b, &err), err);
    must(para_union_new(&u, &m, &err), err);
    static const char *const names[] = {"a", "b", "n", "c", "d"};
    static const enum para_sign signs[] = {PARA_CHANGED, PARA_ONLY_A, PARA_ONLY_B, PARA_CHANGED, PARA_SAME};
    assert_int_equal(u.graph.n_nodes, 5);
    for (int i = 0; i < 5; i++) {
        assert_string_equal(u.graph.nodes[i]->name, names[i]);
        assert_int_equal(u.graph.nodes[i]->id, i);
        assert_int_equal(u.sign[i], signs[i]);
    }
    assert_ptr_equal(u.graph.nodes[1]->in[0], u.graph.nodes[0]->out[0]);
    assert_ptr_equal(u.graph.nodes[3]->in[0], u.graph.nodes[2]->out[0]);
    assert_int_equal(u.n_only_a, 2);
    assert_int_equal(u.only_a[0].node, 0);
    assert_string_equal(u.graph.tensors[u.only_a[0].tensor]->name, "w");
    assert_int_equal(u.only_a[1].node, 3);
    assert_int_equal(u.only_a[1].tensor, u.graph.nodes[1]->out[0]->id);
    para_union_free(&u);
    para_matching_free(&m);
    para_graph_free(a);
    para_graph_free(b);
}

/* ---- runs ---- */

/* The diamond, d taking so long. */
static para_profile *run_of(int64_t d_ns)
{
    para_profile *p = profile_of(diamond, DIAMOND_WORKERS, diamond_times, DIAMOND_WALL_NS);
    p->nodes[3].end_ns = p->nodes[3].start_ns + d_ns;
    p->wall_ns = 70000 + d_ns;
    return p;
}

static char *compare_runs(para_profile *const a[], int n_a, para_profile *const b[], int n_b, int flags, bool *same)
{
    para_error err = {0};
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    must(para_profile_compare((const para_profile *const *)a, n_a, (const para_profile *const *)b, n_b, flags, out,
                              same, &err),
         err);
    fclose(out);
    return text;
}

/* Whether the text has a line of these words, whatever the space between them. */
static void assert_line(const char *text, const char *words)
{
    char line[256];
    for (const char *at = text; *at; at = strchr(at, '\n') + 1) {
        size_t used = 0;
        for (const char *c = at + strspn(at, " "); *c != '\n' && used + 1 < sizeof line; c++)
            if (*c != ' ' || c[1] != ' ')
                line[used++] = *c;
        line[used] = '\0';
        if (strcmp(line, words) == 0)
            return;
    }
    fail_msg("expected \"%s\" in:\n%s", words, text);
}

static void runs_are_compared_beside_their_spread(void **state)
{
    (void)state;
    bool same = true;
    para_profile *fast[] = {run_of(20000), run_of(24000)}, *slow[] = {run_of(40000), run_of(50000)};
    char *text = compare_runs(fast, 2, slow, 2, 0, &same);
    assert_false(same);
    assert_has(text, "2 runs and 2; ~ where none");
    assert_line(text, "~ wall 0.092 0.115 +0.023 0.004 0.010");
    assert_line(text, "in forward 0.042 0.042 +0.000 0.000 0.000");
    assert_line(text, "~ out forward 0.039 0.062 +0.023 0.004 0.010");
    assert_line(text, "~ out.d scale 0.022 0.045 +0.023 0.004 0.010");
    free(text);
    text = compare_runs(fast, 2, slow, 2, PARA_COMPARE_CHANGED | PARA_COMPARE_JSON, &same);
    assert_has(text,
               "{\"of\":\"node\",\"sign\":\"~\",\"name\":\"out.d\",\"detail\":\"scale\",\"a_ns\":22000,\"b_ns\":45000,"
               "\"a_spread_ns\":4000,\"b_spread_ns\":10000}\n");
    assert_null(strstr(text, "\"name\":\"in.a\""));
    free(text);
    para_profile *between[] = {run_of(22000)};
    text = compare_runs(fast, 2, between, 1, 0, &same);
    assert_true(same);
    assert_null(strstr(text, "\n~"));
    free(text);
    text = compare_runs(fast, 1, slow, 1, 0, &same);
    assert_true(same);
    assert_has(text, "1 run and 1\nHow far runs are apart isn't known of one each");
    assert_line(text, "wall 0.090 0.110 +0.020 - -");
    assert_null(strstr(text, "\n~"));
    free(text);
    para_profile_free(between[0]);
    for (int i = 0; i < 2; i++) {
        para_profile_free(fast[i]);
        para_profile_free(slow[i]);
    }
}

static void runs_of_other_graphs_have_signs(void **state)
{
    (void)state;
    bool same = true;
    para_error err = {0};
    static const struct para_timing times[] = {{0, 0, 1, 1, 1, 10}, {1, 0, 1, 10, 10, 30}};
    para_profile *a[] = {profile_of("x:input[batch=2]; y = scale(x, 2); z = gelu(y); output(z)", 1, times, 40)};
    para_profile *b[] = {profile_of("x:input[batch=2]; y = scale(x, 2); w = add(y, x); output(w)", 1, times, 40)};
    char *text = compare_runs(a, 1, b, 1, PARA_COMPARE_JSON, &same);
    assert_false(same); /* another graph is another run, however long it took */
    assert_has(text, "{\"of\":\"node\",\"sign\":\"-\",\"name\":\"z\"");
    assert_has(text, "{\"of\":\"node\",\"sign\":\"+\",\"name\":\"w\"");
    assert_has(text, "{\"of\":\"op\",\"sign\":\" \",\"name\":\"scale\"");
    free(text);
    const para_profile *const mixed[] = {a[0], b[0]};
    assert_int_equal(para_profile_compare(mixed, 2, mixed, 1, 0, stdout, &same, &err), PARA_EINVAL);
    assert_has(err.message, "the runs of one set are of several graphs");
    assert_int_equal(para_profile_compare(mixed, 0, mixed, 1, 0, stdout, &same, &err), PARA_EINVAL);
    assert_has(err.message, "a set has no runs");
    para_profile_free(a[0]);
    para_profile_free(b[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_graphs_are_the_same),
        cmocka_unit_test(signs_say_what_differs),
        cmocka_unit_test(parts_are_matched_by_origin),
        cmocka_unit_test(a_union_has_both),
        cmocka_unit_test(runs_are_compared_beside_their_spread),
        cmocka_unit_test(runs_of_other_graphs_have_signs),
    };
    return cmocka_run_group_tests_name("compare", tests, NULL, NULL);
}
