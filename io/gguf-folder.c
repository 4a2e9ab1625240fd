/* A GGUF file's tokenizer as files of a folder. */
#include "base/fail.h"
#include "io/gguf-model.h"
#include "io/gguf-pre.h"
#include "io/gguf-tokens.h"
#include "io/tokenizer-files.h"

#include <stdlib.h>

struct tokens {
    const struct para_gguf *f;
    const para_tokenizer *t;
    const struct para_pre *pre;
    const struct para_added_token **added; /* by id; NULL: none */
    int64_t used;                          /* ids behind are padding */
};

static const char *text_of(const struct tokens *k, int64_t id)
{
    return para_texts_get(&k->t->vocabulary.texts, id);
}

static int find_added(struct tokens *k, para_error *err)
{
    const struct para_added *set = &k->t->as_written;
    const struct para_gguf_value *types = para_gguf_find(k->f, "tokenizer.ggml.token_type");
    k->used = k->t->vocabulary.texts.count;
    k->added = calloc((size_t)k->used, sizeof *k->added);
    if (!k->added)
        return para_fail_memory(err, para_gguf_path(k->f));
    for (int64_t i = 0; i < set->count; i++)
        k->added[set->tokens[i].id] = &set->tokens[i];
    while (types && k->used > 0 && para_gguf_whole(types, k->used - 1) == PARA_TOKEN_UNUSED)
        k->used--;
    return 0;
}

/* --- tokenizer.json --- */

/* Append to a list, which is dropped where its value could not be made: without memory, or for what isn't UTF-8. */
static void append(json_t **list, json_t *value)
{
    if (json_array_append_new(*list, value) == 0)
        return;
    json_decref(*list);
    *list = NULL;
}

/* Those of bytes have added tokens apart. */
static json_t *list_vocabulary(const struct tokens *k)
{
    json_t *all = json_object();
    for (int64_t i = 0; i < k->used && all; i++)
        if (!(k->pre->name && k->added[i]) && json_object_set_new(all, text_of(k, i), json_integer(i)) < 0) {
            json_decref(all);
            all = NULL;
        }
    return all;
}

static json_t *list_added(const struct tokens *k)
{
    json_t *all = json_array();
    for (int64_t i = 0; i < k->used && all; i++) {
        const struct para_added_token *a = k->added[i];
        if (a)
            append(&all, json_pack("{s:I, s:s, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)i, "content", text_of(k, i),
                                   "single_word", 0, "lstrip", 0, "rstrip", a->rstrip, "normalized", 0, "special",
                                   a->special));
    }
    return all;
}

static json_t *list_merges(const struct tokens *k)
{
    const struct para_bpe *bpe = &k->t->vocabulary.bpe;
    struct para_bpe_pair *pairs = para_bpe_list(bpe);
    json_t *all = pairs ? json_array() : NULL;
    for (size_t i = 0; i < bpe->pairs && all; i++)
        append(&all, k->pre->name ? json_sprintf("%s %s", text_of(k, pairs[i].left), text_of(k, pairs[i].right))
                                  : json_pack("[s, s]", text_of(k, pairs[i].left), text_of(k, pairs[i].right)));
    free(pairs);
    return all;
}

static json_t *model_json(const struct tokens *k)
{
    int32_t unknown = k->t->vocabulary.unknown;
    return json_pack("{s:s, s:n, s:s?, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
                     unknown >= 0 ? text_of(k, unknown) : NULL, "continuing_subword_prefix", "end_of_word_suffix",
                     "fuse_unk", !k->pre->name, "byte_fallback", !k->pre->name, "ignore_merges", k->pre->whole_words,
                     "vocab", list_vocabulary(k), "merges", list_merges(k));
}

/* A template's list: a token before, the text of a name, a token after; of tokens -1 for none. */
static json_t *list_pieces(const struct tokens *k, const char *sequences, const int32_t ids[2])
{
    json_t *all = json_array();
    for (int type = 0; sequences[type]; type++) {
        char name[2] = {sequences[type], '\0'};
        for (int side = 0; side < 2; side++) {
            if (ids[side] >= 0)
                append(&all, json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", text_of(k, ids[side]), "type_id", type));
            if (side == 0)
                append(&all, json_pack("{s:{s:s, s:i}}", "Sequence", "id", name, "type_id", type));
        }
    }
    return all;
}

/* What stands beside a text. */
static json_t *template_json(const struct tokens *k)
{
    const para_tokenizer *t = k->t;
    const int32_t ids[2] = {t->before_count ? t->before[0] : -1, t->after_count ? t->after[0] : -1};
    json_t *special = json_object();
    if (ids[0] < 0 && ids[1] < 0) {
        json_decref(special);
        return json_null();
    }
    for (int side = 0; side < 2; side++)
        if (ids[side] >= 0)
            json_object_set_new(special, text_of(k, ids[side]),
                                json_pack("{s:s, s:[i], s:[s]}", "id", text_of(k, ids[side]), "ids", (int)ids[side],
                                          "tokens", text_of(k, ids[side])));
    return json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", list_pieces(k, "A", ids), "pair",
                     list_pieces(k, "AB", ids), "special_tokens", special);
}

static json_t *tokenizer_json(const struct tokens *k)
{
    return json_pack("{s:s, s:n, s:n, s:o, s:o, s:o, s:o, s:o, s:o}", "version", "1.0", "truncation", "padding",
                     "added_tokens", list_added(k), "normalizer", para_pre_normalizer(k->pre), "pre_tokenizer",
                     para_pre_tokenizer(k->pre), "post_processor", template_json(k), "decoder",
                     para_pre_decoder(k->pre), "model", model_json(k));
}

/* --- the other files --- */

/* The id of a key, -1: none that is a token's. */
static int64_t id_of(const struct tokens *k, const char *key)
{
    const struct para_gguf_value *value;
    if (para_gguf_need(&value, k->f, key, PARA_GGUF_WHOLE, NULL) < 0)
        return -1;
    int64_t id = para_gguf_whole(value, 0);
    return id < k->t->vocabulary.texts.count ? id : -1;
}

static json_t *config_json(const struct tokens *k, const char *template)
{
    static const char *const names[][2] = {{"bos_token", "tokenizer.ggml.bos_token_id"},
                                           {"eos_token", "tokenizer.ggml.eos_token_id"},
                                           {"unk_token", "tokenizer.ggml.unknown_token_id"},
                                           {"pad_token", "tokenizer.ggml.padding_token_id"}};
    json_t *all =
        json_pack("{s:s, s:b}", "tokenizer_class", "PreTrainedTokenizerFast", "clean_up_tokenization_spaces", 0);
    for (int i = 0; i < 4; i++) {
        int64_t id = id_of(k, names[i][1]);
        if (id >= 0)
            json_object_set_new(all, names[i][0], json_string(text_of(k, id)));
    }
    if (template && json_object_set_new(all, "chat_template", json_string(template)) < 0) {
        json_decref(all);
        return NULL;
    }
    return all;
}

/* NULL where a file tells no end; *none then. */
static json_t *generation_json(const struct tokens *k, bool *none)
{
    static const char *const keys[] = {PARA_GGUF_ENDS};
    int64_t begin = id_of(k, "tokenizer.ggml.bos_token_id");
    json_t *ends = json_array();
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (id_of(k, keys[i]) >= 0)
            append(&ends, json_integer(id_of(k, keys[i])));
    *none = json_array_size(ends) == 0 && begin < 0;
    json_t *all = json_pack("{s:o}", "eos_token_id", ends);
    if (begin >= 0)
        json_object_set_new(all, "bos_token_id", json_integer(begin));
    return all;
}

static int save(const char *folder, const char *name, json_t *value, para_error *err)
{
    char path[PARA_PATH_BYTES];
    int status = para_path(path, err, "%s/%s", folder, name);
    if (status == 0)
        status = para_json_save(path, value, err);
    json_decref(value);
    return status;
}

static int save_all(struct tokens *k, const char *folder, para_error *err)
{
    char *template;
    bool none;
    PARA_TRY(para_pre_of_gguf(&k->pre, k->f, err));
    PARA_TRY(find_added(k, err));
    json_t *json = tokenizer_json(k);
    if (!json)
        return para_fail(err, PARA_EFORMAT, "%s: a token isn't UTF-8, or memory ran out", para_gguf_path(k->f));
    PARA_TRY(save(folder, PARA_TOKENIZER_JSON, json, err));
    PARA_TRY(para_chat_template(&template, para_gguf_path(k->f), err));
    json_t *config = config_json(k, template);
    free(template);
    PARA_TRY(save(folder, "tokenizer_config.json", config, err));
    json_t *generation = generation_json(k, &none);
    if (!none)
        return save(folder, "generation_config.json", generation, err);
    json_decref(generation);
    return 0;
}

int para_tokenizer_unpack(const char *path, const char *folder, para_error *err)
{
    struct para_gguf *f;
    PARA_TRY(para_gguf_open(&f, path, err));
    int status = para_gguf_save_tokenizer(f, folder, err);
    para_gguf_close(f);
    return status;
}

int para_gguf_save_tokenizer(const struct para_gguf *f, const char *folder, para_error *err)
{
    para_tokenizer *t;
    para_error why = {0};
    if (!para_tokenizer_in_gguf(para_gguf_path(f)))
        return 0;
    int status = para_tokenizer_open(&t, para_gguf_path(f), &why);
    if (status == PARA_ESUPPORT) {
        para_log(PARA_LOG_WARNING, "its tokenizer stays behind: %s", why.message);
        return 0;
    }
    if (status < 0)
        return para_fail(err, status, "%s", why.message);
    struct tokens k = {.f = f, .t = t};
    status = save_all(&k, folder, err);
    free(k.added);
    para_tokenizer_free(t);
    return status;
}
