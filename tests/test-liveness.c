/* Buffer reuse: it happens, it costs no parallelism, and nothing that must stay is overwritten. */
#include "tests/graph-text.h"
#include "tests/random-graph.h"

#include <paragraph/session.h>

#include <stdlib.h>
#include <string.h>

#include "graph/liveness.h"
#include "graph/time.h"

enum { GRAPHS = 1000 };

static para_deps *deps_of(const para_graph *g, const int *buffers)
{
    para_error err = {0};
    para_deps *d = NULL;
    must(para_deps_new(&d, g, buffers, &err), err);
    return d;
}

static struct para_buffers buffers_for(const para_graph *g, int workers)
{
    para_error err = {0};
    struct para_buffers b;
    para_deps *d = deps_of(g, NULL);
    must(para_buffers_new(&b, g, d, NULL, workers, &err), err);
    para_deps_free(d);
    return b;
}

static struct para_buffers buffers_of(const para_graph *g)
{
    return buffers_for(g, 0);
}

static para_graph *graph_number(int number)
{
    struct dice d = {.seed = 5000 + (uint64_t)number};
    return random_graph(&d, 4 + number % 30, number % 3 ? RANDOM_UPDATES : RANDOM_TRAINING);
}

static int buffer(const para_graph *g, const struct para_buffers *b, const char *name)
{
    const para_tensor *t = para_graph_find(g, name);
    assert_graph(g, t != NULL, "looking for \"%s\"", name);
    return b->of[t->id];
}

/* Along a chain, two buffers take turns; the output has its own, and so has the input. */
static void a_chain_takes_two_buffers(void **state)
{
    (void)state;
    para_graph *g =
        graph_of("x:input[i=2,j=4]; a = permute(x, \"j i\"); b = permute(a, \"i j\"); c = permute(b, \"j i\");"
                 "d = permute(c, \"i j\"); e = permute(d, \"j i\"); y = permute(e, \"i j\"); output(y)");
    struct para_buffers b = buffers_of(g);
    assert_int_equal(b.count, 4);
    assert_int_equal(buffer(g, &b, "a"), buffer(g, &b, "c"));
    assert_int_equal(buffer(g, &b, "a"), buffer(g, &b, "e"));
    assert_int_equal(buffer(g, &b, "b"), buffer(g, &b, "d"));
    assert_int_not_equal(buffer(g, &b, "a"), buffer(g, &b, "b"));
    assert_int_not_equal(buffer(g, &b, "d"), buffer(g, &b, "y"));
    assert_int_equal(b.unshared_bytes, 6 * 8 * sizeof(float));
    assert_int_equal(b.live_bytes, 2 * 8 * sizeof(float));
    para_buffers_free(&b);
    para_graph_free(g);
}

/* What an op can write over its input goes there, as long as nothing else reads that input, or it is read at next to no
 * cost and no later. */
static void outputs_lie_over_inputs(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool over;
    } cases[] = {
        {"x:input[n=64]; a = permute(x, \"n\"); y = gelu(a); z = permute(y, \"n\"); output(z)", true},
        {"x:input[n=64]; y = gelu(x); z = permute(y, \"n\"); output(z)", false}, /* an input stays */
        {"x:input[n=64]; a = permute(x, \"n\"); y = gelu(a); output(y)", false}, /* so does an output */
        {"x:input[n=64]; a = permute(x, \"n\"); y = add(a, a); z = permute(y, \"n\"); output(z)", false},
        {"x:input[n=64]; a = permute(x, \"n\"); y = gelu(a); z = add(y, a); output(z)", false}, /* a is read later */
        {"x:input[n=64]; a = permute(x, \"n\"); b = reduce_sum(a, \"\"); y = gelu(a); z = permute(y, \"n\");"
         "output(z); output(b)",
         false}, /* at the same time */
        {"w:param[n=4096,m=256]; i:ids[]; x = permute(w, \"n m\"); b = select(x, i, \"n\"); y = gelu(x);"
         "z = permute(y, \"n m\"); output(z); output(b)",
         true}, /* for a moment */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        para_graph *g = graph_of(cases[i].text);
        struct para_buffers b = buffers_of(g);
        const para_node *n = node_of(g, "y");
        assert_graph(g, (b.of[n->out[0]->id] == b.of[n->in[0]->id]) == cases[i].over, "case %zu", i);
        para_deps_free(deps_of(g, b.of));
        para_buffers_free(&b);
        para_graph_free(g);
    }
}

/* b and c could share in program order, but then they could no longer run at the same time as their neighbours. */
static void branches_keep_apart(void **state)
{
    (void)state;
    para_graph *g =
        graph_of("x:input[i=2,j=4]; a = permute(x, \"j i\"); b = permute(a, \"i j\"); c = permute(x, \"j i\");"
                 "d = permute(c, \"i j\"); y = add(b, d); output(y)");
    struct para_buffers b = buffers_of(g);
    int a[] = {buffer(g, &b, "a"), buffer(g, &b, "b"), buffer(g, &b, "c"), buffer(g, &b, "d")};
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < i; k++)
            assert_int_not_equal(a[i], a[k]);
    para_buffers_free(&b);
    para_graph_free(g);
}

/* A value that is much too large for its new holder is left to another. */
static void small_values_leave_large_buffers(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[n=8,m=9]; a = gelu(x); b = gelu(a); s = reduce_sum(b, \"\"); t = gelu(s);"
                             "u = gelu(t); v = gelu(u); output(v)");
    struct para_buffers b = buffers_of(g);
    assert_int_not_equal(buffer(g, &b, "t"), buffer(g, &b, "a"));
    assert_int_equal(buffer(g, &b, "u"), buffer(g, &b, "s"));
    para_buffers_free(&b);
    para_graph_free(g);
}

static void reuse_adds_no_order(void **state)
{
    (void)state;
    int shared = 0;
    for (int number = 0; number < GRAPHS; number++) {
        para_graph *g = graph_number(number);
        struct para_buffers b = buffers_of(g);
        para_deps *own = deps_of(g, NULL), *with = deps_of(g, b.of);
        for (int to = 0; to < g->n_nodes; to++)
            for (int from = 0; from < g->n_nodes; from++)
                assert_graph(g, para_deps_reaches(own, from, to) == para_deps_reaches(with, from, to),
                             "graph %d, from %d to %d", number, from, to);
        int storages = 0;
        for (int t = 0; t < g->n_tensors; t++)
            storages += !g->tensors[t]->overwrites;
        assert_true(b.count <= storages);
        shared += b.count < storages;
        para_deps_free(own);
        para_deps_free(with);
        para_buffers_free(&b);
        para_graph_free(g);
    }
    assert_true(shared > GRAPHS / 4);
}

/* The longest path of the DAG at nominal rates, and, in *work, the sum. */
static double longest(const para_graph *g, const int *buffers, double *work)
{
    para_error err = {0};
    para_parallelism p;
    para_deps *d = deps_of(g, buffers);
    double *cost = must_alloc(((size_t)g->n_nodes + 1) * sizeof *cost);
    for (int i = 0; i < g->n_nodes; i++)
        cost[i] = para_node_time_ns(g->nodes[i]);
    must(para_deps_measure(d, cost, &p, NULL, &err), err);
    para_deps_free(d);
    free(cost);
    *work = p.work;
    return p.critical;
}

/* For so many workers, nodes wait for buffers, and no path becomes longer than the critical one or a worker's share;
 * but for waits of a hundredth of the node's own time. */
static void waits_cost_no_time(void **state)
{
    (void)state;
    int fewer = 0;
    for (int number = 0; number < GRAPHS; number++) {
        para_graph *g = graph_number(number);
        int workers = 1 + number % 4;
        struct para_buffers strict = buffers_of(g), b = buffers_for(g, workers);
        double work, before = longest(g, NULL, &work), after = longest(g, b.of, &work);
        double limit = before > work / workers ? before : work / workers;
        assert_graph(g, after <= 1.011 * limit, "graph %d, %d workers: %g, not %g", number, workers, after, limit);
        fewer += b.count < strict.count;
        para_buffers_free(&strict);
        para_buffers_free(&b);
        para_graph_free(g);
    }
    assert_true(fewer > GRAPHS / 10);
}

/* b may lie where a lay if it waits for s, and with one worker there is time for that. */
static bool waits_for_memory(int elements)
{
    char text[320];
    para_error err = {0};
    para_plan *p;
    snprintf(text, sizeof text,
             "x:input[n=%d]; a = permute(x, \"n\"); s = reduce_sum(a, \"\"); b = permute(x, \"n\");"
             "t = reduce_sum(b, \"\"); c = permute(x, \"n\"); u = reduce_sum(c, \"\"); output(s); output(t); output(u)",
             elements);
    para_graph *g = graph_of(text);
    must(para_plan_new(&p, g, 1, &err), err);
    bool waits = para_deps_reaches(para_plan_deps(p), node_of(g, "s")->id, node_of(g, "b")->id);
    para_plan_free(p);
    para_graph_free(g);
    return waits;
}

/* Of a, b and c, 4 bytes an element, some 4 MiB or more must be saved. */
static void nothing_waits_for_little_memory(void **state)
{
    (void)state;
    assert_false(waits_for_memory(300 << 10));
    assert_true(waits_for_memory(400 << 10));
}

/* Whether any version of a value's storage must be there after the run, or was before it. */
static bool must_stay(const para_tensor *t)
{
    bool output = false;
    while (t->overwritten_by)
        t = t->overwritten_by;
    for (; t->overwrites; t = t->overwrites)
        output = output || t->is_output;
    return output || t->is_output || !t->producer;
}

static void check_buffers(const para_graph *g, const struct para_buffers *b)
{
    size_t intermediates = 0;
    for (int i = 0; i < g->n_tensors; i++) {
        const para_tensor *t = g->tensors[i];
        assert_in_range(b->of[i], 0, b->count - 1);
        assert_graph(g, b->bytes[b->of[i]] >= para_shape_bytes(&t->shape), "room for \"%s\"", t->name);
        assert_graph(g, b->keep[b->of[i]] == must_stay(t), "\"%s\" stays or not", t->name);
        assert_true(!t->overwrites || b->of[i] == b->of[t->overwrites->id]);
        intermediates += t->producer && !t->overwrites ? para_shape_bytes(&t->shape) : 0;
        for (int k = 0; k < i && must_stay(t); k++)
            assert_graph(g, b->of[k] != b->of[i] || g->tensors[k]->storage == t->storage, "\"%s\" is alone", t->name);
    }
    assert_int_equal(b->unshared_bytes, intermediates);
    assert_true(b->live_bytes <= intermediates);
}

static void what_stays_is_alone_and_all_fits(void **state)
{
    (void)state;
    for (int number = 0; number < GRAPHS; number++) {
        para_graph *g = graph_number(number);
        struct para_buffers b = buffers_of(g);
        check_buffers(g, &b);
        para_buffers_free(&b);
        para_graph_free(g);
    }
}

/* Random devices: values of one buffer are made on one of them. */
static void memories_share_nothing(void **state)
{
    (void)state;
    int shared = 0;
    for (int number = 0; number < GRAPHS; number++) {
        para_error err = {0};
        struct dice dice = {.seed = 15000 + (uint64_t)number};
        struct para_buffers b;
        para_graph *g = graph_number(number);
        para_deps *d = deps_of(g, NULL);
        int *gpu = must_alloc(((size_t)g->n_nodes + 1) * sizeof *gpu);
        for (int i = 0; i < g->n_nodes; i++)
            gpu[i] = roll(&dice, 3) - 1;
        must(para_buffers_new(&b, g, d, gpu, 2, &err), err);
        check_buffers(g, &b);
        for (int i = 0; i < g->n_tensors; i++) {
            const para_tensor *t = g->tensors[i], *last = t;
            while (last->overwritten_by && !t->producer)
                last = last->overwritten_by;
            if (!t->overwrites && last->producer)
                assert_int_equal(b.gpu[b.of[i]], gpu[last->producer->id]);
        }
        shared += b.count < g->n_tensors;
        free(gpu);
        para_buffers_free(&b);
        para_deps_free(d);
        para_graph_free(g);
    }
    assert_true(shared > GRAPHS / 10);
}

/* On a GPU nodes follow each other in program order anyway: both branches lie in the same two buffers. */
static void branches_share_on_a_gpu(void **state)
{
    (void)state;
    static const int gpu[7] = {0};
    para_error err = {0};
    struct para_buffers b;
    para_graph *g = graph_of("x:input[i=2,j=4]; a = permute(x, \"j i\"); b = permute(a, \"i j\");"
                             "c = reduce_sum(b, \"i j\"); d = permute(x, \"j i\"); e = permute(d, \"i j\");"
                             "f = reduce_sum(e, \"i j\"); y = add(c, f); output(y)");
    para_deps *d = deps_of(g, NULL);
    must(para_buffers_new(&b, g, d, gpu, 8, &err), err);
    assert_int_equal(buffer(g, &b, "a"), buffer(g, &b, "d"));
    assert_int_equal(buffer(g, &b, "b"), buffer(g, &b, "e"));
    para_buffers_free(&b);
    para_deps_free(d);
    para_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_chain_takes_two_buffers),
        cmocka_unit_test(branches_keep_apart),
        cmocka_unit_test(outputs_lie_over_inputs),
        cmocka_unit_test(small_values_leave_large_buffers),
        cmocka_unit_test(reuse_adds_no_order),
        cmocka_unit_test(waits_cost_no_time),
        cmocka_unit_test(nothing_waits_for_little_memory),
        cmocka_unit_test(what_stays_is_alone_and_all_fits),
        cmocka_unit_test(memories_share_nothing),
        cmocka_unit_test(branches_share_on_a_gpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
