/* Token data: files read into one sequence of ids, and windows drawn from it. */
#include <paragraph/data.h>

#include "base/fail.h"
#include "io/draw.h"
#include "io/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 1 << 16, SHORT_IDS = 1 << 16 };

/* Ids of a vocabulary of up to SHORT_IDS take two bytes each, others four. */
struct para_dataset {
    void *owned; /* NULL in a view */
    const void *ids;
    size_t id_bytes;
    int64_t count, capacity;
};

static int32_t id_at(const para_dataset *d, int64_t i)
{
    return d->id_bytes == sizeof(uint16_t) ? ((const uint16_t *)d->ids)[i] : ((const int32_t *)d->ids)[i];
}

static int reserve(para_dataset *d, int64_t more, para_error *err)
{
    if (d->count + more <= d->capacity)
        return 0;
    int64_t capacity = 2 * d->capacity > d->count + more ? 2 * d->capacity : d->count + more;
    void *ids = realloc(d->owned, (size_t)capacity * d->id_bytes);
    if (!ids)
        return para_fail_memory(err, "token data");
    d->owned = ids;
    d->ids = ids;
    d->capacity = capacity;
    return 0;
}

/* A file being read. */
struct reading {
    para_dataset *d;
    const char *path;
    int64_t vocab, first; /* `first`: number of the file's first id in the dataset */
};

static int append(const struct reading *r, int64_t id, para_error *err)
{
    para_dataset *d = r->d;
    if (id >= r->vocab)
        return para_fail(err, PARA_ERANGE, "%s: token %lld is %lld, expected less than the vocabulary's %lld", r->path,
                         (long long)(d->count - r->first), (long long)id, (long long)r->vocab);
    if (d->id_bytes == sizeof(uint16_t))
        ((uint16_t *)d->owned)[d->count++] = (uint16_t)id;
    else
        ((int32_t *)d->owned)[d->count++] = (int32_t)id;
    return 0;
}

static bool ends_with(const char *string, const char *end)
{
    size_t length = strlen(string), end_length = strlen(end);
    return length >= end_length && strcmp(string + length - end_length, end) == 0;
}

/* Ids of 1 or 2 bytes each, little-endian. fread() gives short blocks at the file's end alone, so that an odd byte can
 * stand nowhere else. */
static int read_ids(const struct reading *r, FILE *file, para_error *err)
{
    size_t id_bytes = ends_with(r->path, ".tok16") ? 2 : 1;
    unsigned char block[READ_BYTES];
    size_t bytes;
    while ((bytes = fread(block, 1, sizeof block, file)) > 0) {
        if (bytes % id_bytes != 0)
            return para_fail(err, PARA_EFORMAT, "%s: the number of bytes is odd, expected ids of two bytes each",
                             r->path);
        PARA_TRY(reserve(r->d, (int64_t)(bytes / id_bytes), err));
        for (size_t i = 0; i < bytes; i += id_bytes)
            PARA_TRY(append(r, id_bytes == 1 ? block[i] : block[i] | block[i + 1] << 8, err));
    }
    return ferror(file) ? para_fail_system(err, r->path, "read") : 0;
}

/* Feed a text block by block; the last call of the loop, with no bytes left, ends it. */
static int encode(const struct reading *r, FILE *file, para_encoder *e, para_error *err)
{
    char block[READ_BYTES];
    size_t bytes;
    do {
        const int32_t *ids = NULL;
        int64_t count = 0;
        bytes = fread(block, 1, sizeof block, file);
        PARA_TRY(bytes > 0 ? para_encoder_feed(e, block, bytes, &ids, &count, err)
                           : para_encoder_finish(e, &ids, &count, err));
        PARA_TRY(reserve(r->d, count, err));
        for (int64_t i = 0; i < count; i++)
            PARA_TRY(append(r, ids[i], err));
    } while (bytes > 0);
    return ferror(file) ? para_fail_system(err, r->path, "read") : 0;
}

static int read_file(const struct reading *r, para_encoder *e, para_error *err)
{
    FILE *file = fopen(r->path, "rbe");
    if (!file)
        return para_fail_system(err, r->path, "open");
    int status = e && !ends_with(r->path, ".tok16") ? encode(r, file, e, err) : read_ids(r, file, err);
    fclose(file);
    return status;
}

/* Read files, texts by an encoder or, if it is NULL, by bytes. */
static int read_files(para_dataset **out, const char *const paths[], int count, para_encoder *e, int64_t vocab,
                      para_error *err)
{
    if (count < 1 || vocab < 1)
        return para_fail(err, PARA_EINVAL, "token data: got %d files and a vocabulary of %lld, expected at least 1",
                         count, (long long)vocab);
    para_dataset *d = calloc(1, sizeof *d);
    int status = d ? 0 : para_fail_memory(err, "token data");
    if (d)
        d->id_bytes = vocab > SHORT_IDS ? sizeof(int32_t) : sizeof(uint16_t);
    for (int i = 0; i < count && status == 0; i++)
        status = read_file(&(struct reading){d, paths[i], vocab, d->count}, e, err);
    if (status < 0)
        para_dataset_free(d);
    else
        *out = d;
    return status;
}

int para_dataset_open(para_dataset **out, const char *const paths[], int count, int64_t vocab, para_error *err)
{
    return read_files(out, paths, count, NULL, vocab, err);
}

int para_dataset_encode(para_dataset **out, const char *const paths[], int count, const para_tokenizer *t,
                        int64_t vocab, para_error *err)
{
    para_encoder *e;
    PARA_TRY(para_encoder_new(&e, t, false, err));
    int status = read_files(out, paths, count, e, vocab, err);
    para_encoder_free(e);
    return status;
}

void para_dataset_free(para_dataset *d)
{
    if (d)
        free(d->owned);
    free(d);
}

int64_t para_dataset_tokens(const para_dataset *d)
{
    return d->count;
}

int para_dataset_part(para_dataset **out, const para_dataset *d, int64_t begin, int64_t end, para_error *err)
{
    if (begin < 0 || end < begin || end > d->count)
        return para_fail(err, PARA_ERANGE, "token data: part %lld to %lld, expected numbers in order from 0 to %lld",
                         (long long)begin, (long long)end, (long long)d->count);
    para_dataset *part = calloc(1, sizeof *part);
    if (!part)
        return para_fail_memory(err, "a part of token data");
    part->id_bytes = d->id_bytes;
    part->ids = d->count ? (const char *)d->ids + (size_t)begin * d->id_bytes : NULL;
    part->count = end - begin;
    *out = part;
    return 0;
}

int para_dataset_read(const para_dataset *d, int64_t begin, int64_t count, int32_t *ids, para_error *err)
{
    if (begin < 0 || count < 0 || begin > d->count || count > d->count - begin)
        return para_fail(err, PARA_ERANGE, "token data: %lld tokens from number %lld on, of %lld that there are",
                         (long long)count, (long long)begin, (long long)d->count);
    for (int64_t i = 0; i < count; i++)
        ids[i] = id_at(d, begin + i);
    return 0;
}

int para_dataset_batch(const para_dataset *d, int64_t batch, int64_t seq, int64_t step, uint64_t seed, bool sequential,
                       int32_t *tokens, int32_t *targets, para_error *err)
{
    if (batch < 1 || seq < 1 || step < 0)
        return para_fail(err, PARA_EINVAL, "token data: batch %lld, seq %lld, step %lld; expected at least 1, 1 and 0",
                         (long long)batch, (long long)seq, (long long)step);
    if (d->count <= seq)
        return para_fail(err, PARA_ERANGE, "token data: %lld tokens are too few for a window of %lld and its target",
                         (long long)d->count, (long long)seq);
    for (int64_t row = 0; row < batch; row++) {
        int64_t start = sequential ? para_row_in_order(step, batch, row, para_dataset_windows(d, seq)) * seq
                                   : para_row_drawn(seed, step, row, d->count - seq);
        for (int64_t i = 0; i < seq; i++) {
            tokens[row * seq + i] = id_at(d, start + i);
            targets[row * seq + i] = id_at(d, start + i + 1);
        }
    }
    return 0;
}

int64_t para_dataset_windows(const para_dataset *d, int64_t seq)
{
    return seq > 0 && d->count > seq ? (d->count - 1) / seq : 0;
}
