/* Tokenizers: opening them, asking them, and decoding with them. */
#include <paragraph/tokenizer.h>

#include "base/fail.h"
#include "base/utf8.h"
#include "io/tokenizer-files.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HELD_BYTES = 3 }; /* of an unfinished character, at most */

static bool has_file(const char *dir, const char *name)
{
    char path[PARA_PATH_BYTES];
    return para_path(path, NULL, "%s/%s", dir, name) == 0 && access(path, F_OK) == 0;
}

static int load(para_tokenizer *t, const char *dir, para_error *err)
{
    struct stat about;
    if (stat(dir, &about) == 0 && S_ISREG(about.st_mode))
        return para_tokenizer_load_gguf(t, dir, err);
    return has_file(dir, PARA_TOKENIZER_JSON) ? para_tokenizer_load_json(t, dir, err)
                                              : para_tokenizer_load_gpt2(t, dir, err);
}

bool para_tokenizer_exists(const char *path)
{
    struct stat about;
    if (stat(path, &about) == 0 && S_ISREG(about.st_mode))
        return para_tokenizer_in_gguf(path);
    return has_file(path, PARA_TOKENIZER_JSON) || has_file(path, "vocab.json") || has_file(path, "merges.txt");
}

int para_tokenizer_open(para_tokenizer **out, const char *path, para_error *err)
{
    para_tokenizer *t = calloc(1, sizeof *t);
    if (!t)
        return para_fail_memory(err, "a tokenizer");
    t->bytes = !path;
    int status = path ? load(t, path, err) : para_vocabulary_of_bytes(&t->vocabulary, err);
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
    para_added_free(&t->as_written);
    para_added_free(&t->normalized);
    para_transforms_free(&t->normalizer);
    para_transforms_free(&t->prefixer);
    para_steps_free(&t->steps);
    free(t->before);
    free(t->after);
    free(t);
}

int64_t para_tokenizer_vocab(const para_tokenizer *t)
{
    return t->vocabulary.texts.count;
}

const int32_t *para_tokenizer_before(const para_tokenizer *t, int64_t *count)
{
    *count = t->before_count;
    return t->before;
}

const int32_t *para_tokenizer_after(const para_tokenizer *t, int64_t *count)
{
    *count = t->after_count;
    return t->after;
}

const void *para_tokenizer_token(const para_tokenizer *t, int64_t id, size_t *bytes)
{
    const struct para_vocabulary *v = &t->vocabulary;
    if (id < 0 || id >= v->texts.count)
        return NULL;
    *bytes = v->start[id + 1] - v->start[id];
    return v->bytes + v->start[id];
}

int32_t para_tokenizer_special(const para_tokenizer *t, const char *text)
{
    const struct para_added *const sets[] = {&t->as_written, &t->normalized};
    int32_t id = para_texts_find(&t->vocabulary.texts, text, strlen(text));
    for (int s = 0; s < 2; s++)
        for (int64_t i = 0; i < sets[s]->count; i++)
            if (sets[s]->tokens[i].id == id && sets[s]->tokens[i].special)
                return id;
    return -1;
}

struct para_decoder {
    const para_tokenizer *t;
    int stripped; /* spaces that may yet be left out, of those that the text begins with */
    size_t held;  /* bytes of an unfinished character, after the `given` that the last call gave */
    size_t given;
    char buffer[]; /* room for what is held and the longest token */
};

int para_decoder_new(para_decoder **out, const para_tokenizer *t, para_error *err)
{
    size_t longest = 0;
    for (int64_t i = 0; i < t->vocabulary.texts.count; i++) {
        size_t bytes = t->vocabulary.start[i + 1] - t->vocabulary.start[i];
        longest = bytes > longest ? bytes : longest;
    }
    para_decoder *d = calloc(1, sizeof *d + HELD_BYTES + longest);
    if (!d)
        return para_fail_memory(err, "a decoder");
    d->t = t;
    d->stripped = t->stripped;
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

/* Leave out spaces that the text begins with; returns how many of a token's bytes. Where only the first token's marks
 * are left out, spaces that its file spells as such are none. */
static size_t strip(para_decoder *d, int64_t id, const char *token, size_t bytes)
{
    size_t n = 0;
    if (d->t->strips_first && d->t->vocabulary.texts.of[id].count == bytes)
        d->stripped = 0;
    while (n < bytes && d->stripped > 0 && token[n] == ' ') {
        n++;
        d->stripped--;
    }
    if (n < bytes || d->t->strips_first)
        d->stripped = 0;
    return n;
}

int para_decoder_feed(para_decoder *d, int64_t id, const char **text, size_t *bytes, para_error *err)
{
    size_t more;
    const char *token = para_tokenizer_token(d->t, id, &more);
    if (!token)
        return para_fail(err, PARA_ERANGE, "token id %lld, expected 0 to %lld", (long long)id,
                         (long long)d->t->vocabulary.texts.count - 1);
    size_t stripped = strip(d, id, token, more);
    token += stripped;
    more -= stripped;
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
    d->stripped = d->t->stripped;
}
