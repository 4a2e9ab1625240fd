/* config.json: fields that make another model are refused by name, others don't matter, and sizes are held against
 * the weights. */
#include "tests/checkpoint.h"

#include <paragraph/data.h>

#include <stdlib.h>
#include <string.h>

static const char start[] = "{\"model_type\": \"gpt2\", \"n_layer\": 2, \"n_head\": 2, \"n_embd\": 8, ";
static const char rest[] = "\"vocab_size\": 11, \"n_positions\": 7, \"n_inner\": 20";

/* Write config.json of up to three parts and read it. */
static int config(const struct run *r, const char *first, const char *second, const char *third, para_gpt2 *out,
                  para_error *err)
{
    char text[1024];
    para_model *model;
    assert_true(snprintf(text, sizeof text, "%s%s%s", first, second, third) < (int)sizeof text);
    write_text(r->dir, "config.json", text);
    int status = para_model_open(&model, r->dir, err);
    if (status < 0)
        return status;
    *out = *para_model_as_gpt2(model);
    para_model_free(model);
    return 0;
}

static const struct {
    const char *start, *rest, *more, *text;
} wrongs[] = {
    {"", "", "", "config.json:1:0"},
    {"[", "3]", "", "expected a JSON object"},
    {"{", "}", "",
     "\"model_type\" is missing, expected \"gpt2\" or \"llama\" or \"mistral\" or \"qwen2\" or \"qwen3\""},
    {"{\"model_type\": \"bert\"", "}", "", "\"model_type\" is \"bert\", expected \"gpt2\""},
    {"{\"model_type\": \"gpt2\"", "", "", "config.json:1:"},
    {start, "\"vocab_size\": 11", "}", "\"n_positions\" is missing, expected a whole number from 1 to 2147483647"},
    {start, rest, ", \"n_layer\": 3}", "duplicate"},
    {start, "\"vocab_size\": 11, \"n_positions\": 7, \"n_inner\": 0", "}", "\"n_inner\" is 0"},
    {start, "\"vocab_size\": 11, \"n_positions\": 7, \"n_inner\": \"20\"", "}", "\"n_inner\" is \"20\""},
    {start, "\"vocab_size\": -11, \"n_positions\": 7", "}", "\"vocab_size\" is -11, expected a whole number from 1"},
    {start, "\"vocab_size\": 11.5, \"n_positions\": 7", "}", "\"vocab_size\" is 11.5"},
    {start, "\"vocab_size\": 2147483648, \"n_positions\": 7", "}", "\"vocab_size\" is 2147483648"},
    {start, "\"vocab_size\": 99999999999999999999, \"n_positions\": 7", "}", "too big integer"},
    {start, "\"vocab_size\": 1e999, \"n_positions\": 7", "}", "real number overflow"},
    {start, "\"vocab_size\": NaN, \"n_positions\": 7", "}", "config.json:1:"},
    {start, rest, ", \"num_hidden_layers\": 3}", "\"num_hidden_layers\" is 3, expected n_layer's 2"},
    {start, rest, ", \"activation_function\": \"relu\"}", "\"activation_function\" is \"relu\", expected \"gelu_new\""},
    {start, rest, ", \"activation_function\": null}", "\"activation_function\" is null"},
    {start, rest, ", \"tie_word_embeddings\": false}", "\"tie_word_embeddings\" is false, expected true"},
    {start, rest, ", \"scale_attn_weights\": false}", "\"scale_attn_weights\" is false, expected true"},
    {start, rest, ", \"scale_attn_by_inverse_layer_idx\": true}", "expected false"},
    {start, rest, ", \"add_cross_attention\": true}", "\"add_cross_attention\" is true, expected false"},
    {start, rest, ", \"add_cross_attention\": \"no\"}", "\"add_cross_attention\" is \"no\", expected false"},
    {start, rest, ", \"is_encoder_decoder\": true}", "\"is_encoder_decoder\" is true, expected false"},
    {start, rest, ", \"pruned_heads\": {\"1\": [0]}}", "\"pruned_heads\" is {\"1\":[0]}, expected none"},
    {start, rest, ", \"quantization_config\": {\"bits\": 4}}", "\"quantization_config\" is {\"bits\":4}"},
    {start, rest, ", \"auto_map\": {\"AutoModel\": \"a.B\"}}", "\"auto_map\" is"},
    {start, rest, ", \"layer_norm_epsilon\": \"small\"}", "\"layer_norm_epsilon\" is \"small\", expected a number"},
    {start, rest, ", \"layer_norm_epsilon\": -1e-5}", "norm_eps is -1e-05"},
    {start, rest, ", \"resid_pdrop\": 1.5, \"embd_pdrop\": 1.5}", "dropout is 1.5"},
    {start, rest, ", \"attn_pdrop\": -1}", "attn_dropout is -1"},
    {start, rest, ", \"embd_pdrop\": -0.1}", "embd_dropout is -0.1"},
    {start, rest, ", \"scale_attn_weights\": 0.1}", "\"scale_attn_weights\" is 0.1, expected true"},
};

static void other_models_are_refused(void **state)
{
    struct run *r = *state;
    save(r, NULL);
    para_gpt2 model = small;
    for (size_t i = 0; i < sizeof wrongs / sizeof wrongs[0]; i++) {
        para_error err = {0};
        assert_int_equal(config(r, wrongs[i].start, wrongs[i].rest, wrongs[i].more, &model, &err), PARA_EFORMAT);
        assert_says(&err, "config.json");
        assert_says(&err, wrongs[i].text);
    }
    assert_memory_equal(&model, &small, sizeof small);
    para_error err = {0};
    para_model *none = NULL;
    assert_int_equal(para_model_open(&none, r->parent, &err), PARA_EIO);
    assert_null(none);
    assert_says(&err, "config.json: can't open");
}

/* What a stock file has beside the fields above, and absent fields as transformers has them. */
static void other_fields_do_not_matter(void **state)
{
    struct run *r = *state;
    static const char extra[] = ", \"summary_type\": \"cls_index\", \"task_specific_params\": {\"a\": 1}, \"n_ctx\": 7,"
                                "\"use_cache\": true, \"torch_dtype\": \"float16\", \"pruned_heads\": {},"
                                "\"reorder_and_upcast_attn\": true, \"quantization_config\": null, \"nonesuch\": [-1]}";
    para_error err = {0};
    para_gpt2 model;
    save(r, NULL);
    must(config(r, start, rest, extra, &model, &err), err);
    assert_int_equal(model.ff, 20);
    assert_false(model.gelu_erf);
    assert_true(model.norm_eps == 1e-5 && model.dropout == 0.1 && model.embd_dropout == 0.1 &&
                model.attn_dropout == 0.1);
    must(config(r,
                "{\"model_type\": \"gpt2\", \"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"hidden_size\": 8,",
                "\"vocab_size\": 11, \"max_position_embeddings\": 7, \"n_inner\": 20,",
                "\"activation_function\": \"gelu\"}", &model, &err),
         err);
    assert_int_equal(model.context, 7);
    assert_true(model.gelu_erf);
}

/* Every field of a model is written and read. */
static void models_come_back(void **state)
{
    struct run *r = *state;
    para_gpt2 other = small;
    other.attn_dropout = 0.25, other.gelu_erf = true, other.norm_eps = 3e-6;
    para_error err = {0};
    para_model *model = model_of(&other), *found;
    must(para_checkpoint_save(r->dir, model, r->g, r->s, NULL, &err), err);
    must(para_model_open(&found, r->dir, &err), err);
    assert_memory_equal(para_model_as_gpt2(found), &other, sizeof other);
    para_model_free(model);
    para_model_free(found);
}

/* Numbers as large as they may be, which no file bears out, cost nothing: they are refused before a graph is built. */
static void sizes_are_held_against_the_weights(void **state)
{
    struct run *r = *state;
    static const struct {
        const char *start, *rest, *text;
        int code;
    } sizes[] = {
        {"{\"model_type\": \"gpt2\", \"n_layer\": 4096, \"n_head\": 2, \"n_embd\": 8, ", rest,
         "has no tensor \"transformer.h.4095.mlp.c_fc.weight\", expected by config.json", PARA_EFORMAT},
        {"{\"model_type\": \"gpt2\", \"n_layer\": 2147483647, \"n_head\": 2, \"n_embd\": 8, ", rest,
         "layers is 2147483647, expected 1 to 4096", PARA_EFORMAT},
        {"{\"model_type\": \"gpt2\", \"n_layer\": 1000, \"n_head\": 2, \"n_embd\": 2147483646, ", rest,
         "too large to count", PARA_EFORMAT},
        {start, "\"vocab_size\": 2147483647, \"n_positions\": 7, \"n_inner\": 20",
         "has shape (11, 8), expected (2147483647, 8) = (vocab_size, n_embd)", PARA_ESHAPE},
        {start, "\"vocab_size\": 11, \"n_positions\": 2147483647, \"n_inner\": 20",
         "has shape (7, 8), expected (2147483647, 8) = (n_positions, n_embd)", PARA_ESHAPE},
        {start, "\"vocab_size\": 11, \"n_positions\": 7", "has shape (8, 20), expected (8, 32) = (n_embd, n_inner)",
         PARA_ESHAPE},
    };
    save(r, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        para_error err = {0};
        para_gpt2 model;
        int status = config(r, sizes[i].start, sizes[i].rest, "}", &model, &err);
        assert_says(&err, sizes[i].text);
        assert_int_equal(status, sizes[i].code);
    }
}

/* Attention weights can't be dropped: a model that asks for it computes, but doesn't train. */
static void attention_dropout_is_refused_in_training(void **state)
{
    (void)state;
    para_gpt2 model = small;
    model.attn_dropout = 0.1;
    for (int training = 0; training < 2; training++) {
        para_error err = {0};
        para_graph *g = para_graph_new();
        para_gpt2_build(g, &model, 1, 4, training);
        assert_int_equal(para_graph_seal(g, &err), training ? PARA_ESUPPORT : 0);
        if (training)
            assert_says(&err, "attn_dropout (attn_pdrop) is 0.1, expected 0");
        para_graph_free(g);
    }
}

static void ends_are(const struct run *r, const char *config, const char *generation, const int32_t *ids, int64_t count)
{
    para_error err = {0};
    int32_t *found = NULL;
    int64_t n = -1;
    write_text(r->dir, "config.json", config);
    write_text(r->dir, "generation_config.json", generation);
    must(para_checkpoint_ends(r->dir, &found, &n, &err), err);
    assert_int_equal(n, count);
    for (int64_t i = 0; i < n; i++)
        assert_int_equal(found[i], ids[i]);
    para_tokens_free(found);
}

/* Ends of text are those of both files, a number, a list, or none. */
static void ends_of_text_are_listed(void **state)
{
    const struct run *r = *state;
    para_error err = {0};
    int32_t *ids;
    int64_t count;
    save(*state, NULL);
    must(para_checkpoint_ends(r->dir, &ids, &count, &err), err);
    assert_int_equal(count, 0);
    ends_are(r, "{\"eos_token_id\": 7}", "{}", (const int32_t[]){7}, 1);
    ends_are(r, "{\"eos_token_id\": -1}", "{\"eos_token_id\": [5, 9]}", (const int32_t[]){5, 9}, 2);
    ends_are(r, "{\"eos_token_id\": 3}", "{\"eos_token_id\": [4, 3]}", (const int32_t[]){3, 4, 3}, 3);
    write_text(r->dir, "generation_config.json", "{\"eos_token_id\": \"</s>\"}");
    assert_int_equal(para_checkpoint_ends(r->dir, &ids, &count, &err), PARA_EFORMAT);
    assert_says(&err, "generation_config.json: \"eos_token_id\" is \"</s>\", expected token ids");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(other_models_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_fields_do_not_matter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(models_come_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sizes_are_held_against_the_weights, set_up, tear_down),
        cmocka_unit_test_setup_teardown(ends_of_text_are_listed, set_up, tear_down),
        cmocka_unit_test(attention_dropout_is_refused_in_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
