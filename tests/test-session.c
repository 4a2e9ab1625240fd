/* Sessions: values by name, errors that name their node, replay without allocation.
 *
 * The linker's --wrap (tests/local.mk) sends the library's and this program's calls of the allocator through the
 * counters below; StarPU's own are not counted. It also lets tasks be refused. */
#include "tests/graph-text.h"
#include "tests/training.h"

#include <errno.h>
#include <malloc.h>
#include <starpu.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "graph/op.h"

static atomic_long allocations;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __real_calloc(count, bytes);
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __real_realloc(memory, bytes);
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    atomic_fetch_add(&allocations, 1);
    return __real_aligned_alloc(alignment, bytes);
}

static atomic_long submissions_left = -1; /* until StarPU is made to refuse tasks; negative: it isn't */
static atomic_long handles_named;         /* by the tasks that were submitted */

int __real_starpu_task_submit(struct starpu_task *task);
int __wrap_starpu_task_submit(struct starpu_task *task);

int __wrap_starpu_task_submit(struct starpu_task *task)
{
    if (atomic_load(&submissions_left) == 0)
        return -ENODEV;
    atomic_fetch_add(&handles_named, task->nbuffers);
    atomic_fetch_sub(&submissions_left, 1);
    return __real_starpu_task_submit(task);
}

struct fixture {
    para_graph *g; /* the small training graph */
    para_machine *m;
};

static const struct plan_case combined = {"batch=2,heads=2,ff=2,vocab=2", 0, NULL}, unsplit = {"", 0, NULL};

static void assert_text(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" doesn't say \"%s\"", text, part);
}

/* --- values by name --- */

/* What is set comes back, before and after a run, however the values are cut; runs leave inputs alone. */
static void check_values(const struct fixture *f, const struct plan_case *c, para_machine *m)
{
    para_graph *cut = cut_graph(f->g, c);
    para_session *s = training_session(f->g, cut, m, false);
    static const char *const names[] = {"wte", "layer.1.attn.qkv.weight", "layer.2.mlp.fc.bias.m", "ln_f.bias",
                                        "wpe.v"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        int64_t n = elements_of(f->g, names[i]);
        float *x = must_alloc((size_t)n * sizeof *x);
        fill_uniform(x, n, 21, i, 0.0, 1.0);
        set_value(s, names[i], x, (size_t)n * sizeof *x);
        float *back = get_floats(s, names[i], n);
        assert_memory_equal(back, x, (size_t)n * sizeof *x);
        free(back);
        free(x);
    }
    training_step(s, f->g, 3);
    int32_t tokens[TRAIN_BATCH * TRAIN_SEQ], wanted[TRAIN_BATCH * TRAIN_SEQ], done = -1;
    para_error err = {0};
    fill_ids(wanted, TRAIN_BATCH * TRAIN_SEQ, 12, 6, (int32_t)train_model.vocab);
    must(para_session_get(s, "tokens", tokens, sizeof tokens, &err), err);
    assert_memory_equal(tokens, wanted, sizeof wanted);
    must(para_session_get(s, PARA_STEP, &done, sizeof done, &err), err);
    assert_int_equal(done, 1);
    para_session_free(s);
    para_graph_free(cut);
}

static void values_go_by_whole_names(void **state)
{
    const struct fixture *f = *state;
    check_values(f, &unsplit, NULL);
    for (const struct plan_case *c = plan_cases; c->split; c++) {
        check_values(f, c, NULL);
        check_values(f, c, f->m);
    }
}

/* Without a set, a parameter begins alike under every split. */
static void beginnings_do_not_depend_on_splits(void **state)
{
    const struct fixture *f = *state;
    int64_t n = elements_of(f->g, "layer.0.mlp.fc.weight");
    para_graph *cut = cut_graph(f->g, &combined);
    para_session *whole = serial_session(f->g, false), *parts = serial_session(cut, false);
    float *x = get_floats(whole, "layer.0.mlp.fc.weight", n), *y = get_floats(parts, "layer.0.mlp.fc.weight", n);
    assert_true(norm_of(x, n) > 0.5);
    assert_memory_equal(x, y, (size_t)n * sizeof *x);
    free(x);
    free(y);
    para_session_free(whole);
    para_session_free(parts);
    para_graph_free(cut);
}

static void wrong_names_and_sizes_are_refused(void **state)
{
    const struct fixture *f = *state;
    para_graph *cut = cut_graph(f->g, &combined);
    para_session *s = training_session(f->g, cut, f->m, false);
    para_error err = {0};
    float x[4] = {0};
    const size_t wte = (size_t)elements_of(f->g, "wte") * sizeof(float);
    char text[64];
    assert_int_equal(para_session_set(s, "nonesuch", x, sizeof x, &err), PARA_ENAME);
    assert_text(err.message, "no input, parameter or state is called \"nonesuch\"");
    assert_int_equal(para_session_get(s, "nonesuch", x, sizeof x, &err), PARA_ENAME);
    assert_int_equal(para_session_set(s, "wte", x, sizeof x, &err), PARA_ESHAPE);
    snprintf(text, sizeof text, "\"wte\" takes %zu bytes, got %zu", wte, sizeof x);
    assert_string_equal(err.message, text);
    assert_int_equal(para_session_get(s, "wte", x, sizeof x, &err), PARA_ESHAPE);
    assert_string_equal(err.message, text);
    assert_int_equal(para_session_set(s, "loss", x, sizeof(float), &err), PARA_ENAME);
    assert_int_equal(para_session_get(s, "logits", x, sizeof x, NULL), PARA_ENAME);
    assert_int_equal(para_session_get(s, "wte[vocab=0]", x, sizeof x, NULL), PARA_ENAME);
    training_step(s, f->g, 0);
    para_session_free(s);
    para_graph_free(cut);
}

static void open_graphs_are_refused(void **state)
{
    const struct fixture *f = *state;
    para_graph *g = para_graph_new();
    para_output(para_scale(g, para_input(g, "x", PARA_F32, PARA_DIMS({"n", 4})), 2.0));
    para_session *s = NULL;
    para_error err = {0};
    assert_int_equal(para_session_new(&s, g, NULL, NULL, &err), PARA_EINVAL);
    assert_text(err.message, "not sealed");
    assert_int_equal(para_session_new(&s, g, f->m, NULL, &err), PARA_EINVAL);
    must(para_graph_seal(g, &err), err);
    para_session_options options = para_session_default();
    options.reference = true;
    assert_int_equal(para_session_new(&s, g, f->m, &options, &err), PARA_EINVAL);
    assert_text(err.message, "serial");
    assert_null(s);
    para_graph_free(g);
}

/* --- errors of kernels --- */

/* All of the model's parameters, one after another, to be freed. */
static float *parameters_of(para_session *s, const para_graph *g, int64_t *elements)
{
    float *all = NULL;
    *elements = 0;
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (para_tensor_producer(t) || para_tensor_kind(t) != PARA_PARAMETER)
            continue;
        int64_t more = para_tensor_elements(t);
        float *x = get_floats(s, para_tensor_name(t), more);
        all = realloc(all, (size_t)(*elements + more) * sizeof *all);
        assert_non_null(all);
        memcpy(all + *elements, x, (size_t)more * sizeof *x);
        *elements += more;
        free(x);
    }
    return all;
}

/* A token out of range fails the run with the name of the embedding, and the update, which comes after it, is left out;
 * set right, the same session runs on. */
static void check_kernel_error(const struct fixture *f, para_machine *m, const struct plan_case *c)
{
    para_graph *cut = cut_graph(f->g, c);
    para_session *s = training_session(f->g, cut, m, false), *fresh = training_session(f->g, cut, m, false);
    int32_t tokens[TRAIN_BATCH * TRAIN_SEQ] = {0};
    para_error err = {0};
    training_step(s, f->g, 0);
    int64_t count;
    float *before = parameters_of(s, f->g, &count);
    tokens[37] = (int32_t)train_model.vocab;
    set_value(s, "tokens", tokens, sizeof tokens);
    assert_int_equal(para_session_run(s, &err), PARA_ERANGE);
    float *after = parameters_of(s, f->g, &count);
    assert_memory_equal(before, after, (size_t)count * sizeof *after);
    free(before);
    free(after);
    assert_text(err.message, "embed");
    assert_text(err.message, "67");
    for (int i = 0; i < para_graph_tensor_count(f->g); i++) {
        const para_tensor *t = para_graph_tensor(f->g, i);
        if (para_tensor_producer(t) || para_tensor_kind(t) == PARA_INPUT)
            continue;
        void *x = must_alloc(para_tensor_bytes(t));
        must(para_session_get(fresh, para_tensor_name(t), x, para_tensor_bytes(t), &err), err);
        set_value(s, para_tensor_name(t), x, para_tensor_bytes(t));
        free(x);
    }
    assert_true(training_step(s, f->g, 1) == training_step(fresh, f->g, 1));
    assert_true(training_step(s, f->g, 2) == training_step(fresh, f->g, 2));
    para_session_free(s);
    para_session_free(fresh);
    para_graph_free(cut);
}

static void kernel_errors_name_their_node(void **state)
{
    const struct fixture *f = *state;
    check_kernel_error(f, NULL, &unsplit);
    check_kernel_error(f, f->m, &unsplit);
    check_kernel_error(f, f->m, &combined);
}

/* --- inputs --- */

/* The first run asks for every input that a node reads, by its whole name; what is set stays. */
static void check_inputs(para_machine *m, const char *split)
{
    static const float x[4] = {1, 2, 3, 4}, b[4] = {10, 20, 30, 40};
    para_error err = {0};
    para_graph *g =
        graph_of("x:input[rows=4]; label:input[rows=4]; unread:input[rows=4]; y = add(x, label); output(y)");
    para_graph *cut = cut_graph(g, &(struct plan_case){split, 0, NULL});
    para_session *s = NULL;
    must(para_session_new(&s, cut, m, NULL, &err), err);
    set_value(s, "x", x, sizeof x);
    assert_int_equal(para_session_run(s, &err), PARA_EINVAL);
    assert_string_equal(err.message, "input \"label\" was never set");
    assert_int_equal(para_session_count(s).runs, 0);
    set_value(s, "label", b, sizeof b);
    for (int run = 1; run < 4; run++) {
        run_once(s);
        float *y = get_floats(s, "y", 4);
        for (int i = 0; i < 4; i++)
            assert_float_equal(y[i], x[i] + b[i], 0);
        free(y);
    }
    para_session_free(s);
    para_graph_free(cut);
    para_graph_free(g);
}

static void inputs_must_be_set_once(void **state)
{
    const struct fixture *f = *state;
    check_inputs(NULL, "");
    check_inputs(NULL, "rows=2");
    check_inputs(f->m, "");
    check_inputs(f->m, "rows=2");
}

static bool is_node(const para_graph *g, const char *name)
{
    int i = 0;
    while (i < g->n_nodes && strcmp(g->nodes[i]->name, name) != 0)
        i++;
    return i < g->n_nodes;
}

/* A task that StarPU refuses breaks the session: later runs say so, and it can be freed. Others go on. */
static void refused_tasks_break_the_session(void **state)
{
    const struct fixture *f = *state;
    para_error err = {0};
    para_session *s = training_session(f->g, f->g, f->m, false), *other = training_session(f->g, f->g, f->m, false);
    training_step(s, f->g, 0);
    atomic_store(&submissions_left, 5);
    assert_int_equal(para_session_run(s, &err), PARA_EDEVICE);
    atomic_store(&submissions_left, -1);
    assert_text(err.message, "StarPU refuses the task: No such device");
    char name[sizeof err.message];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(err.message, ":"), err.message);
    assert_true(is_node(f->g, name));
    for (int run = 0; run < 2; run++) {
        assert_int_equal(para_session_run(s, &err), PARA_EDEVICE);
        assert_text(err.message, "the session is broken since a run failed");
        assert_text(err.message, name);
    }
    training_step(other, f->g, 0);
    para_session_free(s);
    para_session_free(other);
}

/* --- crews --- */

/* A graph that keeps no more workers busy than there are is a task a worker; later runs make nothing. */
static void narrow_runs_are_a_task_a_worker(void **state)
{
    const struct fixture *f = *state;
    para_error err = {0};
    para_graph *g = graph_of("x:input[rows=4]; a = scale(x, 2); b = add(a, x); y = scale(b, 3); output(y)");
    para_graph *cut = cut_graph(g, &(struct plan_case){"rows=2", 0, NULL});
    para_session *s = NULL;
    must(para_session_new(&s, cut, f->m, NULL, &err), err);
    for (int run = 0; run < 50; run++) {
        float x[4] = {1, 2, 3, (float)run}, *y;
        set_value(s, "x", x, sizeof x);
        long before = atomic_load(&allocations);
        run_once(s);
        assert_int_equal(atomic_load(&allocations) - before, 0);
        y = get_floats(s, "y", 4);
        for (int i = 0; i < 4; i++)
            assert_float_equal(y[i], 9 * x[i], 0);
        free(y);
    }
    assert_int_equal(para_session_count(s).tasks_created, para_machine_workers(f->m));
    atomic_store(&submissions_left, 1);
    assert_int_equal(para_session_run(s, &err), PARA_EDEVICE);
    atomic_store(&submissions_left, -1);
    assert_text(err.message, "StarPU refuses the task: No such device");
    assert_int_equal(para_session_run(s, &err), PARA_EDEVICE);
    assert_text(err.message, "the session is broken since a run failed");
    para_session_free(s);
    para_graph_free(cut);
    para_graph_free(g);
}

/* --- replay --- */

static int tasks_of(const para_graph *g, const para_machine *m)
{
    para_error err = {0};
    para_plan *plan = NULL;
    must(para_plan_new(&plan, g, para_machine_workers(m), &err), err);
    int tasks = para_plan_summarize(plan).tasks;
    para_plan_free(plan);
    assert_in_range(tasks, 2, para_graph_node_count(g) - 1);
    return tasks;
}

/* Making the session allocates, or nothing is counted here. The first run makes and registers what there is. */
static void check_replay(const struct fixture *f, para_machine *m, const struct plan_case *c)
{
    para_graph *cut = cut_graph(f->g, c);
    long before = atomic_load(&allocations);
    para_session *s = training_session(f->g, cut, m, false);
    assert_true(atomic_load(&allocations) - before > 100);
    training_step(s, f->g, 0);
    para_session_counters first = para_session_count(s);
    assert_int_equal(first.tasks_created, m ? tasks_of(cut, m) : 0);
    assert_true((first.handles_registered > 0) == (m != NULL));
    assert_int_equal(first.runs, 1);
    for (int run = 2; run < 6; run++) {
        before = atomic_load(&allocations);
        run_once(s);
        assert_int_equal(atomic_load(&allocations) - before, 0);
        para_session_counters later = para_session_count(s);
        assert_int_equal(later.tasks_created, first.tasks_created);
        assert_int_equal(later.handles_registered, first.handles_registered);
        assert_int_equal(later.runs, run);
        assert_true(later.run_ns > 0);
    }
    para_session_free(s);
    para_graph_free(cut);
}

static void replay_makes_nothing(void **state)
{
    const struct fixture *f = *state;
    check_replay(f, NULL, &unsplit);
    check_replay(f, f->m, &unsplit);
    for (const struct plan_case *c = plan_cases; c->split; c++)
        check_replay(f, f->m, c);
}

/* What StarPU itself allocates in a run it must release: a table of a task's operands kept each time would be more than
 * this. Now and then one of its pools grows, so the calmest of some rounds counts. */
static void replay_leaves_the_heap_alone(void **state)
{
    const struct fixture *f = *state;
    enum { ROUNDS = 5, RUNS = 30, ALLOWED = 2048 };
    para_graph *cut = cut_graph(f->g, &combined);
    para_session *s = training_session(f->g, cut, f->m, false);
    size_t least = SIZE_MAX;
    training_step(s, f->g, 0);
    for (int round = 0; round < ROUNDS; round++) {
        size_t before = mallinfo2().uordblks;
        for (int run = 0; run < RUNS; run++)
            run_once(s);
        size_t after = mallinfo2().uordblks, grown = after > before ? after - before : 0;
        least = grown < least ? grown : least;
    }
    if (least > ALLOWED)
        fail_msg("the heap grew by %zu bytes in %d runs of %d tasks", least, RUNS, para_graph_node_count(cut));
    para_session_free(s);
    para_graph_free(cut);
}

/* StarPU's own order from data accesses gives the bits that the analyzer's edges give. */
static void implicit_order_gives_the_same_bits(void **state)
{
    const struct fixture *f = *state;
    for (const struct plan_case *c = plan_cases; c->split; c++) {
        para_graph *cut = cut_graph(f->g, c);
        para_session *implied = training_session(f->g, cut, f->m, true);
        para_session *declared = training_session(f->g, cut, f->m, false);
        for (int step = 0; step < 3; step++)
            assert_true(training_step(implied, f->g, step) == training_step(declared, f->g, step));
        for (int i = 0; i < para_graph_tensor_count(f->g); i++) {
            const para_tensor *t = para_graph_tensor(f->g, i);
            if (!is_weight(t))
                continue;
            float *x = get_floats(implied, para_tensor_name(t), para_tensor_elements(t));
            float *y = get_floats(declared, para_tensor_name(t), para_tensor_elements(t));
            assert_memory_equal(x, y, para_tensor_bytes(t));
            free(x);
            free(y);
        }
        para_session_free(implied);
        para_session_free(declared);
        para_graph_free(cut);
    }
}

/* Where nothing can be moved, tasks name no handles; values still come and go by them. */
static void tasks_name_what_may_be_moved(void **state)
{
    const struct fixture *f = *state;
    for (int implicit = 0; implicit <= 1; implicit++) {
        para_session *s = training_session(f->g, f->g, f->m, implicit);
        long before = atomic_load(&handles_named);
        training_step(s, f->g, 0);
        assert_true((atomic_load(&handles_named) > before) == (implicit || para_machine_memories(f->m) > 1));
        para_session_free(s);
    }
}

/* Under ff=2 each part's nodes touch their own tiles, and a tile has half of the bytes. */
static void parts_hold_their_half(void **state)
{
    const struct fixture *f = *state;
    para_graph *cut = cut_graph(f->g, &(struct plan_case){"ff=2", 0, NULL});
    size_t bytes[2] = {0}, whole = 0;
    for (int i = 0; i < cut->n_tensors; i++) {
        const para_tensor *t = cut->tensors[i];
        int d = para_shape_find(&t->shape, "ff");
        if (!is_weight(t) || d < 0)
            continue;
        int part = t->shape.dim[d].begin > 0;
        assert_int_equal(2 * para_tensor_bytes(t), para_tensor_bytes(para_graph_find(f->g, t->base)));
        bytes[part] += para_tensor_bytes(t);
        for (int n = 0; n < cut->n_nodes; n++)
            for (int k = 0; k < cut->nodes[n]->n_in; k++)
                if (cut->nodes[n]->in[k]->storage == t->id)
                    assert_string_equal(cut->nodes[n]->part, part ? "ff=1" : "ff=0");
    }
    for (int i = 0; i < f->g->n_tensors; i++)
        if (is_weight(f->g->tensors[i]) && para_shape_find(&f->g->tensors[i]->shape, "ff") >= 0)
            whole += para_tensor_bytes(f->g->tensors[i]);
    assert_int_equal(bytes[0], bytes[1]);
    assert_int_equal(bytes[0] + bytes[1], whole);
    assert_int_equal(whole, 4 * (2 * 32 * 128 + 128) * sizeof(float));
    para_graph_free(cut);
}

static int begin(void **state)
{
    struct fixture *f = must_alloc(sizeof *f);
    f->g = training_graph(&train_model, TRAIN_BATCH, TRAIN_SEQ, true);
    f->m = machine_of(2);
    *state = f;
    return 0;
}

static int end(void **state)
{
    struct fixture *f = *state;
    para_graph_free(f->g);
    para_machine_close(f->m);
    free(f);
    return 0;
}

/* no_draws begins drawn values as zeros and leaves fills as they are. */
static void draws_can_be_left_out(void **state)
{
    (void)state;
    para_graph *g = para_graph_new();
    para_error err;
    para_param(g, "drawn", PARA_DIMS({"n", 3}), (para_init){PARA_INIT_NORMAL, 1, 2});
    para_param(g, "filled", PARA_DIMS({"n", 3}), (para_init){PARA_INIT_FILL, 5, 0});
    must(para_graph_seal(g, &err), err);
    para_session_options options = para_session_default();
    options.no_draws = true;
    para_session *s = NULL;
    must(para_session_new(&s, g, NULL, &options, &err), err);
    float *drawn = get_floats(s, "drawn", 3), *filled = get_floats(s, "filled", 3);
    for (int e = 0; e < 3; e++)
        assert_true(drawn[e] == 0 && filled[e] == 5);
    free(drawn);
    free(filled);
    para_session_free(s);
    para_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_can_be_left_out),
        cmocka_unit_test(values_go_by_whole_names),
        cmocka_unit_test(beginnings_do_not_depend_on_splits),
        cmocka_unit_test(wrong_names_and_sizes_are_refused),
        cmocka_unit_test(open_graphs_are_refused),
        cmocka_unit_test(kernel_errors_name_their_node),
        cmocka_unit_test(inputs_must_be_set_once),
        cmocka_unit_test(refused_tasks_break_the_session),
        cmocka_unit_test(narrow_runs_are_a_task_a_worker),
        cmocka_unit_test(replay_makes_nothing),
        cmocka_unit_test(replay_leaves_the_heap_alone),
        cmocka_unit_test(tasks_name_what_may_be_moved),
        cmocka_unit_test(implicit_order_gives_the_same_bits),
        cmocka_unit_test(parts_hold_their_half),
    };
    return cmocka_run_group_tests_name("session", tests, begin, end);
}
