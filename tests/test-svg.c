/* Drawings as files: names of any bytes make a drawing that XML allows, and nothing is left when memory runs out. */
#define _POSIX_C_SOURCE 200809L /* popen */
#include "tests/dumps.h"
#include "tests/graph-text.h"
#include "tests/model-graphs.h"
#include "tests/random-graph.h"
#include "tests/short-memory.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "graph/op.h"
#include "view/text.h"

static void assert_visible(const char *name, const char *expected)
{
    struct para_arena arena = {0};
    assert_string_equal(para_text_visible(&arena, name), expected);
    para_arena_free(&arena);
}

static void names_become_visible(void **state)
{
    (void)state;
    assert_visible("plain \xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80", "plain \xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80");
    assert_visible("a\x01\n\x7f", "a\xe2\x90\x81\xe2\x90\x8a\xe2\x90\xa1");
    assert_visible("caf\xe9", "caf\xef\xbf\xbd");
    assert_visible("\xc2\x85\xe2\x80\xae\xef\xbf\xbe", "<U+0085><U+202E><U+FFFE>");
    assert_visible("\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* half of a surrogate pair */
    assert_visible("\xd7\x90", "\xe2\x81\xa8\xd7\x90\xe2\x81\xa9");
    assert_visible("", "");
}

static void text_is_measured_and_cut(void **state)
{
    (void)state;
    struct para_arena arena = {0};
    assert_int_equal(para_text_width("", 13), 0);
    assert_int_equal(para_text_width("iii", 1000), 3 * 278);
    assert_int_equal(para_text_width("\xe4\xb8\xad", 13), 13);
    for (int width = 20; width < 200; width += 7) {
        const char *fitted = para_text_fit(&arena, "layer.11.mlp.proj.matmul.grad", 13, width);
        assert_true(para_text_width(fitted, 13) <= width);
    }
    assert_string_equal(para_text_fit(&arena, "short", 13, 100), "short");
    assert_string_equal(para_text_fit(&arena, "aaaaaaaaaabbbbbbbbbb", 10, 40), "aa\xe2\x80\xa6"
                                                                               "bb");
    assert_string_equal(para_text_fit(&arena, "\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad\xe4\xb8\xad", 10, 30),
                        "\xe4\xb8\xad\xe2\x80\xa6\xe4\xb8\xad");
    para_arena_free(&arena);
}

/* All of what XML allows, as UTF-8. */
static void assert_xml_characters(const char *svg)
{
    const unsigned char *p = (const unsigned char *)svg, *end = p + strlen(svg);
    while (p < end) {
        uint32_t c;
        int bytes = para_utf8(p, (size_t)(end - p), &c);
        assert_true(bytes > 0);
        assert_true(c == '\n' || (c >= 0x20 && c != 0x7f && (c & 0xfffe) != 0xfffe));
        p += bytes;
    }
}

/* Let libxml2 read it, if its program is there. */
static void read_xml(const char *svg)
{
    if (system("xmllint --version >/dev/null 2>&1") != 0) {
        print_message("xmllint is not installed: the drawing's syntax is not tried\n");
        return;
    }
    FILE *pipe = popen("xmllint --noout -", "w");
    assert_non_null(pipe);
    fputs(svg, pipe);
    assert_int_equal(pclose(pipe), 0);
}

static void svg_is_one_plain_file(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = model_graph("tiny", TRAIN, 0, "batch=2,ff=2");
    for (int fold = 0; fold <= 2; fold++) {
        char *svg = dump(g, SVG, fold), *again = dump(g, SVG, fold);
        assert_string_equal(svg, again);
        assert_xml_characters(svg);
        read_xml(svg);
        assert_has(svg, "prefers-color-scheme:dark");
        assert_has(svg, ">backward</text>");
        assert_null(strstr(svg, "<script"));
        assert_null(strstr(svg, "href"));
        assert_int_equal(strstr(svg, "layer \xc3\x97"
                                     "4") != NULL,
                         fold > 0);
        assert_int_equal(strstr(svg, "mlp.gelu \xc3\x97"
                                     "4") != NULL,
                         fold > 1);
        assert_int_equal(strstr(svg, "<title>layer.0.mlp.gelu[batch=1,ff=1]\n") != NULL, fold == 0);
        free(svg);
        free(again);
    }
    assert_int_equal(para_graph_dump_svg(g, stderr, -1, &err), PARA_ERANGE);
    para_graph_free(g);
}

static int count_of(const char *text, const char *part)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        count++;
    return count;
}

/* Between which nodes lines are to be drawn: edges that are no reads. */
static int other_edges(const para_graph *g)
{
    para_error err = {0};
    para_deps *deps;
    int pairs = 0, count;
    must(para_deps_new(&deps, g, NULL, &err), err);
    for (int id = 0; id < g->n_nodes; id++) {
        const para_edge *edges = para_deps_of(deps, id, &count);
        for (int e = 0; e < count; e++) {
            bool told = edges[e].kind == PARA_RAW;
            for (int k = 0; k < e; k++)
                told = told || (edges[k].from == edges[e].from && edges[k].kind != PARA_RAW);
            pairs += !told;
        }
    }
    para_deps_free(deps);
    return pairs;
}

/* An update waits for the readers of what it writes over: a line for each, with its reason; folded, one line between
 * two boxes stands for all. */
static void waits_without_wires_are_drawn(void **state)
{
    (void)state;
    para_graph *g = model_graph("tiny", TRAIN, 2, "");
    char *whole = dump(g, SVG, 0), *folded = dump(g, SVG, 1);
    int all = count_of(whole, "<title>waits for: "), few = count_of(folded, "<title>waits for: ");
    assert_int_equal(all, other_edges(g));
    assert_true(few > 0 && few < all);
    assert_has(whole, "<title>waits for: WAR on ");
    free(whole);
    free(folded);
    para_graph_free(g);
}

static void svg_of_odd_graphs(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "x:input[n=3]", "x:input[]; y = gelu(x); output(y)",
                                        "ids:ids[n=3]; w:param[v=4,n2=2]; a = embedding(w, ids, \"v\"); b = add(a, a)"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        para_graph *g = graph_of(texts[i]);
        for (int fold = 0; fold <= 2; fold++) {
            char *svg = dump(g, SVG, fold);
            read_xml(svg);
            free(svg);
        }
        para_graph_free(g);
    }
}

/* Wherever memory runs out, a drawing fails and leaves nothing. */
static void memory_runs_out(void **state)
{
    (void)state;
    para_graph *g = model_graph("tiny", TRAIN, 3, "batch=2");
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    for (int fold = 0; fold <= 2; fold++) {
        int before = blocks, tries = 0, status;
        do {
            para_error err = {0};
            allocations_left = tries++;
            status = para_graph_dump_svg(g, out, fold, &err);
            allocations_left = -1;
            assert_int_equal(blocks, before);
            assert_true(status == 0 || (status == PARA_ENOMEM && strstr(err.message, "memory")));
        } while (status < 0);
        assert_true(tries > 20);
    }
    fclose(out);
    para_graph_free(g);
}

static void hostile_names_are_text(void **state)
{
    (void)state;
    static const char *const names[] = {"</script><script>alert(1)</script>",
                                        "\"quoted\" & 'so' <on>",
                                        "]]> -->",
                                        "\x01\x02\x1b[31m\r\n\t\x7f",
                                        "caf\xe9 \xff\xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80",
                                        "\xe2\x80\xae"
                                        "desrever \xe2\x81\xa6 \xef\xbf\xbf",
                                        "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xd9\x85\xd8\xb1\xd8\xad\xd8\xa8\xd8\xa7",
                                        NULL};
    para_error err = {0};
    para_graph *g = para_graph_new();
    char *large = calloc(1, 10001);
    assert_non_null(large);
    for (int i = 0; i < 10000; i++)
        large[i] = "a.<&"[i % 4];
    para_tensor *x = para_input(g, large, PARA_F32, PARA_DIMS({"a<b>&\"", 3}));
    for (int i = 0; i <= 7; i++) {
        para_scope_push(g, "%s", names[i] ? names[i] : large);
        x = para_output(para_name(para_gelu(g, x), names[i] ? names[i] : large));
        x = para_gelu(g, x);
        para_scope_pop(g);
    }
    must(para_graph_seal(g, &err), err);
    for (int fold = 0; fold <= 2; fold++) {
        char *svg = dump(g, SVG, fold);
        assert_null(strstr(svg, "</script>"));
        assert_has(svg, "&lt;/script&gt;");
        assert_has(svg, "\xe2\x90\x81\xe2\x90\x82\xe2\x90\x9b[31m\xe2\x90\x8d\xe2\x90\x8a\xe2\x90\x89\xe2\x90\xa1");
        assert_has(svg, "&lt;U+202E&gt;desrever");
        assert_has(svg, "\xe2\x81\xa8\xd7\xa9");
        assert_xml_characters(svg);
        read_xml(svg);
        free(svg);
    }
    free(large);
    para_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_become_visible),          cmocka_unit_test(text_is_measured_and_cut),
        cmocka_unit_test(svg_is_one_plain_file),         cmocka_unit_test(svg_of_odd_graphs),
        cmocka_unit_test(waits_without_wires_are_drawn), cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(hostile_names_are_text),
    };
    return cmocka_run_group_tests_name("svg", tests, NULL, NULL);
}
