/* Models of any family: what all families share. */
#include "models/family.h"

#include "base/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct para_family *const para_families[] = {
#define PARA_FAMILY(name) &para_family_##name,
#include "models/list.h"
#undef PARA_FAMILY
    NULL};

int para_model_new(para_model **out, const struct para_family *family, const void *config, para_error *err)
{
    para_model *m = calloc(1, sizeof *m + family->config_bytes);
    if (!m)
        return para_fail_memory(err, "a model");
    m->family = family;
    if (config)
        memcpy(m->config, config, family->config_bytes);
    *out = m;
    return 0;
}

static int fail_preset(para_error *err, const char *name)
{
    char list[200] = "";
    size_t used = 0;
    for (const struct para_family *const *f = para_families; *f; f++)
        for (const struct para_preset *p = (*f)->presets; p->name && used < sizeof list; p++)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", p->name);
    return para_fail(err, PARA_ENAME, "no preset is called \"%.80s\"; there are %s", name, list);
}

int para_model_preset(para_model **out, const char *name, para_error *err)
{
    for (const struct para_family *const *f = para_families; *f; f++)
        for (const struct para_preset *p = (*f)->presets; p->name; p++)
            if (strcmp(p->name, name) == 0)
                return para_model_new(out, *f, p->config, err);
    return fail_preset(err, name);
}

int para_model_copy(para_model **out, const para_model *model, para_error *err)
{
    return para_model_new(out, model->family, model->config, err);
}

void para_model_free(para_model *model)
{
    free(model);
}

const char *para_model_family(const para_model *model)
{
    return model->family->name;
}

para_model_sizes para_model_measure(const para_model *model)
{
    return model->family->measure(model->config);
}

static int fail_size(para_error *err, const struct para_family *family, const char *name)
{
    char list[200] = "";
    size_t used = 0;
    for (const struct para_field *f = family->fields; f->name && used < sizeof list; f++)
        if (f->size)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", f->size);
    return para_fail(err, PARA_ENAME, "%s: no size is called \"%.80s\"; there are %s", family->name, name, list);
}

int para_model_set_size(para_model *model, const char *name, int64_t value, para_error *err)
{
    for (const struct para_field *f = model->family->fields; f->name; f++)
        if (f->size && strcmp(f->size, name) == 0) {
            memcpy((char *)model->config + f->offset, &value, sizeof value);
            return 0;
        }
    return fail_size(err, model->family, name);
}

int para_model_set_dropout(para_model *model, double probability, para_error *err)
{
    if (model->family->set_dropout)
        model->family->set_dropout(model->config, probability);
    else if (probability != 0)
        return para_fail(err, PARA_ESUPPORT, "%s: dropout is %g, expected 0: the family has none", model->family->name,
                         probability);
    return 0;
}

void para_model_set_weights(para_model *model, para_dtype type)
{
    memcpy((char *)model->config + model->family->weights, &type, sizeof type);
}

int para_model_check(const para_model *model, para_error *err)
{
    return model->family->check(model->config, err);
}

para_model_graph para_model_build(para_graph *g, const para_model *model, int64_t batch, int64_t seq, bool training)
{
    return model->family->build(g, model->config, batch, seq, training);
}

para_model_graph para_model_build_cached(para_graph *g, const para_model *model, const para_caches *caches)
{
    return model->family->build_cached(g, model->config, caches);
}

/* --- names in files --- */

static bool put_number(const char *pattern, const char *number, int digits, char *buffer, size_t buffer_bytes)
{
    size_t before = strcspn(pattern, "*");
    const char *after = pattern + before + (pattern[before] == '*');
    int length =
        snprintf(buffer, buffer_bytes, "%.*s%.*s%s", (int)before, pattern, pattern[before] ? digits : 0, number, after);
    return (size_t)length < buffer_bytes;
}

bool para_name_of_layer(const char *pattern, int64_t layer, char *buffer, size_t buffer_bytes)
{
    char number[24];
    return put_number(pattern, number, snprintf(number, sizeof number, "%lld", (long long)layer), buffer, buffer_bytes);
}

/* Whether a name matches a pattern, whose '*' takes a number of 1 to 9 digits: `number` is the place of the first one.
 */
static bool matches(const char *pattern, const char *name, const char **number, int *digits)
{
    size_t before = strcspn(pattern, "*");
    if (!pattern[before])
        return strcmp(name, pattern) == 0;
    if (strncmp(name, pattern, before) != 0)
        return false;
    *number = name + before;
    *digits = (int)strspn(*number, "0123456789");
    return *digits >= 1 && *digits <= 9 && strcmp(*number + *digits, pattern + before + 1) == 0;
}

const struct para_name *para_family_name(const struct para_family *family, enum para_form_kind form, const char *name,
                                         char *buffer, size_t buffer_bytes)
{
    const char *number = "";
    int digits = 0;
    for (const struct para_name *n = family->names; n->graph; n++)
        if (matches(n->graph, name, &number, &digits))
            return put_number(form == PARA_GGUF ? n->gguf : n->file, number, digits, buffer, buffer_bytes) ? n : NULL;
    return NULL;
}
