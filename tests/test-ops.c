/* The conformance table: every op, held to its formula and to the contract of graph/op.h.
 *
 * For each case of tests/ops/ (tests/op-cases.h says how they are written):
 *   shape      the inferred shape is the stated one
 *   kernel     production kernels agree with the plain references, forward and backward: within 1e-5, and with
 *              weights in blocks, by which few rows are multiplied as whole numbers, within 5e-5, split or not
 *   gradient   gradients of sum(random weights * y) agree with finite differences of the references
 *   bfloat16   the same graph in bfloat16 (para_graph_precision()) is near that of float32
 *   fused      so is that fused (para_graph_fuse()), of cases that say so; of others the graph as it is, within 1e-5
 *   split      every axis of the graph, cut in 2 and 3 parts, and all of them cut in 2: results of the unsplit
 *              graph, and the node that makes y is cut unless the case says that the axis stays whole
 * Cases with products are gone through once more for each of those who may compute large ones (kernels/provider.h).
 * Calls that must be refused are held to their code and message. The last test fails if an op of the table was never
 * run.
 *
 * Kernels and splits run on the serial interpreter, and with PARA_TEST_DEVICES ("cuda:0") on a machine of those
 * devices. PARA_TEST_FILTER ("*: kernel") names the tests to run. */
#include "tests/graph-text.h"
#include "tests/op-cases.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/quantize.h"
#include "graph/op.h"
#include "kernels/provider.h"

enum { MAX_WATCHED = 24, MAX_AXES = 32, MAX_OPS = 128, SAMPLES = 40, TEXT = 512 };
static const double KERNEL_TOLERANCE = 1e-5, BLOCKS_TOLERANCE = 5e-5, SPLIT_TOLERANCE = 1e-5, GRADIENT_TOLERANCE = 1e-3,
                    HALF_TOLERANCE = 2e-2;
static const uint64_t SEED = 11;

static bool executed[MAX_OPS];
static para_machine *machine; /* NULL: serial */

static para_session *kernel_session(const para_graph *g)
{
    if (!machine)
        return serial_session(g, false);
    para_session *s = NULL;
    para_session_options options = para_session_default();
    options.seed = 7; /* serial_session()'s, for the same draws */
    para_error err = {0};
    must(para_session_new(&s, g, machine, &options, &err), err);
    return s;
}

static void note_ops(const para_graph *g)
{
    for (const para_node *n = para_graph_first(g); n; n = para_node_next(n))
        for (int k = 0; para_op_table[k]; k++)
            if (strcmp(para_op_table[k]->name, para_node_op(n)) == 0)
                executed[k] = true;
}

/* A row's graph with its gradients, and the values that are compared. */
struct subject {
    const struct op_case *row;
    para_graph *g;
    const para_tensor *y; /* NULL in a row that trains */
    const para_tensor *watched[MAX_WATCHED];
    int count;
};

static bool is_source(const para_tensor *t, para_kind kind)
{
    return para_tensor_kind(t) == kind && !para_tensor_producer(t);
}

static void watch(struct subject *s, const para_tensor *t)
{
    assert_true(s->count < MAX_WATCHED);
    s->watched[s->count++] = t;
}

static void watch_gradients(struct subject *s)
{
    for (int i = 0; i < para_graph_tensor_count(s->g); i++) {
        const para_tensor *t = para_graph_tensor(s->g, i);
        if (!is_source(t, PARA_PARAMETER))
            continue;
        assert_graph(s->g, para_grad(s->g, t) != NULL, "parameter \"%s\" has no gradient", para_tensor_name(t));
        watch(s, para_grad(s->g, t));
    }
}

static void watch_trained(struct subject *s)
{
    for (int i = 0; i < para_graph_tensor_count(s->g); i++) {
        const para_tensor *t = para_graph_tensor(s->g, i);
        bool kept = is_source(t, PARA_PARAMETER) || is_source(t, PARA_STATE);
        if (kept && para_tensor_dtype(t) == PARA_F32)
            watch(s, t);
    }
}

static void begin(struct subject *s, const struct op_case *row)
{
    *s = (struct subject){.row = row, .g = op_case_graph(row)};
    para_error err = {0};
    must(para_graph_seal(s->g, &err), err);
    must(para_graph_verify(s->g, &err), err);
    if (row->flags & TRAINED) {
        watch_trained(s);
        return;
    }
    s->y = para_graph_find(s->g, "y");
    watch(s, s->y);
    if (!(row->flags & NO_GRADIENT))
        watch_gradients(s);
}

static void end(struct subject *s)
{
    para_graph_free(s->g);
}

/* The same values by name for the graph as written and for every split of it. */
static void fill_floats(const struct subject *s, const para_tensor *t, float *x)
{
    int64_t n = para_tensor_elements(t);
    if ((s->row->flags & SPREAD) && para_tensor_kind(t) == PARA_PARAMETER)
        for (int64_t i = 0; i < n; i++)
            x[i] = 0.25f * (float)((i * 37 + 5) % n - n / 2);
    else
        fill_uniform(x, n, SEED, (uint64_t)para_tensor_id(t), -1.5, 1.5);
}

static void fill_integers(const struct subject *s, const para_tensor *t, int32_t *x)
{
    int64_t n = para_tensor_elements(t);
    assert_true(s->row->bound > 0);
    fill_ids(x, n, SEED, (uint64_t)para_tensor_id(t), s->row->bound);
    for (int64_t i = 1; i < n && (s->row->flags & IGNORE_SOME); i += 3)
        x[i] = -100;
}

/* Weights of fewer bits than float32. */
static void fill_weights(const para_tensor *t, void *x)
{
    int64_t n = para_tensor_elements(t);
    float *values = must_alloc((size_t)n * sizeof *values);
    fill_uniform(values, n, SEED, (uint64_t)para_tensor_id(t), -1.5, 1.5);
    if (para_dtype_blocks(para_tensor_dtype(t)))
        assert_true(para_quantize(para_tensor_dtype(t), n, values, x));
    for (int64_t i = 0; i < n && !para_dtype_blocks(para_tensor_dtype(t)); i++)
        if (para_tensor_dtype(t) == PARA_BF16)
            ((uint16_t *)x)[i] = para_bf16_of(values[i]);
        else
            ((int8_t *)x)[i] = (int8_t)(values[i] * 80.0f);
    free(values);
}

static void set_sources(const struct subject *s, para_session *session)
{
    for (int i = 0; i < para_graph_tensor_count(s->g); i++) {
        const para_tensor *t = para_graph_tensor(s->g, i);
        if (!is_source(t, PARA_INPUT) && !is_source(t, PARA_PARAMETER))
            continue;
        void *x = must_alloc(para_tensor_bytes(t));
        if (para_tensor_dtype(t) == PARA_I32)
            fill_integers(s, t, x);
        else if (para_tensor_dtype(t) == PARA_F32)
            fill_floats(s, t, x);
        else
            fill_weights(t, x);
        set_value(session, para_tensor_name(t), x, para_tensor_bytes(t));
        free(x);
    }
}

struct values {
    float *x[MAX_WATCHED];
};

static float *get_watched(const struct subject *s, para_session *session, int k)
{
    return get_floats(session, para_tensor_name(s->watched[k]), para_tensor_elements(s->watched[k]));
}

/* Run g, the subject's graph or a split of it, on the subject's values. */
static struct values run(const struct subject *s, const para_graph *g, bool reference)
{
    note_ops(g);
    para_session *session = reference ? serial_session(g, true) : kernel_session(g);
    set_sources(s, session);
    for (int i = 0; i < (s->row->flags & TRAINED ? 3 : 1); i++)
        run_once(session);
    struct values v = {{NULL}};
    for (int k = 0; k < s->count; k++)
        v.x[k] = get_watched(s, session, k);
    para_session_free(session);
    return v;
}

static void free_values(struct values *v)
{
    for (int k = 0; k < MAX_WATCHED; k++)
        free(v->x[k]);
}

/* Compare all watched values; a tensor of zeros would agree with anything that does nothing. */
static void compare(const struct subject *s, const para_graph *g, const char *what, const struct values *got,
                    const struct values *expected, double tolerance)
{
    for (int k = 0; k < s->count; k++) {
        int64_t n = para_tensor_elements(s->watched[k]);
        char text[TEXT];
        snprintf(text, sizeof text, "%s: %s", what, para_tensor_name(s->watched[k]));
        assert_graph(g, norm_of(expected->x[k], n) > 0.0, "%s is zero", text);
        assert_close(g, text, got->x[k], expected->x[k], n, tolerance);
    }
}

/* Whether products round x to whole numbers. */
static bool reads_blocks(const struct subject *s)
{
    bool found = false;
    for (int i = 0; i < para_graph_tensor_count(s->g); i++)
        found = found || para_dtype_blocks(para_tensor_dtype(para_graph_tensor(s->g, i)));
    return found;
}

static void shape_is_stated(void **state)
{
    struct subject s;
    begin(&s, *state);
    char text[TEXT] = "";
    for (int d = 0; s.y && d < para_tensor_rank(s.y); d++) {
        para_dim dim = para_tensor_dim(s.y, d);
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s %lld", d ? ", " : "", dim.axis, (long long)dim.extent);
    }
    if (s.y)
        assert_string_equal(text, s.row->shape);
    end(&s);
}

static void kernels_agree_with_references(void **state)
{
    struct subject s;
    begin(&s, *state);
    struct values kernel = run(&s, s.g, false), reference = run(&s, s.g, true);
    compare(&s, s.g, "kernel", &kernel, &reference, reads_blocks(&s) ? BLOCKS_TOLERANCE : KERNEL_TOLERANCE);
    free_values(&kernel);
    free_values(&reference);
    end(&s);
}

/* What precision makes of the graph, on kernels, against the references of the same and those of float32; and that
 * split, against it whole. */
static void bfloat16_is_near(void **state)
{
    struct subject s;
    begin(&s, *state);
    para_graph *half = NULL;
    para_error err = {0};
    must(para_graph_precision(&half, s.g, PARA_BF16, &err), err);
    struct values full = run(&s, s.g, true), reference = run(&s, half, true), kernel = run(&s, half, false);
    compare(&s, half, "bfloat16's reference, float32's reference", &reference, &full, HALF_TOLERANCE);
    compare(&s, half, "kernel", &kernel, &reference, HALF_TOLERANCE);
    free_values(&full);
    free_values(&reference);
    free_values(&kernel);
    para_graph_free(half);
    end(&s);
}

/* What fusing makes of that, against it as it is. */
static void fused_is_near(void **state)
{
    struct subject s;
    begin(&s, *state);
    para_graph *half = NULL, *chained = NULL, *fused = NULL;
    para_error err = {0};
    must(para_graph_precision(&half, s.g, PARA_BF16, &err), err);
    must(para_graph_accumulate(&chained, half, &err), err);
    must(para_graph_fuse(&fused, chained, &err), err);
    assert_graph(fused, fused->n_nodes < chained->n_nodes, "nothing is fused");
    struct values reference = run(&s, chained, true), kernel = run(&s, fused, false);
    compare(&s, fused, "fused", &kernel, &reference, HALF_TOLERANCE);
    free_values(&reference);
    free_values(&kernel);
    para_graph_free(fused);
    para_graph_free(chained);
    para_graph_free(half);
    end(&s);
}

static void fused_alone_is_the_same(void **state)
{
    struct subject s;
    begin(&s, *state);
    para_graph *fused = NULL;
    para_error err = {0};
    must(para_graph_fuse(&fused, s.g, &err), err);
    assert_graph(fused, fused->n_nodes < s.g->n_nodes, "nothing is fused");
    struct values reference = run(&s, s.g, true), kernel = run(&s, fused, false);
    compare(&s, fused, "fused", &kernel, &reference, KERNEL_TOLERANCE);
    free_values(&reference);
    free_values(&kernel);
    para_graph_free(fused);
    end(&s);
}

/* sum(weights * y), added in double. */
static double weighted_sum(const struct subject *s, para_session *session, const float *weights)
{
    run_once(session);
    float *y = get_watched(s, session, 0);
    double sum = 0.0;
    for (int64_t i = 0; i < para_tensor_elements(s->y); i++)
        sum += (double)weights[i] * y[i];
    free(y);
    return sum;
}

/* d sum(weights * y) / dx[e] = (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h, wrong by h^4 f'''''/30. Values are
 * multiples of 2^-8 and h is 2^-6, so that x + h is exact in float32. */
static double slope(const struct subject *s, para_session *session, const float *weights, const para_tensor *t,
                    float *x, int64_t e)
{
    const float h = 0x1p-6f, x0 = x[e];
    double f[4];
    for (int k = 0; k < 4; k++) {
        x[e] = x0 + h * (const float[]){1, -1, 2, -2}[k];
        set_value(session, para_tensor_name(t), x, para_tensor_bytes(t));
        f[k] = weighted_sum(s, session, weights);
    }
    x[e] = x0;
    set_value(session, para_tensor_name(t), x, para_tensor_bytes(t));
    return (8.0 * (f[0] - f[1]) - (f[2] - f[3])) / (12.0 * h);
}

/* Compare up to SAMPLES elements of one gradient, evenly apart. */
static void check_gradient(const struct subject *s, para_session *session, const float *weights, const para_tensor *t,
                           const float *gradient)
{
    int64_t n = para_tensor_elements(t), stride = n / SAMPLES + 1;
    float *x = must_alloc(para_tensor_bytes(t)), found[SAMPLES], expected[SAMPLES];
    fill_floats(s, t, x);
    int count = 0;
    for (int64_t e = 0; e < n; e += stride, count++) {
        expected[count] = (float)slope(s, session, weights, t, x, e);
        found[count] = gradient[e];
    }
    assert_graph(s->g, norm_of(found, count) > 0.0, "the gradient of %s is zero", para_tensor_name(t));
    assert_close(s->g, para_tensor_name(t), found, expected, count, GRADIENT_TOLERANCE);
    free(x);
}

static void gradients_agree_with_differences(void **state)
{
    struct subject s;
    begin(&s, *state);
    struct values v = run(&s, s.g, true);
    para_session *session = serial_session(s.g, true);
    set_sources(&s, session);
    const para_tensor *w = para_graph_find(s.g, "weights");
    float *weights = must_alloc(para_tensor_bytes(w));
    fill_floats(&s, w, weights);
    int k = 1;
    for (int i = 0; i < para_graph_tensor_count(s.g); i++) {
        const para_tensor *t = para_graph_tensor(s.g, i);
        if (is_source(t, PARA_PARAMETER))
            check_gradient(&s, session, weights, t, v.x[k++]);
    }
    assert_int_equal(k, s.count);
    free(weights);
    para_session_free(session);
    free_values(&v);
    end(&s);
}

/* The distinct axes of a graph. */
static int axes_of(const para_graph *g, para_dim axes[MAX_AXES])
{
    int count = 0;
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        for (int d = 0; d < para_tensor_rank(t); d++) {
            para_dim dim = para_tensor_dim(t, d);
            int k = 0;
            while (k < count && strcmp(axes[k].axis, dim.axis) != 0)
                k++;
            if (k < count)
                continue;
            assert_true(count < MAX_AXES);
            axes[count++] = dim;
        }
    }
    return count;
}

static bool node_has_axis(const para_node *n, const char *axis)
{
    for (int i = 0; i < n->n_in; i++)
        if (para_shape_find(&n->in[i]->shape, axis) >= 0)
            return true;
    return para_shape_find(&n->out[0]->shape, axis) >= 0;
}

/* Splits are real: the node that makes y is there once per part, unless the row says that it stays whole. */
static void check_parts(const struct subject *s, const para_graph *split, const char *axis, int parts)
{
    const para_node *made = s->y ? para_tensor_producer(s->y) : NULL;
    if (!made || !node_has_axis(made, axis))
        return;
    int found = 0;
    for (const para_node *n = para_graph_first(split); n; n = para_node_next(n))
        found += para_node_origin(n) == para_node_id(made) && strcmp(para_node_op(n), para_node_op(made)) == 0;
    int expected = s->row->whole && para_word_in(axis, s->row->whole) ? 1 : parts;
    assert_graph(split, found == expected, "split %s=%d: %d nodes of op %s, expected %d", axis, parts, found,
                 para_node_op(made), expected);
}

static void check_split(const struct subject *s, const struct values *whole, const char *list)
{
    para_graph *split = NULL;
    para_error err = {0};
    if (para_graph_split_list(&split, s->g, list, NULL, 0, &err))
        assert_graph(s->g, false, "split %s: %s", list, err.message);
    if (para_graph_verify(split, &err))
        assert_graph(split, false, "split %s: %s", list, err.message);
    para_graph *chained = NULL;
    must(para_graph_accumulate(&chained, split, &err), err);
    para_graph *const graphs[] = {split, chained};
    for (int i = 0; i < 2; i++) {
        struct values v = run(s, graphs[i], false);
        compare(s, graphs[i], list, &v, whole, reads_blocks(s) ? BLOCKS_TOLERANCE : SPLIT_TOLERANCE);
        free_values(&v);
        para_graph_free(graphs[i]);
    }
}

static bool is_refused(const struct subject *s, const char *axis)
{
    return s->row->in_place && para_word_in(axis, s->row->in_place);
}

static void check_axis(const struct subject *s, const struct values *whole, const para_dim *axis, int parts)
{
    para_graph *split = NULL;
    para_error err = {0};
    if (is_refused(s, axis->axis)) {
        assert_int_equal(para_graph_split(&split, s->g, axis->axis, parts, &err), PARA_EINVAL);
        assert_non_null(strstr(err.message, "in place"));
        return;
    }
    if (para_graph_split(&split, s->g, axis->axis, parts, &err))
        assert_graph(s->g, false, "split %s=%d: %s", axis->axis, parts, err.message);
    check_parts(s, split, axis->axis, parts);
    para_graph_free(split);
    char list[TEXT];
    snprintf(list, sizeof list, "%s=%d", axis->axis, parts);
    check_split(s, whole, list);
}

static void splits_agree_with_the_whole(void **state)
{
    struct subject s;
    begin(&s, *state);
    struct values whole = run(&s, s.g, machine != NULL);
    para_dim axes[MAX_AXES];
    int count = axes_of(s.g, axes);
    char all[TEXT] = "";
    for (int k = 0; k < count; k++) {
        for (int parts = 2; parts <= 3 && parts <= axes[k].extent; parts++)
            check_axis(&s, &whole, &axes[k], parts);
        size_t used = strlen(all);
        if (axes[k].extent >= 2 && !is_refused(&s, axes[k].axis))
            snprintf(all + used, sizeof all - used, "%s%s=2", used ? "," : "", axes[k].axis);
    }
    check_split(&s, &whole, all);
    free_values(&whole);
    end(&s);
}

static void bad_call_is_refused(void **state)
{
    const struct op_case *bad = *state;
    para_graph *g = graph_open(bad->text);
    para_error err = {0};
    int status = para_graph_seal(g, &err);
    if (strcmp(para_status_name(status), bad->error) != 0)
        fail_msg("returned %s (\"%s\"), expected %s", para_status_name(status), err.message, bad->error);
    assert_int_equal(err.code, status);
    for (int k = 0; k < MAX_SAYS && bad->says[k]; k++)
        if (!strstr(err.message, bad->says[k]))
            fail_msg("the message lacks %s: %s", bad->says[k], err.message);
    para_graph_free(g);
}

/* Ids are known at run time alone: a wrong one makes the run fail, naming the node, the id and its place. */
static void check_bad_id(const char *text, int32_t id, bool reference)
{
    para_graph *g = graph_of(text);
    para_session *session = reference ? serial_session(g, true) : kernel_session(g);
    const int32_t ids[4] = {0, 1, id, 2};
    set_value(session, "i", ids, sizeof ids);
    para_error err = {0};
    assert_int_equal(para_session_run(session, &err), PARA_ERANGE);
    char said[16];
    snprintf(said, sizeof said, " %d at", id);
    if (strncmp(err.message, "y: ", 3) != 0 || !strstr(err.message, said))
        fail_msg("expected node y and id %d in the message: %s", id, err.message);
    para_session_free(session);
    para_graph_free(g);
}

static void bad_ids_make_the_run_fail(void **state)
{
    (void)state;
    const char *embedding = "w:param[v=5,c=3]; i:ids[t=4]; y = embedding(w, i, \"v\"); output(y)";
    const char *loss = "x:param[t=4,v=5]; i:ids[t=4]; y = cross_entropy(x, i, \"v\", -100); output(y)";
    for (int reference = 0; reference < 2; reference++) {
        check_bad_id(embedding, 5, reference);
        check_bad_id(embedding, -1, reference);
        check_bad_id(loss, 5, reference);
        check_bad_id(loss, -7, reference);
    }
}

/* p = 0 makes no node. */
static void dropout_of_nothing_is_its_input(void **state)
{
    (void)state;
    para_graph *g = graph_open("x:param[n=4]; s:ids[]; y = dropout(x, s, 0)");
    assert_int_equal(para_graph_node_count(g), 0);
    para_graph_free(g);
}

static void every_op_is_covered(void **state)
{
    (void)state;
    int missing = 0;
    for (int k = 0; para_op_table[k]; k++) {
        assert_true(k < MAX_OPS);
        if (!executed[k])
            print_error("op %s stands in no case's graph, its gradient or its splits\n", para_op_table[k]->name);
        missing += !executed[k];
    }
    assert_int_equal(missing, 0);
}

enum { MAX_TESTS = 2048 };
static struct CMUnitTest tests[MAX_TESTS];
static char names[MAX_TESTS][96];
static size_t test_count;

static void add_test(const char *check, const char *row, CMUnitTestFunction function, const void *state)
{
    snprintf(names[test_count], sizeof names[test_count], "%s: %s", row, check);
    tests[test_count] = (struct CMUnitTest){.name = names[test_count], .test_func = function};
    memcpy(&tests[test_count].initial_state, &state, sizeof state);
    test_count++;
}

static void add_case(const struct op_case *c)
{
    assert_true(test_count + 8 < MAX_TESTS);
    if (c->error) {
        add_test("refused", c->name, bad_call_is_refused, c);
        return;
    }
    add_test("shape", c->name, shape_is_stated, c);
    add_test("kernel", c->name, kernels_agree_with_references, c);
    if (!(c->flags & (NO_GRADIENT | NO_FINITE | TRAINED)))
        add_test("gradient", c->name, gradients_agree_with_differences, c);
    if (!(c->flags & STEEP))
        add_test("bfloat16", c->name, bfloat16_is_near, c);
    if (c->flags & FUSED)
        add_test("fused", c->name, fused_is_near, c);
    if (c->flags & FUSED_ALONE)
        add_test("fused alone", c->name, fused_alone_is_the_same, c);
    add_test("split", c->name, splits_agree_with_the_whole, c);
}

static int open_machine(void **state)
{
    (void)state;
    para_machine_options options = para_machine_default();
    options.devices = getenv("PARA_TEST_DEVICES");
    para_error err = {0};
    if (options.devices)
        must(para_machine_open(&machine, &options, &err), err);
    return 0;
}

static int close_machine(void **state)
{
    (void)state;
    para_machine_close(machine);
    machine = NULL;
    return 0;
}

static int run_all(void)
{
    int count;
    const struct op_case *cases = op_cases(&count);
    for (int i = 0; i < count; i++)
        add_case(&cases[i]);
    add_test("refused at run time", "bad ids", bad_ids_make_the_run_fail, NULL);
    add_test("makes no node", "dropout of nothing", dropout_of_nothing_is_its_input, NULL);
    add_test("covered", "every op", every_op_is_covered, NULL);
    return _cmocka_run_group_tests("ops", tests, test_count, open_machine, close_machine);
}

/* The cases with products, computed by one of those who may compute them. */
static int run_products(const char *provider)
{
    para_error err;
    if (para_provider_use(provider, &err) < 0) {
        print_message("left out: %s\n", err.message);
        return 0;
    }
    int count;
    const struct op_case *cases = op_cases(&count);
    test_count = 0;
    for (int i = 0; i < count; i++)
        if (strstr(cases[i].text, "matmul"))
            add_case(&cases[i]);
    return _cmocka_run_group_tests(provider, tests, test_count, NULL, NULL);
}

int main(void)
{
    if (getenv("PARA_TEST_FILTER"))
        cmocka_set_test_filter(getenv("PARA_TEST_FILTER"));
    int failed = run_all();
    failed += run_products("own");
    failed += run_products("openblas");
    return failed;
}
