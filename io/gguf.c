/* GGUF files. The file is believed in nothing: what it counts must have room in it before room is made for that, every
 * length stays within it, and tensors lie apart. */
#include "io/gguf.h"

#include "base/arena.h"
#include "base/checked.h"
#include "base/fail.h"
#include "base/strmap.h"
#include "io/file.h"

#include <stdlib.h>
#include <string.h>

enum {
    LEAST_PAIR = 8 + 4 + 1,       /* bytes of a key without characters, a type and a value */
    LEAST_TENSOR = 8 + 4 + 4 + 8, /* of a name without characters, rank, type and offset */
    MOST_NAME = 65535,            /* bytes of a key or a name */
    MOST_RANK = 4,
    USUAL_ALIGNMENT = 32,
};

struct para_gguf {
    char path[PARA_PATH_BYTES];
    struct para_map map;
    struct para_arena arena;
    struct para_strmap keys, names; /* -> para_gguf_value, para_gguf_tensor */
    struct para_gguf_value *values;
    struct para_gguf_tensor *tensors;
    int64_t value_count, tensor_count;
    size_t at;        /* where reading has come */
    size_t alignment; /* of tensors' data */
};

/* --- bytes --- */

static size_t bytes_left(const struct para_gguf *f)
{
    return f->map.bytes - f->at;
}

static uint64_t number_at(const unsigned char *data, int bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < bytes; i++)
        number |= (uint64_t)data[i] << 8 * i;
    return number;
}

/* Read a number of so many bytes of what `name` is. */
static int read_number(uint64_t *out, struct para_gguf *f, int bytes, const char *name, para_error *err)
{
    *out = 0;
    if (bytes_left(f) < (size_t)bytes)
        return para_fail(err, PARA_EFORMAT, "%s: ends at byte %zu within %.120s: it is cut off", f->path, f->map.bytes,
                         name);
    *out = number_at(f->map.data + f->at, bytes);
    f->at += (size_t)bytes;
    return 0;
}

/* Step over a text of what `name` is. */
static int read_text(struct para_gguf_text *out, struct para_gguf *f, const char *name, para_error *err)
{
    uint64_t length;
    PARA_TRY(read_number(&length, f, 8, name, err));
    if (length > bytes_left(f))
        return para_fail(err, PARA_EFORMAT,
                         "%s: byte %zu, in %.120s: a text of %llu bytes, expected at most the %zu left", f->path, f->at,
                         name, (unsigned long long)length, bytes_left(f));
    *out = (struct para_gguf_text){(const char *)f->map.data + f->at, (size_t)length};
    f->at += (size_t)length;
    return 0;
}

/* Read a key or a tensor's name, to be kept. */
static int read_name(const char **out, struct para_gguf *f, const char *what, para_error *err)
{
    struct para_gguf_text text;
    PARA_TRY(read_text(&text, f, what, err));
    if (text.bytes == 0 || text.bytes > MOST_NAME || memchr(text.data, '\0', text.bytes))
        return para_fail(err, PARA_EFORMAT, "%s: byte %zu: %s of %zu bytes, expected 1 to %d without zeros among them",
                         f->path, f->at - text.bytes, what, text.bytes, MOST_NAME);
    char *name = para_arena_alloc(&f->arena, text.bytes + 1);
    if (!name)
        return para_fail_memory(err, f->path);
    memcpy(name, text.data, text.bytes);
    *out = name;
    return 0;
}

/* --- metadata --- */

static const struct {
    const char *name;
    int bytes;                /* 0: not of one size */
    enum para_gguf_want want; /* what it is to a reader */
} value_types[PARA_GGUF_TYPES] = {
    [PARA_GGUF_U8] = {"uint8", 1, PARA_GGUF_WHOLE},     [PARA_GGUF_I8] = {"int8", 1, PARA_GGUF_WHOLE},
    [PARA_GGUF_U16] = {"uint16", 2, PARA_GGUF_WHOLE},   [PARA_GGUF_I16] = {"int16", 2, PARA_GGUF_WHOLE},
    [PARA_GGUF_U32] = {"uint32", 4, PARA_GGUF_WHOLE},   [PARA_GGUF_I32] = {"int32", 4, PARA_GGUF_WHOLE},
    [PARA_GGUF_F32] = {"float32", 4, PARA_GGUF_REAL},   [PARA_GGUF_BOOL] = {"bool", 1, PARA_GGUF_FLAG},
    [PARA_GGUF_TEXT] = {"string", 0, PARA_GGUF_STRING}, [PARA_GGUF_LIST] = {"array", 0, PARA_GGUF_STRING},
    [PARA_GGUF_U64] = {"uint64", 8, PARA_GGUF_WHOLE},   [PARA_GGUF_I64] = {"int64", 8, PARA_GGUF_WHOLE},
    [PARA_GGUF_F64] = {"float64", 8, PARA_GGUF_REAL},
};

static int read_type(enum para_gguf_type *out, struct para_gguf *f, const char *key, bool element, para_error *err)
{
    uint64_t type;
    *out = PARA_GGUF_U8;
    PARA_TRY(read_number(&type, f, 4, key, err));
    if (type >= PARA_GGUF_TYPES)
        return para_fail(err, PARA_EFORMAT, "%s: key \"%.120s\" is of type %llu, expected 0 to %d", f->path, key,
                         (unsigned long long)type, PARA_GGUF_TYPES - 1);
    if (element && type == PARA_GGUF_LIST)
        return para_fail(err, PARA_EFORMAT, "%s: key \"%.120s\" is an array of arrays, expected numbers or strings",
                         f->path, key);
    *out = (enum para_gguf_type)type;
    return 0;
}

/* Each has at least the eight bytes of its length, so that as many have room in the file. */
static int read_texts(struct para_gguf_value *v, struct para_gguf *f, para_error *err)
{
    uint64_t *starts = para_arena_alloc(&f->arena, (size_t)v->count * sizeof *starts);
    if (!starts && v->count > 0)
        return para_fail_memory(err, f->path);
    v->starts = starts;
    for (int64_t i = 0; i < v->count; i++) {
        struct para_gguf_text text;
        starts[i] = (uint64_t)(f->map.data + f->at - v->data);
        PARA_TRY(read_text(&text, f, v->key, err));
    }
    return 0;
}

static int read_list(struct para_gguf_value *v, struct para_gguf *f, para_error *err)
{
    uint64_t count;
    PARA_TRY(read_type(&v->type, f, v->key, true, err));
    PARA_TRY(read_number(&count, f, 8, v->key, err));
    int least = v->type == PARA_GGUF_TEXT ? 8 : value_types[v->type].bytes;
    if (count > bytes_left(f) / (size_t)least)
        return para_fail(err, PARA_EFORMAT,
                         "%s: key \"%.120s\" is an array of %llu elements of type %s, which the %zu bytes left can't"
                         " hold",
                         f->path, v->key, (unsigned long long)count, value_types[v->type].name, bytes_left(f));
    v->list = true;
    v->count = (int64_t)count;
    v->data = f->map.data + f->at;
    if (v->type == PARA_GGUF_TEXT)
        return read_texts(v, f, err);
    f->at += (size_t)count * (size_t)least;
    return 0;
}

static int read_scalar(struct para_gguf_value *v, struct para_gguf *f, para_error *err)
{
    uint64_t number;
    v->count = 1;
    v->data = f->map.data + f->at;
    if (v->type == PARA_GGUF_TEXT)
        return read_texts(v, f, err);
    PARA_TRY(read_number(&number, f, value_types[v->type].bytes, v->key, err));
    if (v->type == PARA_GGUF_BOOL && number > 1)
        return para_fail(err, PARA_EFORMAT, "%s: key \"%.120s\" is a bool of %d, expected 0 or 1", f->path, v->key,
                         (int)number);
    return 0;
}

static int read_pair(struct para_gguf *f, para_error *err)
{
    struct para_gguf_value *v = &f->values[f->value_count++];
    PARA_TRY(read_name(&v->key, f, "a key", err));
    if (para_strmap_get(&f->keys, v->key))
        return para_fail(err, PARA_EFORMAT, "%s: key \"%.120s\" stands there twice", f->path, v->key);
    if (para_strmap_set(&f->keys, v->key, v) < 0)
        return para_fail_memory(err, f->path);
    PARA_TRY(read_type(&v->type, f, v->key, false, err));
    return v->type == PARA_GGUF_LIST ? read_list(v, f, err) : read_scalar(v, f, err);
}

/* --- tensors --- */

static int read_shape(struct para_gguf_tensor *t, struct para_gguf *f, para_error *err)
{
    uint64_t rank, extent;
    PARA_TRY(read_number(&rank, f, 4, t->name, err));
    if (rank > MOST_RANK)
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%.120s\" has %llu dimensions, expected at most %d", f->path,
                         t->name, (unsigned long long)rank, MOST_RANK);
    t->rank = (int)rank;
    t->elements = 1;
    for (int d = t->rank - 1; d >= 0; d--) {
        PARA_TRY(read_number(&extent, f, 8, t->name, err));
        if (extent > INT64_MAX || !para_mul_i64(t->elements, (int64_t)extent, &t->elements))
            return para_fail(err, PARA_EFORMAT, "%s: tensor \"%.120s\": its %llu are too many for any file", f->path,
                             t->name, (unsigned long long)extent);
        t->shape[d] = (int64_t)extent;
    }
    return 0;
}

/* Rows are whole blocks. */
static int measure_tensor(struct para_gguf_tensor *t, const struct para_gguf *f, uint32_t number, para_error *err)
{
    int64_t bytes, row = t->rank > 0 ? t->shape[t->rank - 1] : 1;
    t->type = para_block_type(number);
    if (!t->type)
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%.120s\" is of type %u, expected one of the format's",
                         f->path, t->name, number);
    if (row % t->type->elements != 0)
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%.120s\" has rows of %lld, expected a multiple of %d of %s",
                         f->path, t->name, (long long)row, t->type->elements, t->type->name);
    if (!para_mul_i64(t->elements / t->type->elements, t->type->bytes, &bytes))
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%.120s\" is too large for any file", f->path, t->name);
    t->bytes = (size_t)bytes;
    return 0;
}

/* Its data is where it lies behind the header, which is found when all tensors have been read. */
static int read_tensor(struct para_gguf *f, uint64_t *offset, para_error *err)
{
    uint64_t type;
    struct para_gguf_tensor *t = &f->tensors[f->tensor_count++];
    PARA_TRY(read_name(&t->name, f, "a tensor's name", err));
    if (para_strmap_get(&f->names, t->name))
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%.120s\" stands there twice", f->path, t->name);
    if (para_strmap_set(&f->names, t->name, t) < 0)
        return para_fail_memory(err, f->path);
    PARA_TRY(read_shape(t, f, err));
    PARA_TRY(read_number(&type, f, 4, t->name, err));
    PARA_TRY(measure_tensor(t, f, (uint32_t)type, err));
    PARA_TRY(read_number(offset, f, 8, t->name, err));
    if (*offset % f->alignment != 0)
        return para_fail(err, PARA_EFORMAT,
                         "%s: tensor \"%.120s\" begins at byte %llu of the data, expected a multiple"
                         " of %zu",
                         f->path, t->name, (unsigned long long)*offset, f->alignment);
    return 0;
}

static int find_alignment(struct para_gguf *f, para_error *err)
{
    static const char key[] = "general.alignment";
    const struct para_gguf_value *v;
    f->alignment = USUAL_ALIGNMENT;
    if (!para_gguf_find(f, key))
        return 0;
    PARA_TRY(para_gguf_need(&v, f, key, PARA_GGUF_WHOLE, err));
    int64_t n = para_gguf_whole(v, 0);
    if (n < 1 || n > INT32_MAX || (n & (n - 1)) != 0)
        return para_fail(err, PARA_EFORMAT, "%s: \"%s\" is %lld, expected a power of two", f->path, key, (long long)n);
    f->alignment = (size_t)n;
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct para_gguf_tensor *const *x = a, *const *y = b;
    const char *p = (*x)->data, *q = (*y)->data;
    return p != q ? (p > q) - (p < q) : ((*x)->bytes > (*y)->bytes) - ((*x)->bytes < (*y)->bytes);
}

static int check_apart(const struct para_gguf *f, para_error *err)
{
    const struct para_gguf_tensor **order = malloc(((size_t)f->tensor_count + 1) * sizeof *order);
    if (!order)
        return para_fail_memory(err, f->path);
    int status = 0;
    for (int64_t i = 0; i < f->tensor_count; i++)
        order[i] = &f->tensors[i];
    qsort(order, (size_t)f->tensor_count, sizeof *order, by_place);
    for (int64_t i = 1; i < f->tensor_count && status == 0; i++)
        if ((const char *)order[i]->data < (const char *)order[i - 1]->data + order[i - 1]->bytes)
            status = para_fail(err, PARA_EFORMAT, "%s: tensor \"%.120s\" begins inside of \"%.120s\"", f->path,
                               order[i]->name, order[i - 1]->name);
    free(order);
    return status;
}

static int place_tensors(struct para_gguf *f, const uint64_t *offsets, para_error *err)
{
    size_t padding = (f->alignment - f->at % f->alignment) % f->alignment;
    size_t begin = f->at + (padding < bytes_left(f) ? padding : bytes_left(f)), room = f->map.bytes - begin;
    for (int64_t i = 0; i < f->tensor_count; i++) {
        struct para_gguf_tensor *t = &f->tensors[i];
        if (offsets[i] > room || t->bytes > room - (size_t)offsets[i])
            return para_fail(
                err, PARA_EFORMAT,
                "%s: tensor \"%.120s\" has %zu bytes from byte %llu of the data on, which has %zu: the file"
                " is cut off, or another one's end",
                f->path, t->name, t->bytes, (unsigned long long)offsets[i], room);
        t->data = f->map.data + begin + offsets[i];
    }
    return check_apart(f, err);
}

static int read_tensors(struct para_gguf *f, uint64_t count, para_error *err)
{
    if (count > bytes_left(f) / LEAST_TENSOR)
        return para_fail(err, PARA_EFORMAT, "%s: says that it has %llu tensors, which the %zu bytes left can't hold",
                         f->path, (unsigned long long)count, bytes_left(f));
    uint64_t *offsets = malloc(((size_t)count + 1) * sizeof *offsets);
    f->tensors = para_arena_alloc(&f->arena, ((size_t)count + 1) * sizeof *f->tensors);
    int status = offsets && f->tensors ? find_alignment(f, err) : para_fail_memory(err, f->path);
    for (uint64_t i = 0; i < count && status == 0; i++)
        status = read_tensor(f, &offsets[i], err);
    if (status == 0)
        status = place_tensors(f, offsets, err);
    free(offsets);
    return status;
}

/* --- the file --- */

static int check_version(const struct para_gguf *f, uint64_t version, para_error *err)
{
    if (version == 2 || version == 3)
        return 0;
    bool swapped = (version & 0xffff) == 0;
    return para_fail(err, PARA_EFORMAT, "%s: is GGUF of version %llu%s, expected 2 or 3", f->path,
                     (unsigned long long)(swapped ? version >> 24 : version), swapped ? ", big-endian" : "");
}

static int read_all(struct para_gguf *f, para_error *err)
{
    static const char magic[] = "GGUF", header[] = "the header";
    uint64_t word, version, tensors, pairs;
    if (f->map.bytes < strlen(magic) || memcmp(f->map.data, magic, strlen(magic)) != 0)
        return para_fail(err, PARA_EFORMAT, "%s: isn't a GGUF file, which begins with \"%s\"", f->path, magic);
    PARA_TRY(read_number(&word, f, 4, header, err));
    PARA_TRY(read_number(&version, f, 4, header, err));
    PARA_TRY(check_version(f, version, err));
    PARA_TRY(read_number(&tensors, f, 8, header, err));
    PARA_TRY(read_number(&pairs, f, 8, header, err));
    if (pairs > bytes_left(f) / LEAST_PAIR)
        return para_fail(err, PARA_EFORMAT, "%s: says that it has %llu keys, which the %zu bytes left can't hold",
                         f->path, (unsigned long long)pairs, bytes_left(f));
    f->values = para_arena_alloc(&f->arena, ((size_t)pairs + 1) * sizeof *f->values);
    if (!f->values)
        return para_fail_memory(err, f->path);
    for (uint64_t i = 0; i < pairs; i++)
        PARA_TRY(read_pair(f, err));
    return read_tensors(f, tensors, err);
}

int para_gguf_open(struct para_gguf **out, const char *path, para_error *err)
{
    struct para_gguf *f = calloc(1, sizeof *f);
    if (!f)
        return para_fail_memory(err, path);
    int status = para_path(f->path, err, "%s", path);
    if (status == 0)
        status = para_map_open(&f->map, path, err);
    if (status == 0)
        status = read_all(f, err);
    if (status < 0)
        para_gguf_close(f);
    else
        *out = f;
    return status;
}

void para_gguf_close(struct para_gguf *f)
{
    if (!f)
        return;
    para_map_close(&f->map);
    para_strmap_free(&f->keys);
    para_strmap_free(&f->names);
    para_arena_free(&f->arena);
    free(f);
}

const char *para_gguf_path(const struct para_gguf *f)
{
    return f->path;
}

int64_t para_gguf_value_count(const struct para_gguf *f)
{
    return f->value_count;
}

const struct para_gguf_value *para_gguf_value(const struct para_gguf *f, int64_t i)
{
    return &f->values[i];
}

const struct para_gguf_value *para_gguf_find(const struct para_gguf *f, const char *key)
{
    return para_strmap_get(&f->keys, key);
}

int64_t para_gguf_tensor_count(const struct para_gguf *f)
{
    return f->tensor_count;
}

const struct para_gguf_tensor *para_gguf_tensor(const struct para_gguf *f, int64_t i)
{
    return &f->tensors[i];
}

const struct para_gguf_tensor *para_gguf_find_tensor(const struct para_gguf *f, const char *name)
{
    return para_strmap_get(&f->names, name);
}

/* --- values --- */

static int need(const struct para_gguf_value **out, const struct para_gguf *f, const char *key,
                enum para_gguf_want want, bool list, para_error *err)
{
    static const char *const wants[] = {[PARA_GGUF_WHOLE] = "whole number",
                                        [PARA_GGUF_REAL] = "number",
                                        [PARA_GGUF_FLAG] = "bool",
                                        [PARA_GGUF_STRING] = "string"};
    const struct para_gguf_value *v = para_gguf_find(f, key);
    enum para_gguf_want has = v ? value_types[v->type].want : want;
    bool suits = has == want || (want == PARA_GGUF_REAL && has == PARA_GGUF_WHOLE);
    if (v && suits && v->list == list) {
        *out = v;
        return 0;
    }
    return para_fail(err, PARA_EFORMAT, "%s: \"%s\" is %s%s, expected %s%s%s", f->path, key,
                     v && v->list ? "an array of " : "", v ? value_types[v->type].name : "missing",
                     list ? "an array of " : "a ", wants[want], list ? "s" : "");
}

int para_gguf_need(const struct para_gguf_value **out, const struct para_gguf *f, const char *key,
                   enum para_gguf_want want, para_error *err)
{
    return need(out, f, key, want, false, err);
}

int para_gguf_need_list(const struct para_gguf_value **out, const struct para_gguf *f, const char *key,
                        enum para_gguf_want want, para_error *err)
{
    return need(out, f, key, want, true, err);
}

static uint64_t bits_of(const struct para_gguf_value *v, int64_t i)
{
    int bytes = value_types[v->type].bytes;
    return number_at(v->data + i * bytes, bytes);
}

int64_t para_gguf_whole(const struct para_gguf_value *v, int64_t i)
{
    uint64_t bits = bits_of(v, i);
    switch (v->type) {
    case PARA_GGUF_I8:
        return (int8_t)bits;
    case PARA_GGUF_I16:
        return (int16_t)bits;
    case PARA_GGUF_I32:
        return (int32_t)bits;
    case PARA_GGUF_I64:
        return (int64_t)bits;
    default:
        return bits > INT64_MAX ? INT64_MAX : (int64_t)bits;
    }
}

double para_gguf_real(const struct para_gguf_value *v, int64_t i)
{
    uint64_t bits = bits_of(v, i);
    uint32_t low = (uint32_t)bits;
    float single;
    double whole;
    memcpy(&single, &low, sizeof single);
    memcpy(&whole, &bits, sizeof whole);
    return v->type == PARA_GGUF_F32 ? (double)single : v->type == PARA_GGUF_F64 ? whole : (double)para_gguf_whole(v, i);
}

bool para_gguf_flag(const struct para_gguf_value *v, int64_t i)
{
    return bits_of(v, i) != 0;
}

struct para_gguf_text para_gguf_text(const struct para_gguf_value *v, int64_t i)
{
    const unsigned char *start = v->data + v->starts[i];
    return (struct para_gguf_text){(const char *)start + 8, (size_t)number_at(start, 8)};
}

bool para_gguf_text_is(struct para_gguf_text text, const char *string)
{
    return text.bytes == strlen(string) && memcmp(text.data, string, text.bytes) == 0;
}

size_t para_gguf_value_bytes(const struct para_gguf_value *v)
{
    if (v->type != PARA_GGUF_TEXT)
        return (size_t)v->count * (size_t)value_types[v->type].bytes;
    if (v->count == 0)
        return 0;
    struct para_gguf_text last = para_gguf_text(v, v->count - 1);
    return (size_t)((const unsigned char *)last.data + last.bytes - v->data);
}
