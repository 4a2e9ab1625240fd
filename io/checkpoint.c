/* Checkpoints: a session's parameters and optimizer states as a Hugging Face style folder.
 *
 * Values are named by the graph as written, so files don't depend on splits. A file's tensor holds the same
 * elements in the same order as the value; the axes that it sees as one dimension are merged. */
#include <paragraph/data.h>
#include <paragraph/optim.h>

#include "base/fail.h"
#include "base/strmap.h"
#include "io/config.h"
#include "io/folder.h"
#include "io/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 160, AXES_BYTES = 160 };

static const char PREFIX[] = "transformer.";

/* A parameter or state of the graph and its place in a file. */
struct value {
    const char *base; /* its name in the graph */
    char name[NAME_BYTES];
    char axes[AXES_BYTES]; /* "(embd, 3 x heads x head_dim)" */
    para_entry expected;   /* as it is written; name and data not set */
    para_entry found;      /* as it was read */
};

struct values {
    struct value *items;
    int count;
};

static bool ends_with(const char *string, const char *end)
{
    size_t length = strlen(string), end_length = strlen(end);
    return length > end_length && strcmp(string + length - end_length, end) == 0;
}

/* A parameter has its name in Hugging Face files, a moment that of its parameter with ".m" or ".v" after it,
 * another state its own. */
static int file_name(struct value *v, para_kind kind, para_error *err)
{
    char stem[NAME_BYTES];
    bool moment = kind == PARA_STATE && (ends_with(v->base, ".m") || ends_with(v->base, ".v"));
    size_t stem_length = strlen(v->base) - (moment ? 2 : 0);
    if (snprintf(stem, sizeof stem, "%.*s", (int)stem_length, v->base) >= NAME_BYTES)
        return para_fail(err, PARA_ENAME, "the name \"%.120s...\" is too long for a checkpoint", v->base);
    if (para_gpt2_file_name(stem, v->name, sizeof v->name - 2)) {
        if (moment)
            memcpy(v->name + strlen(v->name), v->base + stem_length, 3);
        return 0;
    }
    if (kind == PARA_PARAMETER)
        return para_fail(err, PARA_ENAME, "parameter \"%s\" has no place in a GPT-2 checkpoint", v->base);
    snprintf(v->name, sizeof v->name, "%s", v->base);
    return 0;
}

/* Axes of attention's inner width lie in one dimension of a file: (embd, qkv, heads, head_dim) is (768, 2304). */
static bool is_inner(const char *axis)
{
    return strcmp(axis, "qkv") == 0 || strcmp(axis, "heads") == 0 || strcmp(axis, "head_dim") == 0;
}

static void file_shape(struct value *v, const para_tensor *t)
{
    para_entry *e = &v->expected;
    e->dtype = para_tensor_dtype(t);
    e->bytes = para_dtype_bytes(e->dtype);
    bool inner = false;
    int used = snprintf(v->axes, AXES_BYTES, "(");
    for (int i = 0; i < para_tensor_rank(t); i++) {
        const char *axis = para_tensor_dim(t, i).axis;
        int64_t whole = para_tensor_whole(t, i);
        bool merge = inner && is_inner(axis);
        const char *between = merge ? " x " : i ? ", " : "";
        if (strcmp(axis, "qkv") == 0)
            used += snprintf(v->axes + used, (size_t)(AXES_BYTES - used), "%s%d", between, (int)whole);
        else
            used += snprintf(v->axes + used, (size_t)(AXES_BYTES - used), "%s%.20s", between, axis);
        if (merge)
            e->shape[e->rank - 1] *= whole;
        else
            e->shape[e->rank++] = whole;
        e->bytes *= (size_t)whole;
        inner = is_inner(axis);
    }
    snprintf(v->axes + used, (size_t)(AXES_BYTES - used), ")");
}

static int add_value(struct values *values, struct para_strmap *seen, const para_tensor *t, para_error *err)
{
    const char *base = para_tensor_base(t);
    if (para_strmap_get(seen, base))
        return 0; /* another tile of it */
    struct value *v = &values->items[values->count++];
    if (para_strmap_set(seen, base, v) < 0)
        return para_fail_memory(err, base);
    v->base = base;
    file_shape(v, t);
    return file_name(v, para_tensor_kind(t), err);
}

/* List the graph's values of one kind, each once, in the graph's order. The caller frees items. */
static int list_values(struct values *out, const para_graph *g, para_kind kind, para_error *err)
{
    struct para_strmap seen = {0};
    struct values values = {calloc((size_t)para_graph_tensor_count(g) + 1, sizeof *values.items), 0};
    int status = values.items ? 0 : para_fail_memory(err, "a checkpoint");
    for (int i = 0; status == 0 && i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (para_tensor_kind(t) == kind && !para_tensor_producer(t))
            status = add_value(&values, &seen, t, err);
    }
    para_strmap_free(&seen);
    if (status < 0)
        free(values.items);
    else
        *out = values;
    return status;
}

/* --- saving --- */

struct source {
    const struct values *values;
    para_session *session;
};

static int fetch(void *user, int i, void *buffer, para_error *err)
{
    const struct source *from = user;
    const struct value *v = &from->values->items[i];
    return para_session_get(from->session, v->base, buffer, v->expected.bytes, err);
}

static int save_values(const char *folder, const char *name, const para_graph *g, para_session *s, para_kind kind,
                       para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/%s", folder, name));
    struct values values;
    PARA_TRY(list_values(&values, g, kind, err));
    para_entry *entries = calloc((size_t)values.count + 1, sizeof *entries);
    int status = entries ? 0 : para_fail_memory(err, path);
    for (int i = 0; entries && i < values.count; i++) {
        entries[i] = values.items[i].expected;
        entries[i].name = values.items[i].name;
    }
    struct source source = {&values, s};
    if (status == 0)
        status = para_safetensors_stream(path, entries, values.count, fetch, &source, err);
    free(entries);
    free(values.items);
    return status;
}

/* The trainer's step and the session's must be the same, or a resumed run would go on from another place. */
static int check_step(const para_graph *g, para_session *s, const para_trainer *trainer, para_error *err)
{
    if (!para_graph_find(g, PARA_STEP))
        return 0;
    int32_t step;
    PARA_TRY(para_session_get(s, PARA_STEP, &step, sizeof step, err));
    if (step != trainer->step)
        return para_fail(err, PARA_EINVAL,
                         "the trainer has done %lld steps, the session's " PARA_STEP " is %d; expected"
                         " the same",
                         (long long)trainer->step, step);
    return 0;
}

static int save_files(const char *folder, const para_gpt2 *model, const para_graph *g, para_session *s,
                      const para_trainer *trainer, para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/config.json", folder));
    PARA_TRY(para_config_save(path, model, err));
    PARA_TRY(save_values(folder, "model.safetensors", g, s, PARA_PARAMETER, err));
    if (!trainer)
        return 0;
    PARA_TRY(check_step(g, s, trainer, err));
    PARA_TRY(save_values(folder, "optimizer.safetensors", g, s, PARA_STATE, err));
    PARA_TRY(para_path(path, err, "%s/trainer.json", folder));
    return para_trainer_save(path, trainer, err);
}

int para_checkpoint_save(const char *dir, const para_gpt2 *model, const para_graph *g, para_session *s,
                         const para_trainer *trainer, para_error *err)
{
    static const char *const ours[] = {"config.json", "model.safetensors", "optimizer.safetensors", "trainer.json",
                                       NULL};
    PARA_TRY(para_gpt2_check(model, err));
    struct para_new_folder folder;
    PARA_TRY(para_new_folder_begin(&folder, dir, err));
    int status = save_files(folder.temporary, model, g, s, trainer, err);
    if (status < 0) {
        para_new_folder_abandon(&folder);
        return status;
    }
    return para_new_folder_commit(&folder, ours, err);
}

int para_checkpoint_check(const char *dir, para_error *err)
{
    struct para_new_folder folder;
    PARA_TRY(para_new_folder_begin(&folder, dir, err));
    para_new_folder_abandon(&folder);
    return 0;
}

/* --- loading --- */

static int find_tensor(const para_safetensors *f, const char *name)
{
    int i = para_safetensors_find(f, name);
    if (i < 0 && strncmp(name, PREFIX, sizeof PREFIX - 1) == 0)
        i = para_safetensors_find(f, name + sizeof PREFIX - 1);
    return i;
}

static int match(struct value *v, const para_safetensors *f, const char *path, para_error *err)
{
    int i = find_tensor(f, v->name);
    if (i < 0)
        return para_fail(err, PARA_EFORMAT, "%s: has no tensor \"%s\"", path, v->name);
    const para_entry *want = &v->expected;
    v->found = para_safetensors_entry(f, i);
    if (v->found.dtype != want->dtype)
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%s\" is %s, expected %s", path, v->found.name,
                         para_dtype_name(v->found.dtype), para_dtype_name(want->dtype));
    bool same = v->found.rank == want->rank;
    for (int d = 0; same && d < want->rank; d++)
        same = v->found.shape[d] == want->shape[d];
    char found[PARA_SHAPE_LIST], wanted[PARA_SHAPE_LIST];
    if (!same)
        return para_fail(err, PARA_ESHAPE, "%s: tensor \"%s\" has shape %s, expected %s = %s", path, v->found.name,
                         para_shape_list(v->found.shape, v->found.rank, found),
                         para_shape_list(want->shape, want->rank, wanted), v->axes);
    return 0;
}

/* Causal masks, which older files keep as tensors, and the head that is tied to wte carry nothing of their own. */
static bool is_known_extra(const char *name)
{
    return ends_with(name, ".attn.bias") || ends_with(name, ".attn.masked_bias") || strcmp(name, "lm_head.weight") == 0;
}

static int refuse_extras(const struct values *values, const para_safetensors *f, const char *path, para_error *err)
{
    for (int i = 0; i < para_safetensors_count(f); i++) {
        para_entry e = para_safetensors_entry(f, i);
        bool used = is_known_extra(e.name);
        for (int k = 0; k < values->count && !used; k++)
            used = strcmp(values->items[k].found.name, e.name) == 0;
        if (!used)
            return para_fail(err, PARA_EFORMAT,
                             "%s: tensor \"%.120s\" has no place in this graph (another number of layers,"
                             " or another optimizer?)",
                             path, e.name);
    }
    return 0;
}

static int check_tied_head(const para_safetensors *f, const char *path, para_error *err)
{
    int head = para_safetensors_find(f, "lm_head.weight"), wte = find_tensor(f, "transformer.wte.weight");
    if (head < 0 || wte < 0)
        return 0;
    para_entry a = para_safetensors_entry(f, head), b = para_safetensors_entry(f, wte);
    if (a.bytes != b.bytes || memcmp(a.data, b.data, a.bytes) != 0)
        return para_fail(err, PARA_ESUPPORT,
                         "%s: tensor \"lm_head.weight\" differs from \"%s\", expected a head tied to it", path, b.name);
    return 0;
}

/* A file and the values that it fills. */
struct part {
    para_safetensors *file;
    struct values values;
};

static void part_close(struct part *p)
{
    para_safetensors_close(p->file);
    free(p->values.items);
    *p = (struct part){0};
}

/* Open a file and match it with the graph; the session isn't touched yet. */
static int part_open(struct part *p, const char *folder, const char *name, const para_graph *g, para_kind kind,
                     para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/%s", folder, name));
    PARA_TRY(para_safetensors_open(&p->file, path, err));
    PARA_TRY(list_values(&p->values, g, kind, err));
    for (int i = 0; i < p->values.count; i++)
        PARA_TRY(match(&p->values.items[i], p->file, path, err));
    PARA_TRY(refuse_extras(&p->values, p->file, path, err));
    return check_tied_head(p->file, path, err);
}

static int part_set(const struct part *p, para_session *s, para_error *err)
{
    for (int i = 0; i < p->values.count; i++) {
        const struct value *v = &p->values.items[i];
        PARA_TRY(para_session_set(s, v->base, v->found.data, v->found.bytes, err));
    }
    return 0;
}

/* The number of heads shows in no file's shape, so config.json has to say it. */
static int check_heads(const char *folder, const para_graph *g, para_error *err)
{
    para_gpt2 model;
    PARA_TRY(para_checkpoint_config(folder, &model, err));
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        for (int d = 0; d < para_tensor_rank(t); d++)
            if (strcmp(para_tensor_dim(t, d).axis, "heads") == 0 && para_tensor_whole(t, d) != model.heads)
                return para_fail(err, PARA_ESHAPE, "%s/config.json: n_head is %lld, the graph has %lld heads", folder,
                                 (long long)model.heads, (long long)para_tensor_whole(t, d));
    }
    return 0;
}

/* trainer.json and optimizer.safetensors must be of one save. */
static int load_trainer(para_trainer *out, const struct part *optimizer, const char *folder, para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/trainer.json", folder));
    PARA_TRY(para_trainer_load(path, out, err));
    for (int i = 0; i < optimizer->values.count; i++) {
        const struct value *v = &optimizer->values.items[i];
        int32_t step;
        if (strcmp(v->base, PARA_STEP) != 0 || v->found.bytes != sizeof step)
            continue;
        memcpy(&step, v->found.data, sizeof step);
        if (step != out->step)
            return para_fail(err, PARA_EFORMAT, "%s: step is %lld, optimizer.safetensors has %d; expected the same",
                             path, (long long)out->step, step);
    }
    return 0;
}

static int load_parts(struct part *model, struct part *optimizer, const char *folder, const para_graph *g,
                      para_session *s, para_trainer *trainer, para_error *err)
{
    para_trainer loaded = {0};
    PARA_TRY(part_open(model, folder, "model.safetensors", g, PARA_PARAMETER, err));
    if (trainer) {
        PARA_TRY(part_open(optimizer, folder, "optimizer.safetensors", g, PARA_STATE, err));
        PARA_TRY(load_trainer(&loaded, optimizer, folder, err));
    }
    PARA_TRY(part_set(model, s, err));
    PARA_TRY(part_set(optimizer, s, err));
    if (trainer)
        *trainer = loaded;
    return 0;
}

int para_checkpoint_config(const char *dir, para_gpt2 *out, para_error *err)
{
    char folder[PARA_PATH_BYTES], path[PARA_PATH_BYTES];
    PARA_TRY(para_folder_find(folder, dir, err));
    PARA_TRY(para_path(path, err, "%s/config.json", folder));
    return para_config_load(path, out, err);
}

int para_checkpoint_load(const char *dir, const para_graph *g, para_session *s, para_trainer *trainer, para_error *err)
{
    char folder[PARA_PATH_BYTES];
    PARA_TRY(para_folder_find(folder, dir, err));
    PARA_TRY(check_heads(folder, g, err));
    struct part model = {0}, optimizer = {0};
    int status = load_parts(&model, &optimizer, folder, g, s, trainer, err);
    part_close(&model);
    part_close(&optimizer);
    return status;
}
