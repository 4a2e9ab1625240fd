/* Graph files that lie, are cut short or broken: none is believed. */
#include "tests/dumps.h"
#include "tests/graph-text.h"
#include "tests/model-graphs.h"

#include <stdlib.h>
#include <string.h>

/* x and w (tensors 0, 1) -> add y (2) -> scale z (3). */
static const char *const small =
    "{\"format\":\"paragraph-graph\",\"version\":1,\"splits\":\"\",\"backward\":false,\n"
    "\"axes\":[\n{\"axis\":\"batch\",\"extent\":4},\n{\"axis\":\"embd\",\"extent\":6}\n],\n"
    "\"tensors\":[\n"
    "{\"id\":0,\"kind\":\"input\",\"name\":\"x\",\"base\":\"x\",\"dtype\":\"f32\",\"dims\":[[\"batch\",4,0,4],"
    "[\"embd\",6,0,6]],\"producer\":null,\"output\":null,\"origin\":0,\"overwrites\":null,\"is_output\":false,"
    "\"init\":null,\"why_whole\":null},\n"
    "{\"id\":1,\"kind\":\"parameter\",\"name\":\"w\",\"base\":\"w\",\"dtype\":\"f32\",\"dims\":[[\"embd\",6,0,6]],"
    "\"producer\":null,\"output\":null,\"origin\":1,\"overwrites\":null,\"is_output\":false,"
    "\"init\":[\"normal\",0,0.02],\"why_whole\":null},\n"
    "{\"id\":2,\"kind\":\"intermediate\",\"name\":\"y\",\"base\":\"y\",\"dtype\":\"f32\",\"dims\":[[\"batch\",4,0,4],"
    "[\"embd\",6,0,6]],\"producer\":0,\"output\":0,\"origin\":2,\"overwrites\":null,\"is_output\":false,"
    "\"init\":null,\"why_whole\":null},\n"
    "{\"id\":3,\"kind\":\"intermediate\",\"name\":\"z\",\"base\":\"z\",\"dtype\":\"f32\",\"dims\":[[\"batch\",4,0,4],"
    "[\"embd\",6,0,6]],\"producer\":1,\"output\":0,\"origin\":3,\"overwrites\":null,\"is_output\":true,"
    "\"init\":null,\"why_whole\":null}\n],\n"
    "\"nodes\":[\n"
    "{\"id\":0,\"op\":\"add\",\"name\":\"y\",\"scope\":\"\",\"part\":\"\",\"origin\":0,\"place\":null,"
    "\"backward\":false,\"inputs\":[0,1],\"outputs\":[2],\"attrs\":{}},\n"
    "{\"id\":1,\"op\":\"scale\",\"name\":\"z\",\"scope\":\"\",\"part\":\"\",\"origin\":1,\"place\":2,"
    "\"backward\":false,\"inputs\":[2],\"outputs\":[3],\"attrs\":{\"factor\":0.5}}\n],\n"
    "\"gradients\":[\n]}\n";

static void small_file_is_true(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = NULL;
    must(load(&g, small, strlen(small), &err), err);
    char *json = dump(g, JSON, 0);
    assert_string_equal(json, small);
    free(json);
    para_graph_free(g);
}

struct lie {
    const char *from, *to; /* the first `from` becomes `to` */
    const char *message;
};

static const struct lie lies[] = {
    {"{\"format\"", "[\"format\"", "line 1"},
    {"paragraph-graph", "safetensors", "line 1: format: is \"safetensors\", expected one of paragraph-graph"},
    {"\"version\":1", "\"version\":2", "version: is 2, expected 1 to 1"},
    {"\"version\":1", "\"version\":1,\"version\":1", "duplicate"},
    {"\"version\":1", "\"colour\":1,\"version\":1", "field \"colour\" that is not known"},
    {"\"version\":1,", "", "lacks the field \"version\""},
    {"\"splits\":\"\"", "\"splits\":\"heads=2\"", "splits: is \"heads=2\", expected axes of this graph"},
    {"\"splits\":\"\"", "\"splits\":\"batch=5\"", "line 1: splits: is \"batch=5\""},
    {"\"splits\":\"\"", "\"splits\":\"batch=2,\"", "splits: is \"batch=2,\""},
    {"\"splits\":\"\"", "\"splits\":\"\",\"spread\":\"batch=2\"", "spread: \"batch\" isn't split"},
    {"\"splits\":\"\"", "\"splits\":\"batch=2\",\"spread\":\"batch=3\"", "spread: 3 devices, expected at most 2"},
    {"\"splits\":\"\"", "\"splits\":\"batch=2\",\"spread\":\"\"", "spread: \"\" is no list of axes"},
    {"\"splits\":\"\"", "\"splits\":\"batch=2\",\"spread\":2", "spread: is an integer, expected a string"},
    {"\"axis\":\"embd\"", "\"axis\":\"batch\"", "line 4: axis 1: axis: \"batch\" stands in the list already"},
    {"\"axis\":\"embd\"", "\"axis\":\"e mbd\"", "can't name an axis"},
    {"\"extent\":4", "\"extent\":0", "axis 0: extent: is 0, expected 1 to"},
    {"\"extent\":4", "\"extent\":-4", "line 3: axis 0: extent: is -4"},
    {"\"extent\":4", "\"extent\":99999999999999999999", "too big"},
    {"\"extent\":4", "\"extent\":4.0", "axis 0: extent: is a number, expected an integer"},
    {"\"extent\":4", "\"extent\":5", "axis \"batch\" has extent 4 here and 5 elsewhere"},
    {"\"id\":1", "\"id\":7", "line 8: tensor 1: id: is 7, expected 1 to 1"},
    {"\"input\"", "\"output\"", "tensor 0: kind: is \"output\", expected one of input, parameter, state, intermediate"},
    {"\"input\"", "\"intermediate\"", "tensor 0: producer: intermediates alone are made by a node"},
    {"\"name\":\"w\"", "\"name\":\"x\"", "tensor 1: the name \"x\" is taken"},
    {"\"name\":\"w\"", "\"name\":\"\"", "line 8: tensor 1: name: is empty"},
    {"\"name\":\"w\"", "\"name\":3", "tensor 1: name: is an integer, expected a string"},
    {"\"f32\"", "\"f64\"", "tensor 0: dtype: is \"f64\", expected one of f32, f16, bf16, i32"},
    {"[\"batch\",4,0,4]", "[\"batch\",-4,0,4]", "tensor 0: dims: is -4, expected 1 to 4"},
    {"[\"batch\",4,0,4]", "[\"batch\",2,3,4]", "tensor 0: dims: is 3, expected 0 to 2"},
    {"[\"batch\",4,0,4]", "[\"batch\",4,0,8]", "axis \"batch\" has extent 8 here and 4 elsewhere"},
    {"[\"batch\",4,0,4]", "[\"batch\",2,0,4]", "elements of axis \"batch\""},
    {"[\"batch\",4,0,4]", "[\"seq\",4,0,4]", "axis \"seq\" is not in the list of axes"},
    {"[\"batch\",4,0,4]", "[\"embd\",6,0,6]", "axis \"embd\" stands twice"},
    {"[\"batch\",4,0,4]", "[\"batch\",4,0]", "expected lists of [axis, extent, begin, whole]"},
    {"\"producer\":0", "\"producer\":1", "tensor 2: producer: is output 0 of node 1"},
    {"\"producer\":0", "\"producer\":9", "line 9: tensor 2: producer: is output 0 of node 9"},
    {"\"producer\":0,\"output\":0", "\"producer\":0,\"output\":1", "tensor 2: producer: is output 1 of node 0"},
    {"\"origin\":0", "\"origin\":-1", "tensor 0: origin: is -1"},
    {"\"producer\":0,\"output\":0,\"origin\":2,\"overwrites\":null",
     "\"producer\":0,\"output\":0,\"origin\":2,\"overwrites\":1", "tensor 2: overwrites: is 1, expected -1"},
    {"\"w\",\"dtype\":\"f32\"", "\"w\",\"dtype\":\"f16\"",
     "\"w\" is f16, expected a parameter to be f32, bf16, i8, q8_0 or q4_0"},
    {"\"is_output\":false", "\"is_output\":0", "tensor 0: is_output: is an integer, expected true or false"},
    {"[\"normal\",0,0.02]", "[\"gaussian\",0,0.02]", "tensor 1: init: is \"gaussian\", expected one of fill, normal"},
    {"[\"normal\",0,0.02]", "null", "tensor 1: init: expected [kind, mean, spread]"},
    {"[\"normal\",0,0.02]", "[\"normal\",0,\"much\"]", "tensor 1: init: is a string, expected a number"},
    {"\"op\":\"add\"", "\"op\":\"plus\"", "node 0: op: no op is called \"plus\""},
    {"\"place\":2", "\"place\":-2", "line 14: node 1: place: is -2"},
    {"\"place\":2", "\"place\":4096", "node 1: place: is 4096, expected 0 to 4095, or null"},
    {"\"place\":2", "\"place\":300000000", "node 1: place: is 300000000, expected 0 to 4095, or null"},
    {"\"place\":2", "\"place\":2147483647", "node 1: place: is 2147483647, expected 0 to 4095, or null"},
    {"\"inputs\":[2]", "\"inputs\":[3]", "node 1: inputs: tensor 3 comes after the node's first output"},
    {"\"inputs\":[2]", "\"inputs\":[12]", "node 1: inputs: is 12, expected 0 to 3"},
    {"\"inputs\":[0,1]", "\"inputs\":[1,0]", "y"},
    {"\"scale\",\"name\":\"z\",\"scope\":\"\",\"part\":\"\",\"origin\":1,\"place\":2,\"backward\":false,\"inputs\":[2],"
     "\"outputs\":[3],\"attrs\":{\"factor\":0.5}",
     "\"permute\",\"name\":\"z\",\"scope\":\"\",\"part\":\"\",\"origin\":1,\"place\":2,\"backward\":false,"
     "\"inputs\":[],\"outputs\":[3],\"attrs\":{\"order\":\"batch embd\"}",
     "z (permute): 0 inputs, expected 1"},
    {"\"scale\",\"name\":\"z\",\"scope\":\"\",\"part\":\"\",\"origin\":1,\"place\":2,\"backward\":false,\"inputs\":[2],"
     "\"outputs\":[3],\"attrs\":{\"factor\":0.5}",
     "\"rename\",\"name\":\"z\",\"scope\":\"\",\"part\":\"\",\"origin\":1,\"place\":2,\"backward\":false,\"inputs\":[],"
     "\"outputs\":[3],\"attrs\":{\"from\":\"embd\",\"to\":\"embd\"}",
     "z (rename): 0 inputs, expected 1"},
    {"\"outputs\":[3]", "\"outputs\":[3],\"after\":[1]", "node 1: after: is 1, expected 0 to 0"},
    {"\"outputs\":[3]", "\"outputs\":[3],\"after\":[0,0]", "node 1: after: is 0, expected 1 to 0"},
    {"\"outputs\":[3]", "\"outputs\":[3],\"after\":[]", "node 1: after: is empty"},
    {"\"outputs\":[3]", "\"outputs\":[3],\"after\":0", "node 1: after: "},
    {"\"outputs\":[2]", "\"outputs\":[3]", "node 0: outputs: is 3, expected 2 to 2"},
    {"\"outputs\":[2]", "\"outputs\":[]", "node 0: outputs: has 0 entries, expected 1 to 4"},
    {"\"outputs\":[2]", "\"outputs\":[2,3]", "node 0: outputs: lists tensor 3, which does not name node 0"},
    {"{\"factor\":0.5}", "{\"factor\":\"half\"}", "line 14: node 1: factor: is a string, expected a number"},
    {"{\"factor\":0.5}", "{\"faktor\":0.5}", "line 14: node 1: lacks the field \"factor\""},
    {"{\"factor\":0.5}", "{}", "line 14: node 1: lacks the field \"factor\""},
    {"\"attrs\":{}", "\"attrs\":{\"factor\":1}", "node 0: has a field \"factor\" that is not known"},
    {"\"gradients\":[\n]", "\"gradients\":[[1,9]]", "gradient 0: is 9, expected 0 to 3"},
    {"\"gradients\":[\n]", "\"gradients\":[[1,2],[1,2]]", "line 16: gradient 1: tensor 1 has a gradient already"},
    {"\"gradients\":[\n]", "\"gradients\":[1]", "gradient 0: expected [tensor, gradient]"},
};

static void lies_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        const char *at = strstr(small, lies[i].from);
        assert_non_null(at);
        para_error err = {0};
        para_graph *g = NULL;
        size_t bytes = strlen(small) + strlen(lies[i].to) + 1;
        char *file = must_alloc(bytes);
        snprintf(file, bytes, "%.*s%s%s", (int)(at - small), small, lies[i].to, at + strlen(lies[i].from));
        int status = load(&g, file, strlen(file), &err);
        if (status != PARA_EFORMAT || g || strncmp(err.message, "g.json: ", 8) != 0 ||
            !strstr(err.message, lies[i].message)) {
            print_error("%s -> %s: %s: %s\nexpected: %s\n", lies[i].from, lies[i].to, para_status_name(status),
                        err.message, lies[i].message);
            fail();
        }
        free(file);
    }
}

/* The file in doc/graph-format.md is one. */
static void the_documented_file_loads(void **state)
{
    (void)state;
    const char *top = getenv("srcdir");
    char path[4096], text[16384];
    snprintf(path, sizeof path, "%s/doc/graph-format.md", top ? top : ".");
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t bytes = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[bytes] = '\0';
    const char *begin = strstr(text, "```json\n"), *end = begin ? strstr(begin, "\n```\n") : NULL;
    assert_non_null(end);
    begin += strlen("```json\n");
    para_error err = {0};
    para_graph *g = NULL;
    must(load(&g, begin, (size_t)(end - begin), &err), err);
    assert_int_equal(para_graph_node_count(g), 2);
    assert_string_equal(para_node_op(para_tensor_producer(para_graph_find(g, "h"))), "matmul");
    para_graph_free(g);
}

/* Written by hand, over many lines: the message has that of the field. */
static void lines_are_those_of_fields(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
    } wrong[] = {
        {"\"extent\":6", "\"extent\":0"},          {"\"id\":1", "\"id\":7"},
        {"\"parameter\"", "\"parametre\""},        {"\"producer\":1", "\"producer\":5"},
        {"\"is_output\":true", "\"is_output\":1"}, {"\"op\":\"scale\"", "\"op\":\"scal\""},
        {"\"place\":2", "\"place\":-2"},           {"\"factor\":0.5", "\"factor\":\"half \\\" ]}\""},
        {"\"version\":1", "\"version\":3"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *at = strstr(small, wrong[i].from);
        assert_non_null(at);
        char *file = must_alloc(4 * strlen(small)), *to = file;
        int line = 1, expected = 0;
        for (const char *p = small; *p; p++) {
            if (p == at) {
                expected = line;
                to += sprintf(to, "%s", wrong[i].to);
                p += strlen(wrong[i].from);
            }
            *to++ = *p;
            line += *p == '\n';
            if (*p == ',' || *p == '{') {
                to += sprintf(to, "\n\t ");
                line++;
            }
        }
        *to = '\0';
        para_error err = {0};
        para_graph *g = NULL;
        char start[64];
        assert_int_equal(load(&g, file, strlen(file), &err), PARA_EFORMAT);
        snprintf(start, sizeof start, "g.json: line %d: ", expected);
        assert_has(err.message, start);
        free(file);
    }
}

static void comes_back(const char *preset, enum use use, const char *list, const char *spread)
{
    para_error err = {0};
    para_graph *g = model_graph(preset, use, 0, list), *again = NULL;
    if (spread) {
        must(para_graph_spread(&again, g, spread, &err), err);
        para_graph_free(g);
        g = again;
        again = NULL;
    }
    char *before = dump(g, JSON, 0);
    must(load(&again, before, strlen(before), &err), err);
    assert_string_equal(para_graph_spreading(again), para_graph_spreading(g));
    char *after = dump(again, JSON, 0);
    if (strcmp(before, after) != 0)
        fail_msg("%s, use %d, \"%s\": another file", preset, use, list);
    free(before);
    free(after);
    para_graph_free(again);
    para_graph_free(g);
}

/* Every preset in every use, as written, split, and spread; the error for a name that no preset has lists them all. */
static void models_come_back(void **state)
{
    (void)state;
    static const char *const presets[] = {"tiny",      "gpt2-124m",  "gpt2-355m", "gpt2-774m",   "gpt2-xl",
                                          "llama-15m", "llama-110m", "llama2-7b", "llama3.2-1b", "qwen2.5-0.5b"};
    para_error err = {0};
    para_model *model = NULL;
    assert_int_equal(para_model_preset(&model, "none", &err), PARA_ENAME);
    assert_has(
        err.message,
        "tiny, gpt2-124m, gpt2-355m, gpt2-774m, gpt2-xl, llama-15m, llama-110m, llama2-7b, llama3.2-1b, qwen2.5-0.5b");
    assert_null(strstr(err.message, "qwen2.5-0.5b,"));
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++)
        for (int use = FORWARD; use <= DECODE; use++) {
            comes_back(presets[i], (enum use)use, "", NULL);
            comes_back(presets[i], (enum use)use, use == DECODE ? "heads=2,ff=2" : "batch=2,heads=2,ff=2", NULL);
            comes_back(presets[i], (enum use)use, "heads=2,ff=2", "heads,ff");
        }
}

static void a_node_without_tensors_is_refused(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = NULL;
    const char *file = "{\"format\":\"paragraph-graph\",\"version\":1,\"splits\":\"\",\"backward\":false,\"axes\":[],"
                       "\"tensors\":[],\"nodes\":[{}],\"gradients\":[]}";
    assert_int_equal(load(&g, file, strlen(file), &err), PARA_EFORMAT);
    assert_has(err.message, "g.json: no tensor names node 0 of 1 as its producer");
}

/* A node whose op has no kernel for its inputs' types is refused: gelu_backward would read past values of two bytes. */
static void types_without_a_kernel_are_refused(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[n=64]; d:input[n=64]; y = gelu_backward(x, d, \"tanh\")");
    char *file = dump(g, JSON, 0), *wider = must_alloc(strlen(file) + 64), *to = wider;
    para_graph_free(g);
    g = NULL;
    for (const char *at = file; *at;) {
        bool dtype = strncmp(at, "\"f32\"", 5) == 0;
        to += sprintf(to, "%.*s", dtype ? 5 : 1, dtype ? "\"f16\"" : at);
        at += dtype ? 5 : 1;
    }
    para_error err = {0};
    assert_int_equal(load(&g, wider, strlen(wider), &err), PARA_EFORMAT);
    assert_has(err.message, "y (gelu_backward): \"x\" is f16, expected f32 or bf16");
    free(wider);
    free(file);
}

/* Cut short anywhere, or with any byte changed, a file is refused or is a legal graph. */
static void broken_files_are_refused(void **state)
{
    (void)state;
    size_t bytes = strlen(small);
    char *file = must_alloc(bytes);
    int loaded = 0;
    for (size_t i = 0; i < bytes; i++) {
        para_graph *g = NULL;
        memcpy(file, small, bytes);
        assert_int_equal(load(&g, file, i < bytes - 1 ? i : 0, NULL), PARA_EFORMAT);
        file[i] = (char)(file[i] ^ (1 << (i % 7)));
        if (load(&g, file, bytes, NULL) == 0) {
            assert_int_equal(para_graph_verify(g, NULL), 0);
            loaded++;
        } else {
            assert_null(g);
        }
        para_graph_free(g);
    }
    assert_true(loaded < (int)bytes / 4); /* a changed name is still a name, little else is */
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_file_is_true),        cmocka_unit_test(lies_are_refused),
        cmocka_unit_test(the_documented_file_loads), cmocka_unit_test(lines_are_those_of_fields),
        cmocka_unit_test(models_come_back),          cmocka_unit_test(a_node_without_tensors_is_refused),
        cmocka_unit_test(broken_files_are_refused),  cmocka_unit_test(types_without_a_kernel_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
