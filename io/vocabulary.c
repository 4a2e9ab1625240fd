/* Reading vocab.json and merges.txt. Both write each byte of a token as a letter, so that no token has spaces or
 * control characters: printable bytes of Latin-1 stand for themselves, the others for U+0100 and up, in order. */
#include "io/vocabulary.h"

#include "base/fail.h"
#include "base/utf8.h"
#include "io/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LETTERS = 512 }; /* more than the last letter, U+0143 */

/* What is known while files are read. */
struct reading {
    struct para_vocabulary *v;
    char vocab_path[PARA_PATH_BYTES], added_path[PARA_PATH_BYTES], merges_path[PARA_PATH_BYTES];
    json_t *entries;   /* from text to id, of both files */
    json_t *added;     /* those of added_tokens.json; NULL: there is none */
    const char **text; /* of each id, kept by `entries` */
    bool *made;        /* the ids that are a byte or made by a merge */
    int32_t *line;     /* of each merge */
    size_t line_room;
    uint32_t letter[256];  /* of each byte */
    int16_t byte[LETTERS]; /* of each letter, or -1 */
    char *joined;          /* room to join the two sides of a merge */
    size_t joined_room;
};

static void make_letters(struct reading *r)
{
    uint32_t next = 256;
    memset(r->byte, -1, sizeof r->byte);
    for (int b = 0; b < 256; b++) {
        bool printable = (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        r->letter[b] = printable ? (uint32_t)b : next++;
        r->byte[r->letter[b]] = (int16_t)b;
    }
}

/* Ids in range, none twice: then none is missing either. */
static int read_ids(struct reading *r, para_error *err)
{
    const char *key;
    json_t *value;
    int64_t count = r->v->count;
    json_object_foreach(r->entries, key, value)
    {
        json_int_t id = json_integer_value(value);
        const char *path = json_object_get(r->added, key) ? r->added_path : r->vocab_path;
        if (!json_is_integer(value))
            return para_fail(err, PARA_EFORMAT, "%s: entry \"%.100s\" has no whole number, expected an id", path, key);
        if (id < 0 || id >= count)
            return para_fail(err, PARA_EFORMAT,
                             "%s: entry \"%.100s\" has id %lld; expected 0 to %lld, each once, for %lld entries", path,
                             key, (long long)id, (long long)count - 1, (long long)count);
        if (r->text[id])
            return para_fail(err, PARA_EFORMAT, "%s: entries \"%.100s\" and \"%.100s\" both have id %lld", path,
                             r->text[id], key, (long long)id);
        if (!*key)
            return para_fail(err, PARA_EFORMAT, "%s: the entry with id %lld is empty, expected text", path,
                             (long long)id);
        r->text[id] = key;
    }
    return 0;
}

static int64_t id_of(const struct reading *r, const char *text)
{
    const json_t *value = json_object_get(r->entries, text);
    return value ? json_integer_value(value) : -1;
}

static int find_bytes(struct reading *r, para_error *err)
{
    for (int b = 0; b < 256; b++) {
        char letter[5] = {0};
        para_utf8_put((unsigned char *)letter, r->letter[b]);
        int64_t id = id_of(r, letter);
        if (id < 0)
            return para_fail(err, PARA_EFORMAT,
                             "%s: no entry \"%s\", which is byte %d; expected all 256, as GPT-2's vocabulary has",
                             r->vocab_path, letter, b);
        r->v->bpe.of_byte[b] = (int32_t)id;
        r->made[id] = true;
    }
    return 0;
}

/* Tokens that were added to the vocabulary later have a file of their own, in the same form. What isn't made by a merge
 * is special, wherever it stands. */
static int read_added(struct reading *r, const char *dir, para_error *err)
{
    const char *path = r->added_path, *key;
    json_t *value;
    PARA_TRY(para_path(r->added_path, err, "%s/" PARA_ADDED_TOKENS, dir));
    if (access(path, F_OK) != 0)
        return 0;
    PARA_TRY(para_json_load(&r->added, path, err));
    int status = 0;
    json_object_foreach(r->added, key, value)
    {
        const json_t *had = json_object_get(r->entries, key);
        if (status == 0 && had && !json_equal(had, value))
            status = para_fail(err, PARA_EFORMAT, "%s: entry \"%.100s\" has another id in vocab.json", path, key);
        if (status == 0 && json_object_set(r->entries, key, value) < 0)
            status = para_fail_memory(err, path);
    }
    return status;
}

static int read_vocab(struct reading *r, const char *dir, para_error *err)
{
    PARA_TRY(para_json_load(&r->entries, r->vocab_path, err));
    PARA_TRY(read_added(r, dir, err));
    size_t count = json_object_size(r->entries);
    if (count > INT32_MAX)
        return para_fail(err, PARA_EFORMAT, "%s: %zu entries, expected fewer than 2^31", r->vocab_path, count);
    r->v->count = (int64_t)count;
    r->text = calloc(count + 1, sizeof *r->text);
    r->made = calloc(count + 1, sizeof *r->made);
    if (!r->text || !r->made)
        return para_fail_memory(err, r->vocab_path);
    PARA_TRY(read_ids(r, err));
    return find_bytes(r, err);
}

static int join(struct reading *r, const char *left, const char *right, para_error *err)
{
    size_t bytes = strlen(left) + strlen(right) + 1;
    if (bytes > r->joined_room) {
        char *larger = realloc(r->joined, 2 * bytes);
        if (!larger)
            return para_fail_memory(err, r->merges_path);
        r->joined = larger;
        r->joined_room = 2 * bytes;
    }
    snprintf(r->joined, r->joined_room, "%s%s", left, right);
    return 0;
}

static int find_token(const struct reading *r, const char *text, int line, int64_t *id, para_error *err)
{
    *id = id_of(r, text);
    return *id < 0
               ? para_fail(err, PARA_EFORMAT, "%s:%d: \"%.100s\" is no entry of vocab.json", r->merges_path, line, text)
               : 0;
}

/* Remember in which line a merge stands. */
static int keep_line(struct reading *r, size_t merge, int line, para_error *err)
{
    if (merge >= r->line_room) {
        size_t room = 2 * merge + 1024;
        int32_t *larger = realloc(r->line, room * sizeof *larger);
        if (!larger)
            return para_fail_memory(err, r->merges_path);
        r->line = larger;
        r->line_room = room;
    }
    r->line[merge] = line;
    return 0;
}

/* A line's two tokens with one space between. `text` is changed. */
static int read_merge(struct reading *r, char *text, int line, para_error *err)
{
    char *right = strchr(text, ' ');
    if (!right || right == text || !right[1] || strchr(right + 1, ' '))
        return para_fail(err, PARA_EFORMAT, "%s:%d: found \"%.100s\", expected two tokens with one space between",
                         r->merges_path, line, text);
    *right++ = '\0';
    int64_t left_id, right_id, made;
    PARA_TRY(find_token(r, text, line, &left_id, err));
    PARA_TRY(find_token(r, right, line, &right_id, err));
    PARA_TRY(join(r, text, right, err));
    made = id_of(r, r->joined);
    if (made < 0)
        return para_fail(err, PARA_EFORMAT, "%s:%d: \"%.60s\" and \"%.60s\" make \"%.120s\", no entry of vocab.json",
                         r->merges_path, line, text, right, r->joined);
    PARA_TRY(para_bpe_reserve(&r->v->bpe, err));
    PARA_TRY(keep_line(r, r->v->bpe.merges, line, err));
    uint32_t first = para_bpe_add(&r->v->bpe, (int32_t)left_id, (int32_t)right_id, (int32_t)made);
    if (first != PARA_NO_RANK)
        return para_fail(err, PARA_EFORMAT, "%s:%d: the pair \"%.100s %.100s\" stands in line %d already",
                         r->merges_path, line, text, right, (int)r->line[first]);
    r->made[made] = true;
    return 0;
}

static int read_lines(struct reading *r, FILE *file, para_error *err)
{
    static const char mark[] = "\xef\xbb\xbf"; /* that some editors put before a text */
    char *text = NULL;
    size_t room = 0;
    ssize_t length;
    int status = para_bpe_reserve(&r->v->bpe, err);
    for (int line = 1; status == 0 && (length = getline(&text, &room, file)) >= 0; line++) {
        while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
            text[--length] = '\0';
        char *begin = text + (line == 1 && strncmp(text, mark, strlen(mark)) == 0 ? strlen(mark) : 0);
        if (strlen(text) != (size_t)length)
            status = para_fail(err, PARA_EFORMAT, "%s:%d: found a zero byte, expected text", r->merges_path, line);
        else if (strncmp(begin, "#version", strlen("#version")) != 0)
            status = read_merge(r, begin, line, err);
    }
    if (status == 0 && ferror(file))
        status = para_fail_system(err, r->merges_path, "read");
    free(text);
    return status;
}

static int read_merges(struct reading *r, para_error *err)
{
    FILE *file = fopen(r->merges_path, "re");
    if (!file)
        return para_fail_system(err, r->merges_path, "open");
    int status = read_lines(r, file, err);
    fclose(file);
    return status;
}

/* Write a token's bytes, from its letters, and return their number; 0 if it has characters that are no letters. */
static size_t spell(const struct reading *r, const char *text, unsigned char *out)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t left = strlen(text), n = 0;
    while (left > 0) {
        uint32_t c;
        int bytes = para_utf8(at, left, &c);
        if (bytes <= 0 || c >= LETTERS || r->byte[c] < 0)
            return 0;
        out[n++] = (unsigned char)r->byte[c];
        at += bytes;
        left -= (size_t)bytes;
    }
    return n;
}

static void add_special(struct para_vocabulary *v, int64_t id, const unsigned char *text, size_t bytes)
{
    v->specials[v->special_count++] = (int32_t)id;
    v->special_bytes = bytes > v->special_bytes ? bytes : v->special_bytes;
    v->special_lead[text[0]] = true;
}

/* A token of merges has the bytes that its letters spell, a special one is written as it is. */
static int write_tokens(struct reading *r, para_error *err)
{
    struct para_vocabulary *v = r->v;
    size_t total = 0, count = json_object_size(r->entries);
    for (int64_t i = 0; i < v->count; i++)
        total += strlen(r->text[i]);
    v->start = calloc(count + 1, sizeof *v->start);
    v->specials = calloc(count, sizeof *v->specials);
    v->bytes = malloc(total);
    if (!v->start || !v->specials || !v->bytes)
        return para_fail_memory(err, r->vocab_path);
    for (int64_t i = 0; i < v->count; i++) {
        unsigned char *out = v->bytes + v->start[i];
        size_t bytes = r->made[i] ? spell(r, r->text[i], out) : strlen(r->text[i]);
        if (bytes == 0)
            return para_fail(err, PARA_EFORMAT,
                             "%s: entry \"%.100s\" is made by a merge, but not all its characters stand for bytes",
                             r->vocab_path, r->text[i]);
        if (!r->made[i]) {
            memcpy(out, r->text[i], bytes);
            add_special(v, i, out, bytes);
        }
        v->start[i + 1] = v->start[i] + bytes;
    }
    return 0;
}

/* One file has it all in other folders. */
static int refuse_other(const struct reading *r, const char *dir, para_error *err)
{
    char other[PARA_PATH_BYTES];
    PARA_TRY(para_path(other, err, "%s/tokenizer.json", dir));
    if (access(r->vocab_path, F_OK) == 0 || access(other, F_OK) != 0)
        return 0;
    return para_fail(err, PARA_EIO, "%s: can't be read, expected a tokenizer as vocab.json and merges.txt", other);
}

static int read_folder(struct reading *r, const char *dir, para_error *err)
{
    make_letters(r);
    PARA_TRY(para_path(r->vocab_path, err, "%s/vocab.json", dir));
    PARA_TRY(para_path(r->merges_path, err, "%s/merges.txt", dir));
    PARA_TRY(refuse_other(r, dir, err));
    PARA_TRY(read_vocab(r, dir, err));
    PARA_TRY(read_merges(r, err));
    return write_tokens(r, err);
}

int para_vocabulary_load(struct para_vocabulary *out, const char *dir, para_error *err)
{
    struct para_vocabulary v = {0};
    struct reading *r = calloc(1, sizeof *r);
    if (!r)
        return para_fail_memory(err, dir);
    r->v = &v;
    int status = read_folder(r, dir, err);
    json_decref(r->entries);
    json_decref(r->added);
    free(r->text);
    free(r->made);
    free(r->line);
    free(r->joined);
    free(r);
    if (status < 0)
        para_vocabulary_free(&v);
    else
        *out = v;
    return status;
}

int para_vocabulary_of_bytes(struct para_vocabulary *out, para_error *err)
{
    struct para_vocabulary v = {.count = 256, .start = calloc(257, sizeof *v.start), .bytes = malloc(256)};
    if (!v.start || !v.bytes) {
        para_vocabulary_free(&v);
        return para_fail_memory(err, "the vocabulary of bytes");
    }
    for (int b = 0; b < 256; b++) {
        v.bytes[b] = (unsigned char)b;
        v.start[b + 1] = (size_t)b + 1;
    }
    *out = v;
    return 0;
}

void para_vocabulary_free(struct para_vocabulary *v)
{
    free(v->start);
    free(v->bytes);
    free(v->specials);
    para_bpe_free(&v->bpe);
    *v = (struct para_vocabulary){0};
}
