/* Tokenizers: opening them, asking them, and decoding with them. */
#include <paragraph/tokenizer.h>

#include "base/fail.h"
#include "base/utf8.h"
#include "io/encoder.h"

#include <stdlib.h>
#include <string.h>

enum { HELD_BYTES = 3 }; /* of an unfinished character, at most */

int para_tokenizer_open(para_tokenizer **out, const char *dir, para_error *err)
{
    para_tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return para_fail_memory(err, "a tokenizer");
    t->bytes = !dir;
    int status = dir ? para_vocabulary_load(&t->vocabulary, dir, err) : para_vocabulary_of_bytes(&t->vocabulary, err);
    if (status == 0 && dir)
        status = para_classes_init(&t->classes, err);
    if (status < 0)
        para_tokenizer_free(t);
    else
        *out = t;
    return status;
}

void para_tokenizer_free(para_tokenizer *t)
{
    if (!t)
        return;
    para_vocabulary_free(&t->vocabulary);
    para_classes_free(&t->classes);
    free(t);
}

int64_t para_tokenizer_vocab(const para_tokenizer *t)
{
    return t->vocabulary.count;
}

const void *para_tokenizer_token(const para_tokenizer *t, int64_t id, size_t *bytes)
{
    const struct para_vocabulary *v = &t->vocabulary;
    if (id < 0 || id >= v->count)
        return NULL;
    *bytes = v->start[id + 1] - v->start[id];
    return v->bytes + v->start[id];
}

int32_t para_tokenizer_special(const para_tokenizer *t, const char *text)
{
    const struct para_vocabulary *v = &t->vocabulary;
    for (int64_t i = 0; i < v->special_count; i++) {
        size_t bytes = 0;
        const void *special = para_tokenizer_token(t, v->specials[i], &bytes);
        if (bytes == strlen(text) && memcmp(special, text, bytes) == 0)
            return v->specials[i];
    }
    return -1;
}

struct para_decoder {
    const para_tokenizer *t;
    size_t held; /* bytes of an unfinished character, after the `given` that the last call gave */
    size_t given;
    char buffer[]; /* room for what is held and the longest token */
};

int para_decoder_new(para_decoder **out, const para_tokenizer *t, para_error *err)
{
    size_t longest = 0;
    for (int64_t i = 0; i < t->vocabulary.count; i++) {
        size_t bytes = t->vocabulary.start[i + 1] - t->vocabulary.start[i];
        longest = bytes > longest ? bytes : longest;
    }
    para_decoder *d = calloc(1, sizeof *d + HELD_BYTES + longest);
    if (!d)
        return para_fail_memory(err, "a decoder");
    d->t = t;
    *out = d;
    return 0;
}

void para_decoder_free(para_decoder *d)
{
    free(d);
}

/* How many bytes at the end of a text begin a character that isn't whole. */
static size_t unfinished(const char *text, size_t bytes)
{
    for (size_t n = 1; n <= HELD_BYTES && n <= bytes; n++) {
        uint32_t c;
        if (para_utf8((const unsigned char *)text + bytes - n, n, &c) < 0)
            return n;
    }
    return 0;
}

int para_decoder_feed(para_decoder *d, int64_t id, const char **text, size_t *bytes, para_error *err)
{
    size_t more;
    const void *token = para_tokenizer_token(d->t, id, &more);
    if (!token)
        return para_fail(err, PARA_ERANGE, "token id %lld, expected 0 to %lld", (long long)id,
                         (long long)d->t->vocabulary.count - 1);
    memmove(d->buffer, d->buffer + d->given, d->held);
    memcpy(d->buffer + d->held, token, more);
    size_t all = d->held + more;
    d->held = unfinished(d->buffer, all);
    d->given = all - d->held;
    *text = d->buffer;
    *bytes = d->given;
    return 0;
}

void para_decoder_finish(para_decoder *d, const char **text, size_t *bytes)
{
    *text = d->buffer + d->given;
    *bytes = d->held;
    d->given = d->held = 0;
}
