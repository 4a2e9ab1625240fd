/* Profiles in files: what is saved is read again, alone, and nothing that can't have been is believed. */
#include "tests/graph-text.h"
#include "tests/profiles.h"
#include "tests/training.h"

#include <stdlib.h>
#include <string.h>

/* h and z wait for nothing, y for h. */
static const char *const graph = "x:input[batch=2,rows=4]; w:param[rows=4,cols=4]; h = matmul(x, w, \"rows\"); "
                                 "y = scale(h, 2); z = scale(w, 3); output(y)";
static const struct para_timing times[] = {
    {.task = 0, .worker = 1, .submit_ns = 5, .ready_ns = 5, .start_ns = 10, .end_ns = 20},
    {.task = 1, .worker = 0, .submit_ns = 6, .ready_ns = 20, .start_ns = 22, .end_ns = 30},
    {.task = 2, .worker = 1, .submit_ns = 7, .ready_ns = 20, .start_ns = 20, .end_ns = 40},
};

static para_profile *small(void)
{
    para_profile *p = profile_of(graph, 2, times, 50);
    p->command = "train";
    p->model = "a \"model\"\n";
    p->gpu[1] = 0;
    return p;
}

static void digests_are_those_of_dumps(void **state)
{
    (void)state;
    char digest[PARA_DIGEST_TEXT], other[PARA_DIGEST_TEXT];
    para_error err = {0};
    para_graph *g = graph_of(graph), *again = graph_of(graph), *more = graph_of("x:input[batch=2]; y = scale(x, 3)");
    must(para_graph_digest(g, digest, &err), err);
    assert_int_equal(strlen(digest), 64);
    must(para_graph_digest(again, other, &err), err);
    assert_string_equal(digest, other);
    must(para_graph_digest(more, other, &err), err);
    assert_string_not_equal(digest, other);
    para_graph_free(g);
    para_graph_free(again);
    para_graph_free(more);
}

static void rows_are_in_order(void **state)
{
    (void)state;
    para_profile *p = small();
    assert_int_equal(p->first_row[1], 1);
    assert_int_equal(p->first_row[2], 3);
    assert_int_equal(p->row[0], 1);
    assert_int_equal(p->row[1], 0);
    assert_int_equal(p->row[2], 2);
    para_profile_free(p);
}

/* A session's run is recorded with the edges that its plan declares, and with the plan's reasons; it is large enough
 * that nodes wait for memory. */
static void sessions_are_recorded(void **state)
{
    static const para_gpt2 model = {
        .layers = 2, .heads = 2, .embd = 32, .ff = 64, .vocab = 512, .context = 64, .norm_eps = 1e-5};
    (void)state;
    para_error err = {0};
    para_profile *p = NULL;
    para_machine *m = machine_of(2);
    para_graph *g = training_graph(&model, 16, 64, true);
    para_plan *plan = NULL;
    para_session *s = training_session(g, g, m, false), *plain = serial_session(g, false);
    int count, edges = 0, kinds[5] = {0};
    assert_int_equal(para_profile_record(&p, s, NULL, &err), PARA_EINVAL);
    assert_string_equal(err.message, "there was no run to profile");
    assert_int_equal(para_profile_record(&p, plain, NULL, &err), PARA_EINVAL);
    assert_non_null(strstr(err.message, "options.profile"));
    training_step(s, g, 0);
    must(para_profile_record(&p, s, &(para_profile_origin){.command = "test"}, &err), err);
    must(para_plan_new(&plan, g, 2, &err), err);
    const para_sample *sample = para_session_profile(s, &count);
    assert_int_equal(p->workers, 2);
    for (int i = 0; i < count; i++) {
        assert_int_equal(p->nodes[i].task, sample[i].task);
        assert_int_equal(p->nodes[i].end_ns, (int64_t)sample[i].end_ns);
        const para_edge *edge = para_deps_of(para_plan_deps(plan), i, &edges);
        assert_int_equal(p->first_wait[i + 1] - p->first_wait[i], edges);
        for (int e = 0; e < edges; e++) {
            const struct para_wait *wait = &p->waits[p->first_wait[i] + e];
            kinds[wait->kind]++;
            assert_int_equal(wait->from, edge[e].from);
            assert_int_equal(wait->buffer, para_plan_buffer(plan, wait->tensor));
        }
    }
    assert_true(kinds[PARA_WAIT_RAW] > 0 && kinds[PARA_WAIT_WAR] > 0 && kinds[PARA_WAIT_REUSE] > 0);
    para_profile_free(p);
    para_plan_free(plan);
    para_session_free(s);
    para_session_free(plain);
    para_graph_free(g);
    para_machine_close(m);
}

/* A run that fails leaves no profile of itself, and none of the run before it. */
static void failed_runs_are_refused(void **state)
{
    (void)state;
    para_error err = {0};
    para_profile *p = NULL;
    para_machine *m = machine_of(2);
    para_graph *g = graph_of("i:ids[rows=2]; w:param[vocab=4,cols=3]; y = embedding(w, i, \"vocab\"); output(y)");
    para_session *s = NULL;
    para_session_options options = para_session_default();
    options.profile = true;
    must(para_session_new(&s, g, m, &options, &err), err);
    set_value(s, "i", (int32_t[]){0, 3}, 2 * sizeof(int32_t));
    must(para_session_run(s, &err), err);
    must(para_profile_record(&p, s, NULL, &err), err);
    para_profile_free(p);
    set_value(s, "i", (int32_t[]){0, 4}, 2 * sizeof(int32_t));
    assert_int_equal(para_session_run(s, &err), PARA_ERANGE);
    assert_int_equal(para_profile_record(&p, s, NULL, &err), PARA_EINVAL);
    assert_string_equal(err.message, "the last run failed: there is none to profile");
    set_value(s, "i", (int32_t[]){0, 3}, 2 * sizeof(int32_t));
    must(para_session_run(s, &err), err);
    must(para_profile_record(&p, s, NULL, &err), err);
    para_profile_free(p);
    para_session_free(s);
    para_graph_free(g);
    para_machine_close(m);
}

#if defined(PARA_HAVE_IO) && PARA_HAVE_IO

static void what_is_saved_is_read(void **state)
{
    (void)state;
    para_error err = {0};
    para_profile *p = small(), *again = NULL;
    char *text = save_profile(p);
    must(load_profile(&again, text, &err), err);
    char *other = save_profile(again);
    assert_string_equal(text, other);
    assert_string_equal(again->model, "a \"model\"\n");
    assert_string_equal(para_profile_digest(again), p->digest);
    assert_int_equal(para_graph_node_count(para_profile_graph(again)), 3);
    para_profile_free(again);
    para_profile_free(p);
    free(text);
    free(other);
}

struct lie {
    const char *from, *to; /* the last `from` becomes `to` */
    const char *message;
};

static const struct lie lies[] = {
    {"paragraph-profile", "paragraph-graph",
     "line 1: format: is \"paragraph-graph\", expected one of paragraph-profile"},
    {"\"version\":2", "\"version\":1", "line 1: version: is 1, expected 2 to 2"},
    {"\"wall_ns\":50", "\"wall_ns\":-1", "line 1: wall_ns: is -1, expected 0 to"},
    {"\"wall_ns\":50", "\"wall_ns\":4503599627370497",
     "line 1: wall_ns: is 4503599627370497, expected 0 to 4503599627370496"},
    {"\"end_ns\":40", "\"end_ns\":4503599627370497", "line 31: node 2: end_ns: is 4503599627370497, expected 0 to"},
    {"\"command\":\"train\",", "", "command: is missing, expected a string"},
    {"\"graph_digest\":\"", "\"graph_digest\":\"0", "line 1: graph_digest: is \"0"},
    {"\"factor\":2", "\"factor\":3", "but the graph in this file has"},
    {"\"op\":\"scale\",\"name\":\"y\"", "\"op\":\"skale\",\"name\":\"y\"",
     "line 22: node 1: op: no op is called \"skale\""},
    {"\"workers\":[", "\"workers\":[],\"w\":[", "workers: has 0 entries, expected 1 to 4096"},
    {"\"worker\":1,\"device\"", "\"worker\":2,\"device\"", "line 4: worker 1: worker: is 2, expected 1 to 1"},
    {"cuda:0", "tpu", "line 4: worker 1: device: is \"tpu\", expected \"cpu\""},
    {"cuda:0", "cuda:-1", "line 4: worker 1: device: is \"cuda:-1\""},
    {"cuda:0", "cuda:0 ", "line 4: worker 1: device: is \"cuda:0 \""},
    {"\"graph\":", "\"paragraph\":", "graph: is missing"},
    {"\"node\":1,", "\"node\":2,", "line 30: node 1: node: is 2, expected 1 to 1"},
    {"\"name\":\"y\",\"op\"", "\"name\":\"x\",\"op\"",
     "line 30: node 1: name: is \"x\", but the graph calls node 1 \"y\""},
    {"\"task\":2", "\"task\":3", "line 31: node 2: task: is 3, expected 0 to 2"},
    {"\"worker\":1,\"submit", "\"worker\":2,\"submit", "line 31: node 2: worker: is 2, expected 0 to 1"},
    {"\"end_ns\":40", "\"end_ns\":19", "line 31: node 2: end_ns: is 19, expected start_ns, 20, or later"},
    {"\"end_ns\":40", "\"end_ns\":40.5", "line 31: node 2: end_ns: is a number, expected an integer"},
    {"\"start_ns\":20", "\"start_ns\":19", "node 2 begins at 19 ns on worker 1, where node 0 ends at 20"},
    {"[0,\"raw\",2,2]", "[1,\"raw\",2,2]", "line 30: node 1: waits: is 1, expected 0 to 0"},
    {"[0,\"raw\",2,2]", "[0,\"rar\",2,2]", "waits: is \"rar\", expected one of raw, war, waw, after, reuse"},
    {"[0,\"raw\",2,2]", "[0,\"raw\",9,2]", "node 1: waits: is 9, expected 0 to 4"},
    {"[0,\"raw\",2,2]", "[0,\"raw\",2]", "expected lists of [node, kind, tensor, buffer]"},
    {"\"waits\":[[0,\"raw\",2,2]]", "\"waits\":0", "node 1: waits: is an integer, expected a list"},
    {"]}\n", "", "line 32, column 0: "},
};

static const char *find_last(const char *text, const char *part)
{
    const char *found = NULL;
    for (const char *at = text; (at = strstr(at, part)); at++)
        found = at;
    return found;
}

static void lies_are_refused(void **state)
{
    (void)state;
    para_profile *p = small();
    char *text = save_profile(p);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        const char *at = find_last(text, lies[i].from);
        if (!at)
            fail_msg("\"%s\" isn't in:\n%s", lies[i].from, text);
        para_error err = {0};
        para_profile *read = NULL;
        size_t bytes = strlen(text) + strlen(lies[i].to) + 1;
        char *file = must_alloc(bytes);
        snprintf(file, bytes, "%.*s%s%s", (int)(at - text), text, lies[i].to, at + strlen(lies[i].from));
        int status = load_profile(&read, file, &err);
        if (status != PARA_EFORMAT || read || strncmp(err.message, "p.json: ", 8) != 0 ||
            !strstr(err.message, lies[i].message)) {
            print_error("%s -> %s: %s: %s\nexpected: %s\n", lies[i].from, lies[i].to, para_status_name(status),
                        err.message, lies[i].message);
            fail();
        }
        free(file);
    }
    free(text);
    para_profile_free(p);
}

/* Cut anywhere, a file is refused. */
static void what_is_cut_short_is_refused(void **state)
{
    (void)state;
    para_profile *p = small(), *read = NULL;
    char *text = save_profile(p);
    for (size_t bytes = strlen(text) - 3; bytes > 0; bytes -= bytes < 7 ? bytes : 7) {
        para_error err = {0};
        text[bytes] = '\0';
        assert_int_equal(load_profile(&read, text, &err), PARA_EFORMAT);
    }
    free(text);
    para_profile_free(p);
}

#else

static void without_jansson_nothing_is_read(void **state)
{
    (void)state;
    para_error err = {0};
    para_profile *p = NULL;
    assert_int_equal(load_profile(&p, "{}", &err), PARA_ESUPPORT);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(digests_are_those_of_dumps),
        cmocka_unit_test(rows_are_in_order),
        cmocka_unit_test(sessions_are_recorded),
        cmocka_unit_test(failed_runs_are_refused),
#if defined(PARA_HAVE_IO) && PARA_HAVE_IO
        cmocka_unit_test(what_is_saved_is_read),
        cmocka_unit_test(lies_are_refused),
        cmocka_unit_test(what_is_cut_short_is_refused),
#else
        cmocka_unit_test(without_jansson_nothing_is_read),
#endif
    };
    return cmocka_run_group_tests_name("profile-file", tests, NULL, NULL);
}
