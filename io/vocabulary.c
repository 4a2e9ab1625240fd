/* The tokens of a tokenizer. */
#include "io/vocabulary.h"

#include "base/utf8.h"
#include "io/letters.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void para_vocabulary_free(struct para_vocabulary *v)
{
    para_texts_free(&v->texts);
    free(v->start);
    free(v->bytes);
    para_bpe_free(&v->bpe);
    *v = (struct para_vocabulary){0};
}

int para_vocabulary_of_bytes(struct para_vocabulary *out, para_error *err)
{
    struct para_vocabulary v = {
        .start = calloc(257, sizeof *v.start), .bytes = malloc(256), .all_bytes = true, .unknown = -1};
    int status =
        v.start && v.bytes ? para_texts_init(&v.texts, 256, err) : para_fail_memory(err, "the vocabulary of bytes");
    for (int b = 0; b < 256 && status == 0; b++) {
        v.bytes[b] = (unsigned char)b;
        v.start[b + 1] = (size_t)b + 1;
        v.of_byte[b] = b;
        status = para_texts_put(&v.texts, b, v.bytes + b, 1, err);
    }
    if (status < 0)
        para_vocabulary_free(&v);
    else
        *out = v;
    return status;
}

/* --- a word --- */

/* The token that a whole word is, or -1. */
static int32_t whole_word(const struct para_vocabulary *v, const unsigned char *word, size_t n)
{
    enum { LETTERS_BYTES = 512 };
    unsigned char letters[LETTERS_BYTES];
    if (v->characters)
        return para_texts_find(&v->texts, word, n);
    return n <= LETTERS_BYTES / 2 ? para_texts_find(&v->texts, letters, para_letters_write(word, n, letters)) : -1;
}

/* Tokens of a word before merges. What is unknown waits for what is known: so does `tokenizers`. */
struct symbols {
    int32_t *ids;
    size_t count;
    bool waits;
};

static void add_symbol(struct symbols *s, int32_t id, int32_t unknown)
{
    if (s->waits)
        s->ids[s->count++] = unknown;
    s->waits = false;
    s->ids[s->count++] = id;
}

static void add_unknown(const struct para_vocabulary *v, struct symbols *s)
{
    if (v->unknown < 0)
        return;
    if (s->waits && !v->fuse_unknown)
        s->ids[s->count++] = v->unknown;
    s->waits = true;
}

/* A character that is no token is those of its bytes, if all of them are. */
static void add_character(const struct para_vocabulary *v, struct symbols *s, const unsigned char *text, size_t n)
{
    int32_t id = para_texts_find(&v->texts, text, n);
    bool bytes = id < 0;
    for (size_t i = 0; i < n; i++)
        bytes = bytes && v->of_byte[text[i]] >= 0;
    if (id >= 0)
        add_symbol(s, id, v->unknown);
    else if (!bytes)
        add_unknown(v, s);
    else
        for (size_t i = 0; i < n; i++)
            s->ids[s->count++] = v->of_byte[text[i]];
}

/* Bytes that are no character by themselves have no token but that of a byte. */
static void add_ill_formed(const struct para_vocabulary *v, struct symbols *s, unsigned char byte)
{
    if (v->of_byte[byte] >= 0)
        add_symbol(s, v->of_byte[byte], v->unknown);
    else
        add_unknown(v, s);
}

static size_t find_symbols(const struct para_vocabulary *v, const unsigned char *word, size_t n, int32_t *ids)
{
    struct symbols s = {.ids = ids};
    for (size_t at = 0; at < n;) {
        uint32_t c;
        int bytes = v->characters ? para_utf8(word + at, n - at, &c) : 0;
        if (bytes > 0)
            add_character(v, &s, word + at, (size_t)bytes);
        else
            add_ill_formed(v, &s, word[at]);
        at += bytes > 0 ? (size_t)bytes : 1;
    }
    if (s.waits)
        s.ids[s.count++] = v->unknown;
    return s.count;
}

int64_t para_vocabulary_word(const struct para_vocabulary *v, const unsigned char *word, size_t n, int32_t *ids,
                             para_error *err)
{
    int32_t whole = v->whole_words ? whole_word(v, word, n) : -1;
    if (whole >= 0) {
        ids[0] = whole;
        return 1;
    }
    size_t count = n;
    if (v->all_bytes && !v->characters)
        for (size_t i = 0; i < n; i++)
            ids[i] = v->of_byte[word[i]];
    else
        count = find_symbols(v, word, n, ids);
    return count > 0 ? para_bpe_merge(&v->bpe, ids, count, err) : 0;
}

/* --- entries --- */

int para_vocabulary_entries(struct para_vocabulary *v, json_t *entries, const char *source, para_error *err)
{
    const char *key;
    json_t *value;
    struct para_texts *t = &v->texts;
    json_object_foreach(entries, key, value)
    {
        json_int_t id = json_integer_value(value);
        if (!json_is_integer(value))
            return para_fail(err, PARA_EFORMAT, "%s: entry \"%.100s\" has no whole number, expected an id", source,
                             key);
        if (id < 0 || id >= t->count)
            return para_fail(err, PARA_EFORMAT,
                             "%s: entry \"%.100s\" has id %lld; expected 0 to %lld, each once, for %lld entries",
                             source, key, (long long)id, (long long)t->count - 1, (long long)t->count);
        if (t->of[id].count > 0)
            return para_fail(err, PARA_EFORMAT, "%s: entries \"%.100s\" and \"%.100s\" both have id %lld", source,
                             para_texts_get(t, id), key, (long long)id);
        if (!*key)
            return para_fail(err, PARA_EFORMAT, "%s: the entry with id %lld is empty, expected text", source,
                             (long long)id);
        PARA_TRY(para_texts_put(t, id, key, strlen(key), err));
    }
    return 0;
}

int para_vocabulary_find_letters(struct para_vocabulary *v, const char *source, para_error *err)
{
    v->all_bytes = true;
    for (int b = 0; b < 256; b++) {
        unsigned char byte = (unsigned char)b, letter[4];
        size_t bytes = para_letters_write(&byte, 1, letter);
        v->of_byte[b] = para_texts_find(&v->texts, letter, bytes);
        v->all_bytes = v->all_bytes && v->of_byte[b] >= 0;
        if (source && v->of_byte[b] < 0)
            return para_fail(err, PARA_EFORMAT,
                             "%s: no entry \"%.*s\", which is byte %d; expected all 256, as GPT-2's vocabulary has",
                             source, (int)bytes, (const char *)letter, b);
    }
    return 0;
}

/* --- merges --- */

static int fail_at(para_error *err, struct para_place place, const char *format, ...) PARA_PRINTF(3, 4);

static int fail_at(para_error *err, struct para_place place, const char *format, ...)
{
    char what[400];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (place.name)
        return para_fail(err, PARA_EFORMAT, "%s: %s[%lld]: %s", place.path, place.name, (long long)place.number, what);
    return para_fail(err, PARA_EFORMAT, "%s:%lld: %s", place.path, (long long)place.number, what);
}

static int find_token(struct para_merging *m, struct para_place place, const char *text, size_t bytes, int32_t *id,
                      para_error *err)
{
    *id = para_texts_find(&m->v->texts, text, bytes);
    return *id >= 0
               ? 0
               : fail_at(err, place, "\"%.*s\" is no entry of %s", (int)(bytes < 100 ? bytes : 100), text, m->source);
}

int para_merging_add(struct para_merging *m, struct para_place place, const char *left, size_t left_bytes,
                     const char *right, size_t right_bytes, int32_t *made, para_error *err)
{
    struct para_bpe *b = &m->v->bpe;
    int32_t left_id, right_id;
    int left_shown = (int)(left_bytes < 100 ? left_bytes : 100),
        right_shown = (int)(right_bytes < 100 ? right_bytes : 100);
    PARA_TRY(find_token(m, place, left, left_bytes, &left_id, err));
    PARA_TRY(find_token(m, place, right, right_bytes, &right_id, err));
    m->joined.count = 0;
    PARA_TRY(para_bytes_append(&m->joined, left, left_bytes, err));
    PARA_TRY(para_bytes_append(&m->joined, right, right_bytes, err));
    *made = para_texts_find(&m->v->texts, m->joined.at, m->joined.count);
    if (*made < 0)
        return fail_at(err, place, "\"%.*s\" and \"%.*s\" make \"%.*s%.*s\", no entry of %s", left_shown, left,
                       right_shown, right, left_shown, left, right_shown, right, m->source);
    PARA_TRY(para_bpe_reserve(b, err));
    if (para_reserve(&m->number, (int64_t)b->merges + 1, &m->room, sizeof *m->number) < 0)
        return para_fail_memory(err, "the merges of a tokenizer");
    m->number[b->merges] = place.number;
    uint32_t first = para_bpe_add(b, left_id, right_id, *made, false);
    if (first == PARA_NO_RANK)
        return 0;
    return fail_at(err, place, "the pair \"%.*s %.*s\" stands in %s %lld already", left_shown, left, right_shown, right,
                   place.name ? "number" : "line", (long long)m->number[first]);
}

int para_merging_add_line(struct para_merging *m, struct para_place place, const char *text, size_t bytes,
                          int32_t *made, para_error *err)
{
    const char *space = memchr(text, ' ', bytes), *right = space ? space + 1 : NULL;
    size_t left_bytes = space ? (size_t)(space - text) : 0, right_bytes = space ? bytes - left_bytes - 1 : 0;
    if (left_bytes == 0 || right_bytes == 0 || memchr(right, ' ', right_bytes))
        return fail_at(err, place, "found \"%.*s\", expected two tokens with one space between",
                       (int)(bytes < 100 ? bytes : 100), text);
    return para_merging_add(m, place, text, left_bytes, right, right_bytes, made, err);
}

void para_merging_end(struct para_merging *m)
{
    free(m->number);
    free(m->joined.at);
    *m = (struct para_merging){0};
}
