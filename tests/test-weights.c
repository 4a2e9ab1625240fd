/* Weights of fewer bits than float32: how they are made from float32, under splits too, and that a model computes with
 * what they stand for. */
#include "tests/graph-text.h"

#include <paragraph.h>

#include "base/quantize.h"

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
    static const float values[] = {1.0f, 1.00390625f, 1.01171875f, -3.0f, 1e-40f, 3.3e38f, -INFINITY};
    static const uint16_t expected[] = {0x3f80, 0x3f80, 0x3f82, 0xc040, 0x0001, 0x7f78, 0xff80};
    uint16_t found[7];
    para_graph *g = graph_of("w:bf16[n=7]; x:param[n=7]; y = matmul(x, w, \"n\"); output(y)");
    para_session *s = serial_session(g, false);
    para_error err = {0};
    must(para_session_set_weight(s, "w", values, 7, &err), err);
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

/* The scale, then the numbers; of Q4_0 with 8 added, in halves of bytes, the first sixteen in the lower ones. */
static void blocks_are_those_of_gguf(void **state)
{
    (void)state;
    float values[64], found[64];
    uint8_t q8_0[68], q4_0[36];
    para_graph *g = graph_of("w:q8_0[n=2,k=32]; u:q4_0[n=2,k=32]; x:input[k=32]; y = matmul(x, w, \"k\"); "
                             "z = matmul(x, u, \"k\")");
    para_session *s = serial_session(g, false);
    para_error err = {0};
    for (int e = 0; e < 32; e++) {
        values[e] = 0.5f * (float)(e == 3 ? -127 : e - 9);
        values[e + 32] = 0;
    }
    must(para_session_set_weight(s, "w", values, 64, &err), err);
    get_bytes(s, "w", q8_0, sizeof q8_0);
    assert_true(q8_0[0] == 0x00 && q8_0[1] == 0x38 && q8_0[34] == 0 && q8_0[35] == 0);
    for (int e = 0; e < 64; e++)
        assert_int_equal((int8_t)q8_0[e / 32 * 34 + 2 + e % 32], (int)(2 * values[e]));
    for (int e = 0; e < 32; e++)
        values[e] = 0.25f * (float)(e == 20 ? -8 : e % 15 - 7);
    must(para_session_set_weight(s, "u", values, 64, &err), err);
    get_bytes(s, "u", q4_0, sizeof q4_0);
    assert_true(q4_0[0] == 0x00 && q4_0[1] == 0x34);
    for (int e = 0; e < 16; e++) {
        assert_int_equal((q4_0[2 + e] & 15) - 8, (int)(4 * values[e]));
        assert_int_equal((q4_0[2 + e] >> 4) - 8, (int)(4 * values[e + 16]));
        assert_int_equal(q4_0[20 + e], 0x88);
    }
    for (int b = 0; b < 2; b++)
        para_dequantize_block(PARA_Q4_0, q4_0 + 18 * b, found + 32 * b);
    assert_memory_equal(found, values, 32 * sizeof *found);
    para_session_free(s);
    para_graph_free(g);
}

/* Numbers are the nearest ones, and no scale or element is lost. */
static void blocks_are_near(para_dtype dtype, float spread)
{
    enum { N = 32 * 100 };
    static float values[N], found[N];
    static uint8_t blocks[N / 32 * 34];
    fill_uniform(values, N, 3, (uint64_t)dtype, -spread, spread);
    assert_true(para_quantize(dtype, N, values, blocks));
    for (int b = 0; b < N / 32; b++) {
        const uint8_t *block = blocks + (size_t)b * para_dtype_bytes(dtype);
        float most = 0, step = fabsf(para_block_scale(block));
        para_dequantize_block(dtype, block, found + 32 * b);
        for (int e = 32 * b; e < 32 * b + 32; e++) {
            most = fmaxf(most, fabsf(values[e]));
            assert_true(fabsf(found[e] - values[e]) <= step * (dtype == PARA_Q8_0 ? 0.6f : 1.01f));
        }
        assert_true(fabsf(step * (dtype == PARA_Q8_0 ? 127 : 8) - most) <= 0.001f * most);
    }
}

static void quantized_values_are_near(void **state)
{
    (void)state;
    blocks_are_near(PARA_Q8_0, 0.1f);
    blocks_are_near(PARA_Q4_0, 0.1f);
    blocks_are_near(PARA_Q8_0, 1e5f);
    blocks_are_near(PARA_Q4_0, 1e5f);
    float large[32] = {1e9f};
    uint8_t block[34];
    assert_false(para_quantize(PARA_Q8_0, 32, large, block));
    large[0] = INFINITY;
    assert_false(para_quantize(PARA_Q4_0, 32, large, block));
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
    float many[32] = {[9] = NAN};
    g = graph_of("w:q8_0[k=32]; x:param[k=32]; y = matmul(x, w, \"k\"); output(y)");
    s = serial_session(g, false);
    assert_int_equal(para_session_set_weight(s, "w", many, 32, &err), PARA_ERANGE);
    assert_non_null(strstr(err.message, "\"w\" is q8_0, expected finite values"));
    para_session_free(s);
    para_graph_free(g);
    const float large[] = {1, -3.4e38f};
    g = graph_of("w:bf16[k=2]; x:param[k=2]; y = matmul(x, w, \"k\"); output(y)");
    s = serial_session(g, false);
    assert_int_equal(para_session_set_weight(s, "w", large, 2, &err), PARA_ERANGE);
    assert_non_null(strstr(err.message, "\"w\" is bf16, expected values of at most 3.3895e38"));
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
    model.weights = PARA_Q4_0;
    assert_int_equal(para_gpt2_check(&model, &err), 0);
    model.ff = 48;
    assert_int_equal(para_gpt2_check(&model, &err), PARA_ERANGE);
    assert_non_null(strstr(err.message, "weights q4_0: gpt2"));
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

/* The values that a parameter of fewer bits stands for; its scales lie along its last axes, or, of wte, its first. */
static void values_of(para_session *s, const char *name, para_dtype dtype, int64_t count, int64_t scales, float *values)
{
    void *data = must_alloc(para_dtype_span(dtype, count));
    float *scale = must_alloc((size_t)scales * sizeof *scale);
    char of[96];
    get_bytes(s, name, data, para_dtype_span(dtype, count));
    if (dtype == PARA_I8) {
        snprintf(of, sizeof of, "%s.scale", name);
        get_bytes(s, of, scale, (size_t)scales * sizeof *scale);
    }
    for (int64_t e = 0; e < count && para_dtype_blocks(dtype); e += PARA_BLOCK)
        para_dequantize_block(dtype, (const char *)data + para_dtype_span(dtype, e), values + e);
    for (int64_t e = 0; e < count && !para_dtype_blocks(dtype); e++)
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
        float *values = must_alloc((size_t)count * sizeof *values), *own = must_alloc((size_t)count * sizeof *own);
        para_error err = {0};
        fill_uniform(values, count, 1, (uint64_t)i, -0.5, 0.5);
        put_in_order_of(other, t, values, own);
        must(para_session_set_weight(few, name, own, count, &err), err);
        if (para_tensor_dtype(other) != PARA_F32)
            values_of(few, name, para_tensor_dtype(other), count, scale ? whole_elements(scale) : 1, own);
        put_in_order_of(t, other, own, values);
        must(para_session_set_weight(full, name, values, count, &err), err);
        free(own);
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
    assert_close(few_graph, "logits", few_logits, full_logits, (int64_t)count,
                 para_dtype_blocks(weights) ? 5e-5 : 1e-5);
    para_session_free(few);
    para_session_free(full);
    para_graph_free(few_graph);
    para_graph_free(full_graph);
}

static void models_compute_with_what_weights_stand_for(void **state)
{
    (void)state;
    static const para_dtype types[] = {PARA_BF16, PARA_I8, PARA_Q8_0, PARA_Q4_0};
    for (int t = 0; t < 4; t++)
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
        cmocka_unit_test(blocks_are_those_of_gguf),
        cmocka_unit_test(quantized_values_are_near),
        cmocka_unit_test(wrong_weights_are_refused),
        cmocka_unit_test(weights_of_fewer_bits_are_not_trained),
        cmocka_unit_test(models_compute_with_what_weights_stand_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
