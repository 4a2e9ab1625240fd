/* The values of a graph that a checkpoint keeps. */
#include "io/values.h"

#include "base/dtype.h"
#include "base/fail.h"
#include "base/strmap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool ends_with(const char *string, const char *end)
{
    size_t length = strlen(string), end_length = strlen(end);
    return length > end_length && strcmp(string + length - end_length, end) == 0;
}

/* A parameter has its family's name in files, a moment that of its parameter with ".m" or ".v" after it, another state
 * its own. *row is that of the parameter; NULL: there is none. */
static int file_name(struct para_value *v, const struct para_family *family, para_kind kind,
                     const struct para_name **row, para_error *err)
{
    char stem[PARA_NAME_BYTES];
    bool moment = kind == PARA_STATE && (ends_with(v->base, ".m") || ends_with(v->base, ".v"));
    size_t stem_length = strlen(v->base) - (moment ? 2 : 0);
    if (snprintf(stem, sizeof stem, "%.*s", (int)stem_length, v->base) >= PARA_NAME_BYTES)
        return para_fail(err, PARA_ENAME, "the name \"%.120s...\" is too long for a checkpoint", v->base);
    *row = para_family_name(family, stem, v->name, sizeof v->name - 2);
    if (!*row && kind == PARA_PARAMETER)
        return para_fail(err, PARA_ENAME, "parameter \"%s\" has no place in a %s checkpoint", v->base, family->name);
    if (!*row)
        snprintf(v->name, sizeof v->name, "%s", v->base);
    else if (moment)
        memcpy(v->name + strlen(v->name), v->base + stem_length, 3);
    return 0;
}

/* The layout of a value that a file has dimension by dimension: "embd ff". */
static void plain_layout(char out[PARA_AXES_BYTES], const para_tensor *t)
{
    int used = 0;
    out[0] = '\0';
    for (int i = 0; i < para_tensor_rank(t) && used < PARA_AXES_BYTES; i++)
        used +=
            snprintf(out + used, (size_t)(PARA_AXES_BYTES - used), "%s%.16s", i ? " " : "", para_tensor_dim(t, i).axis);
}

/* "embd 3*heads" is told as "(embd, 3 x heads)". */
static void tell_axes(char out[PARA_AXES_BYTES], const char *layout)
{
    int used = snprintf(out, PARA_AXES_BYTES, "(");
    for (const char *c = layout; *c && used < PARA_AXES_BYTES; c++) {
        const char *between = *c == ' ' ? ", " : *c == '*' ? " x " : NULL;
        used += snprintf(out + used, (size_t)(PARA_AXES_BYTES - used), "%.*s", between ? 3 : 1, between ? between : c);
    }
    if (used < PARA_AXES_BYTES)
        snprintf(out + used, (size_t)(PARA_AXES_BYTES - used), ")");
}

/* Whether a word of a layout is this. */
static bool is_word(const char *word, const char *axis)
{
    size_t length = strcspn(word, " *");
    return strlen(axis) == length && strncmp(word, axis, length) == 0;
}

static const char *next_word(const char *word)
{
    word += strcspn(word, " *");
    return word + (*word != '\0');
}

static bool is_named(const char *layout, const char *axis)
{
    for (; *layout; layout = next_word(layout))
        if (is_word(layout, axis))
            return true;
    return false;
}

/* The value's dimension that a word stands for: the one that it names, or else the one that no word does. */
static int dimension_of(const para_tensor *t, const char *layout, const char *word)
{
    int unnamed = 0;
    for (int d = 0; d < para_tensor_rank(t); d++) {
        const char *axis = para_tensor_dim(t, d).axis;
        if (is_word(word, axis))
            return d;
        if (!is_named(layout, axis))
            unnamed = d;
    }
    return unnamed;
}

/* The value's type and shape in the file: an axis joins the one before it if '*' stands between them. Without a layout
 * (NULL) each is one. */
static void file_shape(struct para_value *v, const para_tensor *t, const char *layout)
{
    para_entry *e = &v->expected;
    int64_t stride[PARA_MAX_RANK];
    const char *word = layout ? layout : "";
    v->rank = para_tensor_rank(t);
    v->elements = 1;
    v->in_order = true;
    for (int d = v->rank - 1; d >= 0; v->elements *= para_tensor_whole(t, d--))
        stride[d] = v->elements;
    for (int i = 0; i < v->rank; i++, word = next_word(word)) {
        int d = layout ? dimension_of(t, layout, word) : i;
        v->extent[i] = para_tensor_whole(t, d);
        v->stride[i] = stride[d];
        v->in_order = v->in_order && d == i;
        if (layout && i > 0 && word[-1] == '*')
            e->shape[e->rank - 1] *= v->extent[i];
        else
            e->shape[e->rank++] = v->extent[i];
    }
    e->dtype = para_tensor_dtype(t);
    e->bytes = para_dtype_span(e->dtype, v->elements);
}

void para_value_put_in_order(const struct para_value *v, const float *file, float *value)
{
    int64_t at[PARA_MAX_RANK] = {0}, to = 0;
    for (int64_t e = 0; e < v->elements; e++) {
        value[to] = file[e];
        for (int i = v->rank - 1; i >= 0; i--) {
            to += v->stride[i];
            if (++at[i] < v->extent[i])
                break;
            to -= v->stride[i] * v->extent[i];
            at[i] = 0;
        }
    }
}

static int add_value(struct para_values *values, struct para_strmap *seen, const struct para_family *family,
                     const para_tensor *t, para_error *err)
{
    const char *base = para_tensor_base(t);
    if (para_strmap_get(seen, base))
        return 0; /* another tile of it */
    struct para_value *v = &values->items[values->count++];
    if (para_strmap_set(seen, base, v) < 0)
        return para_fail_memory(err, base);
    v->base = base;
    const struct para_name *row = NULL;
    char plain[PARA_AXES_BYTES];
    PARA_TRY(file_name(v, family, para_tensor_kind(t), &row, err));
    file_shape(v, t, row ? row->layout : NULL);
    plain_layout(plain, t);
    tell_axes(v->axes, row && row->layout ? row->layout : plain);
    return 0;
}

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

int para_values_list(struct para_values *out, const para_graph *g, const struct para_family *family, para_kind kind,
                     para_error *err)
{
    struct para_strmap seen = {0};
    struct para_values values = {calloc((size_t)para_graph_tensor_count(g) + 1, sizeof *values.items), 0};
    int status = values.items ? 0 : para_fail_memory(err, "a checkpoint");
    for (int i = 0; status == 0 && i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (para_tensor_kind(t) == kind && !para_tensor_producer(t) && !is_scale(g, t))
            status = add_value(&values, &seen, family, t, err);
    }
    para_strmap_free(&seen);
    if (status < 0)
        free(values.items);
    else
        *out = values;
    return status;
}
