/* Numbers that aren't finite: an update that would spread them leaves parameters, moments and the step as they are, and
 * where they began is found. */
#include "tests/graph-text.h"
#include "tests/support.h"
#include "tests/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* b is the square of x w, which a large x makes infinite. */
#define SQUARES                                                                                                        \
    "x:input[rows=6]; w:param[rows=6]; a = mul(x, w); b = mul(a, a); c = scale(b, 0.5); loss = reduce_sum(c, \"\"); "  \
    "output(loss); backward(loss); "
/* Here the loss alone is infinite: its gradient is 1. */
#define SUMS                                                                                                           \
    "x:input[rows=6]; w:param[rows=6]; c = add(x, w); loss = reduce_sum(c, \"\"); output(loss); backward(loss); "

static const struct {
    const char *text;
    float large; /* a value of x that spoils a run */
    const char *first;
} graphs[] = {{SQUARES "train_adamw(0.1, 0.1, 1)", 1e30f, "b"},    {SQUARES "train_adamw(0.1, 0.1, 0)", 1e30f, "b"},
              {SQUARES "train_sgd(0.1, 0.9, 0.1, 1)", 1e30f, "b"}, {SQUARES "train_sgd(0.1, 0, 0.1, 0)", 1e30f, "b"},
              {SUMS "train_adamw(0.1, 0.1, 1)", 3e38f, "loss"},    {SUMS "train_sgd(0.1, 0, 0, 0)", 3e38f, "loss"}};

static void run_with(para_session *s, float value)
{
    float x[6];
    for (int i = 0; i < 6; i++)
        x[i] = value;
    set_value(s, "x", x, sizeof x);
    run_once(s);
}

static bool is_kept(const para_tensor *t)
{
    return !para_tensor_producer(t) && (para_tensor_kind(t) == PARA_PARAMETER || para_tensor_kind(t) == PARA_STATE);
}

/* All parameters and states, one after another, to be freed. */
static void *kept_values(const para_graph *g, para_session *s, size_t *bytes)
{
    char *all = must_alloc(1 << 16);
    para_error err = {0};
    *bytes = 0;
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (!is_kept(t))
            continue;
        must(para_session_get(s, para_tensor_name(t), all + *bytes, para_tensor_bytes(t), &err), err);
        *bytes += para_tensor_bytes(t);
    }
    return all;
}

static void assert_same_state(const para_graph *g, para_session *s, const void *expected, size_t bytes)
{
    size_t found;
    void *now = kept_values(g, s, &found);
    assert_int_equal(found, bytes);
    assert_memory_equal(now, expected, bytes);
    free(now);
}

static const para_tensor *first_nonfinite(para_session *s)
{
    const para_tensor *t;
    para_error err = {0};
    must(para_session_find_nonfinite(s, &t, &err), err);
    return t;
}

/* The first value is the one expected, or a part of it. */
static void assert_first(const para_graph *g, para_session *s, const char *expected)
{
    const para_tensor *t = first_nonfinite(s);
    size_t length = strlen(expected);
    const char *name = t ? para_tensor_name(t) : "none";
    assert_graph(g, strncmp(name, expected, length) == 0 && (!name[length] || name[length] == '['),
                 "the first is \"%s\", expected \"%s\"", name, expected);
}

/* A spoiled run changes nothing, however often it is made and looked into; the run after it is the one that would have
 * come without it. */
static void check_spoiled_run(const para_graph *whole, const para_graph *g, para_session *s, para_session *unspoiled,
                              int i)
{
    size_t bytes;
    run_with(s, 1.5f);
    run_with(unspoiled, 1.5f);
    assert_null(first_nonfinite(s));
    void *before = kept_values(whole, s, &bytes);
    for (int times = 0; times < 2; times++) {
        run_with(s, graphs[i].large);
        assert_same_state(whole, s, before, bytes);
        assert_first(g, s, graphs[i].first);
        assert_same_state(whole, s, before, bytes);
    }
    free(before);
    run_with(s, 1.25f);
    run_with(unspoiled, 1.25f);
    void *expected = kept_values(whole, unspoiled, &bytes);
    assert_same_state(whole, s, expected, bytes);
    free(expected);
}

static void spoiled_runs_change_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < (int)(sizeof graphs / sizeof graphs[0]); i++)
        for (int reference = 0; reference < 2; reference++) {
            para_graph *g = graph_of(graphs[i].text);
            para_session *s = serial_session(g, reference), *unspoiled = serial_session(g, reference);
            check_spoiled_run(g, g, s, unspoiled, i);
            para_session_free(s);
            para_session_free(unspoiled);
            para_graph_free(g);
        }
}

static void so_in_parts_and_on_starpu(void **state)
{
    (void)state;
    para_machine *m = machine_of(2);
    para_error err = {0};
    for (int i = 0; i < (int)(sizeof graphs / sizeof graphs[0]); i++) {
        para_graph *g = graph_of(graphs[i].text), *cut = accumulated_graph(g, &(struct plan_case){"rows=2", 0, NULL});
        para_session *s, *unspoiled;
        must(para_session_new(&s, cut, m, NULL, &err), err);
        must(para_session_new(&unspoiled, cut, m, NULL, &err), err);
        check_spoiled_run(g, cut, s, unspoiled, i);
        para_session_free(s);
        para_session_free(unspoiled);
        para_graph_free(cut);
        para_graph_free(g);
    }
    para_machine_close(m);
}

/* What was bad from the start is named itself. */
static void sources_come_first(void **state)
{
    (void)state;
    para_graph *g = graph_of(graphs[0].text);
    para_session *s = serial_session(g, false);
    const para_tensor *t;
    para_error err = {0};
    assert_int_equal(para_session_find_nonfinite(s, &t, &err), PARA_EINVAL);
    run_with(s, NAN);
    assert_first(g, s, "x");
    float w[6] = {1, 2, 3, INFINITY, 5, 6};
    set_value(s, "w", w, sizeof w);
    run_with(s, 1);
    assert_first(g, s, "w");
    para_session_free(s);
    para_graph_free(g);
}

/* A row that has a NaN has no finite log-sum-exp, whatever else is in it; one of nothing but -infinity has -infinity.
 */
static void a_nan_is_not_lost_in_a_row(void **state)
{
    (void)state;
    static const float rows[][3] = {{(float)NAN, (float)NAN, (float)NAN},
                                    {-INFINITY, (float)NAN, -INFINITY},
                                    {1, 2, (float)NAN},
                                    {-INFINITY, -INFINITY, -INFINITY},
                                    {-INFINITY, 0, -INFINITY}};
    static const char *const texts[] = {
        "x:input[r=5,c=3]; y = logsumexp(x, \"c\"); output(y)",
        "x:input[r=5,c=3]; t = permute(x, \"c r\"); y = logsumexp(t, \"c\"); output(y)"};
    for (int way = 0; way < 8; way++) {
        para_graph *g = graph_of(texts[way % 2]), *cut = NULL;
        para_error err = {0};
        must(para_graph_split_list(&cut, g, way & 4 ? "c=3" : "", NULL, 0, &err), err);
        para_session *s = serial_session(cut, way & 2);
        set_value(s, "x", rows, sizeof rows);
        run_once(s);
        float *y = get_floats(s, "y", 5);
        assert_true(isnan(y[0]) && isnan(y[1]) && isnan(y[2]));
        assert_true(y[3] == -INFINITY && y[4] == 0);
        free(y);
        para_session_free(s);
        para_graph_free(cut);
        para_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spoiled_runs_change_nothing),
        cmocka_unit_test(so_in_parts_and_on_starpu),
        cmocka_unit_test(sources_come_first),
        cmocka_unit_test(a_nan_is_not_lost_in_a_row),
    };
    return cmocka_run_group_tests_name("nonfinite", tests, NULL, NULL);
}
