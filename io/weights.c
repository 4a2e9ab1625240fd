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

/* A name without what PyTorch's wrappers put before it: those of torch.compile() and of data parallel training. */
static const char *unwrapped(const char *name)
{
    static const char *const wrappers[] = {"_orig_mod.", "module."};
    for (size_t i = 0; i < sizeof wrappers / sizeof wrappers[0]; i++)
        if (strncmp(name, wrappers[i], strlen(wrappers[i])) == 0)
            return unwrapped(name + strlen(wrappers[i]));
    return name;
}

static int add(struct para_weights *w, const struct shard *s, int i, para_error *err)
{
    struct para_weight *item = &w->items[w->count++];
    *item = (struct para_weight){.entry = para_safetensors_entry(s->file, i), .path = s->path};
    item->entry.name = unwrapped(item->entry.name);
    if (para_strmap_get(&w->names, item->entry.name))
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%.120s\" stands there under two names", s->path,
                         item->entry.name);
    return para_strmap_set(&w->names, item->entry.name, item) < 0 ? para_fail_memory(err, s->path) : 0;
}

int para_weights_open_file(struct para_weights *w, const char *path, const char *prefix, para_error *err)
{
    struct shard *s;
    w->prefix = prefix;
    PARA_TRY(para_path(w->path, err, "%s", path));
    PARA_TRY(open_shard(&s, w, path, err));
    int count = para_safetensors_count(s->file);
    PARA_TRY(para_weights_reserve(w, (size_t)count, err));
    for (int i = 0; i < count; i++)
        PARA_TRY(add(w, s, i, err));
    return 0;
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

/* Tensors whose type Paragraph lacks were left out of the file's list, and may be named by the index. */
static int add_named(struct para_weights *w, const char *folder, const char *name, const json_t *value, para_error *err)
{
    struct shard *s;
    if (!json_is_string(value))
        return para_fail(err, PARA_EFORMAT, "%s: weight_map: \"%.120s\": expected the name of a file", w->path, name);
    PARA_TRY(find_shard(&s, w, folder, json_string_value(value), err));
    int i = para_safetensors_find(s->file, name);
    return i < 0 ? 0 : add(w, s, i, err);
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

/* transformers prefers the one file, too. */
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

int para_weights_open(struct para_weights *w, const char *folder, const char *prefix, para_error *err)
{
    char file[PARA_PATH_BYTES];
    w->prefix = prefix;
    PARA_TRY(para_path(file, err, "%s/" PARA_WEIGHTS_FILE, folder));
    PARA_TRY(para_path(w->path, err, "%s/" PARA_WEIGHTS_INDEX, folder));
    if (access(file, F_OK) != 0 && access(w->path, F_OK) == 0)
        return open_index(w, folder, err);
    PARA_TRY(refuse_others(folder, file, err));
    return para_weights_open_file(w, file, prefix, err);
}

static int add_gguf(struct para_weights *w, const struct para_gguf_tensor *t, para_error *err)
{
    struct para_weight *item = &w->items[w->count++];
    *item = (struct para_weight){.path = w->path, .type = t->type};
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
    item->entry.name = para_arena_string(&w->arena, name);
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

bool para_weight_is(const struct para_weight *w, para_dtype dtype)
{
    return w->type ? w->type->dtype == (int)dtype : w->entry.dtype == dtype;
}

const char *para_weight_type(const struct para_weight *w)
{
    return w->type ? w->type->name : para_dtype_name(w->entry.dtype);
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
