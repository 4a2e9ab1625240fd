/* What is read from a profile: gaps and their causes, the measured critical path, ready tasks, what bounds the run. */
#include "tests/profiles.h"
#include "tests/training.h"
#include "view/timeline.h"

#include <stdlib.h>
#include <string.h>

static struct para_timeline timeline_of(const para_profile *p)
{
    struct para_timeline t;
    para_error err = {0};
    must(para_timeline_new(&t, p, &err), err);
    return t;
}

/* a and b, then c of both on b's worker, then d of c on a's. */
static const char *const abcd = "x:input[batch=2,rows=4]; a = scale(x, 2); b = scale(x, 3); c = add(a, b); "
                                "d = scale(c, 2); output(d)";
enum { A, B, C, D };
static const struct para_timing abcd_times[] = {
    {.task = 0, .worker = 0, .submit_ns = 5, .ready_ns = 5, .start_ns = 10, .end_ns = 40},
    {.task = 1, .worker = 1, .submit_ns = 6, .ready_ns = 6, .start_ns = 8, .end_ns = 20},
    {.task = 2, .worker = 1, .submit_ns = 7, .ready_ns = 40, .start_ns = 43, .end_ns = 60},
    {.task = 3, .worker = 0, .submit_ns = 8, .ready_ns = 60, .start_ns = 61, .end_ns = 90},
};

static void gaps_name_their_cause(void **state)
{
    (void)state;
    static const struct {
        int worker;
        int64_t begin_ns, end_ns;
        enum para_gap_cause cause;
        int node, from; /* from: the node that is waited for */
        const char *text;
    } expected[] = {
        {0, 0, 5, PARA_GAP_OUTSIDE, -1, -1, "runtime: nothing is submitted yet"},
        {0, 5, 10, PARA_GAP_RUNTIME, A, -1, "runtime: a is ready"},
        {0, 40, 60, PARA_GAP_WAIT, D, C, "idle: d waits: RAW on c"},
        {0, 60, 61, PARA_GAP_RUNTIME, D, -1, "runtime: d is ready"},
        {0, 90, 100, PARA_GAP_OUTSIDE, -1, -1, "runtime: all has run"},
        {1, 0, 5, PARA_GAP_OUTSIDE, -1, -1, "runtime: nothing is submitted yet"},
        {1, 5, 6, PARA_GAP_SUBMIT, B, -1, "idle: b isn't submitted yet"},
        {1, 6, 8, PARA_GAP_RUNTIME, B, -1, "runtime: b is ready"},
        {1, 20, 40, PARA_GAP_WAIT, C, A, "idle: c waits: RAW on a"},
        {1, 40, 43, PARA_GAP_RUNTIME, C, -1, "runtime: c is ready"},
        {1, 60, 90, PARA_GAP_END, -1, -1, "idle: nothing is left to run here"},
        {1, 90, 100, PARA_GAP_OUTSIDE, -1, -1, "runtime: all has run"},
    };
    enum { COUNT = sizeof expected / sizeof expected[0] };
    para_profile *p = profile_of(abcd, 2, abcd_times, 100);
    struct para_timeline t = timeline_of(p);
    assert_int_equal(t.n_gaps, COUNT);
    assert_int_equal(t.first_gap[1], 5);
    assert_int_equal(t.first_gap[2], COUNT);
    for (int i = 0; i < COUNT; i++) {
        const struct para_gap *g = &t.gaps[i];
        assert_string_equal(para_gap_text(&t.arena, p, g), expected[i].text);
        assert_int_equal(g->worker, expected[i].worker);
        assert_int_equal(g->begin_ns, expected[i].begin_ns);
        assert_int_equal(g->end_ns, expected[i].end_ns);
        assert_int_equal(g->cause, expected[i].cause);
        assert_int_equal(g->node, expected[i].node);
        assert_int_equal(g->wait >= 0 ? p->waits[g->wait].from : -1, expected[i].from);
    }
    para_timeline_free(&t);
    para_profile_free(p);
}

/* Worker 0 runs a, b and c in turn, b and c ready from the start, and d, which waits for c; worker 1 runs nothing. */
static void idle_workers_beside_ready_tasks_are_told(void **state)
{
    (void)state;
    static const struct para_timing times[] = {
        {.task = 0, .worker = 0, .submit_ns = 0, .ready_ns = 0, .start_ns = 0, .end_ns = 10},
        {.task = 1, .worker = 0, .submit_ns = 0, .ready_ns = 0, .start_ns = 10, .end_ns = 20},
        {.task = 2, .worker = 0, .submit_ns = 0, .ready_ns = 0, .start_ns = 20, .end_ns = 30},
        {.task = 3, .worker = 0, .submit_ns = 0, .ready_ns = 30, .start_ns = 30, .end_ns = 70},
    };
    static const struct {
        int64_t end_ns;
        enum para_gap_cause cause;
        const char *text;
    } expected[] = {
        {20, PARA_GAP_QUEUED, "idle: b is ready, and queued on worker 0"},
        {30, PARA_GAP_WAIT, "idle: d waits: RAW on c"},
        {70, PARA_GAP_END, "idle: nothing is left to run here"},
    };
    static const char *const queued = "x:input[batch=2,rows=4]; a = scale(x, 2); b = scale(x, 3); c = scale(x, 4); "
                                      "d = add(c, x); output(a); output(b); output(d)";
    para_profile *p = profile_of(queued, 2, times, 70);
    struct para_timeline t = timeline_of(p);
    int64_t ns;
    assert_int_equal(t.n_gaps - t.first_gap[1], 3);
    for (int i = 0; i < 3; i++) {
        const struct para_gap *g = &t.gaps[t.first_gap[1] + i];
        assert_int_equal(g->cause, expected[i].cause);
        assert_int_equal(g->end_ns, expected[i].end_ns);
        assert_string_equal(para_gap_text(&t.arena, p, g), expected[i].text);
    }
    assert_int_equal(para_gap_meanwhile(&t, &t.gaps[t.first_gap[1] + 2], &ns), 3);
    assert_int_equal(ns, 40);
    assert_int_equal(t.gap_ns[PARA_GAP_QUEUED], 20);
    assert_non_null(strstr(t.summary, "They were idle for 50.0 % of it (7.1 waiting for results, longest for c, 0.000 "
                                      "ms; 14.3 beside tasks that were ready, but queued on a busy worker; 28.6 with "
                                      "nothing left to run). 0.0 % went to the runtime. "));
    para_timeline_free(&t);
    p->gpu[1] = 0; /* which can't run what is meant for cores */
    t = timeline_of(p);
    assert_int_equal(t.n_gaps - t.first_gap[1], 1);
    assert_int_equal(t.gaps[t.first_gap[1]].cause, PARA_GAP_END);
    assert_int_equal(t.gap_ns[PARA_GAP_QUEUED], 0);
    para_timeline_free(&t);
    para_profile_free(p);
    p = profile_of(queued, 4, times, 70);
    t = timeline_of(p);
    assert_int_equal(t.bound, PARA_BOUND_IMBALANCE);
    para_timeline_free(&t);
    p->wall_ns = p->nodes[3].end_ns = 31;
    t = timeline_of(p);
    assert_int_equal(t.bound, PARA_BOUND_QUEUE);
    assert_non_null(strstr(t.summary, "Workers took nothing though tasks were ready"));
    para_timeline_free(&t);
    para_profile_free(p);
}

/* Worker 0 runs a, c and d in turn, worker 1 nothing but b, which waits for d at last; c waits for a. */
static void a_gap_is_told_by_what_became_ready_at_its_end(void **state)
{
    (void)state;
    static const struct para_timing times[] = {
        {.task = 0, .worker = 0, .submit_ns = 0, .ready_ns = 0, .start_ns = 0, .end_ns = 10},
        {.task = 1, .worker = 0, .submit_ns = 0, .ready_ns = 10, .start_ns = 10, .end_ns = 20},
        {.task = 2, .worker = 0, .submit_ns = 0, .ready_ns = 10, .start_ns = 20, .end_ns = 30},
        {.task = 3, .worker = 1, .submit_ns = 0, .ready_ns = 30, .start_ns = 30, .end_ns = 40},
    };
    static const char *const texts[] = {"idle: d waits: RAW on a", "idle: d is ready, and queued on worker 0",
                                        "idle: b waits: RAW on d"};
    para_profile *p = profile_of("x:input[batch=2,rows=4]; a = scale(x, 2); c = scale(a, 3); d = scale(a, 4); "
                                 "b = scale(d, 3); output(b); output(c)",
                                 2, times, 40);
    struct para_timeline t = timeline_of(p);
    assert_int_equal(t.first_gap[2] - t.first_gap[1], 3);
    for (int i = 0; i < 3; i++)
        assert_string_equal(para_gap_text(&t.arena, p, &t.gaps[t.first_gap[1] + i]), texts[i]);
    para_timeline_free(&t);
    para_profile_free(p);
}

static void check_path(const struct para_timeline *t, const struct para_step *expected, int count)
{
    assert_int_equal(t->n_path, count);
    for (int i = 0; i < count; i++) {
        assert_int_equal(t->path[i].node, expected[i].node);
        assert_int_equal(t->path[i].link, expected[i].link);
        assert_int_equal(t->path[i].wait >= 0 ? t->p->waits[t->path[i].wait].from : -1, expected[i].wait);
    }
}

static void the_path_goes_back_from_the_last_end(void **state)
{
    (void)state;
    static const struct para_step path[] = {
        {A, PARA_LINK_FIRST, -1}, {C, PARA_LINK_WAIT, A}, {D, PARA_LINK_WAIT, C}}; /* wait: the node waited for */
    para_profile *p = profile_of(abcd, 2, abcd_times, 100);
    struct para_timeline t = timeline_of(p);
    check_path(&t, path, 3);
    assert_int_equal(t.chain_ns, 30 + 17 + 29);
    para_timeline_free(&t);
    para_profile_free(p);
}

/* On one worker a, then b, which needn't wait for it; d waits for c, whose task went on with e. */
static void the_path_knows_workers_and_tasks(void **state)
{
    (void)state;
    static const struct para_timing times[] = {
        {.task = 0, .worker = 0, .submit_ns = 1, .ready_ns = 1, .start_ns = 2, .end_ns = 10},
        {.task = 1, .worker = 0, .submit_ns = 1, .ready_ns = 1, .start_ns = 12, .end_ns = 20},
        {.task = 1, .worker = 0, .submit_ns = 1, .ready_ns = 20, .start_ns = 21, .end_ns = 30},
        {.task = 2, .worker = 1, .submit_ns = 1, .ready_ns = 30, .start_ns = 33, .end_ns = 50},
    };
    static const struct para_step path[] = {
        {0, PARA_LINK_FIRST, -1}, {1, PARA_LINK_WORKER, -1}, {2, PARA_LINK_TASK, -1}, {3, PARA_LINK_WAIT, 1}};
    para_profile *p = profile_of("x:input[batch=2,rows=4]; a = scale(x, 2); c = scale(x, 3); e = scale(c, 2); "
                                 "d = scale(c, 4); output(d)",
                                 2, times, 60);
    struct para_timeline t = timeline_of(p);
    check_path(&t, path, 4);
    assert_int_equal(t.gaps[t.first_gap[1] + 2].cause, PARA_GAP_WAIT); /* until the whole task has ended */
    assert_int_equal(t.gaps[t.first_gap[1] + 2].end_ns, 30);
    para_timeline_free(&t);
    para_profile_free(p);
}

/* a and b take no time and wait for each other: b for a's result, a for the worker that b has first. */
static void the_path_ends_where_it_would_go_round(void **state)
{
    (void)state;
    static const struct para_timing times[] = {
        {.task = 1, .worker = 0, .submit_ns = 1, .ready_ns = 1, .start_ns = 7, .end_ns = 7},
        {.task = 0, .worker = 0, .submit_ns = 1, .ready_ns = 7, .start_ns = 7, .end_ns = 7},
        {.task = 2, .worker = 1, .submit_ns = 1, .ready_ns = 7, .start_ns = 8, .end_ns = 9},
        {.task = 3, .worker = 1, .submit_ns = 1, .ready_ns = 1, .start_ns = 1, .end_ns = 2},
    };
    static const struct para_step path[] = {{0, PARA_LINK_FIRST, -1}, {1, PARA_LINK_WAIT, 0}, {2, PARA_LINK_WAIT, 1}};
    para_profile *p = profile_of("x:input[batch=2,rows=4]; a = scale(x, 2); b = scale(a, 3); c = scale(b, 2); "
                                 "d = scale(x, 4); output(c)",
                                 2, times, 10);
    struct para_timeline t = timeline_of(p);
    check_path(&t, path, 3);
    para_timeline_free(&t);
    para_profile_free(p);
}

static void ready_tasks_are_counted(void **state)
{
    (void)state;
    static const struct para_load loads[] = {{5, 1, 0},  {6, 2, 0},  {8, 1, 1},  {10, 0, 2}, {20, 0, 1},
                                             {40, 1, 0}, {43, 0, 1}, {60, 1, 0}, {61, 0, 1}, {90, 0, 0}};
    para_profile *p = profile_of(abcd, 2, abcd_times, 100);
    struct para_timeline t = timeline_of(p);
    assert_int_equal(t.n_loads, 10);
    for (int i = 0; i < t.n_loads; i++) {
        assert_int_equal(t.loads[i].time_ns, loads[i].time_ns);
        assert_int_equal(t.loads[i].ready, loads[i].ready);
        assert_int_equal(t.loads[i].running, loads[i].running);
    }
    para_timeline_free(&t);
    para_profile_free(p);
}

static void the_parts_are_all_of_the_time(void **state)
{
    (void)state;
    para_profile *p = profile_of(abcd, 2, abcd_times, 100);
    struct para_timeline t = timeline_of(p);
    assert_int_equal(t.part_ns[PARA_BOUND_COMPUTE], 0);
    assert_int_equal(t.part_ns[PARA_BOUND_MEMORY], 30 + 12 + 17 + 29);
    assert_int_equal(t.part_ns[PARA_BOUND_DEPENDENCY], 20 + 20);
    assert_int_equal(t.part_ns[PARA_BOUND_IMBALANCE], 30);
    assert_int_equal(t.part_ns[PARA_BOUND_RUNTIME], 42);
    assert_int_equal(t.most_waited, A);
    assert_string_equal(
        t.summary,
        "What bounds this step most is memory. Of the workers' time 0.0 % went into nodes that compute bounds (0 "
        "GFLOP, 0 GFLOP/s each on average) and 44.0 % into nodes that memory bounds (2.88e-07 GB, 3.27 GB/s each on "
        "average). They were idle for 35.5 % of it (20.0 waiting for results, longest for a, 0.000 ms; 0.5 before a "
        "task "
        "was submitted; 15.0 with nothing left to run). 20.5 % went to the runtime (15.0 before the first task was "
        "submitted and after the last had ended). It took 0.000 ms on 2 workers; its kernels alone, shared out evenly, "
        "take "
        "0.000 ms, and the longest chain of nodes that wait for each other 0.000 ms. Types of fewer bits, or nodes "
        "that are fused, would move fewer bytes.");
    para_timeline_free(&t);
    para_profile_free(p);
}

/* b and e take more than three times the median of the five that are alike, 10, and d, of other work, as long as e. */
static void what_took_far_longer_than_its_like_is_named(void **state)
{
    static const struct para_timing times[] = {
        {0, 0, 0, 0, 0, 10},    {1, 0, 0, 10, 10, 51},    {2, 0, 0, 51, 51, 60},
        {3, 0, 0, 60, 60, 160}, {4, 0, 0, 160, 160, 260}, {5, 0, 0, 260, 260, 270},
    };
    (void)state;
    para_profile *p = profile_of("x:input[batch=2,rows=4]; y:input[batch=2]; a = scale(x, 2); b = scale(a, 2); "
                                 "c = scale(b, 3); d = scale(y, 2); e = scale(c, 2); f = scale(e, 2); output(f); "
                                 "output(d)",
                                 1, times, 300);
    struct para_timeline t = timeline_of(p);
    assert_int_equal(t.late, 2);
    assert_int_equal(t.late_ns, 31 + 90);
    assert_int_equal(t.latest, 4);
    assert_int_equal(t.latest_ns, 90);
    assert_non_null(strstr(t.summary,
                           "This run was disturbed; as it went, memory took most of it. 2 nodes took 0.000 ms "
                           "more than the median of others of the same op, work and bytes, longest e (0.000 "
                           "ms). Something else may have held the workers"));
    assert_null(strstr(t.summary, "What bounds"));
    para_timeline_free(&t);
    para_profile_free(p);
}

/* Each of five that are ready begins after 1, the last after 200. */
static void what_was_begun_far_later_than_most_is_told(void **state)
{
    (void)state;
    struct para_timing times[5];
    for (int i = 0; i < 5; i++)
        times[i] = (struct para_timing){i, 0, 0, 11 * i, 11 * i + 1, 11 * i + 11};
    times[4].start_ns = 244, times[4].end_ns = 254;
    para_profile *p = profile_of("x:input[batch=2,rows=4]; a = scale(x, 2); b = scale(a, 2); c = scale(b, 3); "
                                 "d = scale(c, 2); e = scale(d, 2); output(e)",
                                 1, times, 254);
    struct para_timeline t = timeline_of(p);
    assert_int_equal(t.held, 1);
    assert_int_equal(t.held_ns, 200);
    assert_true(t.disturbed);
    assert_non_null(strstr(t.summary, "1 time a worker began what was ready late, 0.000 ms in all"));
    para_timeline_free(&t);
    p->nodes[4].start_ns = p->nodes[4].ready_ns + 90;
    t = timeline_of(p);
    assert_int_equal(t.held, 0);
    para_timeline_free(&t);
    para_profile_free(p);
}

/* What bounds a run is the largest part of its time. */
static void each_bound_is_found(void **state)
{
    static const char *const row = "x:input[batch=64,rows=64]; w:param[rows=64,cols=64]; a = matmul(x, w, \"rows\"); "
                                   "b = scale(a, 2); c = scale(b, 2); output(c)";
    static const struct {
        enum para_bound bound;
        int workers;
        struct para_timing times[3];
    } cases[] = {
        {PARA_BOUND_COMPUTE, 1, {{0, 0, 0, 0, 1, 90}, {1, 0, 0, 90, 90, 92}, {2, 0, 0, 92, 92, 99}}},
        {PARA_BOUND_MEMORY, 1, {{0, 0, 0, 0, 1, 10}, {1, 0, 0, 10, 10, 20}, {2, 0, 0, 20, 20, 99}}},
        {PARA_BOUND_DEPENDENCY, 2, {{0, 0, 0, 0, 0, 45}, {1, 0, 0, 45, 45, 90}, {2, 1, 0, 90, 90, 99}}},
        {PARA_BOUND_IMBALANCE, 3, {{0, 0, 0, 0, 0, 10}, {1, 0, 0, 10, 10, 20}, {2, 0, 0, 20, 20, 99}}},
        {PARA_BOUND_RUNTIME, 1, {{0, 0, 0, 0, 30, 40}, {1, 0, 0, 40, 60, 65}, {2, 0, 0, 65, 90, 99}}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        para_profile *p = profile_of(row, cases[i].workers, cases[i].times, 100);
        struct para_timeline t = timeline_of(p);
        if (t.bound != cases[i].bound)
            fail_msg("case %zu: %s", i, t.summary);
        assert_non_null(strstr(t.summary, para_bound_names[cases[i].bound]));
        para_timeline_free(&t);
        para_profile_free(p);
    }
}

/* Gaps and kernels are a worker's whole row, each begins where the one before it ends, and they add up to the account.
 */
static void check_rows(const struct para_timeline *t)
{
    const para_profile *p = t->p;
    para_worker_time times[4];
    para_error err = {0};
    must(para_profile_times(p, times, &err), err);
    for (int w = 0; w < p->workers; w++) {
        int at = p->first_row[w], gap = t->first_gap[w];
        int64_t now = 0, idle = 0, runtime = 0;
        while (at < p->first_row[w + 1] || gap < t->first_gap[w + 1]) {
            if (gap < t->first_gap[w + 1] && t->gaps[gap].begin_ns == now) {
                bool lost = t->gaps[gap].cause == PARA_GAP_RUNTIME || t->gaps[gap].cause == PARA_GAP_OUTSIDE;
                *(lost ? &runtime : &idle) += t->gaps[gap].end_ns - now;
                now = t->gaps[gap++].end_ns;
            } else {
                assert_true(at < p->first_row[w + 1]);
                assert_int_equal(p->nodes[p->row[at]].start_ns, now);
                now = p->nodes[p->row[at++]].end_ns;
            }
        }
        assert_int_equal(now, p->wall_ns);
        assert_float_equal(times[w].idle_ns, idle, 0);
        assert_float_equal(times[w].runtime_ns, runtime, 0);
    }
}

static void check_steps(const struct para_timeline *t)
{
    const para_profile *p = t->p;
    assert_int_equal(t->path[0].link, PARA_LINK_FIRST);
    for (int i = 1; i < t->n_path; i++) {
        const struct para_timing *before = &p->nodes[t->path[i - 1].node], *n = &p->nodes[t->path[i].node];
        assert_true(before->end_ns <= n->start_ns);
        switch (t->path[i].link) {
        case PARA_LINK_WAIT:
            assert_int_equal(p->nodes[p->waits[t->path[i].wait].from].task, before->task);
            break;
        case PARA_LINK_TASK:
            assert_int_equal(before->task, n->task);
            break;
        default:
            assert_int_equal(t->path[i].link, PARA_LINK_WORKER);
            assert_int_equal(before->worker, n->worker);
        }
    }
}

static void a_run_is_explained(void **state)
{
    static const para_gpt2 model = {
        .layers = 2, .heads = 2, .embd = 32, .ff = 64, .vocab = 64, .context = 16, .norm_eps = 1e-5};
    static const struct plan_case cases[] = {{"", 0, NULL}, {"batch=4", 0, NULL}, {"batch=2,ff=2", 2, NULL}};
    (void)state;
    para_error err = {0};
    para_machine *m = machine_of(2);
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        para_graph *g = training_graph(&model, 4, 16, true), *cut = cut_graph(g, &cases[c]);
        para_session *s = training_session(g, cut, m, false);
        para_profile *p = NULL;
        training_step(s, g, 0);
        must(para_profile_record(&p, s, NULL, &err), err);
        struct para_timeline t = timeline_of(p);
        check_rows(&t);
        check_steps(&t);
        assert_int_equal(t.loads[t.n_loads - 1].ready, 0);
        assert_int_equal(t.loads[t.n_loads - 1].running, 0);
        para_timeline_free(&t);
        para_profile_free(p);
        para_session_free(s);
        para_graph_free(cut);
        para_graph_free(g);
    }
    para_machine_close(m);
}

/* Times that no run has: what is waited for ends later, all happens at once, nothing runs. */
static void strange_times_do_no_harm(void **state)
{
    (void)state;
    static const struct para_timing late[] = {
        {0, 0, 9, 9, 50, 90}, {1, 1, 9, 9, 60, 80}, {2, 1, 9, 0, 0, 7}, {3, 0, 0, 0, 0, 0}};
    static const struct para_timing once[] = {
        {0, 0, 7, 7, 7, 7}, {0, 0, 7, 7, 7, 7}, {1, 0, 7, 7, 7, 7}, {0, 0, 7, 7, 7, 7}};
    const struct para_timing *times[] = {late, once};
    for (int i = 0; i < 2; i++) {
        para_profile *p = profile_of(abcd, 2, times[i], 5);
        struct para_timeline t = timeline_of(p);
        assert_true(t.n_path >= 1 && t.n_path <= 4);
        assert_non_null(t.summary);
        para_timeline_free(&t);
        para_profile_free(p);
    }
    para_profile *p = profile_of("x:input[batch=2]; output(x)", 1, late, 30);
    struct para_timeline t = timeline_of(p);
    assert_int_equal(t.n_path, 0);
    assert_int_equal(t.part_ns[PARA_BOUND_RUNTIME], 30);
    para_timeline_free(&t);
    para_profile_free(p);
}

/* Names are shown as text, whatever bytes they hold. */
static void names_are_made_visible(void **state)
{
    (void)state;
    para_profile *p = profile_of(abcd, 2, abcd_times, 100);
    p->own->nodes[A]->name = "a\n\x1b[31m";
    struct para_timeline t = timeline_of(p);
    assert_non_null(strstr(t.summary, "longest for a\u240a\u241b[31m, 0.000 ms"));
    para_timeline_free(&t);
    para_profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaps_name_their_cause),
        cmocka_unit_test(idle_workers_beside_ready_tasks_are_told),
        cmocka_unit_test(a_gap_is_told_by_what_became_ready_at_its_end),
        cmocka_unit_test(the_path_goes_back_from_the_last_end),
        cmocka_unit_test(the_path_knows_workers_and_tasks),
        cmocka_unit_test(the_path_ends_where_it_would_go_round),
        cmocka_unit_test(ready_tasks_are_counted),
        cmocka_unit_test(the_parts_are_all_of_the_time),
        cmocka_unit_test(what_took_far_longer_than_its_like_is_named),
        cmocka_unit_test(what_was_begun_far_later_than_most_is_told),
        cmocka_unit_test(each_bound_is_found),
        cmocka_unit_test(a_run_is_explained),
        cmocka_unit_test(strange_times_do_no_harm),
        cmocka_unit_test(names_are_made_visible),
    };
    return cmocka_run_group_tests_name("timeline", tests, NULL, NULL);
}
