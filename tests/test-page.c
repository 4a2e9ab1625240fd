/* Pages: the layout of the script is that of the drawing, one file is all there is, the same graph gives the same
 * bytes, names of any bytes stay text, and nothing is left when memory runs out. */
#define _POSIX_C_SOURCE 200809L /* popen, open_memstream */
#include "tests/dumps.h"
#include "tests/graph-text.h"
#include "tests/model-graphs.h"
#include "tests/profiles.h"
#include "tests/random-graph.h"
#include "tests/short-memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/utf8.h"
#include "view/layout.h"
#include "view/page-data.h"

/* ---- the script's layout ---- */

static void write_run(FILE *out, const struct para_run *r, bool there, const char *gap)
{
    if (there)
        fprintf(out, "%s%d,%d,%d,%d,%d,%d", gap, r->x, r->y, r->turn, r->entry, r->end, r->lane);
    else
        fprintf(out, "%s0,0,0,0,0,0", gap);
}

/* One line of what tests/compare-layouts.js reads. */
static void write_drawing(FILE *out, const struct para_layout *l)
{
    const struct para_outline *o = l->outline;
    fputs("{\"open\":[", out);
    for (int b = 0; b < o->n_boxes; b++)
        fprintf(out, "%s%d", b ? "," : "", l->open[b]);
    fputs("],\"boxes\":[", out);
    for (int b = 0; b < o->n_boxes; b++)
        if (l->shown[b])
            fprintf(out, "%s1,%d,%d,%d,%d,%d", b ? "," : "", l->x[b], l->y[b], l->w[b], l->h[b], l->title[b]);
        else
            fputs(",0,0,0,0,0,0", out);
    fputs("],\"runs\":[", out);
    for (int i = 0; i < o->n_wires; i++)
        write_run(out, &l->runs[i], l->drawn[i], i ? "," : "");
    fputs("],\"waysOut\":[", out);
    for (int b = 0; b < o->n_boxes; b++)
        write_run(out, &l->ways_out[b], l->ways_out[b].end != 0, b ? "," : "");
    fputs("]}\n", out);
}

/* A page's data on one line. */
static void write_data(FILE *out, const struct para_outline *o)
{
    para_error err = {0};
    char *json = NULL;
    size_t bytes = 0;
    FILE *buffer = open_memstream(&json, &bytes);
    must(para_page_data(&(struct para_page){.outline = o}, buffer, &err), err);
    fclose(buffer);
    for (size_t i = 0; i < bytes; i++)
        json[i] = json[i] == '\n' ? ' ' : json[i];
    fprintf(out, "{\"page\":%s}\n", json);
    free(json);
}

/* Lay out a graph with all boxes open, with none, and with sets drawn by lot. */
static void write_drawings(FILE *out, struct dice *d, const para_graph *g, int sets)
{
    para_error err = {0};
    for (int flags = 0; flags <= PARA_OUTLINE_ALIKE; flags++) {
        struct para_outline o;
        must(para_outline_new(&o, g, flags, &err), err);
        write_data(out, &o);
        bool *open = calloc((size_t)o.n_boxes, sizeof *open);
        assert_non_null(open);
        for (int set = 0; set < sets + 2; set++) {
            struct para_layout l;
            for (int b = 0; b < o.n_boxes; b++)
                open[b] = set == 0 || (set > 1 && roll(d, 4) > 0);
            must(para_layout_new(&l, &o, open, &err), err);
            write_drawing(out, &l);
            para_layout_free(&l);
        }
        free(open);
        para_outline_free(&o);
    }
}

static void layouts_are_the_same(void **state)
{
    (void)state;
    enum { RANDOM = 300, SETS = 4 };
    static const int features[] = {0, RANDOM_UPDATES, RANDOM_TRAINING, RANDOM_WHOLES};
    struct dice d = {.seed = 23};
    if (system("node --version >/dev/null 2>&1") != 0) {
        print_message("node is not installed: the script's layout is not compared\n");
        skip();
    }
    const char *srcdir = getenv("srcdir") ? getenv("srcdir") : ".";
    char command[4096];
    snprintf(command, sizeof command,
             "node '%s/tests/compare-layouts.js' '%s/view/page/data.js' '%s/view/page/layout.js'", srcdir, srcdir,
             srcdir);
    FILE *pipe = popen(command, "w");
    assert_non_null(pipe);
    for (int i = 0; i < RANDOM; i++) {
        para_graph *g = i % 2 ? random_scopes(&d, 10 + roll(&d, 200), roll(&d, 5), 1 + roll(&d, 6))
                              : random_graph(&d, 10 + roll(&d, 60), features[i / 2 % 4]);
        write_drawings(pipe, &d, g, SETS);
        para_graph_free(g);
    }
    para_graph *g = model_graph("tiny", TRAIN, 3, "batch=2,ff=2");
    write_drawings(pipe, &d, g, SETS);
    para_graph_free(g);
    assert_int_equal(pclose(pipe), 0);
}

/* ---- the file ---- */

static void a_page_is_one_file(void **state)
{
    (void)state;
    para_graph *g = model_graph("tiny", TRAIN, 0, "batch=2,ff=2");
    char *html = dump(g, HTML, 0), *again = dump(g, HTML, 0);
    assert_string_equal(html, again);
    assert_has(html, "<!DOCTYPE html>\n");
    assert_has(html, "default-src 'none'; script-src 'sha256-");
    assert_has(html, "<noscript>\n<svg ");
    assert_has(html, "\"layer.0.mlp.gelu[batch=1,ff=1]\"");
    assert_null(strstr(html, "href=\"http"));
    assert_null(strstr(html, "src="));
    free(html);
    free(again);
    para_graph_free(g);
}

static void odd_graphs_have_pages(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "x:input[n=3]", "x:input[]; y = gelu(x); output(y)"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        para_graph *g = graph_of(texts[i]);
        char *html = dump(g, HTML, 0);
        assert_has(html, "</html>\n");
        free(html);
        para_graph_free(g);
    }
}

/* 2^89 multiplications and additions don't fit in 64 bits, and the page tells of 2^53. */
static void huge_graphs_have_pages(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[n=536870912,k=1073741824]; w:param[k=1073741824,m=536870912]; "
                             "y = matmul(x, w, \"k\"); z = gelu(x); output(y)");
    char *html = dump(g, HTML, 0);
    assert_has(html, "\"flops\":[9007199254740992,");
    assert_has(html, "\"costNs\":[9007199254740992,");
    assert_has(html, "\"workNs\":9007199254740992,\n\"criticalNs\":9007199254740992");
    free(html);
    para_graph_free(g);
}

/* Count how often a text has a part. */
static int count(const char *text, const char *part)
{
    int found = 0;
    for (; (text = strstr(text, part)); text++)
        found++;
    return found;
}

static void hostile_names_end_no_element(void **state)
{
    (void)state;
    static const char *const names[] = {
        "</script><script>alert(1)</script>",   "<!--<script>", "</noscript><img src=x>", "\"quoted\\\" & 'so'",
        "\x01\x1b[31m\xe2\x80\xa8\xe2\x80\xae", "caf\xe9",      "\xd7\xa9\xd7\x9c"};
    para_error err = {0};
    para_graph *g = para_graph_new();
    para_tensor *x = para_input(g, "</title><script>", PARA_F32, PARA_DIMS({"</style>", 3}));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        para_scope_push(g, "%s", names[i]);
        x = para_output(para_name(para_gelu(g, x), names[i]));
        para_scope_pop(g);
    }
    must(para_graph_seal(g, &err), err);
    char *html = dump(g, HTML, 0);
    assert_int_equal(count(html, "</script>"), 2);
    assert_int_equal(count(html, "<script"), 2);
    assert_int_equal(count(html, "</noscript>"), 1);
    assert_int_equal(count(html, "<img"), 0);
    assert_has(html, "\\u003c/script>");
    assert_has(html, "\\\"quoted\\\\\\\" & 'so'");
    for (const unsigned char *p = (const unsigned char *)html; *p;) {
        uint32_t c;
        int bytes = para_utf8(p, 4, &c);
        assert_true(bytes > 0 && (c == '\n' || c >= 0x20));
        p += bytes;
    }
    free(html);
    para_graph_free(g);
}

/* b waits for a on the other worker, and is half a microsecond late. */
static para_profile *two_workers(void)
{
    static const struct para_timing times[] = {{0, 0, 0, 0, 1000, 5000}, {1, 1, 0, 5000, 5500, 8000}};
    return profile_of("x:input[n=3]; a = gelu(x); b = gelu(a); output(b)", 2, times, 9000);
}

static void a_run_is_in_its_page(void **state)
{
    (void)state;
    para_error err = {0};
    para_profile *p = two_workers();
    char *html = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&html, &bytes);
    assert_non_null(out);
    must(para_profile_dump_html(p, out, &err), err);
    fclose(out);
    assert_has(html, "\"wallNs\":9000");
    assert_has(html, "\"startNs\":[1000,4500]");
    assert_has(html, "\"endNs\":[5000,3000]");
    assert_has(html, "\"waits\":{\n\"node\":[1],\n\"from\":[0],\n\"kind\":[0],");
    assert_has(html, "What bounds this step most is ");
    free(html);
    para_profile_free(p);
}

static int dump_graph(const void *g, FILE *out, para_error *err)
{
    return para_graph_dump_html(g, out, err);
}

static int dump_run(const void *p, FILE *out, para_error *err)
{
    return para_profile_dump_html(p, out, err);
}

/* Wherever memory runs out, a page fails and leaves nothing. */
static void runs_out(int (*dump_page)(const void *, FILE *, para_error *), const void *of)
{
    FILE *out = fopen("/dev/null", "w");
    int before, tries = 0, status;
    assert_non_null(out);
    do {
        para_error err = {0};
        before = blocks;
        allocations_left = tries++;
        status = dump_page(of, out, &err);
        allocations_left = -1;
        assert_int_equal(blocks, before);
        assert_true(status == 0 || (status == PARA_ENOMEM && strstr(err.message, "memory")));
    } while (status < 0);
    assert_true(tries > 20);
    fclose(out);
}

static void memory_runs_out(void **state)
{
    (void)state;
    para_graph *g = model_graph("tiny", TRAIN, 1, "batch=2");
    para_profile *p = two_workers();
    runs_out(dump_graph, g);
    runs_out(dump_run, p);
    para_graph_free(g);
    para_profile_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts_are_the_same),
        cmocka_unit_test(a_page_is_one_file),
        cmocka_unit_test(odd_graphs_have_pages),
        cmocka_unit_test(huge_graphs_have_pages),
        cmocka_unit_test(hostile_names_end_no_element),
        cmocka_unit_test(a_run_is_in_its_page),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
