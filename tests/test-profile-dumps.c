/* A profile as text, as drawings and as a trace. */
#include "tests/dumps.h"
#include "tests/profiles.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static para_profile *measured(void)
{
    para_profile *p = profile_of(diamond, DIAMOND_WORKERS, diamond_times, DIAMOND_WALL_NS);
    p->command = "bench";
    p->model = "a <model>";
    p->run = 3;
    p->gpu[1] = 0;
    return p;
}

/* The summary is tested with the timeline. */
static const char *const report =
    "worker                  task ms       %      idle ms       %   runtime ms       %\n"
    "   0 cpu                  0.059    59.0        0.020    20.0        0.021    21.0\n"
    "   1 cuda:0               0.029    29.0        0.051    51.0        0.020    20.0\n"
    "\n"
    "time in kernels, by scope                                    ms      %   nodes  GFLOP/s    GB/s\n"
    "  out                                      forward        0.046   52.3       2 0.0003478 0.00348\n"
    "  in                                       forward        0.042   47.7       2 0.0003809 0.00305\n"
    "\n"
    "by op                                                        ms      %   nodes  GFLOP/s    GB/s\n"
    "  scale                                                   0.071   80.7       3 0.000338  0.0027\n"
    "  add                                                     0.017   19.3       1 0.0004706 0.00565\n"
    "\n"
    "measured critical path: 3 nodes, 0.076 ms in kernels, 0.014 ms before and between them\n"
    "     from ms    kernels    between  nodes  where, and what its first node waited for\n"
    "       0.010      0.030      0.010      1  in, forward: first\n"
    "       0.043      0.046      0.004      2  out, forward: RAW on in.a\n"
    "\n"
    "longest of 12 gaps\n"
    "     from ms         ms worker  why\n"
    "       0.060      0.030      1  idle: nothing is left to run here\n"
    "                                  meanwhile worker 0 ran out.d, 0.029 ms\n"
    "       0.020      0.020      1  idle: out.c waits: RAW on in.a\n"
    "                                  meanwhile worker 0 ran in.a, 0.020 ms\n"
    "       0.040      0.020      0  idle: out.d waits: RAW on out.c\n"
    "                                  meanwhile worker 1 ran out.c, 0.017 ms\n"
    "       0.090      0.010      0  runtime: all has run\n"
    "       0.090      0.010      1  runtime: all has run\n"
    "       0.000      0.005      0  runtime: nothing is submitted yet\n"
    "       0.005      0.005      0  runtime: in.a is ready\n"
    "                                  meanwhile worker 1 ran in.b, 0.002 ms\n"
    "       0.000      0.005      1  runtime: nothing is submitted yet\n"
    "       0.040      0.003      1  runtime: out.c is ready\n"
    "       0.006      0.002      1  runtime: in.b is ready\n";

static void the_report_tells_all(void **state)
{
    (void)state;
    para_profile *p = measured();
    char *text = dump_profile(p, PROFILE_TEXT, 1);
    assert_has(text, "bench a <model>: run 3, 0.100 ms, 4 nodes in 4 tasks\ngraph ");
    assert_has(text, "What bounds this step most is memory.");
    const char *rest = strstr(text, "worker    ");
    assert_non_null(rest);
    assert_string_equal(rest, report);
    para_error err = {0};
    assert_int_equal(para_profile_dump_text(p, stdout, 0, &err), PARA_ERANGE);
    free(text);
    para_profile_free(p);
}

static void drawings_show_what_boxes_took(void **state)
{
    (void)state;
    para_profile *p = measured();
    char *text = dump_profile(p, PROFILE_SVG, 0);
    assert_has(text, "<title>bench a &lt;model&gt;: 0.100 ms, of 2 workers 0.088 ms in kernels</title>");
    assert_has(text, ">30 \xc2\xb5s, 34.1 %</text>");
    assert_has(text, "<rect class=\"heat5\"");
    assert_has(text, "<rect class=\"heat4\"");
    assert_null(strstr(text, "<rect class=\"heat3\""));
    free(text);
    text = dump_profile(p, PROFILE_SVG, 1);
    assert_has(text, ">46 \xc2\xb5s, 52.3 %</text>"); /* of a folded scope */
    free(text);
    text = dump(p->g, SVG, 0);
    assert_null(strstr(text, "<rect class=\"heat"));
    free(text);
    para_profile_free(p);
}

static void the_timeline_has_each_bar_and_its_reason(void **state)
{
    (void)state;
    para_profile *p = measured();
    char *text = dump_profile(p, PROFILE_TIMELINE, 0);
    assert_has(text, ">worker 1, cuda:0</text>");
    assert_has(text, "<rect class=\"forward bar\" x=\"230.00\" y=\"92\" width=\"360.01\" height=\"24\">"
                     "<title>in.a\nscale, task 0\n0.030 ms, from 0.010 ms on</title></rect>");
    assert_has(text, "<rect class=\"wait bar\" x=\"590.01\" y=\"96\" width=\"239.99\" height=\"16\">"
                     "<title>idle: out.d waits: RAW on out.c\n0.020 ms, from 0.040 ms on</title></rect>");
    assert_has(text, "<rect class=\"end bar\"");
    assert_has(text, "<rect class=\"path\" x=\"230.00\"");
    assert_has(text, ">ready tasks, 2</text>");
    free(text);
    para_profile_free(p);
}

static int count(const char *text, const char *part)
{
    int found = 0;
    for (; (text = strstr(text, part)); text++)
        found++;
    return found;
}

static void the_trace_has_slices_and_flows(void **state)
{
    (void)state;
    para_profile *p = measured();
    char *text = dump_profile(p, PROFILE_TRACE, 0);
    assert_int_equal(count(text, "\"cat\":\"task\""), 4);
    assert_int_equal(count(text, "\"cat\":\"forward\""), 4);
    assert_int_equal(count(text, "{\"ph\":\"s\""), 2);
    assert_int_equal(count(text, "{\"ph\":\"f\""), 2);
    assert_int_equal(count(text, "\"thread_sort_index\""), 2);
    assert_has(text,
               "{\"ph\":\"X\",\"pid\":1,\"tid\":2,\"ts\":10.000,\"name\":\"in.a\",\"dur\":30.001,\"cat\":\"forward\","
               "\"args\":{\"node\":0,\"op\":\"scale\",\"part\":\"\",\"flops\":8,\"bytes\":64}}");
    assert_has(text, "{\"ph\":\"s\",\"pid\":1,\"tid\":2,\"ts\":10.000,\"name\":\"wait\",\"cat\":\"wait\",\"id\":1,"
                     "\"args\":{\"kind\":\"RAW\",\"tensor\":1,\"buffer\":1}}");
    assert_has(
        text,
        "{\"ph\":\"f\",\"pid\":1,\"tid\":3,\"ts\":43.000,\"name\":\"wait\",\"cat\":\"wait\",\"id\":1,\"bp\":\"e\"}");
    free(text);
    para_profile_free(p);
}

/* Whether what XML reads as its own stands only in what was meant as that: each `<` begins a known element. */
static void check_elements(const char *text)
{
    static const char *const known[] = {"svg",     "title", "desc", "style", "defs", "marker",
                                        "pattern", "path",  "rect", "text",  "g"};
    for (const char *at = text; (at = strchr(at, '<')); at++) {
        const char *name = at + (at[1] == '/' ? 2 : 1);
        size_t length = 0;
        bool found = false;
        while (isalpha((unsigned char)name[length]))
            length++;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            found = found || (strlen(known[i]) == length && strncmp(known[i], name, length) == 0);
        if (!found)
            fail_msg("an element of its own: %.40s", at);
    }
}

static void names_stay_text(void **state)
{
    (void)state;
    para_profile *p = measured();
    p->command = p->model = "</title><script>\"&\x01\xff";
    p->own->nodes[0]->name = "</text><script>alert(1)</script>\x1b\xe2\x80\xae";
    p->own->nodes[2]->scope = "</desc><img src=x>\xff";
    for (int format = PROFILE_SVG; format <= PROFILE_TIMELINE; format++) {
        char *text = dump_profile(p, (enum profile_format)format, 0);
        check_elements(text);
        assert_null(strchr(text, '\x1b'));
        assert_null(strchr(text, '\xff'));
        free(text);
    }
    char *text = dump_profile(p, PROFILE_TRACE, 0);
    assert_has(text, "\"name\":\"</desc><img src=x>\\ufffd\"");
    assert_null(strchr(text, '\x1b'));
    free(text);
    text = dump_profile(p, PROFILE_TEXT, 1);
    assert_null(strchr(text, '\x1b'));
    free(text);
    para_profile_free(p);
}

/* The run of nothing, and of no time. */
static void empty_runs_are_drawn(void **state)
{
    (void)state;
    static const struct para_timing none[] = {{0}};
    para_profile *p = profile_of("x:input[batch=2]; y = scale(x, 2); output(y)", 1, none, 0);
    for (int format = PROFILE_TEXT; format <= PROFILE_TRACE; format++)
        free(dump_profile(p, (enum profile_format)format, 1));
    para_profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_report_tells_all),
        cmocka_unit_test(drawings_show_what_boxes_took),
        cmocka_unit_test(the_timeline_has_each_bar_and_its_reason),
        cmocka_unit_test(the_trace_has_slices_and_flows),
        cmocka_unit_test(names_stay_text),
        cmocka_unit_test(empty_runs_are_drawn),
    };
    return cmocka_run_group_tests_name("profile-dumps", tests, NULL, NULL);
}
