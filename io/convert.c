/* A model from one form of files into another, tensor by tensor: no more than a few copies of the largest are in
 * memory. Both forms list the same graph's parameters, so that entry i of one is entry i of the other. */
#include <paragraph/data.h>

#include "base/dtype.h"
#include "base/fail.h"
#include "base/quantize.h"
#include "io/adapter.h"
#include "io/checkpoint.h"
#include "io/config.h"
#include "io/folder.h"
#include "io/gguf-describe.h"
#include "io/gguf-model.h"
#include "io/gguf-rope.h"
#include "io/gguf-tokens.h"
#include "io/llmc.h"
#include "io/source.h"
#include "io/tokenizer-files.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum form { TO_FOLDER, TO_GGUF, TO_LLMC };

struct conversion {
    char from[PARA_PATH_BYTES]; /* the folder or file that is read */
    const char *to;
    enum form form;
    para_dtype weights;
    const char *tokenizer; /* a folder that has one; NULL: none */
    para_model *model;
    para_graph *g;
    struct para_part part;
    const char *adapter; /* a folder; NULL: none */
    struct para_merge merge;
    struct para_values values; /* with their places in what is written */
    float *value, *in_file;    /* the largest tensor in both orders */
    bool warned;               /* of a value that isn't finite */
};

static bool ends_with(const char *string, const char *end)
{
    size_t length = strlen(string), most = strlen(end);
    return length > most && strcmp(string + length - most, end) == 0;
}

static enum form form_of(const char *path)
{
    return ends_with(path, ".gguf") ? TO_GGUF : ends_with(path, ".bin") ? TO_LLMC : TO_FOLDER;
}

static bool is_matrix(const struct para_value *v)
{
    return v->expected.dtype != PARA_F32;
}

/* The type of an entry as it is written: all of llm.c's are of one. */
static para_dtype written_type(const struct conversion *c, int i)
{
    return c->form == TO_LLMC || is_matrix(&c->part.values.items[i]) ? c->weights : PARA_F32;
}

/* --- elements --- */

static int fail_element(const struct conversion *c, const struct para_value *v, para_dtype dtype, para_error *err)
{
    return para_fail(err, PARA_ERANGE, "%s: tensor \"%s\" has elements that %s can't hold", c->from,
                     v->found->entry.name, para_dtype_name(dtype));
}

/* Write n elements as a type; false for a finite one that it can't hold. */
static bool narrow(para_dtype dtype, int64_t n, const float *x, void *out)
{
    uint16_t *halves = out;
    bool held = true;
    if (para_dtype_blocks(dtype))
        return para_quantize(dtype, n, x, out);
    if (dtype == PARA_F32)
        memcpy(out, x, (size_t)n * sizeof *x);
    for (int64_t e = 0; e < n && dtype != PARA_F32; e++) {
        halves[e] = dtype == PARA_F16 ? para_f16_of(x[e]) : para_bf16_of(x[e]);
        held =
            held && (isfinite(dtype == PARA_F16 ? para_of_f16(halves[e]) : para_of_bf16(halves[e])) || !isfinite(x[e]));
    }
    return held;
}

/* What isn't finite goes along, but not unsaid. */
static void warn(struct conversion *c, const struct para_value *v)
{
    int64_t e = 0;
    while (e < v->elements && isfinite(c->value[e]))
        e++;
    if (e == v->elements || c->warned)
        return;
    c->warned = true;
    para_log(PARA_LOG_WARNING, "%s: tensor \"%s\" has the value %g; what isn't finite is written as it is", c->from,
             v->found->entry.name, c->value[e] == c->value[e] ? (double)c->value[e] : (double)NAN);
}

/* Blocks of the type that is written go as they are. */
static int fetch(void *user, int i, void *buffer, para_error *err)
{
    struct conversion *c = user;
    if (i >= c->values.count) {
        for (int64_t k = 0, width = para_model_measure(c->model).head_dim; k < width / 2; k++)
            ((float *)buffer)[k] = (float)para_llama3_factor(&para_model_as_llama(c->model)->rope, width, k);
        return 0;
    }
    const struct para_value *from = &c->part.values.items[i], *to = &c->values.items[i];
    para_dtype dtype = written_type(c, i);
    bool same = para_dtype_blocks(dtype) && para_weight_is(from->found, dtype) && !from->lora_a;
    if (same) {
        para_value_from_file(from, dtype, from->found->entry.data, c->value);
        para_value_to_file(to, dtype, c->value, buffer);
    } else {
        PARA_TRY(para_part_floats(from, c->value, err));
        if (!para_dtype_blocks(dtype))
            warn(c, from);
        para_value_to_file(to, PARA_F32, c->value, c->in_file);
    }
    para_safetensors_forget(&from->found->entry);
    return same || narrow(dtype, to->elements, c->in_file, buffer) ? 0 : fail_element(c, from, dtype, err);
}

/* --- forms --- */

/* The entries to write, and room for one more; to be freed. */
static para_entry *list_entries(const struct conversion *c)
{
    para_entry *entries = calloc((size_t)c->values.count + 1, sizeof *entries);
    for (int i = 0; i < c->values.count && entries; i++) {
        const struct para_value *v = &c->values.items[i];
        entries[i] = v->expected;
        entries[i].name = v->name;
        entries[i].dtype = written_type(c, i);
        entries[i].bytes = para_dtype_span(entries[i].dtype, v->elements);
    }
    return entries;
}

static const char *const TEXT_FILES[] = {PARA_TOKENIZER_FILES, NULL};

static int copy_tokenizer(const struct conversion *c, const char *folder, para_error *err)
{
    if (!c->tokenizer)
        return c->part.weights.gguf ? para_gguf_save_tokenizer(c->part.weights.gguf, folder, err) : 0;
    for (const char *const *name = TEXT_FILES; *name; name++) {
        char from[PARA_PATH_BYTES], to[PARA_PATH_BYTES];
        PARA_TRY(para_path(from, err, "%s/%s", c->tokenizer, *name));
        PARA_TRY(para_path(to, err, "%s/%s", folder, *name));
        if (access(from, F_OK) == 0)
            PARA_TRY(para_file_copy(from, to, err));
    }
    return 0;
}

static int write_files(struct conversion *c, const char *folder, para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/config.json", folder));
    PARA_TRY(para_config_save(path, c->model, err));
    PARA_TRY(copy_tokenizer(c, folder, err));
    PARA_TRY(para_path(path, err, "%s/" PARA_WEIGHTS_FILE, folder));
    para_entry *entries = list_entries(c);
    if (!entries)
        return para_fail_memory(err, path);
    int status = para_safetensors_stream(path, entries, c->values.count, fetch, c, err);
    free(entries);
    return status;
}

/* What a model's folder holds is replaced, what else is there stays. */
static int write_folder(struct conversion *c, para_error *err)
{
    static const char *const replaced[] = {
        "config.json",     PARA_WEIGHTS_FILE,   PARA_WEIGHTS_INDEX, PARA_WEIGHTS_SHARDS,  PARA_ADAPTER_CONFIG,
        PARA_ADAPTER_FILE, PARA_OPTIMIZER_FILE, PARA_TRAINER_FILE,  PARA_TOKENIZER_FILES, NULL};
    struct para_new_folder folder;
    PARA_TRY(para_new_folder_begin(&folder, c->to, err));
    int status = write_files(c, folder.temporary, err);
    if (status == 0)
        return para_new_folder_commit(&folder, replaced, err);
    para_new_folder_abandon(&folder);
    return status;
}

static int put_tokenizer(const struct conversion *c, struct para_gguf_head *h, para_error *err)
{
    int64_t vocab = para_model_measure(c->model).vocab;
    if (c->tokenizer)
        return para_gguf_put_tokenizer(h, c->tokenizer, vocab, err);
    if (c->part.weights.gguf && para_gguf_copy_tokenizer(h, c->part.weights.gguf))
        return 0;
    if (vocab == 256)
        para_gguf_put_bytes(h);
    else
        para_gguf_put_text(h, "tokenizer.ggml.model", "none");
    return 0;
}

static int write_gguf(struct conversion *c, para_error *err)
{
    struct para_gguf_head head = {0};
    bool factors = false;
    int64_t half = para_model_measure(c->model).head_dim / 2;
    int count = c->values.count, status = para_gguf_describe(&head, c->model, c->weights, &factors, err);
    if (status == 0)
        status = put_tokenizer(c, &head, err);
    para_entry *entries = status == 0 ? list_entries(c) : NULL;
    if (status == 0 && !entries)
        status = para_fail_memory(err, c->to);
    if (status == 0 && factors)
        entries[count++] = (para_entry){.name = PARA_GGUF_FACTORS,
                                        .dtype = PARA_F32,
                                        .rank = 1,
                                        .shape = {half},
                                        .bytes = (size_t)half * sizeof(float)};
    if (status == 0)
        status = para_gguf_stream(c->to, &head, entries, count, fetch, c, err);
    free(entries);
    para_gguf_head_free(&head);
    return status;
}

static int write_form(struct conversion *c, para_error *err)
{
    switch (c->form) {
    case TO_GGUF:
        return write_gguf(c, err);
    case TO_LLMC:
        return para_llmc_write(c->to, c->model, &c->values, c->weights, fetch, c, err);
    default:
        return write_folder(c, err);
    }
}

/* --- the whole --- */

static bool has_tokenizer(const char *folder)
{
    static const char *const files[] = {"tokenizer.json", "vocab.json"};
    char path[PARA_PATH_BYTES];
    for (int i = 0; i < 2; i++)
        if (para_path(path, NULL, "%s/%s", folder, files[i]) == 0 && access(path, F_OK) == 0)
            return true;
    return false;
}

/* A graph whose matrices aren't float32, so that they can be told from what stays so. */
static int build(struct conversion *c, para_error *err)
{
    para_model_set_weights(c->model, para_dtype_blocks(c->weights) ? c->weights : PARA_BF16);
    PARA_TRY(para_model_check(c->model, err));
    c->g = para_graph_new();
    if (!c->g)
        return para_fail_memory(err, "a graph");
    para_model_build(c->g, c->model, 1, 1, false);
    PARA_TRY(para_graph_seal(c->g, err));
    const struct para_family *family = c->model->family;
    PARA_TRY(para_part_match(&c->part, family, c->g, PARA_VALUES_MODEL, err));
    if (c->adapter)
        PARA_TRY(para_merge_begin(&c->merge, &c->part, c->adapter, c->model, err));
    return para_values_list(&c->values, c->g, family, c->form == TO_FOLDER ? PARA_FOLDER : PARA_GGUF, PARA_VALUES_MODEL,
                            err);
}

static int make_room(struct conversion *c, para_error *err)
{
    int64_t largest = 0;
    for (int i = 0; i < c->values.count; i++)
        largest = c->values.items[i].elements > largest ? c->values.items[i].elements : largest;
    c->value = malloc((size_t)largest * sizeof *c->value);
    c->in_file = malloc((size_t)largest * sizeof *c->in_file);
    return c->value && c->in_file ? 0 : para_fail_memory(err, c->from);
}

static int check_type(const struct conversion *c, para_error *err)
{
    bool good = c->weights == PARA_F32 || c->weights == PARA_F16 || c->weights == PARA_BF16 ||
                (c->form == TO_GGUF && para_dtype_blocks(c->weights));
    return good ? 0
                : para_fail(err, PARA_ESUPPORT, "%s: weights of %s, expected f32, f16, bf16%s", c->to,
                            para_dtype_name(c->weights), c->form == TO_GGUF ? ", q8_0 or q4_0" : "");
}

static int convert(struct conversion *c, const char *from, const char *tokenizer, para_error *err)
{
    PARA_TRY(check_type(c, err));
    if (para_source_is_file(from))
        PARA_TRY(para_path(c->from, err, "%s", from));
    else
        PARA_TRY(para_folder_find(c->from, from, err));
    c->tokenizer = tokenizer ? tokenizer : has_tokenizer(c->from) ? c->from : NULL;
    if (tokenizer && !has_tokenizer(tokenizer))
        return access(tokenizer, F_OK) != 0
                   ? para_fail_system(err, tokenizer, "open")
                   : para_fail(err, PARA_EIO, "%s: has no tokenizer, expected tokenizer.json or vocab.json", tokenizer);
    PARA_TRY(para_source_open(&c->model, &c->part, c->from, err));
    PARA_TRY(build(c, err));
    PARA_TRY(make_room(c, err));
    return write_form(c, err);
}

int para_model_convert(const char *from, const char *adapter, const char *to, para_dtype weights, const char *tokenizer,
                       para_error *err)
{
    struct conversion c = {.to = to, .form = form_of(to), .weights = weights, .adapter = adapter};
    int status = convert(&c, from, tokenizer, err);
    free(c.value);
    free(c.in_file);
    free(c.values.items);
    para_part_close(&c.part);
    para_merge_close(&c.merge);
    para_graph_free(c.g);
    para_model_free(c.model);
    return status;
}
