/* Checkpoints: a session's parameters and optimizer states as a Hugging Face style folder of the model's family. */
#include "io/checkpoint.h"

#include <paragraph/optim.h>

#include "base/dtype.h"
#include "base/fail.h"
#include "io/adapter.h"
#include "io/config.h"
#include "io/folder.h"
#include "io/gguf-model.h"
#include "io/safetensors.h"
#include "io/source.h"

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

/* The first of so many numbers that isn't finite, or their count; data of files may lie anywhere. */
static size_t first_infinite(const void *data, size_t count)
{
    const unsigned char *bytes = data;
    size_t i = 0;
    for (float x; i < count; i++) {
        memcpy(&x, bytes + i * sizeof x, sizeof x);
        if (!isfinite(x))
            break;
    }
    return i;
}

/* A run whose model computes nothing must not replace one that does. */
static int check_finite(const struct para_value *v, const float *x, para_error *err)
{
    size_t count = v->expected.dtype == PARA_F32 ? v->expected.bytes / sizeof *x : 0, i = first_infinite(x, count);
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

int para_values_save(const char *folder, const char *name, const struct para_family *family, const para_graph *g,
                     para_session *s, enum para_value_set set, bool finite, para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/%s", folder, name));
    struct para_values values;
    PARA_TRY(para_values_list(&values, g, family, PARA_FOLDER, set, err));
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

int para_run_save(const char *folder, const struct para_family *family, const para_graph *g, para_session *s,
                  const para_trainer *trainer, para_error *err)
{
    char path[PARA_PATH_BYTES];
    if (!trainer)
        return 0;
    PARA_TRY(check_step(g, s, trainer, err));
    PARA_TRY(para_values_save(folder, PARA_OPTIMIZER_FILE, family, g, s, PARA_VALUES_OPTIMIZER, false, err));
    PARA_TRY(para_path(path, err, "%s/" PARA_TRAINER_FILE, folder));
    return para_trainer_save(path, trainer, err);
}

static int save_files(const char *folder, const para_model *model, const para_graph *g, para_session *s,
                      const para_trainer *trainer, para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/config.json", folder));
    PARA_TRY(para_config_save(path, model, err));
    PARA_TRY(para_values_save(folder, PARA_WEIGHTS_FILE, model->family, g, s, PARA_VALUES_MODEL, trainer, err));
    return para_run_save(folder, model->family, g, s, trainer, err);
}

const char *const para_checkpoint_files[] = {"config.json",       PARA_WEIGHTS_FILE,   PARA_WEIGHTS_INDEX,
                                             PARA_WEIGHTS_SHARDS, PARA_ADAPTER_CONFIG, PARA_ADAPTER_FILE,
                                             PARA_OPTIMIZER_FILE, PARA_TRAINER_FILE,   NULL};

int para_checkpoint_save(const char *dir, const para_model *model, const para_graph *g, para_session *s,
                         const para_trainer *trainer, para_error *err)
{
    PARA_TRY(para_model_check(model, err));
    struct para_new_folder folder;
    PARA_TRY(para_new_folder_begin(&folder, dir, err));
    int status = save_files(folder.temporary, model, g, s, trainer, err);
    if (status < 0) {
        para_new_folder_abandon(&folder);
        return status;
    }
    return para_new_folder_commit(&folder, para_checkpoint_files, err);
}

int para_checkpoint_check(const char *dir, para_error *err)
{
    struct para_new_folder folder;
    PARA_TRY(para_new_folder_begin(&folder, dir, err));
    para_new_folder_abandon(&folder);
    return 0;
}

/* --- loading --- */

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

/* Hold a graph's sizes against the model of a file. */
static int check_graph(const char *path, const para_model *model, const para_graph *g, para_error *err)
{
    for (int i = 0; i < para_graph_tensor_count(g); i++)
        PARA_TRY(check_axes(path, model, para_graph_tensor(g, i), err));
    return 0;
}

/* Read the model of a folder, which has the graph's sizes. */
static int load_model(para_model **out, const char *folder, const para_graph *g, para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/config.json", folder));
    PARA_TRY(para_config_load(path, out, err));
    int status = check_graph(path, *out, g, err);
    if (status < 0)
        para_model_free(*out);
    return status;
}

/* trainer.json and optimizer.safetensors must be of one save. */
static int load_trainer(para_trainer *out, const struct para_part *optimizer, const char *folder, para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/" PARA_TRAINER_FILE, folder));
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

/* The next step would make the parameters what these are, and no loss tells before. */
static int check_states(const struct para_part *optimizer, para_error *err)
{
    for (int i = 0; i < optimizer->values.count; i++) {
        const struct para_weight *w = optimizer->values.items[i].found;
        size_t count = para_weight_is(w, PARA_F32) ? w->entry.bytes / sizeof(float) : 0,
               e = first_infinite(w->entry.data, count);
        if (e < count)
            return para_fail(err, PARA_EFORMAT, "%s: tensor \"%s\" has an element, number %zu, that isn't finite",
                             w->path, w->written, e);
        para_safetensors_forget(&w->entry);
    }
    return 0;
}

int para_run_match(struct para_part *optimizer, const char *folder, const struct para_family *family,
                   const para_graph *g, para_trainer *trainer, para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/" PARA_OPTIMIZER_FILE, folder));
    PARA_TRY(para_weights_open_file(&optimizer->weights, path, family->forms[PARA_FOLDER].prefix, err));
    PARA_TRY(para_part_match(optimizer, family, g, PARA_VALUES_OPTIMIZER, err));
    PARA_TRY(check_states(optimizer, err));
    return load_trainer(trainer, optimizer, folder, err);
}

/* What is loaded: a model's weights, what an adapter adds to them, and the run. */
struct loading {
    const para_graph *g;
    const char *adapter; /* a folder; NULL: none */
    struct para_part weights, optimizer;
    struct para_merge merge;
};

static void loading_close(struct loading *l)
{
    para_part_close(&l->weights);
    para_part_close(&l->optimizer);
    para_merge_close(&l->merge);
}

/* Find a place for each tensor of the weights, which are open. */
static int match_weights(struct loading *l, const para_model *model, para_error *err)
{
    PARA_TRY(para_part_match(&l->weights, model->family, l->g, PARA_VALUES_MODEL, err));
    return l->adapter ? para_merge_begin(&l->merge, &l->weights, l->adapter, model, err) : 0;
}

static int open_folder(struct loading *l, const char *dir, para_trainer *trainer, para_error *err)
{
    char folder[PARA_PATH_BYTES];
    para_model *model;
    PARA_TRY(para_folder_find(folder, dir, err));
    PARA_TRY(load_model(&model, folder, l->g, err));
    int status = para_weights_open(&l->weights.weights, folder, model->family->forms[PARA_FOLDER].prefix, err);
    if (status == 0)
        status = match_weights(l, model, err);
    if (status == 0 && trainer)
        status = para_run_match(&l->optimizer, folder, model->family, l->g, trainer, err);
    para_model_free(model);
    return status;
}

static int open_file(struct loading *l, const char *path, para_error *err)
{
    para_model *model = NULL;
    PARA_TRY(para_source_open(&model, &l->weights, path, err));
    int status = check_graph(path, model, l->g, err);
    if (status == 0)
        status = match_weights(l, model, err);
    para_model_free(model);
    return status;
}

static int open_parts(struct loading *l, const char *dir, para_trainer *trainer, para_error *err)
{
    bool is_file = para_source_is_file(dir) && !trainer;
    return is_file ? open_file(l, dir, err) : open_folder(l, dir, trainer, err);
}

static int load(struct loading *l, const char *dir, para_session *s, para_trainer *trainer, para_error *err)
{
    para_trainer loaded = {0};
    int status = open_parts(l, dir, trainer ? &loaded : NULL, err);
    if (status == 0)
        status = para_part_set(&l->weights, s, false, err);
    if (status == 0)
        status = para_part_set(&l->optimizer, s, false, err);
    if (status == 0 && trainer)
        *trainer = loaded;
    loading_close(l);
    return status;
}

int para_checkpoint_load(const char *dir, const para_graph *g, para_session *s, para_trainer *trainer, para_error *err)
{
    return load(&(struct loading){.g = g}, dir, s, trainer, err);
}

int para_checkpoint_load_adapted(const char *dir, const char *adapter, const para_graph *g, para_session *s,
                                 para_error *err)
{
    return load(&(struct loading){.g = g, .adapter = adapter}, dir, s, NULL, err);
}

/* --- lending --- */

struct para_lender {
    struct loading open;
    para_lent *values;
    int count;
};

static int list_lent(para_lender *l, para_error *err)
{
    const struct para_values *values = &l->open.weights.values;
    l->values = calloc((size_t)values->count + 1, sizeof *l->values);
    for (int i = 0; i < values->count && l->values; i++) {
        const struct para_value *v = &values->items[i];
        if (para_value_lends(v))
            l->values[l->count++] = (para_lent){v->base, v->found->entry.data, v->found->entry.bytes};
    }
    return l->values ? 0 : para_fail_memory(err, "lending weights");
}

int para_lender_open(para_lender **out, const char *dir, const char *adapter, const para_graph *g, para_error *err)
{
    para_lender *l = calloc(1, sizeof *l);
    if (!l)
        return para_fail_memory(err, "lending weights");
    l->open = (struct loading){.g = g, .adapter = adapter};
    int status = open_parts(&l->open, dir, NULL, err);
    if (status == 0)
        status = list_lent(l, err);
    if (status < 0)
        para_lender_close(l);
    else
        *out = l;
    return status;
}

const para_lent *para_lender_values(const para_lender *l, int *count)
{
    *count = l->count;
    return l->values;
}

/* What the session had to copy is needed no more; what it reads comes back. */
int para_lender_load(const para_lender *l, para_session *s, para_error *err)
{
    const struct para_values *values = &l->open.weights.values;
    for (int i = 0; i < values->count; i++)
        if (para_value_lends(&values->items[i]))
            para_safetensors_forget(&values->items[i].found->entry);
    return para_part_set(&l->open.weights, s, true, err);
}

void para_lender_close(para_lender *l)
{
    if (!l)
        return;
    loading_close(&l->open);
    free(l->values);
    free(l);
}

/* --- models --- */

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
    int status = para_weights_open(&weights, folder, model->family->forms[PARA_FOLDER].prefix, err);
    if (status == 0)
        status = para_weights_check(&weights, PARA_FOLDER, model, err);
    para_weights_close(&weights);
    return status;
}

static int model_from_file(para_model **out, const char *path, para_error *err)
{
    struct para_part p = {0};
    para_model *model;
    int status = para_source_open(&model, &p, path, err);
    para_part_close(&p);
    if (status == 0)
        *out = model;
    return status;
}

int para_model_open(para_model **out, const char *dir, para_error *err)
{
    char folder[PARA_PATH_BYTES], path[PARA_PATH_BYTES];
    para_model *model;
    if (para_source_is_file(dir))
        return model_from_file(out, dir, err);
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
    if (para_gguf_is(dir))
        return para_gguf_ends(dir, ids, count, err);
    if (para_source_is_file(dir)) {
        *ids = NULL;
        *count = 0;
        return 0;
    }
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
