/* Dumps: what they say, and that JSON comes back as the same graph and the same bytes. */
#define _POSIX_C_SOURCE 200809L /* popen */
#include "tests/dumps.h"
#include "tests/graph-text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "graph/dump.h"
#include "graph/ir.h"

/* Two layers with every kind of value, trained; heads split evenly, wide doesn't, norms stay whole along embd. */
static const char *const trained =
    "x:input[batch=4,seq=3,embd=6]; ids:ids[batch=4,seq=3]; head:param[embd=6,vocab=5];"
    "push(\"layer.0\"); push(\"norm\"); g:param[embd=6]; b:param[embd=6]; n = layernorm(x, g, b, 1e-5); pop();"
    "up:param[embd=6,wide=7]; down:param[wide=7,embd=6]; u = matmul(n, up, \"embd\"); h = gelu(u);"
    "d = matmul(h, down, \"wide\"); y = add(x, d); pop();"
    "push(\"layer.1\"); up2:param[embd=6,wide=7]; down2:param[wide=7,embd=6]; u2 = matmul(y, up2, \"embd\");"
    "h2 = gelu(u2); d2 = matmul(h2, down2, \"wide\"); y2 = add(y, d2); pop();"
    "logits = matmul(y2, head, \"embd\"); loss = cross_entropy(logits, ids, \"vocab\", -100); output(loss);"
    "backward(loss); train_adamw(0.01, 0.1, 1)";

static para_graph *split_of(const para_graph *g, const char *list)
{
    para_error err = {0};
    para_graph *out = NULL;
    must(para_graph_split_list(&out, g, list, NULL, 0, &err), err);
    return out;
}

static int count_of(const char *text, const char *part)
{
    int count = 0;
    for (const char *s = text; (s = strstr(s, part)); s += strlen(part))
        count++;
    return count;
}

/* ---- numbers and scopes ---- */

static void doubles_read_back(void **state)
{
    (void)state;
    const double values[] = {0.0,  1.0,     -1.0, 0.1, 1.0 / 3.0, 2.0 / 3.0, 1e300, -1e-300, 4.9406564584124654e-324,
                             1e17, 1e5 + 1, 3e8,  5e-5};
    char text[PARA_DOUBLE_TEXT];
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        assert_true(strtod(para_double_text(values[i], text), NULL) == values[i]);
    assert_string_equal(para_double_text(0.1, text), "0.1");
    assert_string_equal(para_double_text(-0.0, text), "-0.0");
    assert_string_equal(para_double_text(-INFINITY, text), "-inf");
    assert_string_equal(para_double_text(NAN, text), "nan");
}

static void numbered_words_are_one_component(void **state)
{
    (void)state;
    assert_int_equal(para_scope_depth(""), 0);
    assert_int_equal(para_scope_depth("head"), 1);
    assert_int_equal(para_scope_depth("layer.12.attn"), 2);
    assert_int_equal(para_scope_depth("layer.2a.attn"), 3);
    assert_int_equal(para_scope_cut("layer.12.attn", 1), strlen("layer.12"));
    assert_int_equal(para_scope_cut("layer.12.attn", 2), strlen("layer.12.attn"));
    assert_int_equal(para_scope_cut("layer.12.attn", 9), strlen("layer.12.attn"));
}

/* ---- text ---- */

static void text_names_everything(void **state)
{
    (void)state;
    para_graph *g = graph_of(trained);
    char *text = dump(g, TEXT, 0);
    for (int id = 0; id < para_graph_node_count(g); id++)
        assert_has(text, para_node_name(para_graph_node(g, id)));
    for (int id = 0; id < para_graph_tensor_count(g); id++)
        if (!para_tensor_producer(para_graph_tensor(g, id)))
            assert_has(text, para_tensor_name(para_graph_tensor(g, id)));
    assert_has(text, "210 parameters");
    assert_has(text, "layernorm eps=1e-05 (x, layer.0.norm.g, layer.0.norm.b) -> f32 (batch 4, seq 3, embd 6)");
    assert_has(text, "matmul contract=\"embd\" (layer.0.norm.n, layer.0.up) -> f32 (batch 4, seq 3, wide 7)");
    assert_has(text, " over layer.0.up");
    assert_null(strstr(text, "parameter bytes"));
    free(text);
    para_graph_free(g);
}

static void text_tells_what_was_split(void **state)
{
    (void)state;
    para_graph *g = graph_of(trained), *s = split_of(g, "embd=2,wide=2");
    char *text = dump(s, TEXT, 0);
    assert_has(text, "split embd=2,wide=2\n");
    assert_has(text, "\nsplit wide=2\n");
    assert_has(text, "  matmul: 12 of 12 that have wide are cut in 2\n");
    assert_has(text, "  layernorm: 0 of 1 that have embd are cut in 2\n");
    const char *whole = strstr(text, "\nleft whole\n");
    assert_non_null(whole);
    assert_has(whole, "  embd: ");
    assert_has(whole, "\n    layer.0.norm.n\n");
    assert_has(whole, "  wide=0: 384\n  wide=1: 288\n"); /* 4 and 3 of 7, by 6, four times, in float32 */
    assert_has(whole, "  without wide: 168\n");
    free(text);
    para_graph_free(s);
    para_graph_free(g);
}

static void text_tells_groups(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = graph_of(trained), *a = NULL, *b = NULL;
    must(para_graph_place(&a, g, "layer.0", 0, &err), err);
    must(para_graph_place(&b, a, "layer.1", 3, &err), err);
    char *text = dump(b, TEXT, 0);
    assert_has(text, "  group 0: 384\n  group 3: 336\n"); /* 2 x 6 + 2 x 42 and 2 x 42 floats */
    assert_has(text, "(batch 4, seq 3, wide 7)  group 3\n");
    free(text);
    para_graph_free(b);
    para_graph_free(a);
    para_graph_free(g);
}

static void fold_makes_one_line_of_a_scope(void **state)
{
    (void)state;
    para_graph *g = graph_of(trained);
    char *text = dump(g, TEXT, 1);
    assert_int_equal(count_of(text, "\nlayer.0 (forward, folded)"), 1);
    assert_int_equal(count_of(text, "\nlayer.1 (backward, folded)"), 1);
    assert_has(text, "layer.0 (forward, folded)  5 nodes: 2 matmul, 1 add, 1 gelu, 1 layernorm; ");
    assert_has(text, "; reads x; 4 parameters; makes ");
    assert_null(strstr(text, "layer.1\n"));
    /* 2 x 6 + 2 x 42 floats, and two moments of each; those outside of the folded scopes stand alone */
    assert_has(text, "\nparameters\n  head  ");
    assert_has(text, "\n  layer.0                          4 values, 384 B\n");
    assert_has(text, "\n  layer.0                          8 values, 768 B\n");
    assert_int_equal(count_of(text, "\n  layer."), 4);
    assert_null(strstr(text, "layer.0.up  "));
    free(text);
    text = dump(g, TEXT, 2); /* the layer's own nodes stand alone, those of "norm" are folded */
    assert_has(text, "\nlayer.0.norm (forward, folded)  1 node: 1 layernorm; ");
    assert_has(text, "\nlayer.0\n");
    assert_has(text, "\n  layer.0.norm                     2 values, 48 B\n");
    assert_has(text, "\n  layer.0.up  ");
    free(text);
    para_error err = {0};
    assert_int_equal(para_graph_dump_text(g, stderr, -1, &err), PARA_ERANGE);
    assert_int_equal(para_graph_dump_dot(g, stderr, -1, &err), PARA_ERANGE);
    para_graph_free(g);
}

/* ---- DOT ---- */

/* Let Graphviz read it, if it is there. */
static void draw(const char *dot)
{
    if (system("dot -V >/dev/null 2>&1") != 0) {
        print_message("dot is not installed: the drawing's syntax is not tried\n");
        return;
    }
    FILE *pipe = popen("dot -Tsvg >/dev/null", "w");
    assert_non_null(pipe);
    fputs(dot, pipe);
    assert_int_equal(pclose(pipe), 0);
}

static void dot_nests_scopes(void **state)
{
    (void)state;
    para_graph *g = graph_of(trained);
    char *dot = dump(g, DOT, 0);
    assert_int_equal(count_of(dot, "subgraph cluster_"), 4); /* layer.0 and its norm, layer.1, optimizer */
    assert_int_equal(count_of(dot, "{\n"), count_of(dot, "}\n"));
    const char *layer = strstr(dot, "label=\"layer.0\";");
    assert_non_null(layer);
    assert_has(layer, "label=\"norm\";");
    assert_has(dot, "shape=cylinder");
    assert_has(dot, "style=dashed");
    assert_has(dot, "xlabel=\"f32 (batch 4, seq 3, wide 7)\"");
    for (int id = 0; id < para_graph_node_count(g); id++) {
        char box[32];
        snprintf(box, sizeof box, "\nu%d [", id);
        assert_int_equal(count_of(dot, box), 1);
    }
    draw(dot);
    free(dot);
    dot = dump(g, DOT, 1);
    assert_int_equal(count_of(dot, "subgraph cluster_"), 0);
    assert_has(dot, "label=\"layer.0 (forward)\\n5 nodes");
    draw(dot);
    free(dot);
    para_graph_free(g);
}

/* A shape stands where it changes, on the way to the first reader; a name isn't said twice; groups and what colours
 * mean are drawn. */
static void dot_says_things_once(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g =
        graph_of("x:input[rows=4,cols=3]; w:param[cols=3,wide=5]; push(\"layer.0\"); a = matmul(x, w, \"cols\");"
                 "add(a, a); pop(); push(\"layer.1\"); b = gelu(a); c = gelu(b); d = add(c, a); pop();"
                 "loss = reduce_sum(d, \"\"); output(loss)");
    char *dot = dump(g, DOT, 0);
    assert_int_equal(count_of(dot, "xlabel=\"f32 (rows 4, wide 5)\""), 1);
    assert_int_equal(count_of(dot, "xlabel"), 1);
    assert_has(dot, "label=\"add\"];");
    assert_has(dot, "label=\"matmul\\na\"];");
    assert_int_equal(count_of(dot, "legend ["), 1);
    assert_has(dot, ">forward</td>");
    assert_int_equal(count_of(dot, ">backward</td>") + count_of(dot, "group") + count_of(dot, "penwidth"), 0);
    draw(dot);
    free(dot);
    para_graph *placed = NULL;
    must(para_graph_stage(&placed, g, 2, &err), err);
    dot = dump(placed, DOT, 0);
    assert_has(dot, "label=\"matmul\\na\\ngroup 0\"];");
    assert_int_equal(count_of(dot, "penwidth=2.5,color=\"#1f77b4\""), 2);
    assert_int_equal(count_of(dot, "penwidth=2.5,color=\"#d62728\""), 4);
    assert_has(dot, "color=\"#d62728\">group 1</td>");
    draw(dot);
    free(dot);
    para_graph *cut = NULL;
    must(para_graph_split(&cut, g, "rows", 2, &err), err);
    dot = dump(cut, DOT, 0);
    assert_has(dot, "label=\"matmul\\na[rows=1]\"];");
    assert_has(dot, "xlabel=\"f32 (rows 2 of 4 at 2, wide 5)\"");
    draw(dot);
    free(dot);
    para_graph_free(cut);
    para_graph_free(placed);
    para_graph_free(g);
}

static void dot_escapes_names(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = para_graph_new();
    para_scope_push(g, "a \"scope\" \\ }");
    para_tensor *x = para_input(g, "in\"put\\", PARA_F32, PARA_DIMS({"n", 3}));
    para_output(para_name(para_scale(g, x, 2), "re\nsult \"}"));
    para_scope_pop(g);
    must(para_graph_seal(g, &err), err);
    char *dot = dump(g, DOT, 0);
    assert_has(dot, "label=\"a \\\"scope\\\" \\\\ }\";");
    assert_has(dot, "re sult \\\"}");
    draw(dot);
    free(dot);
    para_graph_free(g);
}

/* ---- writing fails ---- */

static void full_disk_is_an_error(void **state)
{
    (void)state;
    para_graph *g = graph_of(trained);
    para_error err = {0};
    FILE *full = fopen("/dev/full", "w");
    if (!full) {
        para_graph_free(g);
        print_message("no /dev/full here\n");
        skip();
    }
    assert_int_equal(para_graph_dump_json(g, full, &err), PARA_EIO);
    assert_has(err.message, "writing the dump: ");
    fclose(full);
    para_graph_free(g);
}

static void names_must_be_utf8(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = para_graph_new();
    para_input(g, "caf\xe9", PARA_F32, PARA_SCALAR);
    must(para_graph_seal(g, &err), err);
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    assert_int_equal(para_graph_dump_json(g, out, &err), PARA_EINVAL);
    assert_has(err.message, "UTF-8");
    fclose(out);
    para_graph_free(g);
}

/* ---- JSON, read back ---- */

#if defined(PARA_HAVE_IO) && PARA_HAVE_IO

/* Dump, load, dump: the same bytes. Returns the loaded graph. */
static para_graph *reloaded(const para_graph *g)
{
    para_error err = {0};
    para_graph *again = NULL;
    char *before = dump(g, JSON, 0);
    must(load(&again, before, strlen(before), &err), err);
    char *after = dump(again, JSON, 0);
    assert_string_equal(before, after);
    free(before);
    free(after);
    return again;
}

static void json_comes_back(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = graph_of(trained), *s = split_of(g, "batch=3,embd=2,wide=2,vocab=2"), *staged = NULL;
    must(para_graph_stage(&staged, s, 2, &err), err);
    const para_graph *const all[] = {g, s, staged};
    for (int i = 0; i < 3; i++) {
        para_graph *again = reloaded(all[i]);
        must(para_graph_verify(again, &err), err);
        for (int f = TEXT; f <= SVG; f++) {
            char *before = dump(all[i], (enum format)f, 0), *after = dump(again, (enum format)f, 0);
            assert_string_equal(before, after);
            free(before);
            free(after);
        }
        para_graph_free(again);
    }
    para_graph_free(staged);
    para_graph_free(s);
    para_graph_free(g);
}

static void gradients_come_back(void **state)
{
    (void)state;
    para_graph *g = graph_of(trained), *again = reloaded(g);
    const para_tensor *before = para_grad(g, para_graph_find(g, "layer.1.up2"));
    const para_tensor *after = para_grad(again, para_graph_find(again, "layer.1.up2"));
    assert_non_null(before);
    assert_non_null(after);
    assert_string_equal(para_tensor_name(before), para_tensor_name(after));
    para_graph_free(again);
    para_graph_free(g);
}

/* An attribute that files had not from the beginning: without it they load, and a graph without it is as they are. */
static void what_is_optional_is_left_out_where_it_is_0(void **state)
{
    (void)state;
    for (int window = 0; window <= 3; window += 3) {
        para_graph *g = para_graph_new();
        para_tensor *x =
            para_input(g, "x", PARA_F32, PARA_DIMS({"batch", 2}, {"seq", 4}, {"heads", 2}, {"head_dim", 3}));
        para_output(para_attention_window(g, x, x, x, window));
        must(para_graph_seal(g, NULL), (para_error){0});
        char *json = dump(g, JSON, 0), *text = dump(g, TEXT, 0);
        assert_int_equal(strstr(json, "\"attrs\":{\"causal\":1,\"window\":3}") != NULL, window == 3);
        assert_int_equal(strstr(json, "\"attrs\":{\"causal\":1}") != NULL, window == 0);
        assert_int_equal(strstr(text, "window=3") != NULL, window == 3);
        free(json);
        free(text);
        para_graph_free(reloaded(g));
        para_graph_free(g);
    }
}

static void odd_values_come_back(void **state)
{
    (void)state;
    static const double odd[] = {-0.0, INFINITY, -INFINITY, 1.0 / 3.0, 4.9406564584124654e-324, 1e17};
    para_error err = {0};
    para_graph *g = para_graph_new();
    for (size_t i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        char name[64];
        snprintf(name, sizeof name, "\"p\\%zu\x01\n\xc3\xa9\xf0\x9f\x98\x80", i);
        para_param(g, name, PARA_DIMS({"n", 2}), (para_init){PARA_INIT_NORMAL, odd[i], -odd[i]});
    }
    para_state(g, "s", PARA_F32, PARA_SCALAR, (para_init){PARA_INIT_FILL, NAN, 0});
    must(para_graph_seal(g, &err), err);
    para_graph *again = reloaded(g);
    for (int id = 0; id < para_graph_tensor_count(g); id++) {
        const para_tensor *a = para_graph_tensor(g, id), *b = para_graph_tensor(again, id);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->init.kind, b->init.kind);
        assert_true(isnan(a->init.mean) ? isnan(b->init.mean)
                                        : memcmp(&a->init.mean, &b->init.mean, sizeof(double)) == 0);
        assert_memory_equal(&a->init.spread, &b->init.spread, sizeof(double));
    }
    para_graph_free(again);
    para_graph_free(g);
}

/* A loaded graph is the graph: three training steps give the same bytes. */
static void loaded_graph_runs_alike(void **state)
{
    (void)state;
    para_graph *g = graph_of(trained), *s = split_of(g, "batch=2,wide=2"), *again = reloaded(s);
    const para_graph *const both[] = {s, again};
    float x[4 * 3 * 6], *up[2];
    int32_t ids[4 * 3];
    fill_uniform(x, 4 * 3 * 6, 1, 0, -1.0, 1.0);
    fill_ids(ids, 4 * 3, 1, 1, 5);
    for (int i = 0; i < 2; i++) {
        para_session *session = serial_session(both[i], false);
        set_value(session, "x", x, sizeof x);
        set_value(session, "ids", ids, sizeof ids);
        for (int step = 0; step < 3; step++)
            run_once(session);
        up[i] = get_floats(session, "layer.0.up", 6 * 7);
        para_session_free(session);
    }
    assert_true(norm_of(up[0], 6 * 7) > 0.0);
    assert_memory_equal(up[0], up[1], 6 * 7 * sizeof(float));
    free(up[0]);
    free(up[1]);
    para_graph_free(again);
    para_graph_free(s);
    para_graph_free(g);
}

#else

static void loading_needs_jansson(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = NULL;
    assert_int_equal(load(&g, "{}", 2, &err), PARA_ESUPPORT);
    assert_has(err.message, "jansson");
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_read_back),
        cmocka_unit_test(numbered_words_are_one_component),
        cmocka_unit_test(text_names_everything),
        cmocka_unit_test(text_tells_what_was_split),
        cmocka_unit_test(text_tells_groups),
        cmocka_unit_test(fold_makes_one_line_of_a_scope),
        cmocka_unit_test(dot_nests_scopes),
        cmocka_unit_test(dot_says_things_once),
        cmocka_unit_test(dot_escapes_names),
        cmocka_unit_test(full_disk_is_an_error),
        cmocka_unit_test(names_must_be_utf8),
#if defined(PARA_HAVE_IO) && PARA_HAVE_IO
        cmocka_unit_test(json_comes_back),
        cmocka_unit_test(gradients_come_back),
        cmocka_unit_test(what_is_optional_is_left_out_where_it_is_0),
        cmocka_unit_test(odd_values_come_back),
        cmocka_unit_test(loaded_graph_runs_alike),
#else
        cmocka_unit_test(loading_needs_jansson),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
