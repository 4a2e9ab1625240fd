/* Token data: files read into one sequence of ids, and windows drawn from it. */
#include <paragraph/data.h>

#include "base/fail.h"
#include "base/philox.h"
#include "io/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { READ_BYTES = 1 << 16 };

/* Keeps the draws of windows apart from those of initial values and dropout under the same seed. */
static const uint64_t WINDOW_KEY = 0x77696e646f777321u;

struct para_dataset {
    uint16_t *owned; /* NULL in a view */
    const uint16_t *ids;
    int64_t count, capacity;
};

static int reserve(para_dataset *d, int64_t more, para_error *err)
{
    if (d->count + more <= d->capacity)
        return 0;
    int64_t capacity = 2 * d->capacity > d->count + more ? 2 * d->capacity : d->count + more;
    uint16_t *ids = realloc(d->owned, (size_t)capacity * sizeof *ids);
    if (!ids)
        return para_fail_memory(err, "token data");
    d->owned = ids;
    d->ids = ids;
    d->capacity = capacity;
    return 0;
}

/* Append the ids in a block of bytes, 1 or 2 bytes each, little-endian; `first` is the number of the block's
 * first id in its file. */
static int append(para_dataset *d, const unsigned char *bytes, size_t ids, size_t id_bytes, int64_t vocab,
                  const char *path, int64_t first, para_error *err)
{
    PARA_TRY(reserve(d, (int64_t)ids, err));
    for (size_t i = 0; i < ids; i++) {
        unsigned id = id_bytes == 1 ? bytes[i] : (unsigned)(bytes[2 * i] | bytes[2 * i + 1] << 8);
        if (id >= vocab)
            return para_fail(err, PARA_ERANGE, "%s: token %lld is %u, expected less than the vocabulary's %lld", path,
                             (long long)(first + (int64_t)i), id, (long long)vocab);
        d->owned[d->count + (int64_t)i] = (uint16_t)id;
    }
    d->count += (int64_t)ids;
    return 0;
}

static bool ends_with(const char *string, const char *end)
{
    size_t length = strlen(string), end_length = strlen(end);
    return length >= end_length && strcmp(string + length - end_length, end) == 0;
}

/* fread() gives short blocks at the file's end alone, so that an odd byte can stand nowhere else. */
static int read_blocks(para_dataset *d, FILE *file, const char *path, int64_t vocab, para_error *err)
{
    size_t id_bytes = ends_with(path, ".tok16") ? 2 : 1;
    unsigned char block[READ_BYTES];
    size_t bytes;
    int64_t first = d->count;
    while ((bytes = fread(block, 1, sizeof block, file)) > 0) {
        if (bytes % id_bytes != 0)
            return para_fail(err, PARA_EFORMAT, "%s: the number of bytes is odd, expected ids of two bytes each", path);
        PARA_TRY(append(d, block, bytes / id_bytes, id_bytes, vocab, path, d->count - first, err));
    }
    return ferror(file) ? para_fail_system(err, path, "read") : 0;
}

static int read_file(para_dataset *d, const char *path, int64_t vocab, para_error *err)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        return para_fail_system(err, path, "open");
    int status = read_blocks(d, file, path, vocab, err);
    fclose(file);
    return status;
}

int para_dataset_open(para_dataset **out, const char *const paths[], int count, int64_t vocab, para_error *err)
{
    if (count < 1 || vocab < 1)
        return para_fail(err, PARA_EINVAL, "token data: got %d files and a vocabulary of %lld, expected at least 1",
                         count, (long long)vocab);
    para_dataset *d = calloc(1, sizeof *d);
    if (!d)
        return para_fail_memory(err, "token data");
    for (int i = 0; i < count; i++) {
        int status = read_file(d, paths[i], vocab, err);
        if (status < 0) {
            para_dataset_free(d);
            return status;
        }
    }
    *out = d;
    return 0;
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
    part->ids = d->count ? d->ids + begin : NULL;
    part->count = end - begin;
    *out = part;
    return 0;
}

/* Where the window of (step, row) starts, 0 to tokens - seq - 1. A 64-bit draw x is scaled, floor(x places / 2^64),
 * which favours no place by more than places / 2^64. */
static int64_t random_start(const para_dataset *d, int64_t seq, int64_t step, int64_t row, uint64_t seed)
{
    struct para_philox p = para_philox(seed ^ WINDOW_KEY, (uint64_t)step, (uint64_t)row);
    uint64_t draw = (uint64_t)p.word[1] << 32 | p.word[0], places = (uint64_t)(d->count - seq);
    return (int64_t)((unsigned __int128)draw * places >> 64);
}

static int64_t sequential_start(const para_dataset *d, int64_t batch, int64_t seq, int64_t step, int64_t row)
{
    unsigned __int128 window = (unsigned __int128)step * (uint64_t)batch + (uint64_t)row;
    return (int64_t)(window % (uint64_t)para_dataset_windows(d, seq)) * seq;
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
        int64_t start = sequential ? sequential_start(d, batch, seq, step, row) : random_start(d, seq, step, row, seed);
        for (int64_t i = 0; i < seq; i++) {
            tokens[row * seq + i] = d->ids[start + i];
            targets[row * seq + i] = d->ids[start + i + 1];
        }
    }
    return 0;
}

int64_t para_dataset_windows(const para_dataset *d, int64_t seq)
{
    return seq > 0 && d->count > seq ? (d->count - 1) / seq : 0;
}
