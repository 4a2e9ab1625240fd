/* Adapters in files: PEFT's names and fields, what is refused, and models with an adapter in them. */
#include "tests/checkpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "{\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": [\"c_attn\", \"mlp.c_proj\"]"

static const para_lora usual = {.rank = 2, .alpha = 3, .targets = "c_attn,mlp.c_proj"};
static const para_llama few = {.layers = 2,
                               .heads = 4,
                               .kv_heads = 2,
                               .head_dim = 16,
                               .embd = 32,
                               .ff = 64,
                               .vocab = 31,
                               .context = 7,
                               .norm_eps = 1e-5,
                               .rope = {.theta = 500, .factor = 1, .slow = 1, .fast = 32, .amplitude = 1},
                               .qkv_bias = true};

struct place {
    char *folder, *base, *adapter, *merged, *gguf;
    para_model *gpt2, *llama;
};

static int make_place(void **state)
{
    static struct place p;
    para_error err = {0};
    p.folder = temp_dir();
    p.base = path_join(p.folder, "base");
    p.adapter = path_join(p.folder, "adapter");
    p.merged = path_join(p.folder, "merged");
    p.gguf = path_join(p.folder, "merged.gguf");
    p.gpt2 = model_of(&small);
    must(para_model_from_llama(&p.llama, &few, &err), err);
    *state = &p;
    return 0;
}

static int leave_place(void **state)
{
    struct place *p = *state;
    free(p->base);
    free(p->adapter);
    free(p->merged);
    free(p->gguf);
    para_model_free(p->gpt2);
    para_model_free(p->llama);
    temp_dir_remove(p->folder);
    return 0;
}

/* A graph of a model, with adapters or without (NULL); in training with AdamW. */
static para_graph *graph_of_model(const para_model *model, const para_lora *how, bool training)
{
    para_error err = {0};
    para_graph *g = para_graph_new(), *plain = g;
    para_model_build(g, model, 2, 4, training);
    if (how) {
        must(para_graph_seal(plain, &err), err);
        must(para_model_lora(&g, plain, model, how, &err), err);
        para_graph_free(plain);
    }
    if (training) {
        must(para_graph_backward(g, para_graph_value(g, "loss"), &err), err);
        must(para_graph_adamw(g, NULL, &err), err);
    }
    must(para_graph_seal(g, &err), err);
    return g;
}

static float *logits_of(para_session *s, const para_graph *g, int64_t *n)
{
    int32_t tokens[8];
    fill_ids(tokens, 8, 3, 3, 11);
    set_value(s, "tokens", tokens, sizeof tokens);
    run_once(s);
    *n = elements_of(g, "logits");
    return get_floats(s, "logits", *n);
}

/* A folder of a model with values, and one of an adapter of it; returns the logits of both together. */
static float *make_folders(const struct place *p, const para_model *model, const para_lora *how, int64_t *n)
{
    para_error err = {0};
    para_graph *g = graph_of_model(model, how, false);
    para_session *s = serial_session(g, false);
    fill_session(s, g, 5);
    must(para_checkpoint_save(p->base, model, g, s, NULL, &err), err);
    must(para_adapter_save(p->adapter, model, how, p->base, g, s, NULL, &err), err);
    float *logits = logits_of(s, g, n);
    para_session_free(s);
    para_graph_free(g);
    return logits;
}

/* --- what is written --- */

static void assert_tensor(const para_safetensors *f, const char *name, int64_t rows, int64_t columns)
{
    int i = para_safetensors_find(f, name);
    if (i < 0)
        fail_msg("no tensor \"%s\"", name);
    para_entry e = para_safetensors_entry(f, i);
    assert_true(e.dtype == PARA_F32 && e.rank == 2 && e.shape[0] == rows && e.shape[1] == columns);
}

static void folders_are_as_peft_has_them(void **state)
{
    const struct place *p = *state;
    para_error err = {0};
    int64_t n;
    free(make_folders(p, p->gpt2, &usual, &n));
    char *path = path_join(p->adapter, "adapter_model.safetensors"), *config;
    para_safetensors *f;
    must(para_safetensors_open(&f, path, &err), err);
    assert_int_equal(para_safetensors_count(f), 2 * 2 * 2);
    assert_tensor(f, "base_model.model.transformer.h.1.attn.c_attn.lora_A.weight", 2, 8);
    assert_tensor(f, "base_model.model.transformer.h.1.attn.c_attn.lora_B.weight", 24, 2);
    assert_tensor(f, "base_model.model.transformer.h.0.mlp.c_proj.lora_A.weight", 2, 20);
    assert_tensor(f, "base_model.model.transformer.h.0.mlp.c_proj.lora_B.weight", 8, 2);
    para_safetensors_close(f);
    free(path);
    path = path_join(p->adapter, "adapter_config.json");
    size_t bytes;
    config = read_whole(path, &bytes);
    static const char *const lines[] = {"\"peft_type\": \"LORA\"",  "\"r\": 2",       "\"lora_alpha\": 3",
                                        "\"fan_in_fan_out\": true", "\"mlp.c_proj\"", "\"bias\": \"none\""};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        assert_non_null(strstr(config, lines[i]));
    free(config);
    para_adapter *a;
    must(para_adapter_open(&a, p->adapter, &err), err);
    assert_string_equal(para_adapter_base(a), p->base);
    assert_string_equal(para_adapter_lora(a)->targets, usual.targets);
    assert_true(para_adapter_lora(a)->rank == 2 && para_adapter_lora(a)->alpha == 3 && !para_adapter_lora(a)->rslora);
    assert_true(para_adapter_exists(p->adapter) && !para_adapter_exists(p->base) && !para_adapter_exists("/nowhere"));
    para_adapter_free(a);
    para_lora all = {.rank = 2, .alpha = 1.5, .rslora = true};
    free(make_folders(p, p->llama, &all, &n));
    config = read_whole(path, &bytes);
    assert_non_null(strstr(config, "\"fan_in_fan_out\": false"));
    must(para_adapter_open(&a, p->adapter, &err), err);
    assert_string_equal(para_adapter_lora(a)->targets, "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj");
    assert_true(para_adapter_lora(a)->rslora && para_adapter_lora(a)->alpha == 1.5);
    para_adapter_free(a);
    free(config);
    free(path);
}

/* --- going on --- */

static void a_run_goes_on_where_it_was(void **state)
{
    const struct place *p = *state;
    para_error err = {0};
    const para_trainer saved = {.step = 5, .seed = 9, .best_loss = -1};
    para_trainer loaded;
    para_graph *g = graph_of_model(p->gpt2, &usual, true);
    para_session *s = serial_session(g, false), *t = serial_session(g, false);
    fill_session(s, g, 5);
    must(para_checkpoint_save(p->base, p->gpt2, g, s, NULL, &err), err);
    must(para_adapter_save(p->adapter, p->gpt2, &usual, "base", g, s, &saved, &err), err);
    must(para_checkpoint_load(p->base, g, t, NULL, &err), err);
    must(para_adapter_load(p->adapter, p->gpt2, g, t, &loaded, &err), err);
    assert_true(loaded.step == 5 && loaded.seed == 9);
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *v = para_graph_tensor(g, i);
        para_kind kind = para_tensor_kind(v);
        if ((kind != PARA_PARAMETER && kind != PARA_STATE) || para_tensor_producer(v))
            continue;
        int64_t n = para_tensor_elements(v);
        float *x = get_floats(s, para_tensor_name(v), n), *y = get_floats(t, para_tensor_name(v), n);
        assert_memory_equal(x, y, (size_t)n * sizeof *x);
        free(x);
        free(y);
    }
    para_session_free(s);
    para_session_free(t);
    para_graph_free(g);
}

/* --- merging --- */

static float *loaded_logits(const para_model *model, const char *base, const char *adapter, int64_t *n)
{
    para_error err = {0};
    para_graph *g = graph_of_model(model, NULL, false);
    para_session *s = serial_session(g, false);
    must(para_checkpoint_load_adapted(base, adapter, g, s, &err), err);
    float *logits = logits_of(s, g, n);
    para_session_free(s);
    para_graph_free(g);
    return logits;
}

static void merged_models_are_the_unmerged(void **state)
{
    const struct place *p = *state;
    para_error err = {0};
    for (int llama = 0; llama < 2; llama++) {
        int64_t n;
        const para_model *model = llama ? p->llama : p->gpt2;
        const para_lora all = {.rank = 3, .alpha = 2, .rslora = llama};
        float *apart = make_folders(p, model, &all, &n), *plain = loaded_logits(model, p->base, NULL, &n),
              *merged = loaded_logits(model, p->base, p->adapter, &n);
        assert_close(NULL, "logits", merged, apart, n, 1e-5);
        assert_true(relative_error(plain, apart, n) > 1e-2);
        must(para_model_convert(p->base, p->adapter, p->merged, PARA_F32, NULL, &err), err);
        must(para_model_convert(p->base, p->adapter, p->gguf, PARA_F32, NULL, &err), err);
        float *folder = loaded_logits(model, p->merged, NULL, &n), *file = loaded_logits(model, p->gguf, NULL, &n);
        assert_memory_equal(folder, merged, (size_t)n * sizeof *folder);
        assert_memory_equal(file, merged, (size_t)n * sizeof *file);
        free(folder);
        free(file);
        free(plain);
        free(merged);
        free(apart);
    }
}

/* Blocks are made of the sums; the adapter is added to float32. */
static void merged_weights_are_quantized_last(void **state)
{
    const struct place *p = *state;
    para_error err = {0};
    const para_lora all = {.rank = 3, .alpha = 2};
    int64_t n;
    free(make_folders(p, p->llama, &all, &n));
    para_model *blocks;
    must(para_model_copy(&blocks, p->llama, &err), err);
    para_model_set_weights(blocks, PARA_Q8_0);
    must(para_model_convert(p->base, p->adapter, p->merged, PARA_F32, NULL, &err), err);
    float *at_once = loaded_logits(blocks, p->base, p->adapter, &n),
          *later = loaded_logits(blocks, p->merged, NULL, &n);
    assert_memory_equal(at_once, later, (size_t)n * sizeof *later);
    free(at_once);
    free(later);
    para_model_free(blocks);
}

/* --- what is refused --- */

static const struct {
    const char *text, *says;
} wrongs[] = {
    {"[]", "adapter_config.json"},
    {"{}", "\"peft_type\" is missing, expected \"LORA\""},
    {"{\"peft_type\": \"IA3\"}", "\"peft_type\" is \"IA3\", expected \"LORA\""},
    {"{\"peft_type\": \"LORA\", \"target_modules\": [\"c_attn\"]}", "\"r\" is missing, expected a whole number from 1"},
    {"{\"peft_type\": \"LORA\", \"r\": 0}", "\"r\" is 0"},
    {"{\"peft_type\": \"LORA\", \"r\": 2}", "\"target_modules\" is missing, expected an array of modules' names"},
    {"{\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": \".*attn\"}", "\"target_modules\" is \".*attn\""},
    {"{\"peft_type\": \"LORA\", \"r\": 2, \"target_modules\": [3]}", "\"target_modules\" is [3]"},
    {HEAD ", \"lora_alpha\": 0}", "\"lora_alpha\" is 0, expected more than 0"},
    {HEAD ", \"lora_alpha\": \"x\"}", "\"lora_alpha\" is \"x\", expected a number"},
    {HEAD ", \"use_dora\": true}", "\"use_dora\" is true, expected false"},
    {HEAD ", \"use_rslora\": 1}", "\"use_rslora\" is 1, expected true or false"},
    {HEAD ", \"bias\": \"all\"}", "\"bias\" is \"all\", expected \"none\""},
    {HEAD ", \"lora_bias\": true}", "\"lora_bias\" is true"},
    {HEAD ", \"modules_to_save\": [\"lm_head\"]}", "\"modules_to_save\" is [\"lm_head\"], expected none"},
    {HEAD ", \"rank_pattern\": {\"c_attn\": 4}}", "\"rank_pattern\" is {\"c_attn\":4}, expected none"},
    {HEAD ", \"alpha_pattern\": {\"c_attn\": 4}}", "\"alpha_pattern\""},
    {HEAD ", \"exclude_modules\": [\"c_fc\"]}", "\"exclude_modules\""},
    {HEAD ", \"layers_to_transform\": [1]}", "\"layers_to_transform\" is [1]"},
    {HEAD ", \"init_lora_weights\": \"pissa\"}", "\"init_lora_weights\" is \"pissa\""},
    {HEAD ", \"base_model_name_or_path\": 3}", "\"base_model_name_or_path\" is 3"},
    {HEAD ", \"use_qalora\": true}", "\"use_qalora\" is true, expected null, false or nothing in it"},
    {HEAD ", \"trainable_token_indices\": [1]}", "\"trainable_token_indices\" is [1]"},
    {HEAD ", \"layer_replication\": [[0, 2]]}", "\"layer_replication\""},
};

static void unsupported_fields_are_named(void **state)
{
    const struct place *p = *state;
    para_error err = {0};
    para_adapter *a;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        write_text(p->folder, "adapter_config.json", wrongs[i].text);
        assert_true(para_adapter_open(&a, p->folder, &err) < 0);
        assert_says(&err, wrongs[i].says);
    }
    write_text(p->folder, "adapter_config.json", HEAD ", \"init_lora_weights\": \"gaussian\", \"lora_dropout\": 0.1}");
    must(para_adapter_open(&a, p->folder, &err), err);
    assert_true(para_adapter_lora(a)->alpha == 8); /* as PEFT has it */
    para_adapter_free(a);
}

static void assert_unloadable(const struct place *p, const para_lora *how, const char *says)
{
    para_error err = {0};
    para_graph *g = graph_of_model(p->gpt2, how, false), *plain = graph_of_model(p->gpt2, NULL, false);
    para_session *s = serial_session(g, false), *t = serial_session(plain, false);
    assert_true(para_adapter_load(p->adapter, p->gpt2, g, s, NULL, &err) < 0);
    assert_says(&err, says);
    para_session_free(s);
    para_session_free(t);
    para_graph_free(g);
    para_graph_free(plain);
}

static void other_adapters_are_refused(void **state)
{
    const struct place *p = *state;
    para_error err = {0};
    int64_t n;
    free(make_folders(p, p->gpt2, &usual, &n));
    assert_unloadable(p, &(para_lora){.rank = 3, .alpha = 1, .targets = "c_attn,mlp.c_proj"},
                      "has shape (2, 8), expected (3, 8) = (lora, embd)");
    assert_unloadable(p, &(para_lora){.rank = 2, .alpha = 1, .targets = "c_attn"}, "has no place in this graph");
    assert_unloadable(p, &(para_lora){.rank = 2, .alpha = 1}, "has no tensor \"base_model.model.transformer.h.0.");
    para_graph *plain = graph_of_model(p->gpt2, NULL, false), *g = graph_of_model(p->llama, NULL, false);
    para_session *s = serial_session(plain, false), *t = serial_session(g, false);
    assert_true(para_adapter_save(p->merged, p->gpt2, &usual, "", plain, s, NULL, &err) < 0);
    assert_says(&err, "the graph has no adapters");
    must(para_checkpoint_save(p->merged, p->llama, g, t, NULL, &err), err);
    assert_true(para_checkpoint_load_adapted(p->merged, p->adapter, g, t, &err) < 0);
    assert_says(&err, "qwen2 has no target \"c_attn\"");
    char *path = path_join(p->adapter, "adapter_model.safetensors"),
         *other = path_join(p->adapter, "adapter_model.bin");
    assert_int_equal(rename(path, other), 0);
    assert_true(para_checkpoint_load_adapted(p->base, p->adapter, plain, s, &err) < 0);
    assert_says(&err, "adapter_model.bin: can't be read, expected adapters as adapter_model.safetensors");
    free(path);
    free(other);
    para_session_free(s);
    para_session_free(t);
    para_graph_free(plain);
    para_graph_free(g);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, leave_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(folders_are_as_peft_has_them),   IN_PLACE(a_run_goes_on_where_it_was),
        IN_PLACE(merged_models_are_the_unmerged), IN_PLACE(merged_weights_are_quantized_last),
        IN_PLACE(unsupported_fields_are_named),   IN_PLACE(other_adapters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
