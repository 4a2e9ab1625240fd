/* Checkpoints: a session's parameters and optimizer states as a Hugging Face style folder of the model's family. */
#include <paragraph/data.h>
#include <paragraph/optim.h>

#include "base/dtype.h"
#include "base/fail.h"
#include "io/config.h"
#include "io/folder.h"
#include "io/safetensors.h"
#include "io/values.h"
#include "io/weights.h"
#include "models/family.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- saving --- */

struct source {
    const struct para_values *values;
    para_session *session;
    bool finite; /* what isn't is refused */
};

/* A run whose model computes nothing must not replace one that does. */
static int check_finite(const struct para_value *v, const float *x, para_error *err)
{
    size_t count = v->expected.dtype == PARA_F32 ? v->expected.bytes / sizeof *x : 0, i = 0;
    while (i < count && isfinite(x[i]))
        i++;
    return i == count
               ? 0
               : para_fail(err, PARA_ERANGE, "parameter \"%s\" has the value %g at %zu, expected finite ones to save",
                           v->base, (double)x[i], i);
}

static int fetch(void *user, int i, void *buffer, para_error *err)
{
    const struct source *from = user;
    const struct para_value *v = &from->values->items[i];
    PARA_TRY(para_session_get(from->session, v->base, buffer, v->expected.bytes, err));
    return from->finite ? check_finite(v, buffer, err) : 0;
}

static int save_values(const char *folder, const char *name, const struct para_family *family, const para_graph *g,
                       para_session *s, para_kind kind, bool finite, para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/%s", folder, name));
    struct para_values values;
    PARA_TRY(para_values_list(&values, g, family, kind, err));
    para_entry *entries = calloc((size_t)values.count + 1, sizeof *entries);
    int status = entries ? 0 : para_fail_memory(err, path);
    for (int i = 0; status == 0 && i < values.count; i++) {
        entries[i] = values.items[i].expected;
        entries[i].name = values.items[i].name;
        if (entries[i].dtype == PARA_I8 || para_dtype_blocks(entries[i].dtype))
            status =
                para_fail(err, PARA_ESUPPORT, "%s: parameter \"%s\" is %s, expected weights of f32 or bf16 to save",
                          path, values.items[i].base, para_dtype_name(entries[i].dtype));
    }
    struct source source = {&values, s, finite};
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

static int save_files(const char *folder, const para_model *model, const para_graph *g, para_session *s,
                      const para_trainer *trainer, para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/config.json", folder));
    PARA_TRY(para_config_save(path, model, err));
    PARA_TRY(save_values(folder, PARA_WEIGHTS_FILE, model->family, g, s, PARA_PARAMETER, trainer, err));
    if (!trainer)
        return 0;
    PARA_TRY(check_step(g, s, trainer, err));
    PARA_TRY(save_values(folder, "optimizer.safetensors", model->family, g, s, PARA_STATE, false, err));
    PARA_TRY(para_path(path, err, "%s/trainer.json", folder));
    return para_trainer_save(path, trainer, err);
}

int para_checkpoint_save(const char *dir, const para_model *model, const para_graph *g, para_session *s,
                         const para_trainer *trainer, para_error *err)
{
    static const char *const ours[] = {"config.json",
                                       PARA_WEIGHTS_FILE,
                                       PARA_WEIGHTS_INDEX,
                                       PARA_WEIGHTS_SHARDS,
                                       "optimizer.safetensors",
                                       "trainer.json",
                                       NULL};
    PARA_TRY(para_model_check(model, err));
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

/* Whether a tensor that may be a copy is one: not if the graph has a value for it, as for a head that isn't tied. */
static bool is_copy(const struct para_extra *e, const struct para_values *values)
{
    bool own = false;
    for (int i = 0; values && i < values->count && !own; i++)
        own = strcmp(values->items[i].name, e->pattern) == 0;
    return e->copy_of && !own;
}

/* Find a tensor by its name, or by that of a copy of it, as a head tied to the token table; values are those of the
 * graph, NULL where there is none yet. */
static const struct para_weight *find_weight(const struct para_weights *weights, const struct para_family *family,
                                             const struct para_values *values, const char *name)
{
    const struct para_weight *found = para_weights_find(weights, name);
    for (const struct para_extra *e = family->extras; e->pattern && !found; e++)
        if (is_copy(e, values) && strcmp(e->copy_of, name) == 0)
            found = para_weights_find(weights, e->pattern);
    return found;
}

/* Say that a tensor is missing, and name some that are there. */
static int fail_missing(const struct para_weights *weights, const char *name, const char *expected, para_error *err)
{
    enum { NAMED = 3 };
    char has[256] = "no tensor at all";
    size_t used = 0;
    for (int i = 0; i < weights->count && i < NAMED && used < sizeof has; i++)
        used +=
            (size_t)snprintf(has + used, sizeof has - used, "%s\"%.60s\"", i ? ", " : "", weights->items[i].entry.name);
    return para_fail(err, PARA_EFORMAT, "%s: has no tensor \"%s\"%s; it has %s%s", weights->path, name, expected, has,
                     weights->count > NAMED ? " and others" : "");
}

static int match(struct para_value *v, const struct para_weights *weights, const struct para_family *family,
                 const struct para_values *values, para_error *err)
{
    v->found = find_weight(weights, family, values, v->name);
    para_dtype dtype = v->expected.dtype;
    char expected[40];
    snprintf(expected, sizeof expected, " of type %s", sources_of(dtype));
    if (!v->found)
        return fail_missing(weights, v->name, expected, err);
    if (!para_weight_converts(v->found, dtype))
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%s\" is %s, expected %s", v->found->path,
                         v->found->entry.name, para_dtype_name(v->found->entry.dtype), sources_of(dtype));
    return match_shape(v->found, &v->expected, v->axes, err);
}

static const struct para_extra *find_extra(const struct para_family *family, const char *name)
{
    for (const struct para_extra *e = family->extras; e->pattern; e++)
        if (fnmatch(e->pattern, name, 0) == 0)
            return e;
    return NULL;
}

static int refuse_extras(const struct para_values *values, const struct para_weights *weights,
                         const struct para_family *family, para_error *err)
{
    for (int i = 0; i < weights->count; i++) {
        const struct para_weight *w = &weights->items[i];
        bool used = find_extra(family, w->entry.name);
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

static int check_copy(const struct para_weight *copy, const struct para_weight *of, para_error *err)
{
    const para_entry *a = &copy->entry, *b = &of->entry;
    bool same = a->dtype == b->dtype && a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0;
    para_safetensors_forget(a);
    para_safetensors_forget(b);
    return same ? 0
                : para_fail(err, PARA_ESUPPORT, "%s: tensor \"%s\" differs from \"%s\", expected a copy of it",
                            copy->path, a->name, b->name);
}

/* A tensor that stands twice in the file, as a head tied to the token table may, is one value of the graph. */
static int check_copies(const struct para_weights *weights, const struct para_family *family,
                        const struct para_values *values, para_error *err)
{
    for (const struct para_extra *e = family->extras; e->pattern; e++) {
        bool applies = is_copy(e, values);
        const struct para_weight *copy = applies ? para_weights_find(weights, e->pattern) : NULL;
        const struct para_weight *of = applies ? para_weights_find(weights, e->copy_of) : NULL;
        if (copy && of)
            PARA_TRY(check_copy(copy, of, err));
    }
    return 0;
}

/* Weights and the values that they fill. */
struct part {
    struct para_weights weights;
    struct para_values values;
};

static void part_close(struct part *p)
{
    para_weights_close(&p->weights);
    free(p->values.items);
    *p = (struct part){0};
}

/* Match weights with the graph; the session isn't touched yet. */
static int part_match(struct part *p, const struct para_family *family, const para_graph *g, para_kind kind,
                      para_error *err)
{
    PARA_TRY(para_values_list(&p->values, g, family, kind, err));
    for (int i = 0; i < p->values.count; i++)
        PARA_TRY(match(&p->values.items[i], &p->weights, family, &p->values, err));
    PARA_TRY(refuse_extras(&p->values, &p->weights, family, err));
    return check_copies(&p->weights, family, &p->values, err);
}

static int set_converted(para_session *s, const struct para_value *v, para_error *err)
{
    const para_entry *e = &v->found->entry;
    size_t bytes = (size_t)v->elements * sizeof(float);
    if (e->dtype == PARA_F32 && (uintptr_t)e->data % _Alignof(float) == 0 && v->in_order)
        return para_session_set_weight(s, v->base, e->data, v->elements, err);
    float *converted = malloc(bytes), *ordered = v->in_order ? converted : malloc(bytes);
    int status = converted && ordered ? 0 : para_fail_memory(err, v->found->path);
    if (status == 0) {
        para_weight_convert(converted, v->found, v->elements);
        if (!v->in_order)
            para_value_put_in_order(v, converted, ordered);
        status = para_session_set_weight(s, v->base, ordered, v->elements, err);
    }
    if (ordered != converted)
        free(ordered);
    free(converted);
    return status;
}

/* One tensor after another: no more than one is in memory beside the session's values. */
static int part_set(const struct part *p, para_session *s, para_error *err)
{
    for (int i = 0; i < p->values.count; i++) {
        const struct para_value *v = &p->values.items[i];
        const para_entry *e = &v->found->entry;
        PARA_TRY(e->dtype == v->expected.dtype ? para_session_set(s, v->base, e->data, e->bytes, err)
                                               : set_converted(s, v, err));
        para_safetensors_forget(e);
    }
    return 0;
}

static int64_t size_of(const para_model *model, const struct para_field *f)
{
    return *(const int64_t *)((const char *)model->config + f->offset);
}

/* A size that is an axis must be the graph's: some, as the number of heads, show in no file's shape. */
static int check_axes(const char *path, const para_model *model, const para_tensor *t, para_error *err)
{
    for (int d = 0; d < para_tensor_rank(t); d++)
        for (const struct para_field *f = model->family->fields; f->name; f++) {
            int64_t whole = para_tensor_whole(t, d);
            const char *axis = f->axis ? f->axis : f->size;
            if (axis && strcmp(axis, para_tensor_dim(t, d).axis) == 0 && size_of(model, f) != whole)
                return para_fail(err, PARA_ESHAPE, "%s: %s is %lld, the graph has %lld %s", path, f->name,
                                 (long long)size_of(model, f), (long long)whole, axis);
        }
    return 0;
}

/* Find the family of a folder whose model has the graph's sizes. */
static int find_family(const struct para_family **out, const char *folder, const para_graph *g, para_error *err)
{
    para_model *model;
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/config.json", folder));
    PARA_TRY(para_config_load(path, &model, err));
    int status = 0;
    for (int i = 0; i < para_graph_tensor_count(g) && status == 0; i++)
        status = check_axes(path, model, para_graph_tensor(g, i), err);
    if (status == 0)
        *out = model->family;
    para_model_free(model);
    return status;
}

/* trainer.json and optimizer.safetensors must be of one save. */
static int load_trainer(para_trainer *out, const struct part *optimizer, const char *folder, para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/trainer.json", folder));
    PARA_TRY(para_trainer_load(path, out, err));
    for (int i = 0; i < optimizer->values.count; i++) {
        const struct para_value *v = &optimizer->values.items[i];
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
    const struct para_family *family = NULL;
    PARA_TRY(find_family(&family, folder, g, err));
    PARA_TRY(para_weights_open(&model->weights, folder, family->prefix, err));
    PARA_TRY(part_match(model, family, g, PARA_PARAMETER, err));
    if (trainer) {
        char path[PARA_PATH_BYTES];
        PARA_TRY(para_path(path, err, "%s/optimizer.safetensors", folder));
        PARA_TRY(para_weights_open_file(&optimizer->weights, path, family->prefix, err));
        PARA_TRY(part_match(optimizer, family, g, PARA_STATE, err));
        PARA_TRY(load_trainer(&loaded, optimizer, folder, err));
    }
    PARA_TRY(part_set(model, s, err));
    PARA_TRY(part_set(optimizer, s, err));
    if (trainer)
        *trainer = loaded;
    return 0;
}

/* The size that has this name in config.json. */
static int64_t size_named(const para_model *model, const char *name)
{
    const struct para_field *f = model->family->fields;
    while (strcmp(f->name, name) != 0)
        f++;
    return size_of(model, f);
}

/* Sizes that the weights don't bear out are told before anyone builds a graph, or makes room, by them. */
static int check_sizes(const para_model *model, const struct para_weights *weights, para_error *err)
{
    int64_t last = para_model_measure(model).layers - 1;
    for (const struct para_evidence *e = model->family->evidence; e->tensor; e++) {
        char name[PARA_NAME_BYTES], axes[PARA_AXES_BYTES];
        para_name_of_layer(e->tensor, last, name, sizeof name);
        snprintf(axes, sizeof axes, "(%s, %s)", e->rows, e->columns);
        const struct para_weight *w = find_weight(weights, model->family, NULL, name);
        if (!w)
            return fail_missing(weights, name, ", expected by config.json", err);
        const para_entry expected = {.rank = 2, .shape = {size_named(model, e->rows), size_named(model, e->columns)}};
        PARA_TRY(match_shape(w, &expected, axes, err));
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

static int check_weights(const para_model *model, const char *folder, para_error *err)
{
    struct para_weights weights = {0};
    int status = para_weights_open(&weights, folder, model->family->prefix, err);
    if (status == 0)
        status = check_sizes(model, &weights, err);
    para_weights_close(&weights);
    return status;
}

int para_model_open(para_model **out, const char *dir, para_error *err)
{
    char folder[PARA_PATH_BYTES], path[PARA_PATH_BYTES];
    para_model *model;
    PARA_TRY(para_folder_find(folder, dir, err));
    PARA_TRY(para_path(path, err, "%s/config.json", folder));
    PARA_TRY(para_config_load(path, &model, err));
    int status = has_weights(folder) ? check_weights(model, folder, err) : 0;
    if (status < 0)
        para_model_free(model);
    else
        *out = model;
    return status;
}

int para_checkpoint_trainer(const char *dir, para_trainer *out, para_error *err)
{
    char folder[PARA_PATH_BYTES], path[PARA_PATH_BYTES];
    PARA_TRY(para_folder_find(folder, dir, err));
    PARA_TRY(para_path(path, err, "%s/trainer.json", folder));
    return para_trainer_load(path, out, err);
}

int para_checkpoint_ends(const char *dir, int32_t **ids, int64_t *count, para_error *err)
{
    char folder[PARA_PATH_BYTES], config[PARA_PATH_BYTES], generation[PARA_PATH_BYTES];
    int32_t *found = NULL;
    int64_t n = 0;
    PARA_TRY(para_folder_find(folder, dir, err));
    PARA_TRY(para_path(config, err, "%s/config.json", folder));
    PARA_TRY(para_path(generation, err, "%s/generation_config.json", folder));
    int status = para_config_ends(config, &found, &n, err);
    status = status < 0 ? status : para_config_ends(generation, &found, &n, err);
    if (status < 0) {
        free(found);
        return status;
    }
    *ids = found;
    *count = n;
    return 0;
}

int para_checkpoint_load(const char *dir, const para_graph *g, para_session *s, para_trainer *trainer, para_error *err)
{
    char folder[PARA_PATH_BYTES];
    PARA_TRY(para_folder_find(folder, dir, err));
    struct part model = {0}, optimizer = {0};
    int status = load_parts(&model, &optimizer, folder, g, s, trainer, err);
    part_close(&model);
    part_close(&optimizer);
    return status;
}
