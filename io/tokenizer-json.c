/* Reading tokenizer.json: the model and its added tokens. How text is cut is in tokenizer-steps.c. */
#include "io/tokenizer-files.h"

#include "base/fail.h"
#include "io/companions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct reading {
    para_tokenizer *t;
    const char *path;
    json_t *root;
    const json_t *model;
    json_t *added;
    bool *is_text; /* tokens that stand for themselves, as they are written */
    bool letters;  /* words are cut from bytes that letters stand for */
};

static int fail(const struct reading *r, const char *what, const char *expected, para_error *err)
{
    return para_fail(err, PARA_EFORMAT, "%s: %s, expected %s", r->path, what, expected);
}

static bool flag(const json_t *object, const char *name)
{
    return json_is_true(json_object_get(object, name));
}

/* --- added tokens --- */

static int fail_added(const struct reading *r, size_t i, const char *what, para_error *err)
{
    return para_fail(err, PARA_EFORMAT, "%s: added_tokens[%zu]: %s", r->path, i, what);
}

/* An added token has an id of its own, or that of the same text in the vocabulary. */
static int give_text(struct reading *r, size_t i, const json_t *token, para_error *err)
{
    struct para_texts *texts = &r->t->vocabulary.texts;
    const char *text = json_string_value(json_object_get(token, "content"));
    const json_t *number = json_object_get(token, "id");
    if (!text || !*text || !json_is_integer(number))
        return fail_added(r, i, "expected \"id\", a whole number, and \"content\", a text", err);
    json_int_t id = json_integer_value(number);
    int32_t had = para_texts_find(texts, text, strlen(text));
    if (had >= 0 && had != id)
        return para_fail(err, PARA_EFORMAT, "%s: added_tokens[%zu]: \"%.100s\" has id %lld, and id %d before", r->path,
                         i, text, (long long)id, (int)had);
    if (id < 0 || id >= texts->count)
        return para_fail(err, PARA_EFORMAT,
                         "%s: added_tokens[%zu]: \"%.100s\" has id %lld; expected 0 to %lld, each once, for %lld "
                         "entries",
                         r->path, i, text, (long long)id, (long long)texts->count - 1, (long long)texts->count);
    if (had < 0 && texts->of[id].count > 0)
        return para_fail(err, PARA_EFORMAT, "%s: added_tokens[%zu]: \"%.100s\" and \"%.100s\" both have id %lld",
                         r->path, i, para_texts_get(texts, id), text, (long long)id);
    r->is_text[id] = had < 0 || flag(token, "special");
    return had < 0 ? para_texts_put(texts, id, text, strlen(text), err) : 0;
}

/* How many added tokens the vocabulary lacks. */
static size_t count_new(const struct reading *r, const json_t *vocab)
{
    size_t i, count = 0;
    const json_t *token;
    json_array_foreach(r->added, i, token)
    {
        const char *text = json_string_value(json_object_get(token, "content"));
        count += text && !json_object_get(vocab, text);
    }
    return count;
}

static json_t *find_added(const struct reading *r, const char *text)
{
    size_t i;
    json_t *token;
    json_array_foreach(r->added, i, token)
    {
        const char *has = json_string_value(json_object_get(token, "content"));
        if (has && strcmp(has, text) == 0)
            return token;
    }
    return NULL;
}

/* A companion's token: the same here, of the vocabulary, or the next behind all. */
static int take_companion(struct reading *r, const struct para_companions *c, json_t *token, para_error *err)
{
    const char *text = json_string_value(json_object_get(token, "content"));
    const json_t *vocab = json_object_get(r->model, "vocab"), *known = json_object_get(vocab, text);
    json_t *own = find_added(r, text);
    json_int_t next = (json_int_t)(json_object_size(vocab) + count_new(r, vocab)),
               id = json_integer_value(json_object_get(token, "id"));
    known = own ? json_object_get(own, "id") : known;
    if (id != (known ? json_integer_value(known) : next))
        return para_fail(err, PARA_EFORMAT, "%s: token \"%.100s\" has id %lld, expected %lld%s %s", c->path, text,
                         (long long)id, (long long)(known ? json_integer_value(known) : next),
                         known ? " as in" : ", the next after those of", r->path);
    int status = !own ? json_array_append(r->added, token) : c->describes ? json_object_update(own, token) : 0;
    return status < 0 ? para_fail_memory(err, r->path) : 0;
}

/* A token that is named as special is one, if the vocabulary has it. */
static int take_name(struct reading *r, const char *dir, const char *text, const char *key, para_error *err)
{
    const json_t *known = json_object_get(json_object_get(r->model, "vocab"), text);
    json_t *own = find_added(r, text);
    int status = 0;
    if (own)
        status = json_object_set_new(own, "special", json_true());
    else if (known)
        status = json_array_append_new(r->added, json_pack("{sO ss sb}", "id", known, "content", text, "special", 1));
    else
        para_log(PARA_LOG_WARNING, "%s: the %s \"%s\" of its companions is no token of %s: it is text as any other",
                 dir, key, text, r->path);
    return status < 0 ? para_fail_memory(err, r->path) : 0;
}

/* Tokens that companions add go behind the file's own. */
static int take_companions(struct reading *r, const char *dir, const struct para_companions *c, para_error *err)
{
    size_t i;
    const char *text;
    json_t *token;
    json_array_foreach(c->added, i, token) PARA_TRY(take_companion(r, c, token, err));
    json_object_foreach(c->named, text, token) PARA_TRY(take_name(r, dir, text, json_string_value(token), err));
    return 0;
}

static int read_companions(struct reading *r, const char *dir, para_error *err)
{
    struct para_companions c;
    if (json_is_null(r->added) || !r->added) {
        r->added = json_array();
        if (!r->added || json_object_set_new(r->root, "added_tokens", r->added) < 0)
            return para_fail_memory(err, r->path);
    }
    if (!json_is_array(r->added))
        return fail(r, "added_tokens is no list", "[{\"id\": ..., \"content\": ..., ...}, ...]", err);
    int status = para_companions_read(&c, dir, err);
    if (status == 0)
        status = take_companions(r, dir, &c, err);
    para_companions_free(&c);
    return status;
}

/* Put a token among those that are looked for; in normalized text, its own text is normalized too. */
static int look_for(struct reading *r, const json_t *token, bool normalized, para_error *err)
{
    para_tokenizer *t = r->t;
    const unsigned char *text = (const unsigned char *)json_string_value(json_object_get(token, "content"));
    size_t bytes = strlen((const char *)text);
    struct para_bytes buffer[2] = {{0}};
    int status = 0;
    if (normalized)
        status = para_transforms_apply(&t->normalizer, (struct para_whereabouts){true, true}, text, bytes, buffer,
                                       &text, &bytes, err);
    struct para_added_token new = {.id = (int32_t)json_integer_value(json_object_get(token, "id")),
                                   .text = text,
                                   .bytes = bytes,
                                   .special = flag(token, "special"),
                                   .single_word = flag(token, "single_word"),
                                   .lstrip = flag(token, "lstrip"),
                                   .rstrip = flag(token, "rstrip")};
    if (status == 0 && bytes > 0)
        status = para_added_put(normalized ? &t->normalized : &t->as_written, &new, err);
    free(buffer[0].at);
    free(buffer[1].at);
    return status;
}

/* Where nothing is normalized and all tokens are looked for at once, which of both sets they are in is all the same. */
static int look_for_added(struct reading *r, para_error *err)
{
    size_t i, normalized = 0;
    const json_t *token;
    json_array_foreach(r->added, i, token) normalized += flag(token, "normalized");
    bool both = r->t->normalizer.count > 0 || normalized < json_array_size(r->added);
    json_array_foreach(r->added, i, token) PARA_TRY(look_for(r, token, both && flag(token, "normalized"), err));
    para_added_sort(&r->t->as_written);
    para_added_sort(&r->t->normalized);
    return 0;
}

/* --- the model --- */

static int read_texts(struct reading *r, para_error *err)
{
    struct para_vocabulary *v = &r->t->vocabulary;
    json_t *vocab = json_object_get(r->model, "vocab");
    char source[PARA_PATH_BYTES + 20];
    size_t i;
    const json_t *token;
    if (!json_is_object(vocab))
        return fail(r, "no model.vocab", "an object, {\"text\": id, ...}", err);
    size_t count = json_object_size(vocab) + count_new(r, vocab);
    if (count == 0 || count > INT32_MAX)
        return fail(r, count ? "too many entries" : "an empty vocabulary", "1 to 2^31 - 1 entries", err);
    PARA_TRY(para_texts_init(&v->texts, (int64_t)count, err));
    r->is_text = calloc(count, sizeof *r->is_text);
    if (!r->is_text)
        return para_fail_memory(err, r->path);
    snprintf(source, sizeof source, "%s: model.vocab", r->path);
    PARA_TRY(para_vocabulary_entries(v, vocab, source, err));
    json_array_foreach(r->added, i, token) PARA_TRY(give_text(r, i, token, err));
    return 0;
}

/* Parts of BPE that change what words are made of. */
static int refuse_others(const struct reading *r, para_error *err)
{
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    const char *type = json_string_value(json_object_get(r->model, "type"));
    if (!json_is_object(r->model) || (type ? strcmp(type, "BPE") != 0 : !json_object_get(r->model, "merges")))
        return para_fail(err, PARA_ESUPPORT, "%s: model type \"%.100s\" is not supported; supported is BPE", r->path,
                         type ? type : "(none)");
    for (size_t i = 0; i < sizeof affixes / sizeof affixes[0]; i++) {
        const char *affix = json_string_value(json_object_get(r->model, affixes[i]));
        if (affix && *affix)
            return para_fail(err, PARA_ESUPPORT, "%s: model %s \"%.100s\" is not supported; supported is none", r->path,
                             affixes[i], affix);
    }
    if (json_number_value(json_object_get(r->model, "dropout")) != 0)
        return para_fail(err, PARA_ESUPPORT, "%s: model dropout is not supported; supported is none", r->path);
    return 0;
}

static int find_byte_tokens(struct reading *r, para_error *err)
{
    struct para_vocabulary *v = &r->t->vocabulary;
    bool fallback = flag(r->model, "byte_fallback");
    if (r->letters)
        return para_vocabulary_find_letters(v, NULL, err);
    for (int b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)b);
        v->of_byte[b] = fallback ? para_texts_find(&v->texts, text, strlen(text)) : -1;
    }
    return 0;
}

static int read_unknown(struct reading *r, para_error *err)
{
    struct para_vocabulary *v = &r->t->vocabulary;
    const char *unknown = json_string_value(json_object_get(r->model, "unk_token"));
    v->fuse_unknown = flag(r->model, "fuse_unk");
    v->unknown = unknown ? para_texts_find(&v->texts, unknown, strlen(unknown)) : -1;
    if (unknown && v->unknown < 0)
        return para_fail(err, PARA_EFORMAT, "%s: model.unk_token \"%.100s\" is no entry of model.vocab", r->path,
                         unknown);
    return 0;
}

static int read_merge(struct reading *r, struct para_merging *m, size_t i, const json_t *merge, para_error *err)
{
    struct para_place place = {r->path, "model.merges", (int64_t)i};
    const char *line = json_string_value(merge), *left = json_string_value(json_array_get(merge, 0)),
               *right = json_string_value(json_array_get(merge, 1));
    int32_t made;
    if (line)
        return para_merging_add_line(m, place, line, strlen(line), &made, err);
    if (json_array_size(merge) != 2 || !left || !right || !*left || !*right)
        return para_fail(err, PARA_EFORMAT, "%s: model.merges[%zu]: expected \"left right\" or [\"left\", \"right\"]",
                         r->path, i);
    return para_merging_add(m, place, left, strlen(left), right, strlen(right), &made, err);
}

static int read_merges(struct reading *r, para_error *err)
{
    const json_t *merges = json_object_get(r->model, "merges"), *merge;
    size_t i;
    struct para_merging m = {.v = &r->t->vocabulary, .source = "model.vocab"};
    int status = json_is_array(merges) ? 0 : fail(r, "no model.merges", "a list", err);
    json_array_foreach(merges, i, merge)
    {
        if (status == 0)
            status = read_merge(r, &m, i, merge, err);
    }
    para_merging_end(&m);
    return status;
}

static int read_model(struct reading *r, para_error *err)
{
    PARA_TRY(find_byte_tokens(r, err));
    PARA_TRY(read_unknown(r, err));
    r->t->vocabulary.whole_words = flag(r->model, "ignore_merges");
    r->t->vocabulary.characters = !r->letters;
    return read_merges(r, err);
}

static int read_root(struct reading *r, const char *dir, para_error *err)
{
    PARA_TRY(para_json_load(&r->root, r->path, err));
    r->model = json_object_get(r->root, "model");
    r->added = json_object_get(r->root, "added_tokens");
    PARA_TRY(refuse_others(r, err));
    PARA_TRY(read_companions(r, dir, err));
    PARA_TRY(read_texts(r, err));
    PARA_TRY(para_tokenizer_read_normalizer(r->t, r->path, json_object_get(r->root, "normalizer"), err));
    PARA_TRY(
        para_tokenizer_read_pre_tokenizer(r->t, r->path, json_object_get(r->root, "pre_tokenizer"), &r->letters, err));
    PARA_TRY(read_model(r, err));
    PARA_TRY(look_for_added(r, err));
    PARA_TRY(para_tokenizer_read_post_processor(r->t, r->path, json_object_get(r->root, "post_processor"), err));
    PARA_TRY(
        para_tokenizer_read_decoder(r->t, r->path, json_object_get(r->root, "decoder"), r->is_text, r->letters, err));
    return para_tokenizer_cut_at_spaces(r->t, err);
}

int para_tokenizer_load_json(para_tokenizer *t, const char *dir, para_error *err)
{
    char path[PARA_PATH_BYTES];
    struct reading r = {.t = t, .path = path};
    int status = para_path(path, err, "%s/" PARA_TOKENIZER_JSON, dir);
    if (status == 0)
        status = read_root(&r, dir, err);
    json_decref(r.root);
    free(r.is_text);
    return status;
}
