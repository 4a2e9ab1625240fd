/* The weights of a folder or a GGUF file. Files are mapped; their data is touched when it is read, no sooner. */
#include "io/weights.h"

#include "base/dtype.h"
#include "base/fail.h"
#include "io/safetensors.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct shard {
    struct shard *before;
    para_safetensors *file;
    char path[PARA_PATH_BYTES];
};

static int open_shard(struct shard **out, struct para_weights *w, const char *path, para_error *err)
{
    struct shard *s = calloc(1, sizeof *s);
    if (!s)
        return para_fail_memory(err, path);
    s->before = w->last;
    w->last = s;
    PARA_TRY(para_path(s->path, err, "%s", path));
    PARA_TRY(para_safetensors_open(&s->file, path, err));
    *out = s;
    return 0;
}

int para_weights_reserve(struct para_weights *w, size_t count, para_error *err)
{
    w->items = calloc(count + 1, sizeof *w->items);
    return w->items ? 0 : para_fail_memory(err, w->path);
}

static void add(struct para_weights *w, const struct shard *s, para_entry entry, const char *other)
{
    w->items[w->count++] = (struct para_weight){.entry = entry, .written = entry.name, .path = s->path, .other = other};
}

static void add_other(struct para_weights *w, const struct shard *s, int i)
{
    const struct para_other *o = para_safetensors_other(s->file, i);
    add(w, s, o->entry, o->type);
}

/* How much of every name is a wrapper's: what all begin with, up to a point, but for the family's own prefix. */
static size_t wrapper_length(const struct para_weights *w)
{
    const char *first = w->count > 0 ? w->items[0].written : "";
    size_t length = strlen(first), own = w->prefix ? strlen(w->prefix) : 0;
    for (int i = 1; i < w->count; i++)
        while (strncmp(first, w->items[i].written, length) != 0)
            length--;
    while (length > 0 && first[length - 1] != '.')
        length--;
    bool within = false; /* whether the family's prefix comes only after that */
    for (int i = 0; i < w->count && own > 0; i++)
        within = within || strncmp(w->items[i].written + length, w->prefix, own) == 0;
    if (!within && length >= own && own > 0 && memcmp(first + length - own, w->prefix, own) == 0)
        length -= own;
    return length > 0 && first[length - 1] == '.' ? length : 0;
}

static int index_names(struct para_weights *w, size_t wrapper, para_error *err)
{
    for (int i = 0; i < w->count; i++) {
        w->items[i].entry.name += wrapper;
        if (para_strmap_set(&w->names, w->items[i].entry.name, &w->items[i]) < 0)
            return para_fail_memory(err, w->path);
    }
    return 0;
}

static int open_file(struct para_weights *w, const char *path, para_error *err)
{
    struct shard *s;
    PARA_TRY(para_path(w->path, err, "%s", path));
    PARA_TRY(open_shard(&s, w, path, err));
    int count = para_safetensors_count(s->file), others = para_safetensors_other_count(s->file);
    PARA_TRY(para_weights_reserve(w, (size_t)count + (size_t)others, err));
    for (int i = 0; i < count; i++)
        add(w, s, para_safetensors_entry(s->file, i), NULL);
    for (int i = 0; i < others; i++)
        add_other(w, s, i);
    return 0;
}

int para_weights_open_file(struct para_weights *w, const char *path, const char *prefix, para_error *err)
{
    w->prefix = prefix;
    PARA_TRY(open_file(w, path, err));
    return index_names(w, 0, err);
}

/* A file of the folder that the index names: opened once. */
static int find_shard(struct shard **out, struct para_weights *w, const char *folder, const char *name, para_error *err)
{
    char path[PARA_PATH_BYTES];
    *out = para_strmap_get(&w->shards, name);
    if (*out)
        return 0;
    if (!name[0] || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return para_fail(err, PARA_EFORMAT, "%s: weight_map names the file \"%.120s\", expected one of this folder",
                         w->path, name);
    PARA_TRY(para_path(path, err, "%s/%s", folder, name));
    PARA_TRY(open_shard(out, w, path, err));
    return para_strmap_set(&w->shards, (*out)->path + strlen(folder) + 1, *out) < 0 ? para_fail_memory(err, path) : 0;
}

static int find_other(const para_safetensors *f, const char *name)
{
    int i = para_safetensors_other_count(f) - 1;
    while (i >= 0 && strcmp(para_safetensors_other(f, i)->entry.name, name) != 0)
        i--;
    return i;
}

static int add_named(struct para_weights *w, const char *folder, const char *name, const json_t *value, para_error *err)
{
    struct shard *s;
    if (!json_is_string(value))
        return para_fail(err, PARA_EFORMAT, "%s: weight_map: \"%.120s\": expected the name of a file", w->path, name);
    PARA_TRY(find_shard(&s, w, folder, json_string_value(value), err));
    int i = para_safetensors_find(s->file, name), other = i < 0 ? find_other(s->file, name) : -1;
    if (i >= 0)
        add(w, s, para_safetensors_entry(s->file, i), NULL);
    else if (other >= 0)
        add_other(w, s, other);
    else if (!(name = para_arena_string(&w->arena, name)) || para_strmap_set(&w->absent, name, s) < 0)
        return para_fail_memory(err, w->path);
    return 0;
}

static int open_index(struct para_weights *w, const char *folder, para_error *err)
{
    json_t *index;
    PARA_TRY(para_json_load(&index, w->path, err));
    json_t *map = json_object_get(index, "weight_map");
    int status =
        json_is_object(map)
            ? para_weights_reserve(w, json_object_size(map), err)
            : para_fail(err, PARA_EFORMAT, "%s: expected \"weight_map\", an object from tensors to files", w->path);
    for (void *i = json_object_iter(map); i && status == 0; i = json_object_iter_next(map, i))
        status = add_named(w, folder, json_object_iter_key(i), json_object_iter_value(i), err);
    json_decref(index);
    return status;
}

/* Name the weights that are there in a form that isn't read. */
static int refuse_others(const char *folder, const char *file, para_error *err)
{
    static const char *const others[] = {"pytorch_model.bin", "pytorch_model.bin.index.json", "flax_model.msgpack",
                                         "tf_model.h5"};
    for (size_t i = 0; i < sizeof others / sizeof others[0] && access(file, F_OK) != 0; i++) {
        char other[PARA_PATH_BYTES];
        PARA_TRY(para_path(other, err, "%s/%s", folder, others[i]));
        if (access(other, F_OK) == 0)
            return para_fail(err, PARA_EIO, "%s: can't be read, expected weights as " PARA_WEIGHTS_FILE, other);
    }
    return 0;
}

/* transformers prefers the one file, too. */
int para_weights_open(struct para_weights *w, const char *folder, const char *prefix, para_error *err)
{
    char file[PARA_PATH_BYTES];
    w->prefix = prefix;
    PARA_TRY(para_path(file, err, "%s/" PARA_WEIGHTS_FILE, folder));
    PARA_TRY(para_path(w->path, err, "%s/" PARA_WEIGHTS_INDEX, folder));
    if (access(file, F_OK) != 0 && access(w->path, F_OK) == 0) {
        PARA_TRY(open_index(w, folder, err));
    } else {
        PARA_TRY(refuse_others(folder, file, err));
        PARA_TRY(open_file(w, file, err));
    }
    return index_names(w, wrapper_length(w), err);
}

static int add_gguf(struct para_weights *w, const struct para_gguf_tensor *t, para_error *err)
{
    struct para_weight *item = &w->items[w->count++];
    *item = (struct para_weight){.path = w->path, .written = t->name, .type = t->type};
    item->entry = (para_entry){.name = t->name, .rank = t->rank, .data = t->data, .bytes = t->bytes};
    if (t->type->dtype >= 0)
        item->entry.dtype = (para_dtype)t->type->dtype;
    memcpy(item->entry.shape, t->shape, (size_t)t->rank * sizeof t->shape[0]);
    return para_strmap_set(&w->names, t->name, item) < 0 ? para_fail_memory(err, w->path) : 0;
}

int para_weights_take_gguf(struct para_weights *w, struct para_gguf *file, para_error *err)
{
    int64_t count = para_gguf_tensor_count(file);
    w->gguf = file;
    PARA_TRY(para_path(w->path, err, "%s", para_gguf_path(file)));
    PARA_TRY(para_weights_reserve(w, (size_t)count, err));
    for (int64_t i = 0; i < count; i++)
        PARA_TRY(add_gguf(w, para_gguf_tensor(file, i), err));
    return 0;
}

int para_weights_add(struct para_weights *w, const char *name, const para_entry *entry, para_error *err)
{
    struct para_weight *item = &w->items[w->count++];
    *item = (struct para_weight){.entry = *entry, .path = w->path};
    item->entry.name = item->written = para_arena_string(&w->arena, name);
    bool added = item->entry.name && para_strmap_set(&w->names, item->entry.name, item) == 0;
    return added ? 0 : para_fail_memory(err, w->path);
}

void para_weights_close(struct para_weights *w)
{
    for (struct shard *s = w->last, *before; s; s = before) {
        before = s->before;
        para_safetensors_close(s->file);
        free(s);
    }
    para_gguf_close(w->gguf);
    para_map_close(&w->map);
    para_arena_free(&w->arena);
    para_strmap_free(&w->names);
    para_strmap_free(&w->shards);
    para_strmap_free(&w->absent);
    free(w->items);
    *w = (struct para_weights){0};
}

const struct para_weight *para_weights_find(const struct para_weights *w, const char *name)
{
    const struct para_weight *found = para_strmap_get(&w->names, name);
    size_t length = w->prefix ? strlen(w->prefix) : 0;
    if (!found && length > 0 && strncmp(name, w->prefix, length) == 0)
        found = para_strmap_get(&w->names, name + length);
    return found;
}

const char *para_weights_absent(const struct para_weights *w, const char *name)
{
    const struct shard *s = para_strmap_get(&w->absent, name);
    return s ? s->path : NULL;
}

bool para_weight_is(const struct para_weight *w, para_dtype dtype)
{
    return w->type ? w->type->dtype == (int)dtype : !w->other && w->entry.dtype == dtype;
}

const char *para_weight_type(const struct para_weight *w)
{
    return w->type ? w->type->name : w->other ? w->other : para_dtype_name(w->entry.dtype);
}

bool para_weight_converts(const struct para_weight *w, para_dtype dtype)
{
    bool floats = w->type ? w->type->widen != NULL
                          : para_weight_is(w, PARA_F32) || para_weight_is(w, PARA_F16) || para_weight_is(w, PARA_BF16);
    return para_dtype_weighs(dtype) ? floats : para_weight_is(w, dtype);
}

void para_weight_convert(float *out, const struct para_weight *w, int64_t n)
{
    const struct para_block_type *type = w->type ? w->type : para_block_type_of(w->entry.dtype);
    if (para_weight_is(w, PARA_F32))
        memcpy(out, w->entry.data, (size_t)n * sizeof *out);
    else
        para_blocks_widen(out, type, w->entry.data, n);
}
