/* Writing safetensors files. */
#include "io/safetensors.h"

#include "base/checked.h"
#include "base/dtype.h"
#include "base/fail.h"

#include <jansson.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *dtype_text(para_dtype dtype)
{
    static const char *const names[] = {"F32", "F16", "BF16", "I32", "I8"};
    return names[dtype];
}

bool para_safetensors_bytes(const int64_t *shape, int rank, size_t element_bytes, size_t *out)
{
    int64_t bytes = (int64_t)element_bytes;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0)
            return false;
    for (int i = 0; i < rank; i++)
        if (!para_mul_i64(bytes, shape[i], &bytes))
            return false;
    *out = (size_t)bytes;
    return true;
}

char *para_shape_list(const int64_t *shape, int rank, char buffer[PARA_SHAPE_LIST])
{
    int used = snprintf(buffer, PARA_SHAPE_LIST, "(");
    for (int i = 0; i < rank && used < PARA_SHAPE_LIST; i++)
        used += snprintf(buffer + used, (size_t)(PARA_SHAPE_LIST - used), "%s%lld", i ? ", " : "", (long long)shape[i]);
    if (used < PARA_SHAPE_LIST)
        snprintf(buffer + used, (size_t)(PARA_SHAPE_LIST - used), ")");
    return buffer;
}

static int check_entry(const char *path, const para_entry *e, para_error *err)
{
    char shape[PARA_SHAPE_LIST];
    size_t bytes;
    if (!e->name || strcmp(e->name, "__metadata__") == 0)
        return para_fail(err, PARA_EINVAL, "%s: a tensor must have a name, and not __metadata__", path);
    if (e->rank < 0 || e->rank > 8)
        return para_fail(err, PARA_EINVAL, "%s: tensor \"%s\" has %d dimensions, expected 0 to 8", path, e->name,
                         e->rank);
    if (para_dtype_blocks(e->dtype))
        return para_fail(err, PARA_EINVAL, "%s: tensor \"%s\" is %s, which the format lacks", path, e->name,
                         para_dtype_name(e->dtype));
    if (!para_safetensors_bytes(e->shape, e->rank, para_dtype_bytes(e->dtype), &bytes) || bytes != e->bytes)
        return para_fail(err, PARA_EINVAL, "%s: tensor \"%s\" has %zu bytes, which isn't the size of %s %s", path,
                         e->name, e->bytes, para_dtype_name(e->dtype), para_shape_list(e->shape, e->rank, shape));
    return 0;
}

/* Add one tensor's description; returns the offset after its data, or a negative error. */
static int64_t describe(json_t *header, const char *path, const para_entry *e, int64_t begin, para_error *err)
{
    PARA_TRY(check_entry(path, e, err));
    if (json_object_get(header, e->name))
        return para_fail(err, PARA_EINVAL, "%s: two tensors are called \"%s\"", path, e->name);
    if (e->bytes > (size_t)(INT64_MAX - begin))
        return para_fail(err, PARA_ERANGE, "%s: tensor \"%s\" makes the file too large", path, e->name);
    int64_t end = begin + (int64_t)e->bytes;
    json_t *shape = json_array();
    for (int i = 0; i < e->rank; i++)
        json_array_append_new(shape, json_integer(e->shape[i]));
    json_t *value = json_pack("{s:s, s:o, s:[I,I]}", "dtype", dtype_text(e->dtype), "shape", shape, "data_offsets",
                              (json_int_t)begin, (json_int_t)end);
    if (json_object_set_new(header, e->name, value) < 0)
        return para_fail(err, PARA_EINVAL, "%s: tensor \"%s\": the name isn't UTF-8, or memory ran out", path, e->name);
    return end;
}

/* Make all before the data: the header's length, little-endian whatever the machine, and the header, padded with
 * spaces so that the data begins at a multiple of eight bytes. The caller frees it. transformers refuses files that
 * don't say "format". */
static int make_header(unsigned char **out, size_t *out_bytes, const char *path, const para_entry *entries, int count,
                       para_error *err)
{
    json_t *header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
    if (!header)
        return para_fail_memory(err, path);
    int64_t offset = 0;
    for (int i = 0; i < count && offset >= 0; i++)
        offset = describe(header, path, &entries[i], offset, err);
    char *text = offset >= 0 ? json_dumps(header, JSON_COMPACT) : NULL;
    json_decref(header);
    if (offset < 0)
        return (int)offset;
    size_t length = text ? strlen(text) : 0, padded = (length + 7) / 8 * 8;
    unsigned char *all = text ? malloc(PARA_SAFETENSORS_PREFIX + padded) : NULL;
    int status = 0;
    if (!all)
        status = para_fail_memory(err, path);
    else if (padded > PARA_SAFETENSORS_HEADER_MAX)
        status = para_fail(err, PARA_ERANGE, "%s: too many tensors: the header would have %zu bytes, at most %d", path,
                           padded, PARA_SAFETENSORS_HEADER_MAX);
    if (status == 0) {
        for (int i = 0; i < PARA_SAFETENSORS_PREFIX; i++)
            all[i] = (unsigned char)((uint64_t)padded >> 8 * i);
        memcpy(all + PARA_SAFETENSORS_PREFIX, text, length);
        memset(all + PARA_SAFETENSORS_PREFIX + length, ' ', padded - length);
        *out = all;
        *out_bytes = PARA_SAFETENSORS_PREFIX + padded;
    } else {
        free(all);
    }
    free(text);
    return status;
}

int para_safetensors_stream(const char *path, const para_entry *entries, int count, para_entry_fetch fetch, void *user,
                            para_error *err)
{
    unsigned char *header = NULL;
    size_t bytes = 0;
    PARA_TRY(make_header(&header, &bytes, path, entries, count, err));
    int status = para_stream_entries(path, header, bytes, 1, entries, count, fetch, user, err);
    free(header);
    return status;
}

int para_safetensors_write(const char *path, const para_entry *entries, int count, para_error *err)
{
    return para_safetensors_stream(path, entries, count, NULL, NULL, err);
}
