/* The JSON files of a checkpoint: config.json by the rows of the model's family, and trainer.json. */
#include "io/config.h"

#include "base/fail.h"
#include "base/number.h"
#include "io/file.h"
#include "io/rope.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int para_config_fail(para_error *err, const char *path, const char *field, const json_t *value, const char *expected)
{
    char number[PARA_NUMBER_TEXT], *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    const char *found = json_is_real(value) ? para_number_text(number, json_real_value(value)) : text;
    if (json_is_real(value) && !number[strcspn(number, ".e")])
        strcat(number, ".0"); /* 2.0 isn't the whole number 2 */
    para_fail(err, PARA_EFORMAT, "%s: \"%s\" is %.100s, expected %s", path, field, found ? found : "missing", expected);
    free(text);
    return PARA_EFORMAT;
}

/* --- writing config.json --- */

/* The first word for a value is the one to write. */
static const char *find_word(const struct para_word *words, bool value)
{
    while (words->value != value)
        words++;
    return words->word;
}

static const char *const layer_types[] = {"full_attention", "sliding_attention"};

/* The kind of each layer, of which the first `full` see all positions, by what other fields say already. */
static json_t *list_layers(const json_t *written, int64_t full)
{
    json_t *list = json_array();
    int64_t layers = json_integer_value(json_object_get(written, "num_hidden_layers"));
    bool slide = json_is_true(json_object_get(written, "use_sliding_window"));
    for (int64_t i = 0; i < layers && list; i++)
        if (json_array_append_new(list, json_string(layer_types[slide && i >= full])) < 0) {
            json_decref(list);
            list = NULL;
        }
    return list;
}

/* What a field says of a configuration; NULL without memory. */
static json_t *field_value(const struct para_field *f, const void *config, const json_t *written)
{
    const void *field = (const char *)config + f->offset;
    switch (f->kind) {
    case PARA_FIELD_SIZE:
        return *(const int64_t *)field ? json_integer(*(const int64_t *)field) : json_null();
    case PARA_FIELD_COUNT:
        return json_integer(*(const int64_t *)field);
    case PARA_FIELD_BOOL:
        return json_boolean(*(const bool *)field);
    case PARA_FIELD_LAYERS:
        return list_layers(written, *(const int64_t *)field);
    case PARA_FIELD_REAL:
        return json_real(*(const double *)field);
    case PARA_FIELD_WORD:
        return json_string(find_word(f->words, *(const bool *)field));
    default:
        return json_loads(f->tell ? f->tell(config) : f->json, JSON_DECODE_ANY, NULL);
    }
}

/* Add a field, or those of rotary embeddings; false without memory. */
static bool write_field(json_t *config, const struct para_field *f, const void *model)
{
    if (f->kind == PARA_FIELD_ROPE)
        return para_rope_write(config, (const void *)((const char *)model + f->offset));
    return json_object_set_new(config, f->name, field_value(f, model, config)) == 0;
}

bool para_fields_write(json_t *json, const struct para_field *fields, const void *config)
{
    bool whole = json;
    for (const struct para_field *f = fields; f->name && whole; f++)
        if (f->kind != PARA_FIELD_EMPTY)
            whole = write_field(json, f, config);
    return whole;
}

int para_config_save(const char *path, const para_model *model, para_error *err)
{
    json_t *config = json_object();
    bool whole = para_fields_write(config, model->family->fields, model->config);
    int status = para_json_save(path, whole ? config : NULL, err);
    json_decref(config);
    return status;
}

/* --- reading config.json --- */

/* A configuration being read. */
struct reading {
    const char *path;
    const json_t *json;
    const char *what;
    void *config;
};

static int fail_value(const struct reading *r, const char *field, const char *expected, para_error *err)
{
    return para_config_fail(err, r->path, field, json_object_get(r->json, field), expected);
}

static bool is_empty(const json_t *value)
{
    return !value || json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0) ||
           (json_is_array(value) && json_array_size(value) == 0);
}

/* A size may stand under either name; where both do they must agree. */
static int read_size(const struct reading *r, const struct para_field *f, int64_t *out, para_error *err)
{
    const json_t *own = json_object_get(r->json, f->name);
    const json_t *general = f->general ? json_object_get(r->json, f->general) : NULL, *value = own ? own : general;
    json_int_t least = f->kind == PARA_FIELD_SIZE;
    char expected[80];
    if (f->optional && (!value || json_is_null(value))) {
        *out = value ? 0 : (int64_t)f->absent;
        return 0;
    }
    snprintf(expected, sizeof expected, "a whole number from %d to 2147483647", (int)least);
    if (!json_is_integer(value) || json_integer_value(value) < least || json_integer_value(value) > INT32_MAX)
        return para_config_fail(err, r->path, f->name, value, expected);
    *out = json_integer_value(value);
    snprintf(expected, sizeof expected, "%s's %lld", f->name, (long long)*out);
    return !general || json_equal(general, value) ? 0 : fail_value(r, f->general, expected, err);
}

static int read_real(const struct reading *r, const struct para_field *f, double *out, para_error *err)
{
    const json_t *value = json_object_get(r->json, f->name);
    if (value && !json_is_number(value))
        return fail_value(r, f->name, "a number", err);
    *out = value ? json_number_value(value) : f->absent;
    return 0;
}

static int read_bool(const struct reading *r, const struct para_field *f, bool *out, para_error *err)
{
    const json_t *value = json_object_get(r->json, f->name);
    if (value && !json_is_boolean(value))
        return fail_value(r, f->name, "true or false", err);
    *out = value ? json_is_true(value) : f->absent != 0;
    return 0;
}

/* Layers that see all positions, then those with a window. Without the field what was read before holds. */
static int read_layers(const struct reading *r, const struct para_field *f, int64_t *out, para_error *err)
{
    const json_t *list = json_object_get(r->json, f->name);
    if (!list || json_is_null(list))
        return 0;
    bool slide = json_is_true(json_object_get(r->json, "use_sliding_window"));
    size_t count = json_array_size(list), full = 0;
    char expected[120];
    snprintf(expected, sizeof expected, "\"full_attention\" for each of num_hidden_layers%s",
             slide ? ", or for the first and \"sliding_attention\" for the others" : "");
    bool good =
        json_is_array(list) && json_integer_value(json_object_get(r->json, "num_hidden_layers")) == (json_int_t)count;
    for (size_t i = 0; i < count && good; i++) {
        const char *type = json_string_value(json_array_get(list, i));
        bool is_full = type && strcmp(type, layer_types[0]) == 0;
        good = is_full ? full == i : slide && type && strcmp(type, layer_types[1]) == 0;
        full += is_full;
    }
    *out = (int64_t)full;
    return good ? 0 : fail_value(r, f->name, expected, err);
}

static int read_word(const struct reading *r, const struct para_field *f, bool *out, para_error *err)
{
    const json_t *value = json_object_get(r->json, f->name);
    const char *word = value ? json_string_value(value) : f->words->word;
    char expected[200] = "";
    size_t used = 0;
    for (const struct para_word *w = f->words; w->word && used < sizeof expected; w++) {
        if (word && strcmp(word, w->word) == 0) {
            *out = w->value;
            return 0;
        }
        used += (size_t)snprintf(expected + used, sizeof expected - used, "%s\"%s\"", used ? " or " : "", w->word);
    }
    return fail_value(r, f->name, expected, err);
}

static int check_fixed(const struct reading *r, const struct para_field *f, para_error *err)
{
    const json_t *value = json_object_get(r->json, f->name);
    json_t *expected = json_loads(f->json, JSON_DECODE_ANY, NULL);
    if (!expected)
        return para_fail_memory(err, r->path);
    bool same = !value || json_equal(value, expected);
    json_decref(expected);
    return same ? 0 : fail_value(r, f->name, f->json, err);
}

static int check_empty(const struct reading *r, const struct para_field *f, para_error *err)
{
    char expected[80];
    snprintf(expected, sizeof expected, "none: a plain %s", r->what);
    return is_empty(json_object_get(r->json, f->name)) ? 0 : fail_value(r, f->name, expected, err);
}

static int read_field(const struct reading *r, const struct para_field *f, para_error *err)
{
    void *field = (char *)r->config + f->offset;
    switch (f->kind) {
    case PARA_FIELD_SIZE:
    case PARA_FIELD_COUNT:
        return read_size(r, f, field, err);
    case PARA_FIELD_BOOL:
        return read_bool(r, f, field, err);
    case PARA_FIELD_ROPE:
        return para_rope_read(field, r->path, r->json, err);
    case PARA_FIELD_LAYERS:
        return read_layers(r, f, field, err);
    case PARA_FIELD_REAL:
        return read_real(r, f, field, err);
    case PARA_FIELD_WORD:
        return read_word(r, f, field, err);
    case PARA_FIELD_FIXED:
        return check_fixed(r, f, err);
    case PARA_FIELD_EMPTY:
        return check_empty(r, f, err);
    case PARA_FIELD_TOLD:
        break;
    }
    return 0;
}

int para_fields_read(void *config, const struct para_field *fields, const char *what, const char *path,
                     const json_t *json, para_error *err)
{
    const struct reading r = {path, json, what, config};
    for (const struct para_field *f = fields; f->name; f++)
        PARA_TRY(read_field(&r, f, err));
    return 0;
}

static int read_config(para_model *model, const char *path, const json_t *config, para_error *err)
{
    const struct para_family *family = model->family;
    char what[40];
    snprintf(what, sizeof what, "%s model", family->name);
    PARA_TRY(para_fields_read(model->config, family->fields, what, path, config, err));
    family->complete(model->config);
    para_error why;
    int status = family->check(model->config, &why);
    return status < 0 ? para_fail(err, PARA_EFORMAT, "%s: %s", path, why.message) : 0;
}

static int find_family(const struct para_family **out, const char *path, const json_t *config, para_error *err)
{
    const json_t *type = json_object_get(config, "model_type");
    const char *name = json_string_value(type);
    char expected[200] = "";
    size_t used = 0;
    for (const struct para_family *const *f = para_families; *f && used < sizeof expected; f++) {
        if (name && strcmp(name, (*f)->name) == 0) {
            *out = *f;
            return 0;
        }
        used += (size_t)snprintf(expected + used, sizeof expected - used, "%s\"%s\"", used ? " or " : "", (*f)->name);
    }
    return para_config_fail(err, path, "model_type", type, expected);
}

static int read_model(para_model **out, const char *path, const json_t *config, para_error *err)
{
    const struct para_family *family = NULL;
    para_model *model;
    PARA_TRY(find_family(&family, path, config, err));
    PARA_TRY(para_model_new(&model, family, NULL, err));
    int status = read_config(model, path, config, err);
    if (status < 0)
        para_model_free(model);
    else
        *out = model;
    return status;
}

int para_config_load(const char *path, para_model **out, para_error *err)
{
    json_t *config;
    PARA_TRY(para_json_load(&config, path, err));
    int status = read_model(out, path, config, err);
    json_decref(config);
    return status;
}

/* --- ends of text --- */

static int append_end(const char *path, const json_t *value, int32_t **ids, int64_t *count, para_error *err)
{
    json_int_t id = json_integer_value(value);
    if (!json_is_integer(value) || id > INT32_MAX)
        return para_config_fail(err, path, "eos_token_id", value, "token ids");
    int32_t *more = realloc(*ids, (size_t)(*count + 1) * sizeof *more);
    if (!more)
        return para_fail_memory(err, "ends of text");
    *ids = more;
    if (id >= 0)
        more[(*count)++] = (int32_t)id;
    return 0;
}

static int append_ends(const char *path, const json_t *value, int32_t **ids, int64_t *count, para_error *err)
{
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_array(value))
        return append_end(path, value, ids, count, err);
    for (size_t i = 0; i < json_array_size(value); i++)
        PARA_TRY(append_end(path, json_array_get(value, i), ids, count, err));
    return 0;
}

int para_config_ends(const char *path, int32_t **ids, int64_t *count, para_error *err)
{
    json_t *config;
    if (access(path, F_OK) != 0)
        return 0;
    PARA_TRY(para_json_load(&config, path, err));
    int status = append_ends(path, json_object_get(config, "eos_token_id"), ids, count, err);
    json_decref(config);
    return status;
}

/* --- trainer.json --- */

/* JSON numbers are exact up to 2^53 in most readers; larger seeds are written as strings. */
static json_t *seed_value(uint64_t seed)
{
    return seed <= (uint64_t)1 << 53 ? json_integer((json_int_t)seed) : json_sprintf("%llu", (unsigned long long)seed);
}

/* The numbers of how a run is trained; its words are read apart. */
static const struct number {
    const char *name;
    size_t offset;
    bool whole;
    double least;
} numbers[] = {
    {"batch", offsetof(para_trainer, batch), true, 1},
    {"seq", offsetof(para_trainer, seq), true, 1},
    {"steps", offsetof(para_trainer, adamw.schedule.steps), true, 0},
    {"warmup", offsetof(para_trainer, adamw.schedule.warmup), true, 0},
    {"lr", offsetof(para_trainer, adamw.schedule.lr), false, 0},
    {"min_lr", offsetof(para_trainer, adamw.schedule.min_lr), false, 0},
    {"beta1", offsetof(para_trainer, adamw.beta1), false, 0},
    {"beta2", offsetof(para_trainer, adamw.beta2), false, 0},
    {"eps", offsetof(para_trainer, adamw.eps), false, 0},
    {"weight_decay", offsetof(para_trainer, adamw.weight_decay), false, 0},
    {"clip", offsetof(para_trainer, adamw.clip), false, 0},
};
enum { NUMBERS = sizeof numbers / sizeof numbers[0] };

/* Words by number, NULL behind the last. */
static const char *order_word(int sequential)
{
    return sequential == 0 ? "random" : sequential == 1 ? "sequential" : NULL;
}

static const char *schedule_word(int kind)
{
    return para_schedule_name((para_schedule_kind)kind);
}

static double number_of(const para_trainer *t, const struct number *n)
{
    const void *number = (const char *)t + n->offset;
    return n->whole ? (double)*(const int64_t *)number : *(const double *)number;
}

/* What a file may say, which is what is read back. */
static int check_training(const para_trainer *t, const char *path, para_error *err)
{
    if (!schedule_word((int)t->adamw.schedule.kind))
        return para_fail(err, PARA_EINVAL, "%s: the schedule is of kind %d, expected one of the three", path,
                         (int)t->adamw.schedule.kind);
    for (int i = 0; i < NUMBERS; i++) {
        double value = number_of(t, &numbers[i]);
        if (!isfinite(value) || value < numbers[i].least || (numbers[i].whole && value > INT32_MAX))
            return para_fail(err, PARA_EINVAL, "%s: %s is %g, expected at least %g", path, numbers[i].name, value,
                             numbers[i].least);
    }
    return 0;
}

/* Add how the run is trained. */
static int add_training(json_t *value, const para_trainer *t)
{
    int status = json_object_set_new(value, "order", json_string(order_word(t->sequential)));
    if (status == 0)
        status = json_object_set_new(value, "schedule", json_string(schedule_word((int)t->adamw.schedule.kind)));
    for (int i = 0; i < NUMBERS && status == 0; i++) {
        double number = number_of(t, &numbers[i]);
        status = json_object_set_new(value, numbers[i].name,
                                     numbers[i].whole ? json_integer((json_int_t)number) : json_real(number));
    }
    return status;
}

int para_trainer_save(const char *path, const para_trainer *trainer, para_error *err)
{
    if (trainer->step < 0 || isnan(trainer->best_loss) || isinf(trainer->best_loss))
        return para_fail(err, PARA_EINVAL,
                         "%s: step is %lld and the best loss %g, expected at least 0 and a finite number", path,
                         (long long)trainer->step, trainer->best_loss);
    if (trainer->batch != 0)
        PARA_TRY(check_training(trainer, path, err));
    json_t *best = trainer->best_loss < 0 ? json_null() : json_real(trainer->best_loss);
    json_t *value = json_pack("{s:I, s:o, s:o}", "step", (json_int_t)trainer->step, "seed", seed_value(trainer->seed),
                              "best_loss", best);
    bool whole = value && (trainer->batch == 0 || add_training(value, trainer) == 0);
    int status = para_json_save(path, whole ? value : NULL, err);
    json_decref(value);
    return status;
}

static int read_seed(uint64_t *out, const json_t *value, const char *path, para_error *err)
{
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = (uint64_t)json_integer_value(value);
        return 0;
    }
    const char *text = json_string_value(value);
    size_t digits = text ? strspn(text, "0123456789") : 0;
    errno = 0;
    unsigned long long seed = digits > 0 && !text[digits] ? strtoull(text, NULL, 10) : 0;
    if (digits == 0 || text[digits] || errno == ERANGE)
        return para_config_fail(err, path, "seed", value, "a whole number from 0 to 2^64 - 1");
    *out = seed;
    return 0;
}

static int read_number(para_trainer *t, const struct number *n, const json_t *run, const char *path, para_error *err)
{
    const json_t *value = json_object_get(run, n->name);
    void *number = (char *)t + n->offset;
    double found = json_number_value(value), most = n->whole ? INT32_MAX : HUGE_VAL;
    char expected[60];
    if (n->whole)
        snprintf(expected, sizeof expected, "a whole number from %.0f to %.0f", n->least, most);
    else
        snprintf(expected, sizeof expected, "a number of at least %g", n->least);
    if (!(n->whole ? json_is_integer(value) : json_is_number(value)) || found < n->least || found > most)
        return para_config_fail(err, path, n->name, value, expected);
    if (n->whole)
        *(int64_t *)number = json_integer_value(value);
    else
        *(double *)number = found;
    return 0;
}

/* The number of a word. */
static int read_choice(int *out, const json_t *run, const char *name, const char *(*word_of)(int), const char *path,
                       para_error *err)
{
    const json_t *value = json_object_get(run, name);
    const char *word = json_string_value(value);
    char expected[80] = "";
    size_t used = 0;
    for (*out = 0; word_of(*out); ++*out) {
        if (word && strcmp(word, word_of(*out)) == 0)
            return 0;
        used +=
            (size_t)snprintf(expected + used, sizeof expected - used, "%s\"%s\"", used ? " or " : "", word_of(*out));
    }
    return para_config_fail(err, path, name, value, expected);
}

/* How the run is trained, which earlier versions didn't tell. */
static int read_training(para_trainer *t, const json_t *run, const char *path, para_error *err)
{
    int order, schedule;
    if (!json_object_get(run, "batch"))
        return 0;
    PARA_TRY(read_choice(&order, run, "order", order_word, path, err));
    PARA_TRY(read_choice(&schedule, run, "schedule", schedule_word, path, err));
    t->sequential = order == 1;
    t->adamw.schedule.kind = (para_schedule_kind)schedule;
    for (int i = 0; i < NUMBERS; i++)
        PARA_TRY(read_number(t, &numbers[i], run, path, err));
    return 0;
}

static int read_trainer(para_trainer *t, const json_t *value, const char *path, para_error *err)
{
    const json_t *step = json_object_get(value, "step"), *best = json_object_get(value, "best_loss");
    if (!json_is_integer(step) || json_integer_value(step) < 0)
        return para_config_fail(err, path, "step", step, "a whole number of at least 0");
    t->step = json_integer_value(step);
    PARA_TRY(read_seed(&t->seed, json_object_get(value, "seed"), path, err));
    if (!json_is_number(best) && !json_is_null(best))
        return para_config_fail(err, path, "best_loss", best, "a number or null");
    t->best_loss = json_is_null(best) ? -1 : json_number_value(best);
    return read_training(t, value, path, err);
}

int para_trainer_load(const char *path, para_trainer *out, para_error *err)
{
    json_t *value;
    PARA_TRY(para_json_load(&value, path, err));
    para_trainer trainer = {0};
    int status = read_trainer(&trainer, value, path, err);
    json_decref(value);
    if (status == 0)
        *out = trainer;
    return status;
}
