/* Checkpoints: a session's parameters and optimizer states as a Hugging Face style folder.
 *
 * Values are named by the graph as written, so files don't depend on splits. A file's tensor holds the same
 * elements in the same order as the value; the axes that it sees as one dimension are merged. */
#include <paragraph/data.h>
#include <paragraph/optim.h>

#include "base/dtype.h"
#include "base/fail.h"
#include "base/strmap.h"
#include "io/config.h"
#include "io/folder.h"
#include "io/safetensors.h"
#include "io/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES = 160, AXES_BYTES = 160 };

/* A parameter or state of the graph and its place in a file. */
struct value {
    const char *base; /* its name in the graph */
    char name[NAME_BYTES];
    char axes[AXES_BYTES]; /* "(embd, 3 x heads x head_dim)" */
    para_entry expected;   /* as it is written; name and data not set */
    const struct para_weight *found;
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

/* Scales of int8 weights are made from the values that a file holds. */
static bool is_scale(const para_graph *g, const para_tensor *t)
{
    const char *base = para_tensor_base(t);
    size_t length = strlen(base) - (ends_with(base, ".scale") ? strlen(".scale") : 0);
    for (int i = 0; i < para_graph_tensor_count(g) && base[length]; i++) {
        const para_tensor *w = para_graph_tensor(g, i);
        const char *name = para_tensor_base(w);
        if (para_tensor_dtype(w) == PARA_I8 && strncmp(name, base, length) == 0 && !name[length])
            return true;
    }
    return false;
}

/* List the graph's values of one kind, each once, in the graph's order, scales left out. The caller frees items. */
static int list_values(struct values *out, const para_graph *g, para_kind kind, para_error *err)
{
    struct para_strmap seen = {0};
    struct values values = {calloc((size_t)para_graph_tensor_count(g) + 1, sizeof *values.items), 0};
    int status = values.items ? 0 : para_fail_memory(err, "a checkpoint");
    for (int i = 0; status == 0 && i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (para_tensor_kind(t) == kind && !para_tensor_producer(t) && !is_scale(g, t))
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
    for (int i = 0; status == 0 && i < values.count; i++) {
        entries[i] = values.items[i].expected;
        entries[i].name = values.items[i].name;
        if (entries[i].dtype == PARA_I8)
            status = para_fail(err, PARA_ESUPPORT, "%s: parameter \"%s\" is i8, expected weights of f32 or bf16 to save",
                               path, values.items[i].base);
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
    PARA_TRY(save_values(folder, PARA_WEIGHTS_FILE, g, s, PARA_PARAMETER, err));
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
    static const char *const ours[] = {"config.json",
                                       PARA_WEIGHTS_FILE,
                                       PARA_WEIGHTS_INDEX,
                                       PARA_WEIGHTS_SHARDS,
                                       "optimizer.safetensors",
                                       "trainer.json",
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

static int match_shape(const struct para_weight *w, const para_entry *want, const char *axes, para_error *err)
{
    const para_entry *found = &w->entry;
    bool same = found->rank == want->rank;
    for (int d = 0; same && d < want->rank; d++)
        same = found->shape[d] == want->shape[d];
    char has[PARA_SHAPE_LIST], wanted[PARA_SHAPE_LIST];
    if (!same)
        return para_fail(err, PARA_ESHAPE, "%s: tensor \"%s\" has shape %s, expected %s = %s", w->path, found->name,
                         para_shape_list(found->shape, found->rank, has),
                         para_shape_list(want->shape, want->rank, wanted), axes);
    return 0;
}

/* The types of a file's tensor that a value of some type is made from. */
static const char *sources_of(para_dtype dtype)
{
    return para_dtype_weighs(dtype) ? "f32, f16 or bf16" : para_dtype_name(dtype);
}

static int match(struct value *v, const struct para_weights *weights, para_error *err)
{
    v->found = para_weights_find(weights, v->name);
    para_dtype dtype = v->expected.dtype;
    if (!v->found)
        return para_fail(err, PARA_EFORMAT, "%s: has no tensor \"%s\" of type %s", weights->path, v->name,
                         sources_of(dtype));
    if (!para_weight_converts(v->found, dtype))
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%s\" is %s, expected %s", v->found->path,
                         v->found->entry.name, para_dtype_name(v->found->entry.dtype), sources_of(dtype));
    return match_shape(v->found, &v->expected, v->axes, err);
}

/* Causal masks, which older files keep as tensors, and the head that is tied to wte carry nothing of their own. */
static bool is_known_extra(const char *name)
{
    return ends_with(name, ".attn.bias") || ends_with(name, ".attn.masked_bias") || strcmp(name, "lm_head.weight") == 0;
}

static int refuse_extras(const struct values *values, const struct para_weights *weights, para_error *err)
{
    for (int i = 0; i < weights->count; i++) {
        const struct para_weight *w = &weights->items[i];
        bool used = is_known_extra(w->entry.name);
        for (int k = 0; k < values->count && !used; k++)
            used = values->items[k].found == w;
        if (!used)
            return para_fail(err, PARA_EFORMAT,
                             "%s: tensor \"%.120s\" has no place in this graph (another number of layers,"
                             " or another optimizer?)",
                             w->path, w->entry.name);
    }
    return 0;
}

static int check_tied_head(const struct para_weights *weights, para_error *err)
{
    const struct para_weight *head = para_weights_find(weights, "lm_head.weight");
    const struct para_weight *wte = para_weights_find(weights, "transformer.wte.weight");
    if (!head || !wte)
        return 0;
    const para_entry *a = &head->entry, *b = &wte->entry;
    bool same = a->dtype == b->dtype && a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
    para_safetensors_forget(a);
    para_safetensors_forget(b);
    return same ? 0
                : para_fail(err, PARA_ESUPPORT,
                            "%s: tensor \"lm_head.weight\" differs from \"%s\", expected a head tied to it", head->path,
                            b->name);
}

/* Weights and the values that they fill. */
struct part {
    struct para_weights weights;
    struct values values;
};

static void part_close(struct part *p)
{
    para_weights_close(&p->weights);
    free(p->values.items);
    *p = (struct part){0};
}

/* Match weights with the graph; the session isn't touched yet. */
static int part_match(struct part *p, const para_graph *g, para_kind kind, para_error *err)
{
    PARA_TRY(list_values(&p->values, g, kind, err));
    for (int i = 0; i < p->values.count; i++)
        PARA_TRY(match(&p->values.items[i], &p->weights, err));
    PARA_TRY(refuse_extras(&p->values, &p->weights, err));
    return check_tied_head(&p->weights, err);
}

static int set_converted(para_session *s, const struct value *v, para_error *err)
{
    const para_entry *e = &v->found->entry;
    size_t count = v->expected.bytes / para_dtype_bytes(v->expected.dtype);
    if (e->dtype == PARA_F32 && (uintptr_t)e->data % _Alignof(float) == 0)
        return para_session_set_weight(s, v->base, e->data, (int64_t)count, err);
    float *converted = malloc(count * sizeof *converted);
    if (!converted)
        return para_fail_memory(err, v->found->path);
    para_weight_convert(converted, v->found, (int64_t)count);
    int status = para_session_set_weight(s, v->base, converted, (int64_t)count, err);
    free(converted);
    return status;
}

/* One tensor after another: no more than one is in memory beside the session's values. */
static int part_set(const struct part *p, para_session *s, para_error *err)
{
    for (int i = 0; i < p->values.count; i++) {
        const struct value *v = &p->values.items[i];
        const para_entry *e = &v->found->entry;
        PARA_TRY(e->dtype == v->expected.dtype ? para_session_set(s, v->base, e->data, e->bytes, err)
                                               : set_converted(s, v, err));
        para_safetensors_forget(e);
    }
    return 0;
}

/* The number of heads shows in no file's shape, so config.json has to say it. */
static int check_heads(const char *folder, const para_graph *g, para_error *err)
{
    para_gpt2 model;
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/config.json", folder));
    PARA_TRY(para_config_load(path, &model, err));
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        for (int d = 0; d < para_tensor_rank(t); d++)
            if (strcmp(para_tensor_dim(t, d).axis, "heads") == 0 && para_tensor_whole(t, d) != model.heads)
                return para_fail(err, PARA_ESHAPE, "%s: n_head is %lld, the graph has %lld heads", path,
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
        if (strcmp(v->base, PARA_STEP) != 0 || v->found->entry.bytes != sizeof step)
            continue;
        memcpy(&step, v->found->entry.data, sizeof step);
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
    PARA_TRY(para_weights_open(&model->weights, folder, err));
    PARA_TRY(part_match(model, g, PARA_PARAMETER, err));
    if (trainer) {
        char path[PARA_PATH_BYTES];
        PARA_TRY(para_path(path, err, "%s/optimizer.safetensors", folder));
        PARA_TRY(para_weights_open_file(&optimizer->weights, path, err));
        PARA_TRY(part_match(optimizer, g, PARA_STATE, err));
        PARA_TRY(load_trainer(&loaded, optimizer, folder, err));
    }
    PARA_TRY(part_set(model, s, err));
    PARA_TRY(part_set(optimizer, s, err));
    if (trainer)
        *trainer = loaded;
    return 0;
}

/* Sizes that the weights don't bear out are told before anyone builds a graph, or makes room, by them. */
static int check_sizes(const para_gpt2 *m, const struct para_weights *weights, para_error *err)
{
    char last[NAME_BYTES];
    snprintf(last, sizeof last, "transformer.h.%lld.mlp.c_fc.weight", (long long)m->layers - 1);
    const struct {
        const char *name, *axes;
        para_entry expected;
    } sizes[] = {{"transformer.wte.weight", "(vocab_size, n_embd)", {.rank = 2, .shape = {m->vocab, m->embd}}},
                 {"transformer.wpe.weight", "(n_positions, n_embd)", {.rank = 2, .shape = {m->context, m->embd}}},
                 {last, "(n_embd, n_inner)", {.rank = 2, .shape = {m->embd, m->ff}}}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const struct para_weight *w = para_weights_find(weights, sizes[i].name);
        if (!w)
            return para_fail(err, PARA_EFORMAT, "%s: has no tensor \"%s\", expected by config.json", weights->path,
                             sizes[i].name);
        PARA_TRY(match_shape(w, &sizes[i].expected, sizes[i].axes, err));
    }
    return 0;
}

static bool has_weights(const char *folder)
{
    char file[PARA_PATH_BYTES], index[PARA_PATH_BYTES];
    return para_path(file, NULL, "%s/" PARA_WEIGHTS_FILE, folder) == 0 &&
           para_path(index, NULL, "%s/" PARA_WEIGHTS_INDEX, folder) == 0 &&
           (access(file, F_OK) == 0 || access(index, F_OK) == 0);
}

int para_checkpoint_config(const char *dir, para_gpt2 *out, para_error *err)
{
    char folder[PARA_PATH_BYTES], path[PARA_PATH_BYTES];
    para_gpt2 model;
    PARA_TRY(para_folder_find(folder, dir, err));
    PARA_TRY(para_path(path, err, "%s/config.json", folder));
    PARA_TRY(para_config_load(path, &model, err));
    if (has_weights(folder)) {
        struct para_weights weights = {0};
        int status = para_weights_open(&weights, folder, err);
        if (status == 0)
            status = check_sizes(&model, &weights, err);
        para_weights_close(&weights);
        PARA_TRY(status);
    }
    *out = model;
    return 0;
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
