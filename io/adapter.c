/* Adapters in the folders of PEFT: adapter_config.json and adapter_model.safetensors. */
#include "io/adapter.h"

#include "base/fail.h"
#include "io/checkpoint.h"
#include "io/config.h"
#include "io/folder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct para_adapter {
    para_lora how;
    char *targets, *base; /* that `how` has, and the base model's name */
};

/* --- adapter_config.json --- */

/* LoraConfig of PEFT 0.18. What is told doesn't matter to whoever reads the tensors: how they began, dropout, whether
 * files of the base model have matrices the other way round, and what isn't in use. */
static const struct para_field fields[] = {
    {PARA_FIELD_FIXED, "peft_type", .json = "\"LORA\""},
    {PARA_FIELD_TOLD, "task_type", .json = "\"CAUSAL_LM\""},
    {PARA_FIELD_TOLD, "inference_mode", .json = "true"},
    {PARA_FIELD_TOLD, "revision", .json = "null"},
    {PARA_FIELD_SIZE, "r", .offset = offsetof(para_lora, rank)},
    {PARA_FIELD_REAL, "lora_alpha", .offset = offsetof(para_lora, alpha), .absent = 8},
    {PARA_FIELD_BOOL, "use_rslora", .offset = offsetof(para_lora, rslora)},
    {PARA_FIELD_TOLD, "lora_dropout", .json = "0.0"},
    {PARA_FIELD_FIXED, "bias", .json = "\"none\""},
    {PARA_FIELD_FIXED, "lora_bias", .json = "false"},
    {PARA_FIELD_FIXED, "use_dora", .json = "false"},
    {PARA_FIELD_EMPTY, .name = "modules_to_save"},
    {PARA_FIELD_EMPTY, .name = "rank_pattern"},
    {PARA_FIELD_EMPTY, .name = "alpha_pattern"},
    {PARA_FIELD_EMPTY, .name = "exclude_modules"},
    {PARA_FIELD_EMPTY, .name = "layers_to_transform"},
    {PARA_FIELD_EMPTY, .name = "loftq_config"},
    {0},
};

/* Others that PEFT writes, whatever they say. */
static const char *const told[] = {"base_model_name_or_path",
                                   "target_modules",
                                   "init_lora_weights",
                                   "fan_in_fan_out",
                                   "auto_mapping",
                                   "eva_config",
                                   "corda_config",
                                   "megatron_core",
                                   "layers_pattern",
                                   "qalora_group_size",
                                   "peft_version",
                                   NULL};

static bool is_known(const char *name)
{
    bool known = false;
    for (const struct para_field *f = fields; f->name; f++)
        known = known || strcmp(f->name, name) == 0;
    for (const char *const *t = told; *t; t++)
        known = known || strcmp(*t, name) == 0;
    return known;
}

/* A field that isn't known must be one that isn't in use. */
static int check_others(const char *path, json_t *json, para_error *err)
{
    const char *name;
    json_t *value;
    json_object_foreach(json, name, value)
    {
        bool empty = json_is_null(value) || json_is_false(value) ||
                     (json_is_object(value) && json_object_size(value) == 0) ||
                     (json_is_array(value) && json_array_size(value) == 0);
        if (!empty && !is_known(name))
            return para_config_fail(err, path, name, value, "null, false or nothing in it: it isn't supported");
    }
    return 0;
}

/* How adapters began: what changes the base model's weights, too, is another adapter. */
static int check_beginning(const char *path, const json_t *json, para_error *err)
{
    static const char *const words[] = {"gaussian", "orthogonal", "eva", NULL};
    const json_t *value = json_object_get(json, "init_lora_weights");
    bool good = !value || json_is_boolean(value);
    for (const char *const *w = words; *w && json_is_string(value); w++)
        good = good || strcmp(json_string_value(value), *w) == 0;
    return good
               ? 0
               : para_config_fail(err, path, "init_lora_weights", value,
                                  "true, false, \"gaussian\", \"orthogonal\" or \"eva\": others change the base model");
}

/* Names of modules, put together with commas. */
static int read_targets(char **out, const char *path, const json_t *json, para_error *err)
{
    static const char expected[] = "an array of modules' names, or \"all-linear\"";
    const json_t *value = json_object_get(json, "target_modules");
    size_t bytes = 1, count = json_array_size(value);
    if (json_is_string(value) && strcmp(json_string_value(value), "all-linear") == 0) {
        *out = strdup(json_string_value(value));
        return *out ? 0 : para_fail_memory(err, path);
    }
    for (size_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(value, i));
        if (!name || !name[0] || strchr(name, ','))
            return para_config_fail(err, path, "target_modules", value, expected);
        bytes += strlen(name) + 1;
    }
    if (count == 0)
        return para_config_fail(err, path, "target_modules", value, expected);
    char *list = malloc(bytes), *end = list;
    if (!list)
        return para_fail_memory(err, path);
    for (size_t i = 0; i < count; i++)
        end += sprintf(end, "%s%s", i ? "," : "", json_string_value(json_array_get(value, i)));
    *out = list;
    return 0;
}

static int read_base(char **out, const char *path, const json_t *json, para_error *err)
{
    const json_t *value = json_object_get(json, "base_model_name_or_path");
    if (value && !json_is_null(value) && !json_is_string(value))
        return para_config_fail(err, path, "base_model_name_or_path", value, "a name or null");
    *out = strdup(json_is_string(value) ? json_string_value(value) : "");
    return *out ? 0 : para_fail_memory(err, path);
}

static int read_config(para_adapter *a, const char *path, json_t *json, para_error *err)
{
    if (!json_object_get(json, "peft_type"))
        return para_config_fail(err, path, "peft_type", NULL, "\"LORA\"");
    PARA_TRY(para_fields_read(&a->how, fields, "LoRA adapter", path, json, err));
    if (!isfinite(a->how.alpha) || a->how.alpha <= 0)
        return para_config_fail(err, path, "lora_alpha", json_object_get(json, "lora_alpha"), "more than 0");
    PARA_TRY(check_beginning(path, json, err));
    PARA_TRY(check_others(path, json, err));
    PARA_TRY(read_targets(&a->targets, path, json, err));
    a->how.targets = a->targets;
    return read_base(&a->base, path, json, err);
}

int para_adapter_open(para_adapter **out, const char *dir, para_error *err)
{
    char folder[PARA_PATH_BYTES], path[PARA_PATH_BYTES];
    json_t *json;
    PARA_TRY(para_folder_find(folder, dir, err));
    PARA_TRY(para_path(path, err, "%s/" PARA_ADAPTER_CONFIG, folder));
    PARA_TRY(para_json_load(&json, path, err));
    para_adapter *a = calloc(1, sizeof *a);
    int status = a ? read_config(a, path, json, err) : para_fail_memory(err, path);
    json_decref(json);
    if (status < 0)
        para_adapter_free(a);
    else
        *out = a;
    return status;
}

void para_adapter_free(para_adapter *a)
{
    if (a) {
        free(a->targets);
        free(a->base);
    }
    free(a);
}

const para_lora *para_adapter_lora(const para_adapter *a)
{
    return &a->how;
}

const char *para_adapter_base(const para_adapter *a)
{
    return a->base;
}

bool para_adapter_exists(const char *dir)
{
    char folder[PARA_PATH_BYTES], path[PARA_PATH_BYTES];
    struct stat about;
    return stat(dir, &about) == 0 && S_ISDIR(about.st_mode) && para_folder_find(folder, dir, NULL) == 0 &&
           para_path(path, NULL, "%s/" PARA_ADAPTER_CONFIG, folder) == 0 && access(path, F_OK) == 0;
}

/* --- writing --- */

/* What an adapter saves of its module: the last word of its name, in `word`. */
static void last_word(const struct para_value *v, char word[PARA_NAME_BYTES])
{
    size_t length = strlen(v->name) - strlen(PARA_LORA_A);
    snprintf(word, PARA_NAME_BYTES, "%.*s", (int)length, v->name);
    char *dot = strrchr(word, '.');
    if (dot)
        memmove(word, dot + 1, strlen(dot));
}

static bool append_once(json_t *list, const char *word)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), word) == 0)
            return true;
    return json_array_append_new(list, json_string(word)) == 0;
}

/* The modules by the names that were given, or, of all, by the last words of theirs; NULL without memory. */
static json_t *list_targets(const para_lora *how, const struct para_values *values)
{
    json_t *list = json_array();
    bool whole = list, all = !how->targets || strcmp(how->targets, "all-linear") == 0;
    char word[PARA_NAME_BYTES];
    for (int i = 0; i < values->count && whole && all; i++) {
        last_word(&values->items[i], word);
        whole = append_once(list, word);
    }
    for (const char *target = all ? NULL : how->targets; target && whole;) {
        size_t length = strcspn(target, ",");
        whole = json_array_append_new(list, json_stringn(target, length)) == 0;
        target = target[length] ? target + length + 1 : NULL;
    }
    if (!whole)
        json_decref(list);
    return whole ? list : NULL;
}

/* Whether files have matrices as (in, out), by the first that has an adapter. */
static bool is_in_first(const para_graph *g, const struct para_values *values, const struct para_family *family)
{
    struct para_values model;
    const char *base = values->items[0].base;
    if (para_values_list(&model, g, family, PARA_FOLDER, PARA_VALUES_MODEL, NULL) < 0)
        return false;
    const struct para_value *matrix = para_values_find(&model, base, strlen(base) - strlen(PARA_LORA_A), ".weight");
    struct para_value seen = matrix ? *matrix : (struct para_value){0};
    seen.lora_a = &values->items[0];
    bool first = matrix && para_value_contracts_first(&seen);
    free(model.items);
    return first;
}

static int save_config(const char *path, const para_lora *how, const char *base, const struct para_values *values,
                       bool in_first, para_error *err)
{
    json_t *json = json_object();
    bool whole = json && json_object_set_new(json, "base_model_name_or_path", json_string(base)) == 0 &&
                 para_fields_write(json, fields, how) &&
                 json_object_set_new(json, "target_modules", list_targets(how, values)) == 0 &&
                 json_object_set_new(json, "fan_in_fan_out", json_boolean(in_first)) == 0 &&
                 json_object_set_new(json, "init_lora_weights", json_true()) == 0;
    int status = para_json_save(path, whole ? json : NULL, err);
    json_decref(json);
    return status;
}

static int save_files(const char *folder, const para_model *model, const para_lora *how, const char *base,
                      const para_graph *g, para_session *s, const para_trainer *trainer, para_error *err)
{
    char path[PARA_PATH_BYTES];
    struct para_values values;
    PARA_TRY(para_path(path, err, "%s/" PARA_ADAPTER_CONFIG, folder));
    PARA_TRY(para_values_list(&values, g, model->family, PARA_FOLDER, PARA_VALUES_ADAPTER, err));
    int status = values.count > 0 ? save_config(path, how, base, &values, is_in_first(g, &values, model->family), err)
                                  : para_fail(err, PARA_EINVAL, "%s: the graph has no adapters", path);
    free(values.items);
    PARA_TRY(status);
    PARA_TRY(para_values_save(folder, PARA_ADAPTER_FILE, model->family, g, s, PARA_VALUES_ADAPTER, trainer, err));
    return para_run_save(folder, model->family, g, s, trainer, err);
}

int para_adapter_save(const char *dir, const para_model *model, const para_lora *how, const char *base,
                      const para_graph *g, para_session *s, const para_trainer *trainer, para_error *err)
{
    struct para_new_folder folder;
    PARA_TRY(para_new_folder_begin(&folder, dir, err));
    int status = save_files(folder.temporary, model, how, base, g, s, trainer, err);
    if (status < 0) {
        para_new_folder_abandon(&folder);
        return status;
    }
    return para_new_folder_commit(&folder, para_checkpoint_files, err);
}

/* --- loading --- */

/* Find a place for each of an adapter's tensors. */
static int match_adapter(struct para_part *p, const char *folder, const struct para_family *family, const para_graph *g,
                         para_error *err)
{
    char path[PARA_PATH_BYTES], other[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/" PARA_ADAPTER_FILE, folder));
    PARA_TRY(para_path(other, err, "%s/adapter_model.bin", folder));
    if (access(path, F_OK) != 0 && access(other, F_OK) == 0)
        return para_fail(err, PARA_EIO, "%s: can't be read, expected adapters as " PARA_ADAPTER_FILE, other);
    PARA_TRY(para_weights_open_file(&p->weights, path, NULL, err));
    return para_part_match(p, family, g, PARA_VALUES_ADAPTER, err);
}

static int load_parts(struct para_part *adapter, struct para_part *optimizer, const char *folder,
                      const struct para_family *family, const para_graph *g, para_session *s, para_trainer *trainer,
                      para_error *err)
{
    para_trainer loaded = {0};
    PARA_TRY(match_adapter(adapter, folder, family, g, err));
    if (trainer)
        PARA_TRY(para_run_match(optimizer, folder, family, g, &loaded, err));
    PARA_TRY(para_part_set(adapter, s, false, err));
    PARA_TRY(para_part_set(optimizer, s, false, err));
    if (trainer)
        *trainer = loaded;
    return 0;
}

int para_adapter_load(const char *dir, const para_model *model, const para_graph *g, para_session *s,
                      para_trainer *trainer, para_error *err)
{
    char folder[PARA_PATH_BYTES];
    PARA_TRY(para_folder_find(folder, dir, err));
    struct para_part adapter = {0}, optimizer = {0};
    int status = load_parts(&adapter, &optimizer, folder, model->family, g, s, trainer, err);
    para_part_close(&adapter);
    para_part_close(&optimizer);
    return status;
}

/* --- merging --- */

/* A graph of the model with an adapter, which isn't run. */
static int build(para_graph **out, const para_model *model, const para_lora *how, para_error *err)
{
    para_model *plain = NULL;
    para_graph *g = para_graph_new();
    if (!g)
        return para_fail_memory(err, "a graph");
    int status = para_model_copy(&plain, model, err);
    if (status == 0) {
        para_model_set_weights(plain, PARA_F32);
        para_model_build(g, plain, 1, 1, false);
        status = para_graph_seal(g, err);
    }
    status = status < 0 ? status : para_model_lora(out, g, plain, how, err);
    para_model_free(plain);
    para_graph_free(g);
    return status;
}

static int begin(struct para_merge *m, const para_adapter *a, const char *folder, const para_model *model,
                 para_error *err)
{
    para_error why;
    int status = build(&m->g, model, &a->how, &why);
    if (status < 0)
        return para_fail(err, status, "%s: %s", folder, why.message);
    return match_adapter(&m->part, folder, model->family, m->g, err);
}

int para_merge_begin(struct para_merge *m, struct para_part *base, const char *dir, const para_model *model,
                     para_error *err)
{
    char folder[PARA_PATH_BYTES];
    para_adapter *a;
    PARA_TRY(para_folder_find(folder, dir, err));
    PARA_TRY(para_adapter_open(&a, folder, err));
    int status = begin(m, a, folder, model, err);
    double scale = para_lora_scale(&a->how);
    para_adapter_free(a);
    for (int i = 0; i < base->values.count && status == 0; i++) {
        struct para_value *v = &base->values.items[i];
        size_t length = strlen(v->base), end = strlen(".weight");
        if (length <= end || strcmp(v->base + length - end, ".weight") != 0)
            continue;
        v->lora_a = para_values_find(&m->part.values, v->base, length - end, PARA_LORA_A);
        v->lora_b = para_values_find(&m->part.values, v->base, length - end, PARA_LORA_B);
        v->lora_scale = scale;
    }
    return status;
}

void para_merge_close(struct para_merge *m)
{
    para_part_close(&m->part);
    para_graph_free(m->g);
}
