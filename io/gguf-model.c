/* The model that a GGUF file's metadata describes, by the rows of its family. */
#include "io/gguf-model.h"

#include "base/fail.h"
#include "io/file.h"
#include "io/gguf-rope.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool para_gguf_is(const char *path)
{
    return para_file_is(path, ".gguf", "GGUF", 4);
}

char *para_gguf_key(char out[PARA_GGUF_KEY], const char *architecture, const char *key)
{
    snprintf(out, PARA_GGUF_KEY, "%s.%s", architecture, key);
    return out;
}

int para_gguf_size(int64_t *out, const struct para_gguf *f, const char *key, int64_t least, para_error *err)
{
    const struct para_gguf_value *v;
    PARA_TRY(para_gguf_need(&v, f, key, PARA_GGUF_WHOLE, err));
    int64_t n = para_gguf_whole(v, 0);
    if (n < least || n > INT32_MAX)
        return para_fail(err, PARA_EFORMAT, "%s: \"%s\" is %lld, expected a whole number from %lld to %d",
                         para_gguf_path(f), key, (long long)n, (long long)least, INT32_MAX);
    *out = n;
    return 0;
}

static double shortest(float x)
{
    char text[40];
    for (int digits = 6; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, (double)x);
        if (strtof(text, NULL) == x)
            break;
    }
    return strtod(text, NULL);
}

int para_gguf_number(double *out, const struct para_gguf *f, const char *key, para_error *err)
{
    const struct para_gguf_value *v;
    PARA_TRY(para_gguf_need(&v, f, key, PARA_GGUF_REAL, err));
    double x = para_gguf_real(v, 0);
    if (!isfinite(x))
        return para_fail(err, PARA_EFORMAT, "%s: \"%s\" is %g, expected a finite number", para_gguf_path(f), key, x);
    *out = v->type == PARA_GGUF_F32 ? shortest((float)x) : x;
    return 0;
}

/* --- fields --- */

static int find_family(const struct para_family **out, const struct para_gguf *f, para_error *err)
{
    static const char key[] = "general.architecture";
    const struct para_gguf_value *v;
    PARA_TRY(para_gguf_need(&v, f, key, PARA_GGUF_STRING, err));
    struct para_gguf_text name = para_gguf_text(v, 0);
    for (const struct para_family *const *family = para_families; *family; family++)
        if (para_gguf_text_is(name, (*family)->architecture)) {
            *out = *family;
            return 0;
        }
    return para_fail(err, PARA_ESUPPORT, "%s: \"%s\" is \"%.*s\", expected \"gpt2\", \"llama\", \"qwen2\" or \"qwen3\"",
                     para_gguf_path(f), key, (int)(name.bytes < 40 ? name.bytes : 40), name.data);
}

/* As many as a tensor has rows. */
static int read_rows(int64_t *out, const struct para_gguf *f, const char *name, para_error *err)
{
    const struct para_gguf_tensor *t = para_gguf_find_tensor(f, name);
    if (!t || t->rank != 2 || t->shape[0] < 1 || t->shape[0] > INT32_MAX)
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%s\" is %s, expected a matrix", para_gguf_path(f), name,
                         t ? "none" : "missing");
    *out = t->shape[0];
    return 0;
}

static bool is_there(const struct para_gguf *f, const char *place)
{
    bool wanted = place[0] != '!';
    return (para_gguf_find_tensor(f, place + !wanted) != NULL) == wanted;
}

/* A field that GGUF files have a place for; other fields are what they are where config.json lacks them. */
static int read_field(void *config, const struct para_field *field, const struct para_gguf *f, const char *architecture,
                      para_error *err)
{
    void *out = (char *)config + field->offset;
    char key[PARA_GGUF_KEY];
    if (field->gguf && field->gguf[0] == '#')
        return read_rows(out, f, field->gguf + 1, err);
    para_gguf_key(key, architecture, field->gguf ? field->gguf : "");
    switch (field->kind) {
    case PARA_FIELD_SIZE:
    case PARA_FIELD_COUNT:
        if (field->gguf && !(field->optional && !para_gguf_find(f, key)))
            return para_gguf_size(out, f, key, field->kind == PARA_FIELD_SIZE, err);
        *(int64_t *)out = field->gguf ? 0 : (int64_t)field->absent;
        return 0;
    case PARA_FIELD_REAL:
        if (field->gguf)
            return para_gguf_number(out, f, key, err);
        *(double *)out = 0; /* dropout, of which nothing is told */
        return 0;
    case PARA_FIELD_BOOL:
        *(bool *)out = field->gguf ? is_there(f, field->gguf) : field->absent != 0;
        return 0;
    default:
        return 0;
    }
}

/* Rotary embeddings need the other sizes, whole. */
static int read_rope(para_model *model, const struct para_gguf *f, para_error *err)
{
    const struct para_family *family = model->family;
    for (const struct para_field *field = family->fields; field->name; field++) {
        para_rope_options *rope = (void *)((char *)model->config + field->offset);
        para_model_sizes s = para_model_measure(model);
        if (field->kind != PARA_FIELD_ROPE)
            continue;
        PARA_TRY(para_gguf_rope(rope, f, family->architecture, s.head_dim, s.context, err));
        if (family->paired && rope->rotated != 0)
            return para_fail(err, PARA_ESUPPORT,
                             "%s: \"%s.rope.dimension_count\" is %lld, expected a head's width, %lld",
                             para_gguf_path(f), family->architecture, (long long)rope->rotated, (long long)s.head_dim);
    }
    return 0;
}

/* What a model of these families doesn't have, so that a file that has it means another one. */
static int refuse_others(const struct para_gguf *f, const char *architecture, para_error *err)
{
    static const char *const others[] = {
        "expert_count", "attention.sliding_window", "attention.clamp_kqv", "attention.max_alibi_bias",
        "logit_scale",  "residual_scale",           "embedding_scale"};
    char key[PARA_GGUF_KEY];
    double x;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (!para_gguf_find(f, para_gguf_key(key, architecture, others[i])))
            continue;
        PARA_TRY(para_gguf_number(&x, f, key, err));
        if (x != 0)
            return para_fail(err, PARA_ESUPPORT, "%s: \"%s\" is %g, expected none: a plain %s model", para_gguf_path(f),
                             key, x, architecture);
    }
    return 0;
}

/* Heads of values are as wide as those of keys, and the file is a whole one. */
static int check_others(const struct para_gguf *f, const char *architecture, int64_t head_dim, para_error *err)
{
    static const char parts[] = "split.count";
    char key[PARA_GGUF_KEY];
    int64_t n = 0;
    if (para_gguf_find(f, parts))
        PARA_TRY(para_gguf_size(&n, f, parts, 0, err));
    if (n > 1)
        return para_fail(err, PARA_ESUPPORT,
                         "%s: is one of %lld files that a model is split into, expected one file (llama-gguf-split"
                         " --merge makes one)",
                         para_gguf_path(f), (long long)n);
    if (!para_gguf_find(f, para_gguf_key(key, architecture, "attention.value_length")))
        return 0;
    PARA_TRY(para_gguf_size(&n, f, key, 1, err));
    return n == head_dim ? 0
                         : para_fail(err, PARA_ESUPPORT, "%s: \"%s\" is %lld, expected that of keys, %lld",
                                     para_gguf_path(f), key, (long long)n, (long long)head_dim);
}

/* What can be measured: a family's check comes last, when all numbers are there. */
static int check_heads(const struct para_gguf *f, const para_model *model, para_error *err)
{
    for (const struct para_field *field = model->family->fields; field->name; field++)
        if (field->size && *(const int64_t *)((const char *)model->config + field->offset) < 1)
            return para_fail(err, PARA_EFORMAT,
                             "%s: %s is 0, expected more: an embedding narrower than its heads are many",
                             para_gguf_path(f), field->size);
    return 0;
}

static int read_model(para_model *model, const struct para_gguf *f, para_error *err)
{
    const struct para_family *family = model->family;
    para_error why;
    for (const struct para_field *field = family->fields; field->name; field++)
        PARA_TRY(read_field(model->config, field, f, family->architecture, err));
    PARA_TRY(refuse_others(f, family->architecture, err));
    family->complete(model->config);
    PARA_TRY(check_heads(f, model, err));
    PARA_TRY(check_others(f, family->architecture, para_model_measure(model).head_dim, err));
    PARA_TRY(read_rope(model, f, err));
    int status = family->check(model->config, &why);
    return status < 0 ? para_fail(err, PARA_EFORMAT, "%s: %s", para_gguf_path(f), why.message) : 0;
}

int para_gguf_model(para_model **out, const struct para_gguf *f, para_error *err)
{
    const struct para_family *family = NULL;
    para_model *model;
    PARA_TRY(find_family(&family, f, err));
    PARA_TRY(para_model_new(&model, family, NULL, err));
    int status = read_model(model, f, err);
    if (status < 0)
        para_model_free(model);
    else
        *out = model;
    return status;
}

/* --- ends of text --- */

int para_gguf_ends(const char *path, int32_t **ids, int64_t *count, para_error *err)
{
    static const char *const keys[] = {PARA_GGUF_ENDS};
    enum { KEYS = sizeof keys / sizeof keys[0] };
    struct para_gguf *f;
    PARA_TRY(para_gguf_open(&f, path, err));
    int32_t *found = malloc(KEYS * sizeof *found);
    int64_t n = 0, id;
    int status = found ? 0 : para_fail_memory(err, path);
    for (int i = 0; i < KEYS && status == 0; i++)
        if (para_gguf_find(f, keys[i])) {
            status = para_gguf_size(&id, f, keys[i], 0, err);
            if (status == 0)
                found[n++] = (int32_t)id;
        }
    para_gguf_close(f);
    if (status < 0 || n == 0)
        free(found);
    if (status == 0) {
        *ids = n > 0 ? found : NULL;
        *count = n;
    }
    return status;
}
