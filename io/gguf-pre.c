/* The ways of tokenizers that GGUF files name, in one table, from names to parts of tokenizer.json and back. */
#include "io/gguf-pre.h"

#include "base/fail.h"

#include <stdio.h>
#include <string.h>

#define WORDS(digits)                                                                                                  \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                               \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const char llama3[] = WORDS("\\p{N}{1,3}"), qwen2[] = WORDS("\\p{N}");

/* Of several names for one way the first is written. */
static const struct para_pre PRES[] = {
    {.name = "gpt-2"},
    {.name = "phi-2"},
    {.name = "mpt"},
    {.name = "olmo"},
    {.name = "llama-bpe", .pattern = llama3, .whole_words = true, .bos = true},
    {.name = "llama3", .pattern = llama3, .whole_words = true, .bos = true},
    {.name = "llama-v3", .pattern = llama3, .whole_words = true, .bos = true},
    {.name = "smaug-bpe", .pattern = llama3},
    {.name = "qwen2", .pattern = qwen2, .nfc = true},
    {.name = "deepseek-r1-qwen", .pattern = qwen2, .nfc = true},
    {.name = "starcoder", .digits = true},
    {.name = "refact", .digits = true},
    {.name = "command-r", .digits = true},
    {.name = "smollm", .digits = true},
};
enum { PRE_COUNT = sizeof PRES / sizeof PRES[0] };

const struct para_pre *para_pre_gpt2(void)
{
    return &PRES[0];
}

const struct para_pre *para_pre_marks(bool prefixed)
{
    static const struct para_pre marks[] = {{.bos = true}, {.bos = true, .prefixed = true}};
    return &marks[prefixed];
}

/* --- by name --- */

static int shown(struct para_gguf_text name)
{
    return (int)(name.bytes < 100 ? name.bytes : 100);
}

static int find_name(const struct para_pre **out, const struct para_gguf *f, para_error *err)
{
    const struct para_gguf_value *value;
    char names[300] = "";
    PARA_TRY(para_gguf_need(&value, f, "tokenizer.ggml.pre", PARA_GGUF_STRING, err));
    struct para_gguf_text name = para_gguf_text(value, 0);
    for (int i = 0; i < PRE_COUNT; i++) {
        size_t used = strlen(names);
        if (para_gguf_text_is(name, PRES[i].name)) {
            *out = &PRES[i];
            return 0;
        }
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", PRES[i].name);
    }
    return para_fail(err, PARA_ESUPPORT, "%s: tokenizer.ggml.pre \"%.*s\" is not supported; supported are %s",
                     para_gguf_path(f), shown(name), name.data, names);
}

int para_pre_of_gguf(const struct para_pre **out, const struct para_gguf *f, para_error *err)
{
    static const char prefix[] = "tokenizer.ggml.add_space_prefix";
    const struct para_gguf_value *model, *flag;
    PARA_TRY(para_gguf_need(&model, f, "tokenizer.ggml.model", PARA_GGUF_STRING, err));
    struct para_gguf_text name = para_gguf_text(model, 0);
    if (para_gguf_text_is(name, "gpt2"))
        return find_name(out, f, err);
    if (!para_gguf_text_is(name, "llama"))
        return para_fail(err, PARA_ESUPPORT,
                         "%s: tokenizer.ggml.model \"%.*s\" is not supported; supported are gpt2, llama",
                         para_gguf_path(f), shown(name), name.data);
    if (para_gguf_find(f, prefix))
        PARA_TRY(para_gguf_need(&flag, f, prefix, PARA_GGUF_FLAG, err));
    *out = para_pre_marks(!para_gguf_find(f, prefix) || para_gguf_flag(flag, 0));
    return 0;
}

/* --- from tokenizer.json --- */

static bool is_type(const json_t *object, const char *type)
{
    const char *found = json_string_value(json_object_get(object, "type"));
    return found && strcmp(found, type) == 0;
}

static bool is_true(const json_t *object, const char *field, bool otherwise)
{
    const json_t *value = json_object_get(object, field);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

static bool is_byte_level(const json_t *step, bool regex)
{
    return is_type(step, "ByteLevel") && !is_true(step, "add_prefix_space", true) &&
           is_true(step, "use_regex", true) == regex;
}

/* Whether a step cuts before the last, ByteLevel, as this way does. */
static bool is_first(const json_t *step, const struct para_pre *pre)
{
    const char *regex = json_string_value(json_object_get(json_object_get(step, "pattern"), "Regex")),
               *behavior = json_string_value(json_object_get(step, "behavior"));
    if (pre->digits)
        return is_type(step, "Digits") && is_true(step, "individual_digits", false);
    return is_type(step, "Split") && regex && strcmp(regex, pre->pattern) == 0 && behavior &&
           strcmp(behavior, "Isolated") == 0 && !is_true(step, "invert", false);
}

static bool is_way(const json_t *root, const struct para_pre *pre)
{
    const json_t *cut = json_object_get(root, "pre_tokenizer"), *steps = json_object_get(cut, "pretokenizers"),
                 *form = json_object_get(root, "normalizer");
    bool one = !pre->pattern && !pre->digits,
         whole_words = is_true(json_object_get(root, "model"), "ignore_merges", false);
    if (pre->nfc ? !is_type(form, "NFC") : form && !json_is_null(form))
        return false;
    if (one)
        return is_byte_level(cut, true);
    return json_array_size(steps) == 2 && is_first(json_array_get(steps, 0), pre) &&
           is_byte_level(json_array_get(steps, 1), !pre->pattern) && pre->whole_words == whole_words;
}

const struct para_pre *para_pre_of_json(const json_t *root)
{
    for (int i = 0; i < PRE_COUNT; i++)
        if (is_way(root, &PRES[i]))
            return &PRES[i];
    return NULL;
}

/* --- to tokenizer.json --- */

static json_t *replace(const char *from, const char *to)
{
    return json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", from, "content", to);
}

json_t *para_pre_normalizer(const struct para_pre *pre)
{
    if (pre->name)
        return pre->nfc ? json_pack("{s:s}", "type", "NFC") : json_null();
    if (!pre->prefixed)
        return replace(" ", PARA_MARK);
    json_t *prepend = json_pack("{s:s, s:s}", "type", "Prepend", "prepend", PARA_MARK);
    return json_pack("{s:s, s:[o, o]}", "type", "Sequence", "normalizers", prepend, replace(" ", PARA_MARK));
}

static json_t *byte_level(bool regex)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex",
                     regex);
}

json_t *para_pre_tokenizer(const struct para_pre *pre)
{
    if (!pre->name)
        return json_null();
    if (!pre->pattern && !pre->digits)
        return byte_level(true);
    json_t *first = pre->digits ? json_pack("{s:s, s:b}", "type", "Digits", "individual_digits", 1)
                                : json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex",
                                            pre->pattern, "behavior", "Isolated", "invert", 0);
    return json_pack("{s:s, s:[o, o]}", "type", "Sequence", "pretokenizers", first, byte_level(!pre->pattern));
}

json_t *para_pre_decoder(const struct para_pre *pre)
{
    if (pre->name)
        return byte_level(true);
    json_t *steps = json_pack("[o, {s:s}, {s:s}]", replace(PARA_MARK, " "), "type", "ByteFallback", "type", "Fuse");
    if (steps && pre->prefixed)
        json_array_append_new(
            steps, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ", "start", 1, "stop", 0));
    return json_pack("{s:s, s:o}", "type", "Sequence", "decoders", steps);
}
