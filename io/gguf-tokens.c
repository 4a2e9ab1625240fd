/* A folder's tokenizer put as keys of a GGUF file. */
#include "io/gguf-tokens.h"

#include "base/arena.h"
#include "base/fail.h"
#include "io/config.h"
#include "io/gguf-model.h"
#include "io/gguf-pre.h"
#include "io/letters.h"
#include "io/tokenizer-files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEY(name) "tokenizer.ggml." name

struct tokens {
    struct para_arena arena;
    char path[PARA_PATH_BYTES]; /* what says how text is cut */
    const char *folder;
    para_tokenizer *t;
    const struct para_pre *pre;
    const char **text;
    int32_t *kind;
    float *score;
    const char **merges;
    int64_t count, merge_count;
};

/* --- how text is treated --- */

static bool is_nothing(const json_t *part)
{
    return !part || json_is_null(part);
}

/* Metaspace, as newer files have it: it differs from what a GGUF file means for a text that begins with a space. */
static const struct para_pre *metaspace(const struct tokens *k, const json_t *cut)
{
    const char *mark = json_string_value(json_object_get(cut, "replacement")),
               *type = json_string_value(json_object_get(cut, "type")),
               *scheme = json_string_value(json_object_get(cut, "prepend_scheme"));
    const json_t *split = json_object_get(cut, "split");
    if (!type || strcmp(type, "Metaspace") != 0 || !mark || strcmp(mark, PARA_MARK) != 0 || !scheme ||
        !json_is_false(split))
        return NULL;
    if (strcmp(scheme, "never") == 0)
        return para_pre_marks(false);
    para_log(PARA_LOG_WARNING,
             "%s: where a text begins with a space%s, a GGUF file's tokenizer puts one more before it", k->path,
             strcmp(scheme, "first") == 0 ? ", or stands behind an added token" : "");
    return para_pre_marks(true);
}

/* A way of marks, by the parts that it stands for. */
static const struct para_pre *find_marks(const struct tokens *k, const json_t *root)
{
    const json_t *form = json_object_get(root, "normalizer"), *cut = json_object_get(root, "pre_tokenizer");
    const struct para_pre *found = is_nothing(form) ? metaspace(k, cut) : NULL;
    for (int prefixed = 0; prefixed < 2 && !found && is_nothing(cut); prefixed++) {
        json_t *of = para_pre_normalizer(para_pre_marks(prefixed));
        if (of && json_equal(of, form))
            found = para_pre_marks(prefixed);
        json_decref(of);
    }
    return found;
}

static int find_pre(struct tokens *k, para_error *err)
{
    json_t *root;
    PARA_TRY(para_path(k->path, err, "%s/" PARA_TOKENIZER_JSON, k->folder));
    k->pre = para_pre_gpt2();
    if (access(k->path, F_OK) != 0)
        return 0;
    PARA_TRY(para_json_load(&root, k->path, err));
    k->pre = para_pre_of_json(root);
    if (!k->pre)
        k->pre = find_marks(k, root);
    json_decref(root);
    return k->pre ? 0
                  : para_fail(err, PARA_ESUPPORT,
                              "%s: expected byte-level BPE with the pattern of GPT-2, Llama 3, Qwen or StarCoder, or"
                              " SentencePiece-style BPE, which can be written to GGUF files",
                              k->path);
}

/* --- tokens --- */

/* Spaces that an added token takes along aren't told. */
static void warn_of_spaces(const struct tokens *k, const struct para_added *added, bool *warned)
{
    for (int64_t i = 0; i < added->count && !*warned; i++) {
        const struct para_added_token *a = &added->tokens[i];
        *warned = a->lstrip || a->rstrip || a->single_word;
        if (*warned)
            para_log(PARA_LOG_WARNING,
                     "%s: added token \"%.100s\" looks at what stands beside it, which GGUF files don't say", k->folder,
                     k->text[a->id]);
    }
}

static int find_kinds(struct tokens *k, para_error *err)
{
    const struct para_vocabulary *v = &k->t->vocabulary;
    const struct para_added *const sets[] = {&k->t->as_written, &k->t->normalized};
    bool warned = false;
    for (int64_t i = 0; i < k->count; i++) {
        bool used = i < v->texts.count;
        k->kind[i] = used ? PARA_TOKEN_NORMAL : PARA_TOKEN_UNUSED;
        k->text[i] = used ? para_texts_get(&v->texts, i) : para_arena_format(&k->arena, "[PAD%lld]", (long long)i);
        if (!k->text[i])
            return para_fail_memory(err, k->folder);
    }
    for (int b = 0; b < 256 && !k->pre->name; b++)
        if (v->of_byte[b] >= 0)
            k->kind[v->of_byte[b]] = PARA_TOKEN_BYTE;
    for (int s = 0; s < 2; s++) {
        for (int64_t i = 0; i < sets[s]->count; i++)
            k->kind[sets[s]->tokens[i].id] = sets[s]->tokens[i].special ? PARA_TOKEN_CONTROL : PARA_TOKEN_USER_DEFINED;
        warn_of_spaces(k, sets[s], &warned);
    }
    if (v->unknown >= 0)
        k->kind[v->unknown] = PARA_TOKEN_UNKNOWN;
    return 0;
}

static int list_merges(struct tokens *k, para_error *err)
{
    const struct para_texts *texts = &k->t->vocabulary.texts;
    const struct para_bpe *bpe = &k->t->vocabulary.bpe;
    struct para_bpe_pair *pairs = para_bpe_list(bpe);
    k->merges = calloc(bpe->pairs + 1, sizeof *k->merges);
    bool whole = pairs && k->merges;
    for (size_t i = 0; i < bpe->pairs && whole; i++) {
        k->merges[i] = para_arena_format(&k->arena, "%s %s", para_texts_get(texts, pairs[i].left),
                                         para_texts_get(texts, pairs[i].right));
        whole = k->merges[i];
    }
    k->merge_count = (int64_t)bpe->pairs;
    free(pairs);
    return whole ? 0 : para_fail_memory(err, k->folder);
}

/* --- scores --- */

/* Tokens that are merged first have the highest; what no merge makes has the lowest. */
static int find_scores(struct tokens *k, para_error *err)
{
    const struct para_bpe *bpe = &k->t->vocabulary.bpe;
    int64_t made = 0;
    for (int64_t i = 0; i < k->count; i++)
        k->score[i] = 1;
    for (size_t rank = 0; rank < bpe->merges; rank++) {
        int32_t id = bpe->made[rank];
        if (rank > 0 && bpe->made[rank - 1] == id)
            continue;
        if (k->score[id] <= 0)
            return para_fail(err, PARA_ESUPPORT,
                             "%s: model.merges[%zu] makes \"%.100s\", as one did before others: scores of GGUF files"
                             " can't say it",
                             k->path, rank, k->text[id]);
        k->score[id] = -(float)made++;
    }
    for (int64_t i = 0; i < k->count; i++)
        if (k->score[i] > 0)
            k->score[i] = k->kind[i] == PARA_TOKEN_NORMAL || k->kind[i] == PARA_TOKEN_USER_DEFINED ? -(float)made : 0;
    return 0;
}

/* Scores merge any two tokens whose texts together are a token's. */
static int check_splits(const struct tokens *k, int64_t id, para_error *err)
{
    const struct para_vocabulary *v = &k->t->vocabulary;
    const char *text = k->text[id];
    size_t bytes = v->texts.of[id].count;
    for (size_t at = 1; at < bytes; at++) {
        int32_t pair[] = {para_texts_find(&v->texts, text, at), para_texts_find(&v->texts, text + at, bytes - at)};
        if ((text[at] & 0xc0) == 0x80 || pair[0] < 0 || pair[1] < 0)
            continue;
        if (para_bpe_merge(&v->bpe, pair, 2, err) != 1)
            return para_fail(err, PARA_ESUPPORT,
                             "%s: no merge makes \"%.100s\" of its first %zu bytes and the others: scores of GGUF files"
                             " can't say it",
                             k->path, text, at);
    }
    return 0;
}

static int check_marks(const struct tokens *k, para_error *err)
{
    const struct para_vocabulary *v = &k->t->vocabulary;
    for (int b = 0; b < 256; b++)
        if (v->of_byte[b] < 0)
            return para_fail(err, PARA_ESUPPORT,
                             "%s: no token <0x%02X>, expected one for each byte, as GGUF files have", k->path,
                             (unsigned)b);
    if (v->whole_words)
        return para_fail(err, PARA_ESUPPORT, "%s: model.ignore_merges, which GGUF files can't say", k->path);
    for (int64_t i = 0; i < v->texts.count; i++)
        if (k->kind[i] == PARA_TOKEN_NORMAL)
            PARA_TRY(check_splits(k, i, err));
    return 0;
}

/* --- keys --- */

static void put_tokens(struct para_gguf_head *h, const struct tokens *k)
{
    para_gguf_put_text(h, KEY("model"), k->pre->name ? "gpt2" : "llama");
    para_gguf_put_text(h, KEY("pre"), k->pre->name ? k->pre->name : "default");
    para_gguf_put_texts(h, KEY("tokens"), k->text, k->count);
    if (!k->pre->name)
        para_gguf_put_f32s(h, KEY("scores"), k->score, k->count);
    para_gguf_put_i32s(h, KEY("token_type"), k->kind, k->count);
    if (k->pre->name)
        para_gguf_put_texts(h, KEY("merges"), k->merges, k->merge_count);
    else
        para_gguf_put_flag(h, KEY("add_space_prefix"), k->pre->prefixed);
}

/* One token, or none, that stands on a side of a text; *id is -1 for none. */
static void put_side(struct para_gguf_head *h, const struct tokens *k, const char *key, const int32_t *ids,
                     int64_t count, int64_t *id)
{
    *id = count == 1 ? ids[0] : -1;
    para_gguf_put_flag(h, key, count == 1);
    if (count > 1)
        para_log(PARA_LOG_WARNING, "%s: %lld tokens stand beside a text, of which GGUF files say one at most: left out",
                 k->folder, (long long)count);
}

/* The id of "bos_token_id" in a file, if it says one and none was found before, which is -1. */
static int read_begin(int64_t *id, const char *config, para_error *err)
{
    json_t *root;
    if (*id >= 0 || access(config, F_OK) != 0)
        return 0;
    PARA_TRY(para_json_load(&root, config, err));
    const json_t *value = json_object_get(root, "bos_token_id");
    if (json_is_integer(value))
        *id = json_integer_value(value);
    json_decref(root);
    return 0;
}

/* What ends a text, first what the tokenizer puts there; each once. */
static void put_ends(struct para_gguf_head *h, const int32_t *ids, int64_t count, int64_t first, int64_t vocab)
{
    static const char *const keys[] = {PARA_GGUF_ENDS};
    enum { KEYS = sizeof keys / sizeof keys[0] };
    int64_t put[KEYS];
    int n = 0;
    for (int64_t i = -1; i < count && n < KEYS; i++) {
        int64_t id = i < 0 ? first : ids[i];
        bool new = id >= 0 && id < vocab;
        for (int j = 0; j < n; j++)
            new = new &&put[j] != id;
        if (!new)
            continue;
        para_gguf_put_u32(h, keys[n], (uint32_t)id);
        put[n++] = id;
    }
}

static int put_ids(struct para_gguf_head *h, const struct tokens *k, para_error *err)
{
    int32_t *ends = NULL;
    int64_t count = 0, begin, end;
    char config[PARA_PATH_BYTES], generation[PARA_PATH_BYTES];
    PARA_TRY(para_path(config, err, "%s/config.json", k->folder));
    PARA_TRY(para_path(generation, err, "%s/generation_config.json", k->folder));
    put_side(h, k, KEY("add_bos_token"), k->t->before, k->t->before_count, &begin);
    put_side(h, k, KEY("add_eos_token"), k->t->after, k->t->after_count, &end);
    PARA_TRY(read_begin(&begin, config, err));
    PARA_TRY(read_begin(&begin, generation, err));
    if (begin >= 0 && begin < k->count)
        para_gguf_put_u32(h, KEY("bos_token_id"), (uint32_t)begin);
    if (k->t->vocabulary.unknown >= 0)
        para_gguf_put_u32(h, KEY("unknown_token_id"), (uint32_t)k->t->vocabulary.unknown);
    int status = para_config_ends(config, &ends, &count, err);
    if (status == 0)
        status = para_config_ends(generation, &ends, &count, err);
    if (status == 0)
        put_ends(h, ends, count, end, k->count);
    free(ends);
    return status;
}

static int put_template(struct para_gguf_head *h, const char *folder, para_error *err)
{
    char *text;
    PARA_TRY(para_chat_template(&text, folder, err));
    if (text)
        para_gguf_put_text(h, "tokenizer.chat_template", text);
    free(text);
    return 0;
}

/* --- the whole --- */

static int make_tokens(struct tokens *k, para_error *err)
{
    PARA_TRY(para_tokenizer_open(&k->t, k->folder, err));
    if (k->t->vocabulary.texts.count > k->count)
        return para_fail(err, PARA_EFORMAT, "%s: %lld tokens, expected at most the model's vocabulary, %lld", k->folder,
                         (long long)k->t->vocabulary.texts.count, (long long)k->count);
    k->text = calloc((size_t)k->count, sizeof *k->text);
    k->kind = calloc((size_t)k->count, sizeof *k->kind);
    k->score = calloc((size_t)k->count, sizeof *k->score);
    if (!k->text || !k->kind || !k->score)
        return para_fail_memory(err, k->folder);
    PARA_TRY(find_pre(k, err));
    PARA_TRY(find_kinds(k, err));
    if (k->pre->name)
        return list_merges(k, err);
    PARA_TRY(find_scores(k, err));
    return check_marks(k, err);
}

int para_gguf_put_tokenizer(struct para_gguf_head *h, const char *folder, int64_t vocab, para_error *err)
{
    struct tokens k = {.folder = folder, .count = vocab};
    int status = make_tokens(&k, err);
    if (status == 0) {
        put_tokens(h, &k);
        status = put_ids(h, &k, err);
    }
    if (status == 0)
        status = put_template(h, folder, err);
    para_tokenizer_free(k.t);
    para_arena_free(&k.arena);
    free(k.text);
    free(k.kind);
    free(k.score);
    free(k.merges);
    return status;
}

void para_gguf_put_bytes(struct para_gguf_head *h)
{
    enum { BYTES = 256 };
    char text[BYTES][3] = {{0}};
    const char *texts[BYTES];
    int32_t kinds[BYTES];
    for (int b = 0; b < BYTES; b++) {
        para_letters_write(&(unsigned char){(unsigned char)b}, 1, (unsigned char *)text[b]);
        texts[b] = text[b];
        kinds[b] = PARA_TOKEN_NORMAL;
    }
    struct tokens k = {.text = texts, .kind = kinds, .count = BYTES, .pre = para_pre_gpt2()};
    put_tokens(h, &k);
}

bool para_gguf_copy_tokenizer(struct para_gguf_head *h, const struct para_gguf *from)
{
    static const char begin[] = "tokenizer.";
    bool any = false;
    for (int64_t i = 0; i < para_gguf_value_count(from); i++) {
        const struct para_gguf_value *v = para_gguf_value(from, i);
        bool tokens = strncmp(v->key, begin, strlen(begin)) == 0;
        if (tokens || strcmp(v->key, "general.name") == 0)
            para_gguf_put_value(h, v);
        any = any || tokens;
    }
    return any;
}
