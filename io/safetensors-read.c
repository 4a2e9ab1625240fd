/* Reading safetensors files. The file is believed in nothing: every number of its header is checked against the
 * others and against the file's length before the first tensor is handed out. */
#include "io/safetensors.h"

#include "base/arena.h"
#include "base/fail.h"
#include "base/strmap.h"
#include "io/file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct para_safetensors {
    struct para_arena arena;
    struct para_strmap names; /* name -> para_entry */
    struct para_map map;
    const unsigned char *data; /* the first byte after the header */
    size_t data_bytes;
    para_entry *entries; /* in the order of their data */
    int count;
    struct para_other *others; /* of types that Paragraph lacks: checked like the others, then left out */
    int other_count;
};

/* A tensor of the file. */
struct span {
    para_entry entry;
    size_t begin;
    const char *type;
    bool usable;
};

struct file_type {
    const char *name;
    size_t bytes;
    int dtype; /* para_dtype, or -1 */
};

static const struct file_type file_types[] = {
    {"F32", 4, PARA_F32}, {"F16", 2, PARA_F16}, {"BF16", 2, PARA_BF16}, {"I32", 4, PARA_I32}, {"F64", 8, -1},
    {"I64", 8, -1},       {"U64", 8, -1},       {"U32", 4, -1},         {"I16", 2, -1},       {"U16", 2, -1},
    {"I8", 1, PARA_I8},   {"U8", 1, -1},        {"BOOL", 1, -1},        {"F8_E4M3", 1, -1},   {"F8_E5M2", 1, -1},
};

static const struct file_type *find_type(const char *name)
{
    for (size_t i = 0; name && i < sizeof file_types / sizeof file_types[0]; i++)
        if (strcmp(file_types[i].name, name) == 0)
            return &file_types[i];
    return NULL;
}

static int read_shape(para_entry *e, const json_t *shape, const char *path, para_error *err)
{
    if (!json_is_array(shape) || json_array_size(shape) > 8)
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%.120s\": expected shape to be a list of at most 8 numbers",
                         path, e->name);
    e->rank = (int)json_array_size(shape);
    for (int i = 0; i < e->rank; i++) {
        const json_t *extent = json_array_get(shape, (size_t)i);
        if (!json_is_integer(extent) || json_integer_value(extent) < 0)
            return para_fail(err, PARA_EFORMAT,
                             "%s: tensor \"%.120s\": dimension %d of its shape isn't a whole number of"
                             " at least 0",
                             path, e->name, i);
        e->shape[i] = json_integer_value(extent);
    }
    return 0;
}

static int read_offsets(struct span *s, const json_t *offsets, const struct para_safetensors *f, const char *path,
                        para_error *err)
{
    const json_t *begin = json_array_get(offsets, 0), *end = json_array_get(offsets, 1);
    if (json_array_size(offsets) != 2 || !json_is_integer(begin) || !json_is_integer(end))
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%.120s\": expected data_offsets to be two whole numbers",
                         path, s->entry.name);
    json_int_t b = json_integer_value(begin), e = json_integer_value(end);
    if (b < 0 || e < b || (uint64_t)e > f->data_bytes)
        return para_fail(err, PARA_EFORMAT,
                         "%s: tensor \"%.120s\" lies at bytes %lld to %lld, expected offsets in order"
                         " within the file's %zu bytes of data",
                         path, s->entry.name, (long long)b, (long long)e, f->data_bytes);
    s->begin = (size_t)b;
    s->entry.bytes = (size_t)(e - b);
    s->entry.data = f->data + b;
    return 0;
}

static int read_tensor(struct span *s, const char *name, const json_t *value, struct para_safetensors *f,
                       const char *path, para_error *err)
{
    s->entry.name = para_arena_string(&f->arena, name);
    if (!s->entry.name)
        return para_fail_memory(err, path);
    const char *type_name = json_string_value(json_object_get(value, "dtype"));
    const struct file_type *type = find_type(type_name);
    if (!type)
        return para_fail(err, PARA_EFORMAT,
                         "%s: tensor \"%.120s\" has dtype %.40s, expected one of the format's (F32, F16,"
                         " BF16, I32, ...)",
                         path, name, type_name ? type_name : "(none)");
    PARA_TRY(read_shape(&s->entry, json_object_get(value, "shape"), path, err));
    PARA_TRY(read_offsets(s, json_object_get(value, "data_offsets"), f, path, err));
    char shape[PARA_SHAPE_LIST];
    para_shape_list(s->entry.shape, s->entry.rank, shape);
    size_t bytes;
    if (!para_safetensors_bytes(s->entry.shape, s->entry.rank, type->bytes, &bytes))
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%.120s\": shape %s is too large for any file", path, name,
                         shape);
    if (bytes != s->entry.bytes)
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%.120s\" has %zu bytes of data, expected %zu for %s %s", path,
                         name, s->entry.bytes, bytes, type->name, shape);
    s->usable = type->dtype >= 0;
    s->type = type->name;
    if (s->usable)
        s->entry.dtype = (para_dtype)type->dtype;
    else
        para_log(PARA_LOG_INFO, "%s: tensor \"%.120s\" is left out: no values of type %s here", path, name, type->name);
    return 0;
}

static int by_place(const void *a, const void *b)
{
    const struct span *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->entry.bytes > y->entry.bytes) - (x->entry.bytes < y->entry.bytes);
}

/* The tensors, in the order of their data, must cover it without overlaps and holes. */
static int check_cover(const struct span *spans, size_t count, size_t data_bytes, const char *path, para_error *err)
{
    size_t next = 0;
    for (size_t i = 0; i < count; i++) {
        if (spans[i].begin < next)
            return para_fail(err, PARA_EFORMAT,
                             "%s: tensor \"%.120s\" begins at byte %zu, inside of \"%.120s\", which ends"
                             " at %zu",
                             path, spans[i].entry.name, spans[i].begin, spans[i - 1].entry.name, next);
        if (spans[i].begin > next)
            return para_fail(err, PARA_EFORMAT, "%s: bytes %zu to %zu before tensor \"%.120s\" belong to no tensor",
                             path, next, spans[i].begin, spans[i].entry.name);
        next += spans[i].entry.bytes;
    }
    if (next != data_bytes)
        return para_fail(err, PARA_EFORMAT, "%s: the tensors end at byte %zu of the data, expected its end at %zu",
                         path, next, data_bytes);
    return 0;
}

/* Keep the usable entries and index them by name; names are different, as the parser saw to. */
static int keep_entries(struct para_safetensors *f, const struct span *spans, size_t count, const char *path,
                        para_error *err)
{
    f->entries = para_arena_alloc(&f->arena, (count + 1) * sizeof *f->entries);
    f->others = para_arena_alloc(&f->arena, (count + 1) * sizeof *f->others);
    if (!f->entries || !f->others)
        return para_fail_memory(err, path);
    for (size_t i = 0; i < count; i++) {
        if (!spans[i].usable) {
            f->others[f->other_count++] = (struct para_other){spans[i].entry, spans[i].type};
            continue;
        }
        para_entry *e = &f->entries[f->count++];
        *e = spans[i].entry;
        if (para_strmap_set(&f->names, e->name, e) < 0)
            return para_fail_memory(err, path);
    }
    return 0;
}

static int read_tensors(struct para_safetensors *f, json_t *header, const char *path, para_error *err)
{
    struct span *spans = calloc(json_object_size(header) + 1, sizeof *spans);
    if (!spans)
        return para_fail_memory(err, path);
    size_t count = 0;
    int status = 0;
    for (void *i = json_object_iter(header); i && status == 0; i = json_object_iter_next(header, i))
        if (strcmp(json_object_iter_key(i), "__metadata__") != 0)
            status = read_tensor(&spans[count++], json_object_iter_key(i), json_object_iter_value(i), f, path, err);
    if (status == 0) {
        qsort(spans, count, sizeof *spans, by_place);
        status = check_cover(spans, count, f->data_bytes, path, err);
    }
    if (status == 0)
        status = keep_entries(f, spans, count, path, err);
    free(spans);
    return status;
}

static int read_header(struct para_safetensors *f, const char *path, para_error *err)
{
    if (f->map.bytes < PARA_SAFETENSORS_PREFIX)
        return para_fail(err, PARA_EFORMAT, "%s: has %zu bytes, expected a safetensors file of at least %d", path,
                         f->map.bytes, PARA_SAFETENSORS_PREFIX);
    static const char pointer[] = "version https://git-lfs";
    if (f->map.bytes >= strlen(pointer) && memcmp(f->map.data, pointer, strlen(pointer)) == 0)
        return para_fail(err, PARA_EFORMAT, "%s: is a pointer of Git LFS, not the file; \"git lfs pull\" gets it",
                         path);
    uint64_t length = 0;
    for (int i = 0; i < PARA_SAFETENSORS_PREFIX; i++)
        length |= (uint64_t)f->map.data[i] << 8 * i;
    size_t rest = f->map.bytes - PARA_SAFETENSORS_PREFIX;
    if (length > rest || length > PARA_SAFETENSORS_HEADER_MAX)
        return para_fail(err, PARA_EFORMAT,
                         "%s: the header says that it has %llu bytes, expected at most %zu (this isn't a"
                         " safetensors file, or it is cut off)",
                         path, (unsigned long long)length,
                         rest < PARA_SAFETENSORS_HEADER_MAX ? rest : (size_t)PARA_SAFETENSORS_HEADER_MAX);
    f->data = f->map.data + PARA_SAFETENSORS_PREFIX + length;
    f->data_bytes = rest - (size_t)length;
    json_error_t why;
    const char *text = (const char *)f->map.data + PARA_SAFETENSORS_PREFIX;
    json_t *header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &why);
    if (!header)
        return para_fail(err, PARA_EFORMAT, "%s: byte %d of the header: %.200s", path, why.position, why.text);
    int status = json_is_object(header) ? read_tensors(f, header, path, err)
                                        : para_fail(err, PARA_EFORMAT, "%s: the header isn't a JSON object", path);
    json_decref(header);
    return status;
}

int para_safetensors_open(para_safetensors **out, const char *path, para_error *err)
{
    struct para_safetensors *f = calloc(1, sizeof *f);
    if (!f)
        return para_fail_memory(err, path);
    int status = para_map_open(&f->map, path, err);
    if (status == 0)
        status = read_header(f, path, err);
    if (status < 0) {
        para_safetensors_close(f);
        return status;
    }
    *out = f;
    return 0;
}

void para_safetensors_close(para_safetensors *f)
{
    if (!f)
        return;
    para_map_close(&f->map);
    para_strmap_free(&f->names);
    para_arena_free(&f->arena);
    free(f);
}

int para_safetensors_count(const para_safetensors *f)
{
    return f->count;
}

para_entry para_safetensors_entry(const para_safetensors *f, int i)
{
    return f->entries[i];
}

int para_safetensors_find(const para_safetensors *f, const char *name)
{
    const para_entry *e = para_strmap_get(&f->names, name);
    return e ? (int)(e - f->entries) : -1;
}

int para_safetensors_other_count(const para_safetensors *f)
{
    return f->other_count;
}

const struct para_other *para_safetensors_other(const para_safetensors *f, int i)
{
    return &f->others[i];
}

/* The first and the last page may hold other tensors too; they are read again from the file if need be. */
void para_safetensors_forget(const para_entry *e)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)e->data / page * page;
    if (e->bytes > 0)
        madvise((void *)begin, (uintptr_t)e->data + e->bytes - begin, MADV_DONTNEED);
}
