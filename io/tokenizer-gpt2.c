/* Reading vocab.json and merges.txt. */
#include "io/tokenizer-files.h"

#include "base/fail.h"
#include "io/companions.h"
#include "io/letters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is known while files are read. */
struct reading {
    para_tokenizer *t;
    char vocab_path[PARA_PATH_BYTES], merges_path[PARA_PATH_BYTES];
    json_t *entries; /* from text to id */
    json_t *added;   /* those that companions add */
    struct para_companions companions;
    bool *made; /* the ids that are a byte or made by a merge */
    struct para_merging merging;
};

/* What isn't made by a merge is special, wherever it stands. */
static int read_added(struct reading *r, const char *dir, para_error *err)
{
    struct para_companions *c = &r->companions;
    const json_t *token;
    size_t i;
    PARA_TRY(para_companions_read(c, dir, err));
    r->added = json_object();
    json_array_foreach(c->added, i, token)
    {
        const char *text = json_string_value(json_object_get(token, "content"));
        json_t *had = json_object_get(r->entries, text), *id = json_object_get(token, "id");
        if (had && !json_equal(had, id))
            return para_fail(err, PARA_EFORMAT, "%s: entry \"%.100s\" has another id in vocab.json", c->path, text);
        if (!had && json_object_set(r->added, text, id) < 0)
            return para_fail_memory(err, c->path);
    }
    return 0;
}

static int read_vocab(struct reading *r, const char *dir, para_error *err)
{
    struct para_vocabulary *v = &r->t->vocabulary;
    PARA_TRY(para_json_load(&r->entries, r->vocab_path, err));
    PARA_TRY(read_added(r, dir, err));
    size_t count = json_object_size(r->entries) + json_object_size(r->added);
    if (count > INT32_MAX)
        return para_fail(err, PARA_EFORMAT, "%s: %zu entries, expected fewer than 2^31", r->vocab_path, count);
    PARA_TRY(para_texts_init(&v->texts, (int64_t)count, err));
    r->made = calloc(count + 1, sizeof *r->made);
    if (!r->made)
        return para_fail_memory(err, r->vocab_path);
    PARA_TRY(para_vocabulary_entries(v, r->entries, r->vocab_path, err));
    PARA_TRY(para_vocabulary_entries(v, r->added, r->companions.path, err));
    PARA_TRY(para_vocabulary_find_letters(v, r->vocab_path, err));
    for (int b = 0; b < 256; b++)
        r->made[v->of_byte[b]] = true;
    return 0;
}

static int read_lines(struct reading *r, FILE *file, para_error *err)
{
    static const char mark[] = "\xef\xbb\xbf"; /* that some editors put before a text */
    char *text = NULL;
    size_t room = 0;
    ssize_t length;
    int status = 0;
    for (int line = 1; status == 0 && (length = getline(&text, &room, file)) >= 0; line++) {
        while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == '\r'))
            text[--length] = '\0';
        char *begin = text + (line == 1 && strncmp(text, mark, strlen(mark)) == 0 ? strlen(mark) : 0);
        struct para_place place = {r->merges_path, NULL, line};
        int32_t made = 0;
        if (strlen(text) != (size_t)length)
            status = para_fail(err, PARA_EFORMAT, "%s:%d: found a zero byte, expected text", r->merges_path, line);
        else if (strncmp(begin, "#version", strlen("#version")) != 0) {
            status = para_merging_add_line(&r->merging, place, begin, strlen(begin), &made, err);
            if (status == 0)
                r->made[made] = true;
        }
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
    r->merging = (struct para_merging){.v = &r->t->vocabulary, .source = "vocab.json"};
    int status = read_lines(r, file, err);
    fclose(file);
    para_merging_end(&r->merging);
    return status;
}

/* A token of merges has the bytes that its letters spell, a special one is written as it is. */
static int write_tokens(struct reading *r, para_error *err)
{
    para_tokenizer *t = r->t;
    struct para_vocabulary *v = &t->vocabulary;
    const struct para_texts *texts = &v->texts;
    v->start = calloc((size_t)texts->count + 1, sizeof *v->start);
    v->bytes = malloc(texts->all.count + 1);
    if (!v->start || !v->bytes)
        return para_fail_memory(err, r->vocab_path);
    for (int64_t i = 0; i < texts->count; i++) {
        const char *text = para_texts_get(texts, i);
        unsigned char *out = v->bytes + v->start[i];
        size_t bytes = texts->of[i].count;
        if (r->made[i])
            bytes = para_letters_read((const unsigned char *)text, bytes, out);
        else
            memcpy(out, text, bytes);
        if (bytes == 0)
            return para_fail(err, PARA_EFORMAT,
                             "%s: entry \"%.100s\" is made by a merge, but not all its characters stand for bytes",
                             r->vocab_path, text);
        if (!r->made[i])
            PARA_TRY(para_added_put(
                &t->as_written,
                &(struct para_added_token){.id = (int32_t)i, .text = out, .bytes = bytes, .special = true}, err));
        v->start[i + 1] = v->start[i] + bytes;
    }
    para_added_sort(&t->as_written);
    para_added_sort(&t->normalized);
    return 0;
}

static int read_folder(struct reading *r, const char *dir, para_error *err)
{
    PARA_TRY(para_path(r->vocab_path, err, "%s/vocab.json", dir));
    PARA_TRY(para_path(r->merges_path, err, "%s/merges.txt", dir));
    PARA_TRY(read_vocab(r, dir, err));
    PARA_TRY(read_merges(r, err));
    PARA_TRY(write_tokens(r, err));
    return para_steps_add(&r->t->steps, (struct para_step){.behaviour = PARA_ISOLATED}, err);
}

int para_tokenizer_load_gpt2(para_tokenizer *t, const char *dir, para_error *err)
{
    struct reading *r = calloc(1, sizeof *r);
    if (!r)
        return para_fail_memory(err, dir);
    r->t = t;
    t->vocabulary.unknown = -1;
    int status = read_folder(r, dir, err);
    json_decref(r->entries);
    json_decref(r->added);
    para_companions_free(&r->companions);
    free(r->made);
    free(r);
    return status;
}
