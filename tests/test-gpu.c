/* GPUs: kernels beside their CPU twins, sessions against the serial interpreter, and the measured floors. Without a GPU
 * the program says why it skips. */
#include "tests/graph-text.h"
#include "tests/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cuda.h"

static para_machine *machine;

static para_machine *open_devices(const char *devices)
{
    para_machine_options options = para_machine_default();
    options.devices = devices;
    para_machine *m = NULL;
    para_error err = {0};
    must(para_machine_open(&m, &options, &err), err);
    return m;
}

static int open_first(void **state)
{
    (void)state;
    machine = open_devices("cuda:0");
    return 0;
}

static int close_machine(void **state)
{
    (void)state;
    para_machine_close(machine);
    return 0;
}

/* y and the gradient of x of a graph of n elements. */
static void run_map(const char *form, int n, para_machine *m, float *y, float *dx)
{
    char text[256];
    snprintf(text, sizeof text, "x:param[n=%d]; s:input[n=%d]; y = %s(x); output(y); p = mul(y, s)", n, n, form);
    para_graph *g = graph_open(text);
    para_error err = {0};
    must(para_graph_backward(g, graph_append(g, "l = reduce_sum(p, \"\")"), &err), err);
    para_output(para_name(para_grad(g, para_graph_find(g, "x")), "dx"));
    must(para_graph_seal(g, &err), err);
    para_session *s = m ? NULL : serial_session(g, true);
    if (m)
        must(para_session_new(&s, g, m, NULL, &err), err);
    size_t bytes = (size_t)n * sizeof(float);
    float *values = must_alloc(bytes);
    fill_uniform(values, n, 1, 1, -6, 6);
    set_value(s, "x", values, bytes);
    fill_uniform(values, n, 1, 2, -2, 2);
    set_value(s, "s", values, bytes);
    run_once(s);
    must(para_session_get(s, "y", y, bytes, &err), err);
    must(para_session_get(s, "dx", dx, bytes, &err), err);
    free(values);
    para_session_free(s);
    para_graph_free(g);
}

/* Sizes about a thread's four elements and a block's 1024, and one of many blocks. */
static void maps_are_their_references(void **state)
{
    (void)state;
    static const char *const forms[] = {"gelu", "gelu_erf"};
    static const int sizes[] = {1, 2, 3, 4, 5, 1023, 1024, 1025, 1000003};
    for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++)
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            size_t n = (size_t)sizes[i];
            float *y = must_alloc(4 * n * sizeof *y), *dx = y + n, *expected = y + 2 * n, *slope = y + 3 * n;
            run_map(forms[f], sizes[i], machine, y, dx);
            run_map(forms[f], sizes[i], NULL, expected, slope);
            assert_close(NULL, forms[f], y, expected, sizes[i], 1e-5);
            assert_close(NULL, forms[f], dx, slope, sizes[i], 1e-5);
            free(y);
        }
}

static para_session *session_with(const para_graph *g, bool profile, para_session *share)
{
    para_session_options options = para_session_default();
    para_session *s = NULL;
    para_error err = {0};
    options.profile = profile;
    options.share = share;
    must(para_session_new(&s, g, machine, &options, &err), err);
    return s;
}

/* A session on the GPU that begins with the weights of another, made from g, and has no profile, so that its tasks are
 * captured. */
static para_session *captured_session(const para_graph *g, const para_graph *cut, para_session *weights)
{
    para_session *s = session_with(cut, false, NULL);
    for (int t = 0; t < g->n_tensors; t++) {
        para_error err = {0};
        const para_tensor *w = g->tensors[t];
        size_t bytes = para_shape_bytes(&w->shape);
        if (!is_weight(w))
            continue;
        void *value = must_alloc(bytes);
        must(para_session_get(weights, w->base, value, bytes, &err), err);
        set_value(s, w->base, value, bytes);
        free(value);
    }
    return s;
}

static void train(const para_graph *g, const para_graph *cut, para_machine *m, float losses[TRAIN_STEPS])
{
    para_session *s = training_session(g, cut, m, false);
    for (int i = 0; i < TRAIN_STEPS; i++)
        losses[i] = training_step(s, g, i);
    para_session_free(s);
}

/* Train with a profile, kernel by kernel, and captured. */
static void train_both(const para_graph *g, const para_graph *cut, float plain[TRAIN_STEPS],
                       float captured[TRAIN_STEPS])
{
    para_session *s = training_session(g, cut, machine, false), *c = captured_session(g, cut, s);
    for (int i = 0; i < TRAIN_STEPS; i++) {
        plain[i] = training_step(s, g, i);
        captured[i] = training_step(c, g, i);
    }
    assert_true(para_session_count(c).captures > 0);
    para_session_free(c);
    para_session_free(s);
}

/* Under every split and placement the losses are the interpreter's, and two sessions give the same bits, of which one
 * launches captured tasks. */
static void training_is_the_interpreters(void **state)
{
    (void)state;
    para_graph *g = training_graph(&train_model, TRAIN_BATCH, TRAIN_SEQ, true);
    float expected[TRAIN_STEPS], first[TRAIN_STEPS], second[TRAIN_STEPS];
    train(g, g, NULL, expected);
    for (const struct plan_case *c = plan_cases; c->split; c++) {
        para_graph *cut = accumulated_graph(g, c);
        train_both(g, cut, first, second);
        assert_close(g, c->split, first, expected, TRAIN_STEPS, 1e-5);
        assert_memory_equal(first, second, sizeof first);
        para_graph_free(cut);
    }
    para_graph_free(g);
}

/* The second run captures each task of several nodes, later ones launch what it captured, and a profile, which has a
 * time for each node, captures nothing. */
static void tasks_are_captured_once(void **state)
{
    (void)state;
    para_graph *g = training_graph(&train_model, TRAIN_BATCH, TRAIN_SEQ, true);
    para_session *plain = training_session(g, g, machine, false), *s = captured_session(g, g, plain);
    for (int i = 0; i < 4; i++) {
        training_step(s, g, i);
        training_step(plain, g, i);
        assert_int_equal(para_session_count(s).captures, i > 0);
    }
    assert_int_equal(para_session_count(s).tasks_created, 1);
    assert_int_equal(para_session_count(plain).captures, 0);
    int count;
    const para_sample *samples = para_session_profile(plain, &count);
    for (int i = 0; i < count; i++) {
        assert_true(samples[i].end_ns >= samples[i].start_ns && samples[i].end_ns > 0);
        assert_int_equal(samples[i].worker, para_machine_workers(machine));
    }
    para_session_free(s);
    para_session_free(plain);
    para_graph_free(g);
}

/* float32 is float32: no product is rounded to fewer bits. Heads are as wide as GPT-2's, and windows longer than a
 * tile; keys' biases, whose gradients are what rounding leaves of 0, are not looked at. */
enum { LONG_BATCH = 3, LONG_SEQ = 170, LONG_STEPS = 20 };

static void assert_near_most(const char *name, const float *x, const float *expected, int64_t n)
{
    double largest = 0;
    for (int64_t e = 0; e < n; e++)
        largest = fmax(largest, fabs((double)expected[e]));
    for (int64_t e = 0; e < n; e++)
        if (!(fabs((double)x[e] - expected[e]) <= 1e-5 * largest))
            fail_msg("gradient of %s, element %lld: %.9g, expected %.9g; the largest is %.9g", name, (long long)e,
                     (double)x[e], (double)expected[e], largest);
}

static void assert_near_norm(const char *name, const float *x, const float *expected, int64_t n)
{
    double squares = 0, apart = 0;
    for (int64_t e = 0; e < n; e++) {
        squares += (double)expected[e] * expected[e];
        apart += ((double)x[e] - expected[e]) * ((double)x[e] - expected[e]);
    }
    if (!(apart <= 1e-10 * squares))
        fail_msg("%s: %.3g from what is expected, whose norm is %.3g", name, sqrt(apart), sqrt(squares));
}

/* Compare each parameter's gradient, or the parameter. */
static void compare_parameters(const para_graph *g, para_session *s, para_session *oracle, bool gradients)
{
    for (int t = 0; t < g->n_tensors; t++) {
        const para_tensor *w = g->tensors[t];
        bool skipped = !is_weight(w) || strstr(w->base, "attn.qkv.bias");
        const char *name = skipped ? NULL : gradients ? para_tensor_base(para_grad(g, w)) : w->base;
        if (skipped)
            continue;
        size_t bytes = para_shape_bytes(&w->shape);
        int64_t n = para_shape_elements(&w->shape);
        float *x = must_alloc(2 * bytes), *expected = x + n;
        para_error err = {0};
        must(para_session_get(s, name, x, bytes, &err), err);
        must(para_session_get(oracle, name, expected, bytes, &err), err);
        (gradients ? assert_near_most : assert_near_norm)(w->base, x, expected, n);
        free(x);
    }
}

static void twenty_steps_are_the_interpreters(void **state)
{
    (void)state;
    static const para_gpt2 model = {
        .layers = 3, .heads = 2, .embd = 128, .ff = 512, .vocab = 517, .context = 192, .norm_eps = 1e-5};
    para_graph *g = training_graph(&model, LONG_BATCH, LONG_SEQ, false);
    para_session *oracle = training_session(g, g, NULL, false), *first = training_session(g, g, machine, false),
                 *s = captured_session(g, g, first);
    for (int i = 0; i < LONG_STEPS; i++) {
        float expected = training_step(oracle, g, i), loss = training_step(s, g, i);
        assert_close(g, "loss", &loss, &expected, 1, 1e-5);
        if (i == 0)
            compare_parameters(g, s, oracle, true);
    }
    compare_parameters(g, s, oracle, false);
    para_session_free(s);
    para_session_free(first);
    para_session_free(oracle);
    para_graph_free(g);
}

/* A token's graph goes on by the likeliest one, many runs in one task, as the interpreter does run by run. */
static void texts_go_on_by_themselves(void **state)
{
    (void)state;
    enum { ROWS = 3, RECENT = 9 };
    static const para_gpt2 model = {
        .layers = 2, .heads = 2, .embd = 128, .ff = 512, .vocab = 517, .context = 64, .norm_eps = 1e-5};
    const para_caches caches = {.batch = ROWS, .seq = 1, .cache = 64, .likeliest = true, .recent = RECENT};
    const int32_t tokens[ROWS] = {3, 9, 4}, position[ROWS] = {0, -1, 2}, last[ROWS] = {0, -1, 0};
    const int32_t recent[ROWS * RECENT] = {0};
    int32_t made[2][ROWS * RECENT];
    para_error err = {0};
    para_graph *open = para_graph_new(), *g = NULL;
    para_session *s[2] = {0};
    para_gpt2_build_cached(open, &model, &caches);
    must(para_graph_seal(open, &err), err);
    must(para_graph_fuse(&g, open, &err), err);
    for (int i = 0; i < 2; i++)
        must(para_session_new(&s[i], g, i ? machine : NULL, NULL, &err), err);
    for (int begin = 0; begin < 2; begin++)
        for (int i = 0; i < 2; i++) {
            set_value(s[i], "recent", recent, sizeof recent);
            set_value(s[i], "tokens", tokens, sizeof tokens);
            set_value(s[i], "position", position, sizeof position);
            set_value(s[i], "last", last, sizeof last);
            must(para_session_run_times(s[i], 2, &err), err);
            must(para_session_run(s[i], &err), err); /* nothing is set between */
            must(para_session_run_times(s[i], RECENT - 3, &err), err);
            must(para_session_get(s[i], "made", made[i], sizeof made[i], &err), err);
        }
    assert_memory_equal(made[1], made[0], sizeof made[0]);
    assert_int_equal(made[0][RECENT], -1);
    assert_true(made[0][0] >= 0);
    for (int i = 0; i < 2; i++)
        para_session_free(s[i]);
    para_graph_free(g);
    para_graph_free(open);
}

/* Values of more bytes than go through main memory at once begin as the interpreter's, and come out as they went in. */
static void large_values_go_in_and_out(void **state)
{
    (void)state;
    enum { N = 5000003 };
    para_error err = {0};
    para_graph *g = graph_of("w:param[n=5000003]; y = scale(w, 2); output(y)");
    para_session_options options = para_session_default();
    para_session *s = NULL, *serial = serial_session(g, false);
    options.seed = 7; /* serial_session()'s */
    must(para_session_new(&s, g, machine, &options, &err), err);
    float *x = must_alloc(2 * (size_t)N * sizeof *x), *expected = x + N;
    must(para_session_get(s, "w", x, N * sizeof *x, &err), err);
    must(para_session_get(serial, "w", expected, N * sizeof *x, &err), err);
    assert_memory_equal(x, expected, N * sizeof *x);
    for (int i = 0; i < N; i++)
        expected[i] = (float)i;
    set_value(s, "w", expected, N * sizeof *x);
    run_once(s);
    must(para_session_get(s, "y", x, N * sizeof *x, &err), err);
    for (int i = 0; i < N; i++)
        assert_true(x[i] == 2 * (float)i);
    free(x);
    para_session_free(serial);
    para_session_free(s);
    para_graph_free(g);
}

/* A second session reads the first one's parameters where they lie. */
static void sessions_share_values(void **state)
{
    (void)state;
    para_error err = {0};
    float w[4] = {1, 2, 3, 4}, y[4];
    para_graph *g = graph_of("x:input[n=4]; w:param[n=4]; one:input[]; y = scale(x, 2); output(y);"
                             "w' = sgd(w, x, one, one, 0)"),
               *read = graph_of("w:param[n=4]; y = scale(w, 2); output(y)");
    para_session *s = session_with(g, false, NULL), *other = session_with(read, false, s);
    assert_true(para_session_gpu_bytes(other, 0) < para_session_gpu_bytes(s, 0) + 1024);
    set_value(s, "w", w, sizeof w);
    set_value(s, "x", (float[]){1, 1, 1, 1}, sizeof w);
    set_value(s, "one", (float[]){1}, sizeof *w);
    for (int i = 0; i < 4; i++) {
        run_once(s);
        run_once(other);
        must(para_session_get(other, "y", y, sizeof y, &err), err);
        for (int k = 0; k < 4; k++)
            assert_true(y[k] == 2 * (w[k] - (float)(i + 1)));
    }
    para_session_free(other);
    para_session_free(s);
    para_graph_free(read);
    para_graph_free(g);
}

static void infinities_are_found(void **state)
{
    (void)state;
    para_error err = {0};
    const para_tensor *found = NULL;
    para_graph *g = graph_of("x:param[n=4]; a = scale(x, 2); b = mul(a, a); y = add(b, x); output(y)");
    para_session *s = session_with(g, false, NULL);
    set_value(s, "x", (float[]){1, 2, 3, 4}, 16);
    run_once(s);
    must(para_session_find_nonfinite(s, &found, &err), err);
    assert_null(found);
    set_value(s, "x", (float[]){1, 1e30f, 3, 4}, 16);
    for (int i = 0; i < 3; i++) {
        run_once(s);
        must(para_session_find_nonfinite(s, &found, &err), err);
        assert_string_equal(para_tensor_name(found), "b");
    }
    para_session_free(s);
    para_graph_free(g);
}

enum { PRODUCTS = 10 };

/* A chain of products with its gradients and updates: some 200 MiB in values of 4. */
static para_graph *chain_of_products(void)
{
    para_error err = {0};
    para_graph *g = graph_open("h0:input[b=1024,n0=1024]");
    char text[160];
    for (int i = 0; i < PRODUCTS; i++) {
        snprintf(text, sizeof text, "w%d:param[n%d=1024,n%d=1024]; p%d = matmul(h%d, w%d, \"n%d\"); h%d = gelu(p%d)", i,
                 i, i + 1, i, i, i, i, i + 1, i);
        graph_append(g, text);
    }
    snprintf(text, sizeof text, "l = reduce_sum(h%d, \"b n%d\"); output(l); backward(l); train_sgd(1e-6, 0.9, 0, 0)",
             PRODUCTS, PRODUCTS);
    graph_append(g, text);
    must(para_graph_seal(g, &err), err);
    return g;
}

static void run_products(const para_graph *g, float *w, size_t bytes)
{
    para_error err = {0};
    float *x = must_alloc(bytes);
    para_session *s = session_with(g, false, NULL);
    fill_uniform(x, (int)(bytes / sizeof *x), 3, 3, -0.1, 0.1);
    set_value(s, "h0", x, bytes);
    for (int i = 0; i < PRODUCTS; i++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", i);
        fill_uniform(x, (int)(bytes / sizeof *x), 4, (uint64_t)i, -0.05, 0.05);
        set_value(s, name, x, bytes);
    }
    for (int i = 0; i < 4; i++)
        run_once(s);
    must(para_session_get(s, "w5", w, bytes, &err), err);
    free(x);
    para_session_free(s);
}

static void limit_memory(const char *mib)
{
    para_machine_close(machine);
    if (mib)
        setenv("STARPU_LIMIT_CUDA_MEM", mib, 1);
    else
        unsetenv("STARPU_LIMIT_CUDA_MEM");
    machine = open_devices("cuda:0");
}

/* With less memory tasks are smaller; the bits stay. With too little nothing runs. */
static void less_memory_changes_no_bits(void **state)
{
    (void)state;
    enum { BYTES = 4 << 20 };
    para_error err = {0};
    para_session *s = NULL;
    para_graph *g = chain_of_products();
    char *expected = must_alloc(2 * BYTES), *got = expected + BYTES;
    run_products(g, (float *)expected, BYTES);
    limit_memory("400");
    run_products(g, (float *)got, BYTES);
    assert_memory_equal(got, expected, BYTES);
    limit_memory("100");
    assert_int_equal(para_session_new(&s, g, machine, NULL, &err), PARA_ENOMEM);
    assert_non_null(strstr(err.message, "GiB of memory, and 0.098 are free"));
    limit_memory(NULL);
    free(expected);
    para_graph_free(g);
}

/* What a session takes of a GPU's memory is what it said, and what can't be had is refused. */
static void memory_is_as_planned(void **state)
{
    (void)state;
    para_error err = {0};
    para_session *s = NULL;
    para_graph *g = graph_of(
                   "x:param[i=16384,j=8192]; a = gelu(x); b = mul(a, x); c = gelu(b); y = add(c, b); output(y)"),
               *huge = graph_of("x:param[i=1000000,j=1000000]; y = gelu(x); output(y)");
    size_t before, after;
    must(para_cuda_free_bytes(&before, 0, &err), err);
    must(para_session_new(&s, g, machine, &(para_session_options){.no_draws = true}, &err), err);
    run_once(s);
    run_once(s);
    must(para_cuda_free_bytes(&after, 0, &err), err);
    double planned = (double)para_session_gpu_bytes(s, 0), taken = (double)(before - after);
    if (taken > 1.05 * planned || taken < 0.95 * planned)
        fail_msg("planned %.0f bytes, taken %.0f", planned, taken);
    para_session_free(s);
    s = NULL;
    assert_int_equal(para_session_new(&s, huge, machine, NULL, &err), PARA_ENOMEM);
    assert_non_null(strstr(err.message, "cuda:0: the run takes 7450"));
    para_graph_free(huge);
    para_graph_free(g);
}

static void gpus_are_the_default(void **state)
{
    (void)state;
    para_machine *m = NULL;
    para_error err = {0};
    must(para_machine_open(&m, NULL, &err), err);
    assert_int_equal(strncmp(para_machine_devices(m), "cuda:0", 6), 0);
    assert_int_equal(para_machine_gpu_workers(m), para_machine_gpus(m));
    assert_int_equal(para_machine_gpu_of(m, para_machine_workers(m)), 0);
    assert_int_equal(para_machine_gpu_of(m, para_machine_workers(m) - 1), -1);
    para_machine_close(m);
}

/* Set ids, run, and keep what the run fails with. */
static para_error run_with(para_session *s, const int32_t ids[4])
{
    para_error err = {0};
    set_value(s, "i", ids, 4 * sizeof *ids);
    int status = para_session_run(s, &err);
    assert_int_equal(status, err.code);
    return err;
}

/* What is wrong with a value is said as on CPUs, of the first node and its first position, and doesn't last. */
static void wrong_values_are_named_as_on_cpus(void **state)
{
    (void)state;
    para_graph *g = graph_of("w:param[v=5,c=3]; u:param[v=5,c=3]; i:ids[t=4]; a = embedding(w, i, \"v\"); "
                             "b = embedding(u, i, \"v\"); y = add(a, b); output(y)");
    static const int32_t ids[][4] = {{0, 1, 2, 4}, {0, 5, -1, 2}, {4, 3, 2, 1}, {-7, 0, 0, 9}, {1, 1, 1, 1}};
    para_error err = {0};
    para_session *serial = serial_session(g, false), *s = NULL;
    must(para_session_new(&s, g, machine, NULL, &err), err);
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        para_error expected = run_with(serial, ids[i]), got = run_with(s, ids[i]);
        assert_int_equal(expected.code, i % 2 ? PARA_ERANGE : 0);
        assert_int_equal(got.code, expected.code);
        assert_string_equal(got.message, expected.message);
    }
    para_session_free(s);
    para_session_free(serial);
    para_graph_free(g);
}

/* Stages on the CPU workers and a GPU. */
static void cpu_and_gpu_take_turns(void **state)
{
    (void)state;
    para_graph *g = training_graph(&train_model, TRAIN_BATCH, TRAIN_SEQ, true);
    float expected[TRAIN_STEPS], got[TRAIN_STEPS];
    train(g, g, NULL, expected);
    para_machine *both = open_devices("cpu,cuda:0");
    para_graph *cut = accumulated_graph(g, &(struct plan_case){"batch=2", 2, NULL});
    train(g, cut, both, got);
    assert_close(g, "losses", got, expected, TRAIN_STEPS, 1e-5);
    para_graph_free(cut);
    para_graph_free(g);
    para_machine_close(both);
}

static bool has_two(void)
{
    const char *why;
    return para_cuda_count(&why) > 1;
}

/* Under the same split and places, one GPU and two; losses of ten steps depend on every weight. */
static void two_gpus_compute_the_bits_of_one(void **state)
{
    (void)state;
    static const struct plan_case cases[] = {{"batch=2", 0, "batch"},
                                             {"batch=4", 0, "batch=2"},
                                             {"batch=2,heads=2,ff=2,vocab=2", 0, "heads,ff,vocab"},
                                             {"batch=4", 2, NULL},
                                             {"batch=4", 2, "batch=2"}};
    if (!has_two())
        skip();
    para_graph *g = training_graph(&train_model, TRAIN_BATCH, TRAIN_SEQ, true);
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        static const char *const devices[] = {"cuda:0", "cuda:0,cuda:1"};
        float losses[2][TRAIN_STEPS];
        para_graph *cut = accumulated_graph(g, &cases[c]);
        for (int i = 0; i < 2; i++) {
            para_machine *m = open_devices(devices[i]);
            train(g, cut, m, losses[i]);
            para_machine_close(m);
        }
        if (memcmp(losses[0], losses[1], sizeof losses[0]) != 0)
            fail_msg("split \"%s\", stages %d, spread \"%s\": other bits", cases[c].split, cases[c].stages,
                     cases[c].spread ? cases[c].spread : "");
        para_graph_free(cut);
    }
    para_graph_free(g);
}

/* Halves on two GPUs, whose sum both have: of each as much as planned. */
static void each_gpu_takes_what_was_planned(void **state)
{
    (void)state;
    para_error err = {0};
    para_session *s = NULL;
    size_t before[2], after[2];
    if (!has_two())
        skip();
    para_graph *g = graph_of("x:param[rows=2,i=8192,j=8192]; a = gelu(x); b = reduce_sum(a, \"rows\"); y = mul(a, b);"
                             "output(y)"),
               *cut = NULL, *spread = NULL;
    must(para_graph_split(&cut, g, "rows", 2, &err), err);
    must(para_graph_spread(&spread, cut, "rows", &err), err);
    para_machine *m = open_devices("cuda:0,cuda:1");
    for (int i = 0; i < 2; i++)
        must(para_cuda_free_bytes(&before[i], i, &err), err);
    must(para_session_new(&s, spread, m, &(para_session_options){.no_draws = true}, &err), err);
    run_once(s);
    run_once(s);
    for (int i = 0; i < 2; i++) {
        must(para_cuda_free_bytes(&after[i], i, &err), err);
        double planned = (double)para_session_gpu_bytes(s, i), taken = (double)(before[i] - after[i]);
        if (taken > 1.05 * planned || taken < 0.95 * planned)
            fail_msg("cuda:%d: planned %.0f bytes, taken %.0f", i, planned, taken);
    }
    para_session_free(s);
    para_machine_close(m);
    para_graph_free(spread);
    para_graph_free(cut);
    para_graph_free(g);
}

static void floors_are_measured(void **state)
{
    (void)state;
    para_gpu gpu;
    para_gpu_floor floor;
    para_error err = {0};
    double link = 0;
    int gpus = para_machine_gpus(machine);
    assert_true(gpus >= 1);
    must(para_machine_gpu(machine, 0, &gpu, &err), err);
    must(para_machine_gpu_floor(machine, 0, &floor, &err), err);
    assert_true(gpu.name[0] && gpu.memory_bytes > 1 << 30 && gpu.multiprocessors > 0 && gpu.capability[0] >= 8);
    assert_true(floor.f32_gflops > 1000 && floor.bf16_gflops > floor.f32_gflops);
    assert_true(floor.memory_gbs > 100 && floor.from_main_gbs > 1 && floor.to_main_gbs > 1);
    assert_int_equal(para_machine_gpu(machine, gpus, &gpu, &err), PARA_EDEVICE);
    if (gpus > 1)
        must(para_machine_gpu_link(machine, 0, 1, &link, &err), err);
    assert_true(gpus == 1 || link > 1);
}

/* Why there is no GPU to test; NULL if there is one. */
static const char *reason(void)
{
    para_machine *m = NULL;
    para_error err = {0};
    if (para_machine_open(&m, NULL, &err) < 0)
        return "the machine doesn't open";
    const char *why = para_machine_gpus(m) > 0 ? NULL : para_machine_cuda(m);
    para_machine_close(m);
    return why;
}

int main(void)
{
    const char *why = reason();
    if (why) {
        printf("skipped: no GPU: %s\n", why);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(maps_are_their_references, open_first, close_machine),
        cmocka_unit_test_setup_teardown(training_is_the_interpreters, open_first, close_machine),
        cmocka_unit_test_setup_teardown(tasks_are_captured_once, open_first, close_machine),
        cmocka_unit_test_setup_teardown(twenty_steps_are_the_interpreters, open_first, close_machine),
        cmocka_unit_test_setup_teardown(texts_go_on_by_themselves, open_first, close_machine),
        cmocka_unit_test_setup_teardown(large_values_go_in_and_out, open_first, close_machine),
        cmocka_unit_test_setup_teardown(sessions_share_values, open_first, close_machine),
        cmocka_unit_test_setup_teardown(infinities_are_found, open_first, close_machine),
        cmocka_unit_test_setup_teardown(memory_is_as_planned, open_first, close_machine),
        cmocka_unit_test(gpus_are_the_default),
        cmocka_unit_test_setup_teardown(wrong_values_are_named_as_on_cpus, open_first, close_machine),
        cmocka_unit_test_setup_teardown(floors_are_measured, open_first, close_machine),
        cmocka_unit_test(cpu_and_gpu_take_turns),
        cmocka_unit_test(two_gpus_compute_the_bits_of_one),
        cmocka_unit_test(each_gpu_takes_what_was_planned),
        cmocka_unit_test_setup_teardown(less_memory_changes_no_bits, open_first, close_machine),
    };
    return cmocka_run_group_tests_name("gpu", tests, NULL, NULL);
}
