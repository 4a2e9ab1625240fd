/* Weights of fewer bits than float32: how they are made from float32, under splits too, and that a model computes with
 * what they stand for. */
#include "tests/graph-text.h"

#include <paragraph.h>

#include "base/dtype.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 61, CONTEXT = 8 };

static const para_gpt2 MODEL = {
    .layers = 2, .heads = 4, .embd = 32, .ff = 64, .vocab = VOCAB, .context = CONTEXT, .norm_eps = 1e-5};

static void get_bytes(para_session *s, const char *name, void *data, size_t bytes)
{
    para_error err = {0};
    must(para_session_get(s, name, data, bytes, &err), err);
}

static void halves_are_rounded_to_even(void **state)
{
    (void)state;
    static const float values[] = {1.0f, 1.00390625f, 1.01171875f, -3.0f, 1e-40f, 3.4e38f};
    static const uint16_t expected[] = {0x3f80, 0x3f80, 0x3f82, 0xc040, 0x0001, 0x7f80};
    uint16_t found[6];
    para_graph *g = graph_of("w:bf16[n=6]; x:param[n=6]; y = matmul(x, w, \"n\"); output(y)");
    para_session *s = serial_session(g, false);
    para_error err = {0};
    must(para_session_set_weight(s, "w", values, 6, &err), err);
    get_bytes(s, "w", found, sizeof found);
    assert_memory_equal(found, expected, sizeof found);
    para_session_free(s);
    para_graph_free(g);
}

/* w (4,3) with a scale for each column: the largest size is 127 steps; a column of zeros has scale 0. */
static void columns_are_quantized(const char *split)
{
    static const float values[] = {127, 0, -1, 2.5f, 0, 2, -3.5f, 0, 0.25f, 0, 0, -4};
    static const int8_t expected[] = {127, 0, -32, 2, 0, 64, -4, 0, 8, 0, 0, -127};
    static const float scales[] = {1, 0, 4.0f / 127};
    int8_t found[12];
    float scale[3], x[4] = {1, 2, 3, 4}, y[3];
    para_graph *written = graph_of("w:i8[k=4,n=3]; w.scale:param[n=3]; x:input[k=4]; p = matmul(x, w, \"k\"); "
                                   "y = mul(p, w.scale); output(y)"),
               *g = NULL;
    para_error err = {0};
    must(para_graph_split_list(&g, written, split, NULL, 0, &err), err);
    para_session *s = serial_session(g, false);
    must(para_session_set_weight(s, "w", values, 12, &err), err);
    get_bytes(s, "w", found, sizeof found);
    assert_memory_equal(found, expected, sizeof found);
    get_bytes(s, "w.scale", scale, sizeof scale);
    assert_memory_equal(scale, scales, sizeof scale);
    set_value(s, "x", x, sizeof x);
    run_once(s);
    get_bytes(s, "y", y, sizeof y);
    assert_true(fabsf(y[0] - (127 + 2 * 2 - 3 * 4)) < 1e-4f && y[1] == 0);
    assert_true(fabsf(y[2] - 4.0f / 127 * (-32 + 2 * 64 + 3 * 8 - 4 * 127)) < 1e-4f);
    para_session_free(s);
    para_graph_free(g);
    para_graph_free(written);
}

static void bytes_are_quantized_by_column(void **state)
{
    (void)state;
    columns_are_quantized("");
    columns_are_quantized("n=3");
    columns_are_quantized("k=2,n=2");
}

/* What can't be set leaves everything as it was. */
static void wrong_weights_are_refused(void **state)
{
    (void)state;
    float values[4] = {1, 2, NAN, 4};
    int8_t before[4], after[4];
    para_graph *g = graph_of("w:i8[k=4]; w.scale:param[]; u:i8[k=4]; x:param[k=4]; y = matmul(x, w, \"k\"); output(y)");
    para_session *s = serial_session(g, false);
    para_error err = {0};
    get_bytes(s, "w", before, sizeof before);
    assert_int_equal(para_session_set_weight(s, "w", values, 4, &err), PARA_ERANGE);
    assert_non_null(strstr(err.message, "\"w\" is i8, expected finite values"));
    assert_int_equal(para_session_set_weight(s, "w", values, 3, &err), PARA_ESHAPE);
    assert_non_null(strstr(err.message, "has 4 elements, got 3"));
    assert_int_equal(para_session_set_weight(s, "v", values, 4, &err), PARA_ENAME);
    assert_int_equal(para_session_set_weight(s, "u", values, 4, &err), PARA_ENAME);
    assert_non_null(strstr(err.message, "\"u.scale\""));
    get_bytes(s, "w", after, sizeof after);
    assert_memory_equal(before, after, sizeof before);
    para_session_free(s);
    para_graph_free(g);
}

static void weights_of_fewer_bits_are_not_trained(void **state)
{
    (void)state;
    para_gpt2 model = MODEL;
    para_error err = {0};
    model.weights = PARA_BF16;
    para_graph *g = para_graph_new();
    para_model_graph made = para_gpt2_build(g, &model, 1, CONTEXT, true);
    assert_non_null(made.loss);
    assert_int_equal(para_graph_backward(g, made.loss, &err), PARA_ESUPPORT);
    assert_non_null(strstr(err.message, "\"wte\" is bf16, expected f32"));
    para_graph_free(g);
    model.weights = PARA_I32;
    assert_int_equal(para_gpt2_check(&model, &err), PARA_EINVAL);
    g = graph_open("x:input[n=4]");
    assert_null(para_param_as(g, "w", PARA_I32, PARA_DIMS({"n", 4}), (para_init){PARA_INIT_FILL, 0, 0}));
    assert_int_equal(para_graph_seal(g, &err), PARA_ESHAPE);
    para_graph_free(g);
}

/* --- a model of such weights --- */

static para_graph *make_graph(para_dtype weights, bool cached, const char *split)
{
    para_gpt2 model = MODEL;
    para_graph *g = para_graph_new(), *out = NULL;
    para_error err = {0};
    model.weights = weights;
    if (cached)
        para_gpt2_build_cached(g, &model, &(para_caches){.batch = 1, .seq = CONTEXT, .cache = CONTEXT});
    else
        para_gpt2_build(g, &model, 2, CONTEXT, false);
    must(para_graph_seal(g, &err), err);
    must(para_graph_split_list(&out, g, split, NULL, 0, &err), err);
    para_graph_free(g);
    return out;
}

static int64_t whole_elements(const para_tensor *t)
{
    int64_t elements = 1;
    for (int d = 0; d < para_tensor_rank(t); d++)
        elements *= para_tensor_whole(t, d);
    return elements;
}

/* The values that a parameter of fewer bits stands for; its scales lie along its last axes, or, of wte, its first. */
static void values_of(para_session *s, const char *name, para_dtype dtype, int64_t count, int64_t scales, float *values)
{
    void *data = must_alloc((size_t)count * para_dtype_bytes(dtype));
    float *scale = must_alloc((size_t)scales * sizeof *scale);
    char of[96];
    get_bytes(s, name, data, (size_t)count * para_dtype_bytes(dtype));
    if (dtype == PARA_I8) {
        snprintf(of, sizeof of, "%s.scale", name);
        get_bytes(s, of, scale, (size_t)scales * sizeof *scale);
    }
    for (int64_t e = 0; e < count; e++)
        if (dtype == PARA_BF16)
            values[e] = para_of_bf16(((uint16_t *)data)[e]);
        else
            values[e] =
                (float)((int8_t *)data)[e] * scale[strcmp(name, "wte") == 0 ? e / (count / scales) : e % scales];
    free(scale);
    free(data);
}

/* Give both sessions the same weights: `few` those of fewer bits, `full` what these stand for. */
static void set_weights(para_session *few, const para_graph *full_graph, para_session *full,
                        const para_graph *few_graph)
{
    for (int i = 0; i < para_graph_tensor_count(full_graph); i++) {
        const para_tensor *t = para_graph_tensor(full_graph, i);
        if (para_tensor_kind(t) != PARA_PARAMETER)
            continue;
        const char *name = para_tensor_name(t);
        const para_tensor *other = NULL, *scale = NULL;
        char of[96];
        snprintf(of, sizeof of, "%s.scale", name);
        for (int k = 0; k < para_graph_tensor_count(few_graph); k++) {
            const para_tensor *u = para_graph_tensor(few_graph, k);
            other = strcmp(para_tensor_base(u), name) == 0 ? u : other;
            scale = strcmp(para_tensor_base(u), of) == 0 ? u : scale;
        }
        int64_t count = whole_elements(t);
        float *values = must_alloc((size_t)count * sizeof *values);
        para_error err = {0};
        fill_uniform(values, count, 1, (uint64_t)i, -0.5, 0.5);
        must(para_session_set_weight(few, name, values, count, &err), err);
        if (para_tensor_dtype(other) != PARA_F32)
            values_of(few, name, para_tensor_dtype(other), count, scale ? whole_elements(scale) : 1, values);
        must(para_session_set_weight(full, name, values, count, &err), err);
        free(values);
    }
}

static void run_model(para_session *s, bool cached, float *logits, size_t bytes)
{
    int32_t tokens[2 * CONTEXT], position = 0, last = CONTEXT - 2;
    fill_ids(tokens, 2 * CONTEXT, 5, 6, VOCAB);
    set_value(s, "tokens", tokens, sizeof tokens / (cached ? 2 : 1));
    if (cached) {
        set_value(s, "position", &position, sizeof position);
        set_value(s, "last", &last, sizeof last);
    }
    run_once(s);
    get_bytes(s, "logits", logits, bytes);
}

static void check_model(para_dtype weights, bool cached, const char *split)
{
    static float few_logits[2 * CONTEXT * VOCAB], full_logits[2 * CONTEXT * VOCAB];
    size_t count = cached ? VOCAB : 2 * CONTEXT * VOCAB;
    para_graph *few_graph = make_graph(weights, cached, split), *full_graph = make_graph(PARA_F32, cached, "");
    para_session *few = serial_session(few_graph, false), *full = serial_session(full_graph, false);
    set_weights(few, full_graph, full, few_graph);
    run_model(few, cached, few_logits, count * sizeof(float));
    run_model(full, cached, full_logits, count * sizeof(float));
    assert_close(few_graph, "logits", few_logits, full_logits, (int64_t)count, 1e-5);
    para_session_free(few);
    para_session_free(full);
    para_graph_free(few_graph);
    para_graph_free(full_graph);
}

static void models_compute_with_what_weights_stand_for(void **state)
{
    (void)state;
    static const para_dtype types[] = {PARA_BF16, PARA_I8};
    for (int t = 0; t < 2; t++)
        for (int cached = 0; cached < 2; cached++) {
            check_model(types[t], cached, "");
            check_model(types[t], cached, "heads=2,ff=2,vocab=2");
            check_model(types[t], cached, "heads=4,ff=3,vocab=3,embd=2,qkv=3");
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_are_rounded_to_even),
        cmocka_unit_test(bytes_are_quantized_by_column),
        cmocka_unit_test(wrong_weights_are_refused),
        cmocka_unit_test(weights_of_fewer_bits_are_not_trained),
        cmocka_unit_test(models_compute_with_what_weights_stand_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
