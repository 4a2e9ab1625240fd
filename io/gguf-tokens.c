/* A tokenizer's data in GGUF files: byte-level BPE. What such files only name, the pattern by which text is cut, stands
 * here as tokenizer.json has it. */
#include "io/gguf-tokens.h"

#include "base/arena.h"
#include "base/fail.h"
#include "io/config.h"
#include "io/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Kinds of tokens, by their numbers in files. */
enum { NORMAL = 1, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5 };

#define KEY(name) "tokenizer.ggml." name
#define WORDS(digits)                                                                                                  \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                               \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The patterns known here, by llama.cpp's names. */
static const struct pre {
    const char *name;
    const char *pattern; /* NULL: GPT-2's, which the step ByteLevel has */
    bool nfc;            /* text is normalized before */
} pres[] = {
    {"gpt-2", NULL, false},
    {"llama-bpe", WORDS("\\p{N}{1,3}"), false},
    {"qwen2", WORDS("\\p{N}"), true},
};
enum { PRES = sizeof pres / sizeof pres[0] };

/* --- a folder's tokenizer --- */

struct tokens {
    struct para_arena arena;
    const char *path;
    const char **text; /* by id; NULL: none */
    int32_t *kind;
    const char **merges;
    int64_t count, merge_count;
    const struct pre *pre;
};

static void tokens_free(struct tokens *t)
{
    para_arena_free(&t->arena);
    free(t->text);
    free(t->kind);
    free(t->merges);
}

static int add_token(struct tokens *t, const char *text, json_int_t id, int kind, para_error *err)
{
    if (id < 0 || id >= t->count)
        return para_fail(err, PARA_EFORMAT,
                         "%s: token \"%.80s\" has the id %lld, expected less than the model's"
                         " vocabulary, %lld",
                         t->path, text, (long long)id, (long long)t->count);
    t->text[id] = para_arena_string(&t->arena, text);
    t->kind[id] = kind;
    return t->text[id] ? 0 : para_fail_memory(err, t->path);
}

static int add_vocabulary(struct tokens *t, const json_t *vocab, int kind, para_error *err)
{
    if (!json_is_object(vocab))
        return para_fail(err, PARA_EFORMAT, "%s: expected an object from tokens to ids", t->path);
    for (void *i = json_object_iter((json_t *)(uintptr_t)vocab); i;
         i = json_object_iter_next((json_t *)(uintptr_t)vocab, i)) {
        const char *text = json_object_iter_key(i);
        bool special = strncmp(text, "<|", 2) == 0 && strlen(text) > 4 && strcmp(text + strlen(text) - 2, "|>") == 0;
        const json_t *id = json_object_iter_value(i);
        PARA_TRY(add_token(t, text, json_is_integer(id) ? json_integer_value(id) : -1, special ? CONTROL : kind, err));
    }
    return 0;
}

static int add_merge(struct tokens *t, const char *merge, para_error *err)
{
    if (t->merge_count % 1024 == 0) {
        const char **more = realloc(t->merges, (size_t)(t->merge_count + 1024) * sizeof *more);
        if (!more)
            return para_fail_memory(err, t->path);
        t->merges = more;
    }
    t->merges[t->merge_count++] = merge;
    return merge ? 0 : para_fail_memory(err, t->path);
}

/* "a b", or a list of both. */
static int add_merges(struct tokens *t, const json_t *merges, para_error *err)
{
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const json_t *m = json_array_get(merges, i);
        const char *left = json_string_value(json_array_get(m, 0)), *right = json_string_value(json_array_get(m, 1));
        const char *both = json_string_value(m);
        if (!both && !(left && right))
            return para_fail(err, PARA_EFORMAT, "%s: merge %zu: expected two tokens", t->path, i);
        PARA_TRY(add_merge(
            t, both ? para_arena_string(&t->arena, both) : para_arena_format(&t->arena, "%s %s", left, right), err));
    }
    return 0;
}

static int add_added(struct tokens *t, const json_t *added, para_error *err)
{
    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *a = json_array_get(added, i), *id = json_object_get(a, "id");
        const char *text = json_string_value(json_object_get(a, "content"));
        if (!text || !json_is_integer(id))
            return para_fail(err, PARA_EFORMAT, "%s: added token %zu: expected \"id\" and \"content\"", t->path, i);
        bool special = json_is_true(json_object_get(a, "special"));
        PARA_TRY(add_token(t, text, json_integer_value(id), special ? CONTROL : USER_DEFINED, err));
    }
    return 0;
}

/* The pattern of a step that splits, or GPT-2's; a sequence has one of both. */
static const struct pre *find_pre(const json_t *step)
{
    const char *type = json_string_value(json_object_get(step, "type"));
    const json_t *steps = json_object_get(step, "pretokenizers");
    const char *regex = json_string_value(json_object_get(json_object_get(step, "pattern"), "Regex"));
    if (json_array_size(steps) == 2)
        return find_pre(json_array_get(steps, 0));
    for (int i = 0; i < PRES && type; i++)
        if (pres[i].pattern ? strcmp(type, "Split") == 0 && regex && strcmp(regex, pres[i].pattern) == 0
                            : strcmp(type, "ByteLevel") == 0)
            return &pres[i];
    return NULL;
}

static int read_tokenizer_json(struct tokens *t, const json_t *json, para_error *err)
{
    const json_t *model = json_object_get(json, "model");
    const char *type = json_string_value(json_object_get(model, "type"));
    t->pre = find_pre(json_object_get(json, "pre_tokenizer"));
    if (!type || strcmp(type, "BPE") != 0 || !t->pre)
        return para_fail(err, PARA_ESUPPORT,
                         "%s: expected byte-level BPE with the pattern of GPT-2, Llama 3 or Qwen, which"
                         " can be written to GGUF files",
                         t->path);
    PARA_TRY(add_vocabulary(t, json_object_get(model, "vocab"), NORMAL, err));
    PARA_TRY(add_merges(t, json_object_get(model, "merges"), err));
    return add_added(t, json_object_get(json, "added_tokens"), err);
}

/* Lines of two tokens, but for the first, which tells the version. */
static int read_merges_txt(struct tokens *t, const char *path, para_error *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return para_fail_system(err, path, "open");
    char *line = NULL;
    size_t room = 0;
    int status = 0;
    for (ssize_t length; status == 0 && (length = getline(&line, &room, file)) >= 0;) {
        line[strcspn(line, "\r\n")] = '\0';
        if (line[0] && strncmp(line, "#version", 8) != 0)
            status = add_merge(t, para_arena_string(&t->arena, line), err);
    }
    if (status == 0 && ferror(file))
        status = para_fail_system(err, path, "read");
    free(line);
    fclose(file);
    return status;
}

static int read_json(struct tokens *t, const char *path, int (*read)(struct tokens *, const json_t *, para_error *),
                     para_error *err)
{
    json_t *json;
    t->path = path;
    PARA_TRY(para_json_load(&json, path, err));
    int status = read(t, json, err);
    json_decref(json);
    return status;
}

static int read_vocab_json(struct tokens *t, const json_t *json, para_error *err)
{
    return add_vocabulary(t, json, NORMAL, err);
}

static int read_added_json(struct tokens *t, const json_t *json, para_error *err)
{
    return add_vocabulary(t, json, CONTROL, err);
}

static int read_folder(struct tokens *t, const char *folder, para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/tokenizer.json", folder));
    if (access(path, F_OK) == 0)
        return read_json(t, path, read_tokenizer_json, err);
    t->pre = &pres[0];
    PARA_TRY(para_path(path, err, "%s/vocab.json", folder));
    PARA_TRY(read_json(t, path, read_vocab_json, err));
    PARA_TRY(para_path(path, err, "%s/merges.txt", folder));
    PARA_TRY(read_merges_txt(t, path, err));
    PARA_TRY(para_path(path, err, "%s/added_tokens.json", folder));
    return access(path, F_OK) == 0 ? read_json(t, path, read_added_json, err) : 0;
}

/* Ids that no token has, as padded vocabularies do. */
static int fill(struct tokens *t, para_error *err)
{
    for (int64_t i = 0; i < t->count; i++)
        if (!t->text[i]) {
            char name[32];
            snprintf(name, sizeof name, "[PAD%lld]", (long long)i);
            PARA_TRY(add_token(t, name, i, UNUSED, err));
        }
    return 0;
}

static void put_tokens(struct para_gguf_head *h, const struct tokens *t)
{
    para_gguf_put_text(h, KEY("model"), "gpt2");
    para_gguf_put_text(h, KEY("pre"), t->pre->name);
    para_gguf_put_texts(h, KEY("tokens"), t->text, t->count);
    para_gguf_put_i32s(h, KEY("token_type"), t->kind, t->count);
    para_gguf_put_texts(h, KEY("merges"), t->merges, t->merge_count);
}

static int put_ends(struct para_gguf_head *h, const char *folder, int64_t vocab, para_error *err)
{
    int32_t *ids = NULL;
    int64_t count = 0;
    char config[PARA_PATH_BYTES];
    PARA_TRY(para_path(config, err, "%s/config.json", folder));
    PARA_TRY(para_config_ends(config, &ids, &count, err));
    if (count > 0 && ids[0] < vocab)
        para_gguf_put_u32(h, KEY("eos_token_id"), (uint32_t)ids[0]);
    free(ids);
    return 0;
}

int para_gguf_put_tokenizer(struct para_gguf_head *h, const char *folder, int64_t vocab, para_error *err)
{
    struct tokens t = {.path = folder, .count = vocab};
    t.text = calloc((size_t)vocab, sizeof *t.text);
    t.kind = calloc((size_t)vocab, sizeof *t.kind);
    int status = t.text && t.kind ? read_folder(&t, folder, err) : para_fail_memory(err, folder);
    t.path = folder;
    if (status == 0)
        status = fill(&t, err);
    if (status == 0) {
        put_tokens(h, &t);
        status = put_ends(h, folder, vocab, err);
    }
    tokens_free(&t);
    return status;
}

/* A byte's character in GPT-2's vocabularies: itself where it is printable, the others in order from 256 on. */
void para_gguf_put_bytes(struct para_gguf_head *h)
{
    enum { BYTES = 256 };
    char text[BYTES][3];
    const char *texts[BYTES];
    int32_t kinds[BYTES];
    for (int b = 0, next = BYTES; b < BYTES; b++) {
        bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        int c = printable ? b : next++;
        snprintf(text[b], sizeof text[b], c < 128 ? "%c" : "%c%c", c < 128 ? c : 0xc0 | c >> 6, 0x80 | (c & 63));
        texts[b] = text[b];
        kinds[b] = NORMAL;
    }
    struct tokens t = {.text = texts, .kind = kinds, .count = BYTES, .pre = &pres[0]};
    put_tokens(h, &t);
}

bool para_gguf_copy_tokenizer(struct para_gguf_head *h, const struct para_gguf *from)
{
    static const char begin[] = "tokenizer.";
    bool any = false;
    for (int64_t i = 0; i < para_gguf_value_count(from); i++) {
        const struct para_gguf_value *v = para_gguf_value(from, i);
        if (strncmp(v->key, begin, strlen(begin)) == 0) {
            para_gguf_put_value(h, v);
            any = true;
        }
    }
    return any;
}

/* --- to a folder --- */

static json_t *string_of(struct para_gguf_text text)
{
    return json_stringn(text.data, text.bytes);
}

static const struct pre *pre_of(const struct para_gguf *f)
{
    const struct para_gguf_value *model, *pre;
    if (para_gguf_need(&model, f, KEY("model"), PARA_GGUF_STRING, NULL) < 0 ||
        !para_gguf_text_is(para_gguf_text(model, 0), "gpt2") ||
        para_gguf_need(&pre, f, KEY("pre"), PARA_GGUF_STRING, NULL) < 0)
        return NULL;
    for (int i = 0; i < PRES; i++)
        if (para_gguf_text_is(para_gguf_text(pre, 0), pres[i].name))
            return &pres[i];
    return NULL;
}

static json_t *byte_level(bool regex)
{
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex",
                     regex);
}

static json_t *pre_tokenizer(const struct pre *pre)
{
    if (!pre->pattern)
        return byte_level(true);
    json_t *split = json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex", pre->pattern, "behavior",
                              "Isolated", "invert", 0);
    return json_pack("{s:s, s:[o, o]}", "type", "Sequence", "pretokenizers", split, byte_level(false));
}

static json_t *added_token(json_t *content, int64_t id, bool special)
{
    return json_pack("{s:I, s:o, s:b, s:b, s:b, s:b, s:b}", "id", (json_int_t)id, "content", content, "single_word", 0,
                     "lstrip", 0, "rstrip", 0, "normalized", 0, "special", special);
}

/* Tokens into the vocabulary, or the list of those added to it; false without memory, or for what isn't UTF-8. */
static bool list_tokens(json_t *vocab, json_t *added, const struct para_gguf_value *tokens,
                        const struct para_gguf_value *types)
{
    bool whole = true;
    for (int64_t i = 0; i < tokens->count && whole; i++) {
        struct para_gguf_text text = para_gguf_text(tokens, i);
        int64_t kind = types ? para_gguf_whole(types, i) : NORMAL;
        if (kind == UNUSED)
            continue;
        if (kind == NORMAL)
            whole = json_object_setn_new(vocab, text.data, text.bytes, json_integer(i)) == 0;
        else
            whole = json_array_append_new(added, added_token(string_of(text), i, kind == CONTROL)) == 0;
    }
    return whole;
}

static json_t *list_merges(const struct para_gguf_value *merges)
{
    json_t *list = json_array();
    for (int64_t i = 0; i < merges->count && list; i++)
        if (json_array_append_new(list, string_of(para_gguf_text(merges, i))) < 0) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

static json_t *tokenizer_json(const struct pre *pre, const struct para_gguf_value *tokens,
                              const struct para_gguf_value *types, const struct para_gguf_value *merges)
{
    json_t *vocab = json_object(), *added = json_array(), *list = list_merges(merges);
    bool whole = vocab && added && list && list_tokens(vocab, added, tokens, types);
    json_t *normalizer = pre->nfc ? json_pack("{s:s}", "type", "NFC") : json_null();
    json_t *model =
        json_pack("{s:s, s:n, s:n, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout", "unk_token",
                  "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", 0, "byte_fallback", 0, "ignore_merges",
                  pre->pattern && !pre->nfc, "vocab", vocab, "merges", list);
    json_t *all = json_pack("{s:s, s:n, s:n, s:o, s:o, s:o, s:n, s:o, s:o}", "version", "1.0", "truncation", "padding",
                            "added_tokens", added, "normalizer", normalizer, "pre_tokenizer", pre_tokenizer(pre),
                            "post_processor", "decoder", byte_level(true), "model", model);
    if (whole)
        return all;
    json_decref(all);
    return NULL;
}

int para_gguf_save_tokenizer(const struct para_gguf *f, const char *folder, bool *written, para_error *err)
{
    const struct pre *pre = pre_of(f);
    const struct para_gguf_value *tokens, *merges, *types = NULL;
    char path[PARA_PATH_BYTES];
    *written = false;
    if (!para_gguf_find(f, KEY("model")))
        return 0;
    if (!pre) {
        para_log(PARA_LOG_WARNING,
                 "%s: its tokenizer stays behind: it isn't byte-level BPE with the pattern of GPT-2,"
                 " Llama 3 or Qwen",
                 para_gguf_path(f));
        return 0;
    }
    PARA_TRY(para_gguf_need_list(&tokens, f, KEY("tokens"), PARA_GGUF_STRING, err));
    PARA_TRY(para_gguf_need_list(&merges, f, KEY("merges"), PARA_GGUF_STRING, err));
    if (para_gguf_find(f, KEY("token_type")))
        PARA_TRY(para_gguf_need_list(&types, f, KEY("token_type"), PARA_GGUF_WHOLE, err));
    if (types && types->count != tokens->count)
        return para_fail(err, PARA_EFORMAT, "%s: \"%s\" has %lld elements, expected one for each of the %lld tokens",
                         para_gguf_path(f), types->key, (long long)types->count, (long long)tokens->count);
    PARA_TRY(para_path(path, err, "%s/tokenizer.json", folder));
    json_t *json = tokenizer_json(pre, tokens, types, merges);
    int status = json ? para_json_save(path, json, err)
                      : para_fail(err, PARA_EFORMAT, "%s: a token isn't UTF-8, or memory ran out", para_gguf_path(f));
    json_decref(json);
    *written = status == 0;
    return status;
}
