/* Llama and its kin: sizes, what is refused, both forms of config.json, and splits; tests/test-hf.c holds the function
 * to transformers'. */
#include "tests/checkpoint.h"
#include "tests/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/config.h"
#include "models/family.h"

/* Six heads of two keys'; all there is but biases, which has_everything() adds. */
static const para_llama few = {
    .layers = 3,
    .heads = 6,
    .kv_heads = 2,
    .head_dim = 6,
    .embd = 20,
    .ff = 28,
    .vocab = 31,
    .context = 24,
    .norm_eps = 1e-5,
    .rope =
        {.theta = 500, .factor = 4, .original = 12, .slow = 1, .fast = 4, .amplitude = 1, .scaling = PARA_ROPE_LLAMA3},
    .window = 5,
    .full_layers = 1,
    .qk_norm = true,
};
enum { BATCH = 4, SEQ = 16, STEPS = 3 };

static para_llama has_everything(void)
{
    para_llama model = few;
    model.qkv_bias = model.proj_bias = model.mlp_bias = true;
    return model;
}

static para_llama preset(const char *name, const char *family)
{
    para_model *model;
    para_error err = {0};
    must(para_model_preset(&model, name, &err), err);
    must(para_model_check(model, &err), err);
    assert_string_equal(para_model_family(model), family);
    para_llama config = *para_model_as_llama(model);
    para_model_free(model);
    return config;
}

static int64_t parameters_of(const para_llama *m)
{
    para_error err = {0};
    para_graph *g = para_graph_new();
    para_llama_build(g, m, 1, 2, false);
    must(para_graph_seal(g, &err), err);
    int64_t total = 0;
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (para_tensor_kind(t) == PARA_PARAMETER && !para_tensor_producer(t))
            total += para_tensor_elements(t);
    }
    para_graph_free(g);
    return total;
}

/* The counts of the published models; llama-15m and -110m by hand, as V x C + L (4 C^2 + 3 C F + 2 C) + C. */
static void presets_have_the_published_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *name, *family;
        int64_t parameters;
    } presets[] = {{"llama-15m", "llama", 15191712},
                   {"llama-110m", "llama", 109529856},
                   {"llama2-7b", "llama", 6738415616},
                   {"llama3.2-1b", "llama", 1235814400},
                   {"qwen2.5-0.5b", "qwen2", 494032768}};
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        para_llama model = preset(presets[i].name, presets[i].family);
        assert_int_equal(parameters_of(&model), presets[i].parameters);
    }
}

static void families_are_chosen_by_what_their_files_say(void **state)
{
    (void)state;
    static const struct {
        const char *family;
        bool qk_norm, qkv_bias, proj_bias, mlp_bias;
        int64_t window;
        const char *text; /* NULL: it is good */
    } models[] = {
        {"llama", false, false, false, false, 0, NULL},
        {"llama", false, true, true, true, 0, NULL},
        {"llama", false, false, true, false, 0, "llama: expected"},
        {"mistral", false, false, false, false, 5, NULL},
        {"mistral", false, true, true, false, 5, "mistral: expected"},
        {"qwen2", false, true, false, false, 5, NULL},
        {"qwen2", false, true, false, true, 0, "qwen2: expected"},
        {"qwen3", true, false, false, false, 5, NULL},
        {"qwen3", true, true, true, false, 0, NULL},
        {"qwen3", true, false, false, true, 0, "qwen3: expected"},
    };
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        para_llama m = few;
        para_model *model;
        para_error err = {0};
        m.full_layers = 0;
        m.qk_norm = models[i].qk_norm, m.qkv_bias = models[i].qkv_bias, m.proj_bias = models[i].proj_bias;
        m.mlp_bias = models[i].mlp_bias, m.window = models[i].window;
        must(para_model_from_llama(&model, &m, &err), err);
        assert_string_equal(para_model_family(model), models[i].family);
        assert_int_equal(para_model_check(model, &err), models[i].text ? PARA_EINVAL : 0);
        if (models[i].text)
            assert_says(&err, models[i].text);
        para_model_free(model);
    }
}

static void assert_bad(para_llama model, const char *text)
{
    para_error err = {0}, sealing = {0};
    assert_int_equal(para_llama_check(&model, &err), PARA_ERANGE);
    assert_says(&err, text);
    para_graph *g = para_graph_new();
    assert_null(para_llama_build(g, &model, 1, 1, true).loss);
    assert_int_equal(para_graph_seal(g, &sealing), PARA_ERANGE);
    assert_string_equal(sealing.message, err.message);
    para_graph_free(g);
}

static para_llama with(size_t offset, int64_t value)
{
    para_llama model = few;
    memcpy((char *)&model + offset, &value, sizeof value);
    return model;
}

static para_llama with_real(size_t offset, double value)
{
    para_llama model = few;
    memcpy((char *)&model + offset, &value, sizeof value);
    return model;
}

static void bad_models_are_refused(void **state)
{
    (void)state;
    assert_bad(with(offsetof(para_llama, layers), 0), "layers is 0");
    assert_bad(with(offsetof(para_llama, layers), 5000), "layers is 5000, expected 1 to 4096");
    assert_bad(with(offsetof(para_llama, kv_heads), 4), "heads is 6, expected a multiple of kv_heads, 4");
    assert_bad(with(offsetof(para_llama, head_dim), 7),
               "rope: 7 elements of a head are turned, expected an even number");
    assert_bad(with(offsetof(para_llama, embd), -20), "embd is -20");
    assert_bad(with(offsetof(para_llama, ff), INT64_MAX), "ff is 9223372036854775807");
    para_llama huge = with(offsetof(para_llama, embd), 2000000000);
    huge.layers = 4096, huge.ff = 2000000000;
    assert_bad(huge, "too large to count");
    assert_bad(with(offsetof(para_llama, window), -1), "window is -1");
    assert_bad(with(offsetof(para_llama, window), 0), "full_layers is 1, expected 0 to 0");
    assert_bad(with(offsetof(para_llama, full_layers), 3), "full_layers is 3, expected 0 to 2");
    assert_bad(with_real(offsetof(para_llama, norm_eps), 0), "norm_eps is 0");
    assert_bad(with_real(offsetof(para_llama, attn_dropout), 1), "attn_dropout is 1");
    assert_bad(with_real(offsetof(para_llama, rope.theta), 1), "rope: theta is 1");
    assert_bad(with_real(offsetof(para_llama, rope.factor), NAN), "rope: factor is");
    assert_bad(with_real(offsetof(para_llama, rope.fast), 0.5), "rope: slow is 1 and fast 0.5");
}

/* --- config.json --- */

#define START "{\"model_type\": \"%s\", \"num_hidden_layers\": 4, \"num_attention_heads\": 4, \"hidden_size\": 32, "
#define REST "\"intermediate_size\": 28, \"vocab_size\": 31, \"max_position_embeddings\": 64"

/* Read a configuration of a family with more fields. */
static int config(const char *family, const char *more, para_llama *out, para_error *err)
{
    char text[1024], *folder = temp_dir(), *path = path_join(folder, "config.json");
    para_model *model;
    assert_true(snprintf(text, sizeof text, START REST "%s}", family, more) < (int)sizeof text);
    write_text(folder, "config.json", text);
    int status = para_config_load(path, &model, err);
    if (status == 0) {
        assert_string_equal(para_model_family(model), family);
        *out = *para_model_as_llama(model);
        para_model_free(model);
    }
    free(path);
    temp_dir_remove(folder);
    return status;
}

static para_llama read_config(const char *family, const char *more)
{
    para_llama m;
    para_error err = {0};
    must(config(family, more, &m, &err), err);
    return m;
}

/* What is absent is as transformers has it. */
static void absent_fields_have_their_meaning(void **state)
{
    (void)state;
    para_llama m = read_config("llama", "");
    assert_int_equal(m.kv_heads, 4);
    assert_int_equal(m.head_dim, 8);
    assert_true(m.norm_eps == 1e-6 && m.rope.theta == 10000 && m.rope.scaling == PARA_ROPE_NONE);
    assert_false(m.tied || m.qkv_bias || m.proj_bias || m.mlp_bias || m.qk_norm);
    assert_int_equal(m.window, 0);
    assert_int_equal(read_config("mistral", "").window, 4096);
    assert_int_equal(read_config("mistral", ", \"sliding_window\": null").window, 0);
    assert_int_equal(read_config("qwen2", ", \"sliding_window\": 9").window, 0);
    assert_true(read_config("qwen2", "").qkv_bias);
    assert_false(read_config("qwen2", "").proj_bias);
    assert_int_equal(read_config("qwen3", "").head_dim, 128);
    assert_true(read_config("qwen3", "").qk_norm);
    assert_true(read_config("qwen3", ", \"attention_bias\": true").proj_bias);
}

static void windows_of_layers_are_read(void **state)
{
    (void)state;
    para_llama m =
        read_config("qwen3", ", \"use_sliding_window\": true, \"sliding_window\": 9, \"max_window_layers\": 3");
    assert_int_equal(m.window, 9);
    assert_int_equal(m.full_layers, 3);
    m = read_config("qwen2", ", \"use_sliding_window\": true, \"sliding_window\": 9, \"max_window_layers\": 0");
    assert_int_equal(m.window, 9);
    assert_int_equal(m.full_layers, 0);
    m = read_config("qwen2", ", \"use_sliding_window\": true, \"sliding_window\": 9, \"max_window_layers\": 4");
    assert_int_equal(m.window, 0);
    m = read_config("qwen2",
                    ", \"use_sliding_window\": true, \"sliding_window\": 9, \"layer_types\": [\"full_attention\","
                    "\"full_attention\", \"sliding_attention\", \"sliding_attention\"]");
    assert_int_equal(m.window, 9);
    assert_int_equal(m.full_layers, 2);
}

static void assert_rope(const char *more, para_rope_options expected)
{
    para_rope_options o = read_config("llama", more).rope;
    assert_true(o.theta == expected.theta && o.scaling == expected.scaling && o.factor == expected.factor);
    assert_true(o.slow == expected.slow && o.fast == expected.fast);
    assert_true(fabs(o.amplitude - expected.amplitude) < 1e-12);
    assert_int_equal(o.original, expected.original);
    assert_int_equal(o.rotated, expected.rotated);
}

/* Today's form and the older one say the same. */
static void both_forms_of_rope_are_read(void **state)
{
    (void)state;
    para_rope_options o = para_rope_default();
    o.theta = 500;
    assert_rope(", \"rope_theta\": 500.0, \"rope_scaling\": null", o);
    assert_rope(", \"rope_parameters\": {\"rope_theta\": 500, \"rope_type\": \"default\"}", o);
    o.scaling = PARA_ROPE_LINEAR, o.factor = 4;
    assert_rope(", \"rope_theta\": 500, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 4}", o);
    assert_rope(", \"rope_parameters\": {\"rope_theta\": 500, \"rope_type\": \"linear\", \"factor\": 4.0}", o);
    o.scaling = PARA_ROPE_LLAMA3, o.slow = 1, o.fast = 4, o.original = 16;
#define LLAMA3                                                                                                         \
    "\"factor\": 4, \"low_freq_factor\": 1, \"high_freq_factor\": 4, \"original_max_position_embeddings\": 16}"
    assert_rope(", \"rope_theta\": 500, \"rope_scaling\": {\"rope_type\": \"llama3\", " LLAMA3, o);
    assert_rope(", \"rope_parameters\": {\"rope_theta\": 500, \"rope_type\": \"llama3\", " LLAMA3, o);
    o.scaling = PARA_ROPE_YARN, o.slow = 1, o.fast = 32, o.original = 64, o.amplitude = 0.1 * log(4) + 1;
    assert_rope(", \"rope_theta\": 500, \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}", o);
    o.amplitude = 1.5, o.slow = 2, o.original = 16;
    assert_rope(", \"rope_parameters\": {\"rope_theta\": 500, \"rope_type\": \"yarn\", \"factor\": 4, \"beta_slow\": 2,"
                "\"attention_factor\": 1.5, \"original_max_position_embeddings\": 16}",
                o);
    o.amplitude = (0.1 * 2 * log(4) + 1) / (0.1 * 0.5 * log(4) + 1);
    assert_rope(", \"rope_parameters\": {\"rope_theta\": 500, \"rope_type\": \"yarn\", \"factor\": 4, \"beta_slow\": 2,"
                "\"mscale\": 2, \"mscale_all_dim\": 0.5, \"original_max_position_embeddings\": 16}",
                o);
    o = para_rope_default();
    o.rotated = 4;
    assert_rope(", \"partial_rotary_factor\": 0.5", o);
    assert_rope(", \"rope_parameters\": {\"rope_type\": \"default\", \"partial_rotary_factor\": 0.5}", o);
}

static void other_models_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *family, *more, *text;
    } wrongs[] = {
        {"llama", ", \"hidden_act\": \"gelu\"", "\"hidden_act\" is \"gelu\", expected \"silu\""},
        {"llama", ", \"tie_word_embeddings\": 1", "\"tie_word_embeddings\" is 1, expected true or false"},
        {"llama", ", \"num_key_value_heads\": 3", "heads is 4, expected a multiple of kv_heads, 3"},
        {"llama", ", \"num_key_value_heads\": 0", "\"num_key_value_heads\" is 0, expected a whole number from 1"},
        {"llama", ", \"head_dim\": 5", "5 elements of a head are turned"},
        {"llama", ", \"rms_norm_eps\": null", "\"rms_norm_eps\" is null, expected a number"},
        {"llama", ", \"attention_dropout\": 2", "attn_dropout is 2"},
        {"llama", ", \"quantization_config\": {\"bits\": 4}", "\"quantization_config\" is"},
        {"llama", ", \"rope_scaling\": \"linear\"", "\"rope_scaling\" is \"linear\", expected an object"},
        {"llama", ", \"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2}",
         "\"rope_scaling.type\" is \"dynamic\", expected \"default\" or \"linear\" or \"llama3\" or \"yarn\": others"
         " aren't supported"},
        {"llama", ", \"rope_parameters\": {\"rope_type\": \"longrope\"}",
         "\"rope_parameters.rope_type\" is \"longrope\""},
        {"llama", ", \"rope_scaling\": {\"type\": \"linear\"}",
         "\"rope_scaling.factor\" is missing, expected a number"},
        {"llama", ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 0.5}", "rope: factor is 0.5"},
        {"llama", ", \"rope_scaling\": {\"type\": \"llama3\", \"factor\": 2}",
         "\"rope_scaling.low_freq_factor\" is missing"},
        {"llama", ", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2, \"truncate\": false}",
         "truncate\" is false"},
        {"llama", ", \"rope_theta\": 5, \"rope_parameters\": {\"rope_theta\": 6}",
         "\"rope_theta\" is 5, expected rope_parameters.rope_theta's 6"},
        {"llama", ", \"rope_theta\": \"5\"", "\"rope_theta\" is \"5\", expected a number"},
        {"llama", ", \"partial_rotary_factor\": 1.5",
         "\"partial_rotary_factor\" is 1.5, expected more than 0, at most 1"},
        {"llama", ", \"partial_rotary_factor\": 0.4", "3 elements of a head are turned"},
        {"mistral", ", \"sliding_window\": 0", "\"sliding_window\" is 0, expected a whole number from 1"},
        {"qwen2", ", \"max_window_layers\": -1", "\"max_window_layers\" is -1, expected a whole number from 0"},
        {"qwen2", ", \"layer_types\": [\"full_attention\"]", "\"layer_types\" is"},
        {"qwen2", ", \"layer_types\": \"full_attention\"", "expected \"full_attention\" for each of num_hidden_layers"},
        {"qwen2",
         ", \"sliding_window\": 3, \"layer_types\": [\"full_attention\", \"full_attention\", \"full_attention\","
         "\"sliding_attention\"]",
         "\"layer_types\" is"},
        {"qwen3",
         ", \"use_sliding_window\": true, \"layer_types\": [\"sliding_attention\", \"full_attention\","
         "\"full_attention\", \"full_attention\"]",
         "or for the first and \"sliding_attention\" for the others"},
    };
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        para_error err = {0};
        para_llama m;
        assert_int_equal(config(wrongs[i].family, wrongs[i].more, &m, &err), PARA_EFORMAT);
        assert_says(&err, "config.json");
        assert_says(&err, wrongs[i].text);
    }
}

/* Every field of a model is written and read. */
static void models_come_back(void **state)
{
    (void)state;
    char *folder = temp_dir(), *path = path_join(folder, "config.json");
    for (int scaling = PARA_ROPE_NONE; scaling <= PARA_ROPE_YARN; scaling++)
        for (int kind = 0; kind < 4; kind++) {
            para_llama m = few;
            para_model *model, *found;
            para_error err = {0};
            m.rope = para_rope_default();
            m.rope.scaling = (para_rope_scaling)scaling;
            m.rope.theta = 1234.5;
            m.rope.rotated = kind == 1 ? 4 : 0;
            if (scaling >= PARA_ROPE_LINEAR)
                m.rope.factor = 3.7;
            if (scaling >= PARA_ROPE_LLAMA3)
                m.rope.slow = 0.3, m.rope.fast = 7.1, m.rope.original = 11;
            if (scaling == PARA_ROPE_YARN)
                m.rope.amplitude = 1.1;
            m.qk_norm = kind == 3, m.tied = kind == 1, m.attn_dropout = kind == 1 ? 0.25 : 0;
            m.qkv_bias = kind != 1, m.proj_bias = kind == 0 || kind == 3, m.mlp_bias = kind == 0;
            m.window = kind > 0 ? 7 : 0, m.full_layers = kind > 1 ? 2 : 0;
            must(para_model_from_llama(&model, &m, &err), err);
            must(para_model_check(model, &err), err);
            must(para_config_save(path, model, &err), err);
            must(para_config_load(path, &found, &err), err);
            assert_string_equal(para_model_family(found), para_model_family(model));
            para_llama again = *para_model_as_llama(found);
            assert_memory_equal(&again.rope.factor, &m.rope.factor,
                                sizeof m.rope - offsetof(para_rope_options, factor));
            assert_true(again.rope.theta == m.rope.theta && again.rope.rotated == m.rope.rotated &&
                        again.rope.scaling == m.rope.scaling);
            assert_memory_equal(&again, &m, offsetof(para_llama, rope));
            assert_true(again.window == m.window && again.full_layers == m.full_layers && again.tied == m.tied &&
                        again.qkv_bias == m.qkv_bias && again.proj_bias == m.proj_bias &&
                        again.mlp_bias == m.mlp_bias && again.qk_norm == m.qk_norm &&
                        again.attn_dropout == m.attn_dropout);
            para_model_free(model);
            para_model_free(found);
        }
    free(path);
    temp_dir_remove(folder);
}

/* --- splits --- */

static para_graph *training_graph(const para_llama *m, const char *split, int stages)
{
    para_error err = {0};
    para_graph *g = para_graph_new(), *cut;
    para_model_graph built = para_llama_build(g, m, BATCH, SEQ, true);
    para_adamw_options options = para_adamw_default();
    options.schedule.lr = 1e-2;
    options.clip = 1;
    must(para_graph_backward(g, built.loss, &err), err);
    must(para_graph_adamw(g, &options, &err), err);
    must(para_graph_seal(g, &err), err);
    const para_arrangement how = {.split = split, .stages = stages};
    must(para_graph_arrange(&cut, g, &how, NULL, 0, &err), err);
    para_graph_free(g);
    return cut;
}

static void train(const para_llama *m, const char *split, int stages, float losses[STEPS])
{
    para_graph *g = training_graph(m, split, stages);
    para_session *s = serial_session(g, false);
    int32_t ids[BATCH * (SEQ + 1)], tokens[BATCH * SEQ], targets[BATCH * SEQ];
    fill_ids(ids, BATCH * (SEQ + 1), 3, 1, 31);
    for (int i = 0; i < BATCH * SEQ; i++) {
        tokens[i] = ids[i / SEQ * (SEQ + 1) + i % SEQ];
        targets[i] = ids[i / SEQ * (SEQ + 1) + i % SEQ + 1];
    }
    set_value(s, "tokens", tokens, sizeof tokens);
    set_value(s, "targets", targets, sizeof targets);
    for (int step = 0; step < STEPS; step++) {
        run_once(s);
        float *loss = get_floats(s, "loss", 1);
        losses[step] = *loss;
        free(loss);
    }
    para_session_free(s);
    para_graph_free(g);
}

/* Training is that of the whole graph, however it is cut. */
static void splits_train_the_same(void **state)
{
    (void)state;
    static const char *const splits[] = {"batch=2",
                                         "heads=2",
                                         "queries=3",
                                         "ff=2",
                                         "vocab=2",
                                         "seq=2",
                                         "embd=2",
                                         "batch=2,ff=2",
                                         "heads=2,queries=2,ff=3,vocab=2",
                                         "batch=2,seq=2,heads=2"};
    for (int tied = 0; tied < 2; tied++) {
        para_llama model = has_everything();
        model.tied = tied;
        float whole[STEPS], losses[STEPS];
        train(&model, NULL, 1, whole);
        assert_true(whole[STEPS - 1] < whole[0]);
        for (size_t i = 0; i < sizeof splits / sizeof splits[0]; i++) {
            train(&model, splits[i], i % 2 ? 2 : 1, losses);
            for (int step = 0; step < STEPS; step++)
                if (!(fabs((double)losses[step] - whole[step]) <= 1e-5 * fabs((double)whole[step])))
                    fail_msg("%s, step %d: the loss is %.9g, expected %.9g", splits[i], step, (double)losses[step],
                             (double)whole[step]);
        }
    }
}

/* Kernels give what the references do. */
static void kernels_agree_with_references(void **state)
{
    (void)state;
    para_llama model = has_everything();
    para_error err = {0};
    para_graph *g = para_graph_new();
    para_llama_build(g, &model, BATCH, SEQ, false);
    must(para_graph_seal(g, &err), err);
    int32_t tokens[BATCH * SEQ];
    float *logits[2];
    fill_ids(tokens, BATCH * SEQ, 3, 1, 31);
    for (int reference = 0; reference < 2; reference++) {
        para_session *s = serial_session(g, reference);
        set_value(s, "tokens", tokens, sizeof tokens);
        run_once(s);
        logits[reference] = get_floats(s, "logits", BATCH * SEQ * 31);
        para_session_free(s);
    }
    assert_close(g, "logits", logits[0], logits[1], BATCH * SEQ * 31, 1e-5);
    free(logits[0]);
    free(logits[1]);
    para_graph_free(g);
}

/* Attention weights can't be dropped: a model that asks for it computes, but doesn't train. */
static void attention_dropout_is_refused_in_training(void **state)
{
    (void)state;
    para_llama m = few;
    m.attn_dropout = 0.1;
    for (int training = 0; training < 2; training++) {
        para_error err = {0};
        para_graph *g = para_graph_new();
        para_llama_build(g, &m, 1, 4, training);
        assert_int_equal(para_graph_seal(g, &err), training ? PARA_ESUPPORT : 0);
        if (training)
            assert_says(&err, "attn_dropout (attention_dropout) is 0.1, expected 0");
        para_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_have_the_published_sizes),
        cmocka_unit_test(families_are_chosen_by_what_their_files_say),
        cmocka_unit_test(bad_models_are_refused),
        cmocka_unit_test(absent_fields_have_their_meaning),
        cmocka_unit_test(windows_of_layers_are_read),
        cmocka_unit_test(both_forms_of_rope_are_read),
        cmocka_unit_test(other_models_are_refused),
        cmocka_unit_test(models_come_back),
        cmocka_unit_test(splits_train_the_same),
        cmocka_unit_test(kernels_agree_with_references),
        cmocka_unit_test(attention_dropout_is_refused_in_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
