/* The profile: when each node ran and where, and the account of each worker's time. */
#include "tests/training.h"

#include "graph/ir.h"

#include <string.h>

/* A model whose tasks take about a millisecond. */
static const para_gpt2 larger = {
    .layers = 4, .heads = 4, .embd = 96, .ff = 384, .vocab = 256, .context = 64, .norm_eps = 1e-5};
enum { LARGER_BATCH = 8, LARGER_SEQ = 64, TRIES = 10 };

struct run {
    para_graph *g, *cut;
    para_session *s;
    const para_sample *sample; /* by node of cut */
    int count;
};

static struct run run_larger(para_machine *m, const struct plan_case *c)
{
    struct run r = {.g = training_graph(&larger, LARGER_BATCH, LARGER_SEQ, true)};
    r.cut = cut_graph(r.g, c);
    r.s = training_session(r.g, r.cut, m, false);
    training_step(r.s, r.g, 0);
    r.sample = para_session_profile(r.s, &r.count);
    return r;
}

static void end_run(struct run *r)
{
    para_session_free(r->s);
    para_graph_free(r->cut);
    para_graph_free(r->g);
}

static void check_samples(const struct run *r, int workers)
{
    double last = 0.0;
    assert_int_equal(r->count, para_graph_node_count(r->cut));
    for (int i = 0; i < r->count; i++) {
        const para_sample *p = &r->sample[i];
        assert_int_equal(p->node, i);
        assert_in_range(p->worker, 0, workers - 1);
        assert_true(p->submit_ns > 0.0 && p->submit_ns <= p->ready_ns && p->ready_ns <= p->start_ns);
        assert_true(p->start_ns <= p->end_ns);
        assert_float_equal(p->bytes, para_node_bytes(para_graph_node(r->cut, i)), 0);
        last = p->end_ns > last ? p->end_ns : last;
    }
    assert_true(last <= para_session_count(r->s).run_ns);
}

/* A node is ready once all that it must wait for has ended, and no worker does two things at once. */
static void check_order(const struct run *r)
{
    para_deps *d = NULL;
    para_error err = {0};
    must(para_deps_new(&d, r->cut, NULL, &err), err);
    for (int i = 0; i < r->count; i++) {
        int edges;
        const para_edge *edge = para_deps_of(d, i, &edges);
        for (int e = 0; e < edges; e++)
            assert_true(r->sample[edge[e].from].end_ns <= r->sample[i].ready_ns);
        for (int k = 0; k < i; k++)
            if (r->sample[k].worker == r->sample[i].worker)
                assert_true(r->sample[k].end_ns <= r->sample[i].start_ns ||
                            r->sample[i].end_ns <= r->sample[k].start_ns);
    }
    para_deps_free(d);
}

/* How many pairs of nodes of different parts ran at the same time. */
static int count_overlaps(const struct run *r)
{
    int count = 0;
    for (int i = 0; i < r->count; i++)
        for (int k = 0; k < i; k++) {
            const char *a = para_node_part(para_graph_node(r->cut, i)), *b = para_node_part(para_graph_node(r->cut, k));
            bool parts = *a && *b && strcmp(a, b) != 0;
            count +=
                parts && r->sample[i].start_ns < r->sample[k].end_ns && r->sample[k].start_ns < r->sample[i].end_ns;
        }
    return count;
}

static void parts_overlap_in_time(void **state)
{
    (void)state;
    para_machine *m = machine_of(2);
    struct run r = run_larger(m, &(struct plan_case){"batch=2", 0, NULL});
    int overlaps = 0;
    for (int try = 0; try < TRIES && overlaps < 10; try++) {
        training_step(r.s, r.g, try);
        check_samples(&r, 2);
        check_order(&r);
        overlaps = count_overlaps(&r);
    }
    assert_true(overlaps >= 10);
    end_run(&r);
    para_machine_close(m);
}

static void the_interpreter_has_a_profile_too(void **state)
{
    (void)state;
    struct run r = run_larger(NULL, &(struct plan_case){"batch=2", 0, NULL});
    check_samples(&r, 1);
    check_order(&r);
    assert_int_equal(count_overlaps(&r), 0);
    int count = -1;
    para_session *plain = serial_session(r.cut, false);
    assert_null(para_session_profile(plain, &count));
    assert_int_equal(count, 0);
    para_session_free(plain);
    end_run(&r);
}

/* Whether one of the worker's nodes touched a parameter; -1 for any worker: whether any node of the place did. */
static bool touched(const struct run *r, const para_tensor *parameter, int worker, int place)
{
    for (int i = 0; i < r->count; i++) {
        const para_node *n = para_graph_node(r->cut, i);
        if (worker >= 0 ? r->sample[i].worker != worker : para_node_place(n) != place)
            continue;
        for (int k = 0; k < n->n_in; k++)
            if (n->in[k]->storage == parameter->id)
                return true;
    }
    return false;
}

/* Stage k of a model's layers reads its own layers' parameters, besides wte, which embedding and head both read. */
static void check_stages(const struct run *r)
{
    size_t by_worker[2] = {0}, by_place[2] = {0}, total = 0, shared = 0;
    int layers[2] = {0};
    for (int i = 0; i < para_graph_node_count(r->cut); i++)
        assert_int_equal(r->sample[i].worker, para_node_place(para_graph_node(r->cut, i)));
    for (int i = 0; i < para_graph_tensor_count(r->cut); i++) {
        const para_tensor *t = para_graph_tensor(r->cut, i);
        if (!is_weight(t))
            continue;
        bool both = touched(r, t, 0, -1) && touched(r, t, 1, -1);
        if (both != (strcmp(para_tensor_name(t), "wte") == 0))
            fail_msg("parameter \"%s\" is touched by %s", para_tensor_name(t), both ? "both workers" : "one worker");
        for (int k = 0; k < 2; k++) {
            by_worker[k] += touched(r, t, k, -1) ? para_tensor_bytes(t) : 0;
            by_place[k] += touched(r, t, -1, k) ? para_tensor_bytes(t) : 0;
            layers[k] += strstr(para_tensor_name(t), "attn.qkv.weight") && touched(r, t, k, -1);
        }
        total += para_tensor_bytes(t);
        shared += both ? para_tensor_bytes(t) : 0;
    }
    assert_int_equal(layers[0], 2);
    assert_int_equal(layers[1], 2);
    assert_int_equal(by_worker[0], by_place[0]);
    assert_int_equal(by_worker[1], by_place[1]);
    assert_int_equal(by_worker[0] + by_worker[1], total + shared);
    assert_true(by_worker[0] < total / 10 * 7 && by_worker[1] < total / 10 * 7);
}

static void each_worker_runs_its_stage(void **state)
{
    (void)state;
    para_machine *m = machine_of(2);
    static const struct plan_case cases[] = {{"", 2, NULL}, {"batch=4", 2, NULL}};
    for (int c = 0; c < 2; c++) {
        struct run r = run_larger(m, &cases[c]);
        check_samples(&r, 2);
        check_stages(&r);
        end_run(&r);
    }
    para_machine_close(m);
}

/* The account by hand: two workers, the times of every kind. */
static void gaps_go_to_whom_they_belong(void **state)
{
    (void)state;
    static const para_sample samples[] = {
        {.node = 0, .worker = 0, .submit_ns = 10, .ready_ns = 10, .start_ns = 15, .end_ns = 40},
        {.node = 1, .worker = 1, .submit_ns = 12, .ready_ns = 40, .start_ns = 43, .end_ns = 50},
        {.node = 2, .worker = 0, .submit_ns = 14, .ready_ns = 14, .start_ns = 42, .end_ns = 70},
        {.node = 3, .worker = 0, .submit_ns = 60, .ready_ns = 75, .start_ns = 76, .end_ns = 90},
    };
    para_worker_time t[3];
    para_error err = {0};
    must(para_profile_account(t, 3, samples, 4, 100, &err), err);
    assert_float_equal(t[0].task_ns, 25 + 28 + 14, 0);
    assert_float_equal(t[0].idle_ns, 5, 0);                      /* until node 3 is ready */
    assert_float_equal(t[0].runtime_ns, 10 + 5 + 2 + 1 + 10, 0); /* before the first submission and at the end, too */
    assert_float_equal(t[1].task_ns, 7, 0);
    assert_float_equal(t[1].idle_ns, 30 + 40, 0);
    assert_float_equal(t[1].runtime_ns, 10 + 3 + 10, 0);
    assert_float_equal(t[2].task_ns, 0, 0);
    assert_float_equal(t[2].idle_ns, 80, 0);
    assert_float_equal(t[2].runtime_ns, 20, 0);
    assert_int_equal(para_profile_account(t, 1, samples, 4, 100, &err), PARA_ERANGE);
    assert_string_equal(err.message, "a sample of worker 1, expected 0 to 0");
    must(para_profile_account(t, 2, NULL, 0, 100, &err), err);
    assert_float_equal(t[1].runtime_ns, 100, 0);
}

/* Whatever the workers do, task, idle and runtime are all of their time, and none is negative. */
static void check_account(const struct run *r, int workers)
{
    para_worker_time t[4];
    para_error err = {0};
    double wall = para_session_count(r->s).run_ns, sum = 0, tasks = 0;
    must(para_profile_account(t, workers, r->sample, r->count, wall, &err), err);
    for (int w = 0; w < workers; w++) {
        assert_true(t[w].task_ns >= 0 && t[w].idle_ns >= 0 && t[w].runtime_ns >= 0);
        assert_float_equal((t[w].task_ns + t[w].idle_ns + t[w].runtime_ns) / wall, 1, 0.01);
        sum += t[w].task_ns + t[w].idle_ns + t[w].runtime_ns;
        tasks += t[w].task_ns;
    }
    for (int i = 0; i < r->count; i++)
        tasks -= r->sample[i].end_ns - r->sample[i].start_ns;
    assert_float_equal(sum / (wall * workers), 1, 0.01);
    assert_float_equal(tasks / wall, 0, 1e-9);
}

static void the_account_adds_up(void **state)
{
    (void)state;
    static const int workers[] = {1, 2, 4};
    static const struct plan_case cases[] = {{"", 0, NULL}, {"batch=4", 0, NULL}, {"batch=2,heads=2,ff=2", 2, NULL}};
    for (size_t k = 0; k < sizeof workers / sizeof workers[0]; k++) {
        para_machine *m = machine_of(workers[k]);
        for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
            struct run r = run_larger(m, &cases[c]);
            check_samples(&r, workers[k]);
            check_order(&r);
            check_account(&r, workers[k]);
            end_run(&r);
        }
        para_machine_close(m);
    }
    struct run r = run_larger(NULL, &cases[1]);
    check_account(&r, 1);
    end_run(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_overlap_in_time),      cmocka_unit_test(the_interpreter_has_a_profile_too),
        cmocka_unit_test(each_worker_runs_its_stage), cmocka_unit_test(gaps_go_to_whom_they_belong),
        cmocka_unit_test(the_account_adds_up),
    };
    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
