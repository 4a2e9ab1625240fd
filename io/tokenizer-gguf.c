/* Reading a GGUF file's tokenizer. Source: llama.cpp. */
#include "io/tokenizer-files.h"

#include "base/fail.h"
#include "base/utf8.h"
#include "io/gguf-pre.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    para_tokenizer *t;
    struct para_gguf *file;
    const char *path;
    const struct para_gguf_value *tokens, *types, *scores;
    bool *is_text;
    bool letters;
    struct para_merging merging;
};

/* Cut, normalize and decode as these parts of a tokenizer.json say. */
static int read_parts(struct reading *r, const struct para_pre *pre, para_error *err)
{
    json_t *first = para_pre_normalizer(pre), *cut = para_pre_tokenizer(pre), *last = para_pre_decoder(pre);
    bool letters;
    int status = first && cut && last ? 0 : para_fail_memory(err, r->path);
    if (status == 0)
        status = para_tokenizer_read_normalizer(r->t, r->path, first, err);
    if (status == 0)
        status = para_tokenizer_read_pre_tokenizer(r->t, r->path, cut, &letters, err);
    if (status == 0)
        status = para_tokenizer_read_decoder(r->t, r->path, last, r->is_text, r->letters, err);
    json_decref(first);
    json_decref(cut);
    json_decref(last);
    return status;
}

/* --- tokens --- */

static int64_t kind_of(const struct reading *r, int64_t id)
{
    return r->types ? para_gguf_whole(r->types, id) : PARA_TOKEN_NORMAL;
}

static int fail_token(const struct reading *r, int64_t id, const char *what, para_error *err)
{
    struct para_gguf_text text = para_gguf_text(r->tokens, id);
    return para_fail(err, PARA_EFORMAT, "%s: tokenizer.ggml.tokens: token %lld, \"%.*s\", %s", r->path, (long long)id,
                     (int)(text.bytes < 100 ? text.bytes : 100), text.data, what);
}

static int read_list(struct reading *r, const struct para_gguf_value **out, const char *key, enum para_gguf_want want,
                     para_error *err)
{
    PARA_TRY(para_gguf_need_list(out, r->file, key, want, err));
    return (*out)->count == r->tokens->count
               ? 0
               : para_fail(err, PARA_EFORMAT, "%s: %s has %lld elements, expected one for each of %lld tokens", r->path,
                           key, (long long)(*out)->count, (long long)r->tokens->count);
}

static int read_tokens(struct reading *r, para_error *err)
{
    static const char types[] = "tokenizer.ggml.token_type";
    struct para_texts *texts = &r->t->vocabulary.texts;
    PARA_TRY(para_gguf_need_list(&r->tokens, r->file, "tokenizer.ggml.tokens", PARA_GGUF_STRING, err));
    int64_t count = r->tokens->count;
    if (count < 1 || count > INT32_MAX)
        return para_fail(err, PARA_EFORMAT, "%s: %lld tokens, expected 1 to 2^31 - 1", r->path, (long long)count);
    if (para_gguf_find(r->file, types))
        PARA_TRY(read_list(r, &r->types, types, PARA_GGUF_WHOLE, err));
    PARA_TRY(para_texts_init(texts, count, err));
    r->is_text = calloc((size_t)count, sizeof *r->is_text);
    if (!r->is_text)
        return para_fail_memory(err, r->path);
    for (int64_t i = 0; i < count; i++) {
        struct para_gguf_text text = para_gguf_text(r->tokens, i);
        if (text.bytes == 0 || para_texts_find(texts, text.data, text.bytes) >= 0)
            return fail_token(r, i, text.bytes ? "is there twice" : "is empty, expected text", err);
        r->is_text[i] = kind_of(r, i) == PARA_TOKEN_CONTROL || kind_of(r, i) == PARA_TOKEN_UNKNOWN;
        PARA_TRY(para_texts_put(texts, i, text.data, text.bytes, err));
    }
    return 0;
}

/* Whether an added token takes the spaces behind it along: files don't say so, but those of Phi-3 mean it. */
static bool takes_spaces(const struct reading *r, struct para_gguf_text token)
{
    static const char *const plain[] = {"<unk>", "<s>", "<|endoftext|>"};
    const struct para_gguf_value *value;
    char name[200] = "";
    if (para_gguf_need(&value, r->file, "general.name", PARA_GGUF_STRING, NULL) < 0)
        return false;
    struct para_gguf_text full = para_gguf_text(value, 0);
    for (size_t i = 0; i < full.bytes && i + 1 < sizeof name; i++)
        name[i] = (char)tolower((unsigned char)full.data[i]);
    bool takes = strstr(name, "phi-3") || strstr(name, "phi3");
    for (int i = 0; i < 3; i++)
        takes = takes && !para_gguf_text_is(token, plain[i]);
    return takes;
}

/* Control tokens are special; those that users defined are text that is a token whatever stands beside it. */
static int read_added(struct reading *r, para_error *err)
{
    para_tokenizer *t = r->t;
    for (int64_t i = 0; i < r->tokens->count; i++) {
        struct para_gguf_text text = para_gguf_text(r->tokens, i);
        bool special = kind_of(r, i) != PARA_TOKEN_USER_DEFINED;
        if (special && !r->is_text[i])
            continue;
        struct para_added_token token = {.id = (int32_t)i,
                                         .text = (const unsigned char *)text.data,
                                         .bytes = text.bytes,
                                         .special = special,
                                         .rstrip = takes_spaces(r, text)};
        PARA_TRY(para_added_put(&t->as_written, &token, err));
    }
    para_added_sort(&t->as_written);
    para_added_sort(&t->normalized);
    return 0;
}

/* --- ids by name --- */

/* The id of a key in *id, or -1 if there is none. */
static int read_id(struct reading *r, const char *key, int32_t *id, para_error *err)
{
    const struct para_gguf_value *value;
    *id = -1;
    if (!para_gguf_find(r->file, key))
        return 0;
    PARA_TRY(para_gguf_need(&value, r->file, key, PARA_GGUF_WHOLE, err));
    int64_t found = para_gguf_whole(value, 0);
    if (found < 0 || found >= r->tokens->count)
        return para_fail(err, PARA_EFORMAT, "%s: %s is %lld, expected a token, 0 to %lld", r->path, key,
                         (long long)found, (long long)r->tokens->count - 1);
    *id = (int32_t)found;
    return 0;
}

static int read_flag(struct reading *r, const char *key, bool *flag, para_error *err)
{
    const struct para_gguf_value *value;
    if (!para_gguf_find(r->file, key))
        return 0;
    PARA_TRY(para_gguf_need(&value, r->file, key, PARA_GGUF_FLAG, err));
    *flag = para_gguf_flag(value, 0);
    return 0;
}

/* One id, where a key says so. */
static int read_end(struct reading *r, const char *flag_key, const char *id_key, bool wanted, int32_t **ids,
                    int64_t *count, para_error *err)
{
    int32_t id;
    PARA_TRY(read_flag(r, flag_key, &wanted, err));
    PARA_TRY(read_id(r, id_key, &id, err));
    if (!wanted || id < 0)
        return 0;
    *ids = malloc(sizeof **ids);
    if (!*ids)
        return para_fail_memory(err, r->path);
    (*ids)[0] = id;
    *count = 1;
    return 0;
}

static int read_ends(struct reading *r, bool bos, para_error *err)
{
    para_tokenizer *t = r->t;
    PARA_TRY(read_end(r, "tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id", bos, &t->before,
                      &t->before_count, err));
    return read_end(r, "tokenizer.ggml.add_eos_token", "tokenizer.ggml.eos_token_id", false, &t->after, &t->after_count,
                    err);
}

/* --- "gpt2" --- */

static int read_gpt2(struct reading *r, const struct para_pre *pre, para_error *err)
{
    const struct para_gguf_value *merges;
    int32_t made;
    r->letters = true;
    PARA_TRY(para_gguf_need_list(&merges, r->file, "tokenizer.ggml.merges", PARA_GGUF_STRING, err));
    PARA_TRY(para_vocabulary_find_letters(&r->t->vocabulary, NULL, err));
    for (int64_t i = 0; i < merges->count; i++) {
        struct para_gguf_text line = para_gguf_text(merges, i);
        PARA_TRY(para_merging_add_line(&r->merging, (struct para_place){r->path, "tokenizer.ggml.merges", i}, line.data,
                                       line.bytes, &made, err));
    }
    r->t->vocabulary.whole_words = pre->whole_words;
    PARA_TRY(read_ends(r, pre->bos, err));
    return read_parts(r, pre, err);
}

/* --- "llama" --- */

struct scored {
    double score;
    int32_t id;
};

static int by_score(const void *left, const void *right)
{
    const struct scored *a = left, *b = right;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* Any two tokens whose texts together are a token's may be merged into it, by its score. */
static int merge_into(struct reading *r, int32_t id, para_error *err)
{
    struct para_vocabulary *v = &r->t->vocabulary;
    const unsigned char *text = (const unsigned char *)para_texts_get(&v->texts, id);
    size_t bytes = v->texts.of[id].count;
    bool ties = false;
    for (size_t at = 1; at < bytes; at++) {
        int32_t left, right;
        if ((text[at] & 0xc0) == 0x80 || (left = para_texts_find(&v->texts, text, at)) < 0 ||
            (right = para_texts_find(&v->texts, text + at, bytes - at)) < 0)
            continue;
        PARA_TRY(para_bpe_reserve(&v->bpe, err));
        para_bpe_add(&v->bpe, left, right, id, ties);
        ties = true;
    }
    return 0;
}

static int read_scores(struct reading *r, para_error *err)
{
    int64_t count = r->tokens->count, kept = 0;
    PARA_TRY(read_list(r, &r->scores, "tokenizer.ggml.scores", PARA_GGUF_REAL, err));
    struct scored *order = malloc((size_t)count * sizeof *order);
    if (!order)
        return para_fail_memory(err, r->path);
    for (int64_t i = 0; i < count; i++)
        if (kind_of(r, i) == PARA_TOKEN_NORMAL || kind_of(r, i) == PARA_TOKEN_USER_DEFINED)
            order[kept++] = (struct scored){para_gguf_real(r->scores, i), (int32_t)i};
    qsort(order, (size_t)kept, sizeof *order, by_score);
    int status = 0;
    for (int64_t i = 0; i < kept && status == 0; i++)
        status = merge_into(r, order[i].id, err);
    free(order);
    return status;
}

static int read_llama(struct reading *r, const struct para_pre *pre, para_error *err)
{
    struct para_vocabulary *v = &r->t->vocabulary;
    v->characters = true;
    v->fuse_unknown = true;
    PARA_TRY(read_id(r, "tokenizer.ggml.unknown_token_id", &v->unknown, err));
    for (int b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)b);
        v->of_byte[b] = para_texts_find(&v->texts, text, strlen(text));
    }
    PARA_TRY(read_scores(r, err));
    PARA_TRY(read_ends(r, pre->bos, err));
    PARA_TRY(read_parts(r, pre, err));
    return para_tokenizer_cut_at_spaces(r->t, err);
}

static int read_file(struct reading *r, para_error *err)
{
    const struct para_pre *pre = NULL;
    PARA_TRY(para_pre_of_gguf(&pre, r->file, err));
    r->merging = (struct para_merging){.v = &r->t->vocabulary, .source = "tokenizer.ggml.tokens"};
    PARA_TRY(read_tokens(r, err));
    PARA_TRY(read_added(r, err));
    return pre->name ? read_gpt2(r, pre, err) : read_llama(r, pre, err);
}

int para_tokenizer_load_gguf(para_tokenizer *t, const char *path, para_error *err)
{
    struct reading r = {.t = t, .path = path};
    t->vocabulary.unknown = -1;
    PARA_TRY(para_gguf_open(&r.file, path, err));
    int status = read_file(&r, err);
    para_merging_end(&r.merging);
    para_gguf_close(r.file);
    free(r.is_text);
    return status;
}

/* Files of models without one say so: "none" or "no_vocab". */
bool para_tokenizer_in_gguf(const char *path)
{
    struct para_gguf *file;
    if (para_gguf_open(&file, path, NULL) < 0)
        return false;
    const struct para_gguf_value *model = para_gguf_find(file, "tokenizer.ggml.model");
    bool text = model && !model->list && model->type == PARA_GGUF_TEXT;
    struct para_gguf_text name = text ? para_gguf_text(model, 0) : (struct para_gguf_text){"none", 4};
    bool found = !para_gguf_text_is(name, "none") && !para_gguf_text_is(name, "no_vocab");
    para_gguf_close(file);
    return found;
}
