/* The JSON files of a checkpoint. */
#include "io/config.h"

#include "base/fail.h"
#include "io/file.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Fields whose other values mean a model that this one isn't. Absent ones have these values. */
static const struct {
    const char *name;
    bool expected;
} flags[] = {{"tie_word_embeddings", true},
             {"scale_attn_weights", true},
             {"scale_attn_by_inverse_layer_idx", false},
             {"add_cross_attention", false},
             {"is_encoder_decoder", false}};

/* Fields that mean a model that this one isn't, unless they are absent, null or empty. */
static const char *const foreign[] = {"auto_map", "pruned_heads", "quantization_config"};

/* Both ways to name a size: GPT-2's own and that of all models. */
static const struct size_name {
    const char *own, *general;
} layers = {"n_layer", "num_hidden_layers"}, heads = {"n_head", "num_attention_heads"},
  embd = {"n_embd", "hidden_size"}, vocab = {"vocab_size", NULL}, context = {"n_positions", "max_position_embeddings"},
  inner = {"n_inner", NULL};

/* The first of either form is written. Three names of the tanh form differ in the order of their products. */
static const struct {
    const char *name;
    bool erf;
} activations[] = {{"gelu_new", false}, {"gelu", true}, {"gelu_pytorch_tanh", false}, {"gelu_fast", false}};

static const double ABSENT_DROPOUT = 0.1; /* as transformers has it */

enum { GPT2_VOCAB = 50257, GPT2_END_OF_TEXT = 50256 };

/* bos and eos are null for other vocabularies, whose end of text isn't known here; transformers would put 50256. */
int para_config_save(const char *path, const para_gpt2 *model, para_error *err)
{
    json_t *end = model->vocab == GPT2_VOCAB ? json_integer(GPT2_END_OF_TEXT) : json_null();
    json_t *config = json_pack(
        "{s:[s], s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:f, s:f, s:f, s:f, s:f, s:O, s:O, s:s}", "architectures",
        "GPT2LMHeadModel", "model_type", "gpt2", "n_layer", (json_int_t)model->layers, "n_head",
        (json_int_t)model->heads, "n_embd", (json_int_t)model->embd, "n_inner", (json_int_t)model->ff, "vocab_size",
        (json_int_t)model->vocab, "n_positions", (json_int_t)model->context, "activation_function",
        activations[model->gelu_erf].name, "layer_norm_epsilon", model->norm_eps, "embd_pdrop", model->dropout,
        "resid_pdrop", model->dropout, "attn_pdrop", model->attn_dropout, "initializer_range", 0.02, "bos_token_id",
        end, "eos_token_id", end, "torch_dtype", "float32");
    json_decref(end);
    for (size_t i = 0; config && i < sizeof flags / sizeof flags[0]; i++)
        json_object_set_new(config, flags[i].name, json_boolean(flags[i].expected));
    int status = para_json_save(path, config, err);
    json_decref(config);
    return status;
}

static int fail_field(para_error *err, const char *path, const char *field, const json_t *value, const char *expected)
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    para_fail(err, PARA_EFORMAT, "%s: \"%s\" is %.100s, expected %s", path, field, text ? text : "missing", expected);
    free(text);
    return PARA_EFORMAT;
}

/* The value of a size, under either name; where both are given they must agree. */
static const json_t *find_size(const json_t *config, struct size_name name)
{
    const json_t *own = json_object_get(config, name.own);
    return own || !name.general ? own : json_object_get(config, name.general);
}

static int read_size(int64_t *out, const json_t *config, struct size_name name, const char *path, para_error *err)
{
    const json_t *value = find_size(config, name);
    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > INT32_MAX)
        return fail_field(err, path, name.own, value, "a whole number from 1 to 2147483647");
    *out = json_integer_value(value);
    const json_t *general = name.general ? json_object_get(config, name.general) : NULL;
    char expected[80];
    snprintf(expected, sizeof expected, "%s's %lld", name.own, (long long)*out);
    return !general || json_equal(general, value) ? 0 : fail_field(err, path, name.general, general, expected);
}

static int read_number(double *out, const json_t *config, const char *field, double absent, const char *path,
                       para_error *err)
{
    const json_t *value = json_object_get(config, field);
    if (value && !json_is_number(value))
        return fail_field(err, path, field, value, "a number");
    *out = value ? json_number_value(value) : absent;
    return 0;
}

static int read_activation(bool *erf, const json_t *config, const char *path, para_error *err)
{
    const json_t *value = json_object_get(config, "activation_function");
    const char *name = value ? json_string_value(value) : activations[0].name;
    for (size_t i = 0; name && i < sizeof activations / sizeof activations[0]; i++)
        if (strcmp(name, activations[i].name) == 0) {
            *erf = activations[i].erf;
            return 0;
        }
    return fail_field(err, path, "activation_function", value,
                      "\"gelu_new\" (or \"gelu_pytorch_tanh\", \"gelu_fast\"), or \"gelu\"");
}

static bool is_empty(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0);
}

/* reorder_and_upcast_attn changes the order of roundings in half precision alone, so both of its values are good.
 * What no rule names doesn't change the logits: tokens for generation, heads for classification, the type in memory. */
static int check_kind(const json_t *config, const char *path, para_error *err)
{
    const json_t *type = json_object_get(config, "model_type");
    if (!json_is_string(type) || strcmp(json_string_value(type), "gpt2") != 0)
        return fail_field(err, path, "model_type", type, "\"gpt2\"");
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        const json_t *flag = json_object_get(config, flags[i].name);
        if (flag && (!json_is_boolean(flag) || json_is_true(flag) != flags[i].expected))
            return fail_field(err, path, flags[i].name, flag, flags[i].expected ? "true" : "false");
    }
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        const json_t *value = json_object_get(config, foreign[i]);
        if (!is_empty(value))
            return fail_field(err, path, foreign[i], value, "none: a plain GPT-2");
    }
    return 0;
}

/* Dropout matters to training alone. One number stands for both the embeddings' and the residual branches'. */
static int read_dropout(para_gpt2 *m, const json_t *config, const char *path, para_error *err)
{
    double embeddings;
    PARA_TRY(read_number(&m->dropout, config, "resid_pdrop", ABSENT_DROPOUT, path, err));
    PARA_TRY(read_number(&embeddings, config, "embd_pdrop", ABSENT_DROPOUT, path, err));
    PARA_TRY(read_number(&m->attn_dropout, config, "attn_pdrop", ABSENT_DROPOUT, path, err));
    char expected[80];
    snprintf(expected, sizeof expected, "resid_pdrop's %g", m->dropout);
    return embeddings == m->dropout
               ? 0
               : fail_field(err, path, "embd_pdrop", json_object_get(config, "embd_pdrop"), expected);
}

static int read_config(para_gpt2 *m, const json_t *config, const char *path, para_error *err)
{
    PARA_TRY(check_kind(config, path, err));
    PARA_TRY(read_activation(&m->gelu_erf, config, path, err));
    PARA_TRY(read_size(&m->layers, config, layers, path, err));
    PARA_TRY(read_size(&m->heads, config, heads, path, err));
    PARA_TRY(read_size(&m->embd, config, embd, path, err));
    PARA_TRY(read_size(&m->vocab, config, vocab, path, err));
    PARA_TRY(read_size(&m->context, config, context, path, err));
    const json_t *ff = json_object_get(config, inner.own);
    if (!ff || json_is_null(ff))
        m->ff = 4 * m->embd; /* as transformers has it */
    else
        PARA_TRY(read_size(&m->ff, config, inner, path, err));
    PARA_TRY(read_number(&m->norm_eps, config, "layer_norm_epsilon", 1e-5, path, err));
    PARA_TRY(read_dropout(m, config, path, err));
    para_error why;
    int status = para_gpt2_check(m, &why);
    return status < 0 ? para_fail(err, PARA_EFORMAT, "%.200s: %.250s", path, why.message) : 0;
}

int para_config_load(const char *path, para_gpt2 *out, para_error *err)
{
    json_t *config;
    PARA_TRY(para_json_load(&config, path, err));
    para_gpt2 model = {0};
    int status = read_config(&model, config, path, err);
    json_decref(config);
    if (status == 0)
        *out = model;
    return status;
}

/* JSON numbers are exact up to 2^53 in most readers; larger seeds are written as strings. */
static json_t *seed_value(uint64_t seed)
{
    return seed <= (uint64_t)1 << 53 ? json_integer((json_int_t)seed) : json_sprintf("%llu", (unsigned long long)seed);
}

int para_trainer_save(const char *path, const para_trainer *trainer, para_error *err)
{
    if (trainer->step < 0 || isnan(trainer->best_loss) || isinf(trainer->best_loss))
        return para_fail(err, PARA_EINVAL,
                         "%s: step is %lld and the best loss %g, expected at least 0 and a finite number", path,
                         (long long)trainer->step, trainer->best_loss);
    json_t *best = trainer->best_loss < 0 ? json_null() : json_real(trainer->best_loss);
    json_t *value = json_pack("{s:I, s:o, s:o}", "step", (json_int_t)trainer->step, "seed", seed_value(trainer->seed),
                              "best_loss", best);
    int status = para_json_save(path, value, err);
    json_decref(value);
    return status;
}

static int read_seed(uint64_t *out, const json_t *value, const char *path, para_error *err)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = (uint64_t)json_integer_value(value);
        return 0;
    }
    const char *text = json_string_value(value);
    size_t digits = text ? strspn(text, "0123456789") : 0;
    errno = 0;
    unsigned long long seed = digits > 0 && !text[digits] ? strtoull(text, NULL, 10) : 0;
    if (digits == 0 || text[digits] || errno == ERANGE)
        return fail_field(err, path, "seed", value, "a whole number from 0 to 2^64 - 1");
    *out = seed;
    return 0;
}

static int read_trainer(para_trainer *t, const json_t *value, const char *path, para_error *err)
{
    const json_t *step = json_object_get(value, "step"), *best = json_object_get(value, "best_loss");
    if (!json_is_integer(step) || json_integer_value(step) < 0)
        return fail_field(err, path, "step", step, "a whole number of at least 0");
    t->step = json_integer_value(step);
    PARA_TRY(read_seed(&t->seed, json_object_get(value, "seed"), path, err));
    if (!json_is_number(best) && !json_is_null(best))
        return fail_field(err, path, "best_loss", best, "a number or null");
    t->best_loss = json_is_null(best) ? -1 : json_number_value(best);
    return 0;
}

int para_trainer_load(const char *path, para_trainer *out, para_error *err)
{
    json_t *value;
    PARA_TRY(para_json_load(&value, path, err));
    para_trainer trainer = {0};
    int status = read_trainer(&trainer, value, path, err);
    json_decref(value);
    if (status == 0)
        *out = trainer;
    return status;
}
