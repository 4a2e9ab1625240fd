/* Writing GGUF files. */
#include "io/gguf-write.h"

#include "base/fail.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 32, FORMAT = 3 };

/* --- metadata --- */

void para_gguf_head_free(struct para_gguf_head *h)
{
    free(h->data);
    *h = (struct para_gguf_head){0};
}

static void put_bytes(struct para_gguf_head *h, const void *data, size_t bytes)
{
    if (h->room - h->bytes < bytes && !h->failed) {
        size_t room = 2 * (h->bytes + bytes) + 1024;
        unsigned char *more = realloc(h->data, room);
        h->failed = !more;
        if (more) {
            h->data = more;
            h->room = room;
        }
    }
    if (h->failed)
        return;
    memcpy(h->data + h->bytes, data, bytes);
    h->bytes += bytes;
}

static void put_number(struct para_gguf_head *h, uint64_t number, int bytes)
{
    unsigned char little[8];
    for (int i = 0; i < bytes; i++)
        little[i] = (unsigned char)(number >> 8 * i);
    put_bytes(h, little, (size_t)bytes);
}

static void put_string(struct para_gguf_head *h, const char *string)
{
    put_number(h, strlen(string), 8);
    put_bytes(h, string, strlen(string));
}

static void put_key(struct para_gguf_head *h, const char *key, enum para_gguf_type type)
{
    put_string(h, key);
    put_number(h, type, 4);
    h->count++;
}

static void put_list(struct para_gguf_head *h, const char *key, enum para_gguf_type type, int64_t count)
{
    put_key(h, key, PARA_GGUF_LIST);
    put_number(h, type, 4);
    put_number(h, (uint64_t)count, 8);
}

void para_gguf_put_u32(struct para_gguf_head *h, const char *key, uint32_t value)
{
    put_key(h, key, PARA_GGUF_U32);
    put_number(h, value, 4);
}

static void put_float(struct para_gguf_head *h, float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    put_number(h, bits, 4);
}

void para_gguf_put_f32(struct para_gguf_head *h, const char *key, double value)
{
    put_key(h, key, PARA_GGUF_F32);
    put_float(h, (float)value);
}

void para_gguf_put_flag(struct para_gguf_head *h, const char *key, bool value)
{
    put_key(h, key, PARA_GGUF_BOOL);
    put_number(h, value, 1);
}

void para_gguf_put_text(struct para_gguf_head *h, const char *key, const char *value)
{
    put_key(h, key, PARA_GGUF_TEXT);
    put_string(h, value);
}

void para_gguf_put_texts(struct para_gguf_head *h, const char *key, const char *const *values, int64_t count)
{
    put_list(h, key, PARA_GGUF_TEXT, count);
    for (int64_t i = 0; i < count; i++)
        put_string(h, values[i]);
}

void para_gguf_put_i32s(struct para_gguf_head *h, const char *key, const int32_t *values, int64_t count)
{
    put_list(h, key, PARA_GGUF_I32, count);
    for (int64_t i = 0; i < count; i++)
        put_number(h, (uint32_t)values[i], 4);
}

void para_gguf_put_f32s(struct para_gguf_head *h, const char *key, const float *values, int64_t count)
{
    put_list(h, key, PARA_GGUF_F32, count);
    for (int64_t i = 0; i < count; i++)
        put_float(h, values[i]);
}

void para_gguf_put_value(struct para_gguf_head *h, const struct para_gguf_value *value)
{
    if (value->list)
        put_list(h, value->key, value->type, value->count);
    else
        put_key(h, value->key, value->type);
    put_bytes(h, value->data, para_gguf_value_bytes(value));
}

/* --- files --- */

static size_t padding(size_t bytes)
{
    return (ALIGNMENT - bytes % ALIGNMENT) % ALIGNMENT;
}

/* All before the data, padded. */
static void put_header(struct para_gguf_head *out, const struct para_gguf_head *head, const para_entry *entries,
                       int count)
{
    static const char zeros[ALIGNMENT];
    uint64_t offset = 0;
    put_bytes(out, "GGUF", 4);
    put_number(out, FORMAT, 4);
    put_number(out, (uint64_t)count, 8);
    put_number(out, (uint64_t)head->count, 8);
    put_bytes(out, head->data, head->bytes);
    for (int i = 0; i < count; i++) {
        const para_entry *e = &entries[i];
        put_string(out, e->name);
        put_number(out, (uint64_t)e->rank, 4);
        for (int d = e->rank - 1; d >= 0; d--)
            put_number(out, (uint64_t)e->shape[d], 8);
        put_number(out, para_block_type_of(e->dtype)->number, 4);
        put_number(out, offset, 8);
        offset += e->bytes + padding(e->bytes);
    }
    put_bytes(out, zeros, padding(out->bytes));
}

int para_gguf_stream(const char *path, const struct para_gguf_head *head, const para_entry *entries, int count,
                     para_entry_fetch fetch, void *user, para_error *err)
{
    struct para_gguf_head header = {0};
    put_header(&header, head, entries, count);
    int status = header.failed || head->failed ? para_fail_memory(err, path)
                                               : para_stream_entries(path, header.data, header.bytes, ALIGNMENT,
                                                                     entries, count, fetch, user, err);
    para_gguf_head_free(&header);
    return status;
}
