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

static bool is_adapter(const char *name)
{
    return ends_with(name, PARA_LORA_A) || ends_with(name, PARA_LORA_B);
}

/* An adapter's name in files: what PEFT puts before the module's, and what it ends with. False if it has no place. */
static bool adapter_name(struct para_value *v, const struct para_family *family, const char *stem)
{
    char weight[PARA_NAME_BYTES], module[PARA_NAME_BYTES];
    const char *end = stem + strlen(stem) - strlen(PARA_LORA_A);
    snprintf(weight, sizeof weight, "%.*s.weight", (int)(end - stem), stem);
    if (!para_family_name(family, PARA_FOLDER, weight, module, sizeof module) || !ends_with(module, ".weight"))
        return false;
    module[strlen(module) - strlen(".weight")] = '\0';
    return snprintf(v->name, sizeof v->name - 2, PARA_LORA_PREFIX "%s%s", module, end) < PARA_NAME_BYTES - 2;
}

/* A parameter has its family's name in files, a moment that of its parameter with ".m" or ".v" after it, another state
 * its own. *row is that of the model's parameter; NULL: it is none of these. */
static int file_name(struct para_value *v, const struct para_family *family, enum para_form_kind form, para_kind kind,
                     const struct para_name **row, para_error *err)
{
    char stem[PARA_NAME_BYTES];
    bool moment = kind == PARA_STATE && (ends_with(v->base, ".m") || ends_with(v->base, ".v"));
    size_t stem_length = strlen(v->base) - (moment ? 2 : 0);
    if (snprintf(stem, sizeof stem, "%.*s", (int)stem_length, v->base) >= PARA_NAME_BYTES)
        return para_fail(err, PARA_ENAME, "the name \"%.120s...\" is too long for a checkpoint", v->base);
    *row = para_family_name(family, form, stem, v->name, sizeof v->name - 2);
    bool named = *row || (is_adapter(stem) && adapter_name(v, family, stem));
    if (!named && kind == PARA_PARAMETER)
        return para_fail(err, PARA_ENAME, "parameter \"%s\" has no place in a %s checkpoint", v->base, family->name);
    if (!named)
        snprintf(v->name, sizeof v->name, "%s", v->base);
    else if (moment)
        memcpy(v->name + strlen(v->name), v->base + stem_length, 3);
    return 0;
}

/* An adapter's layout in files: "lora", and what the product contracts, or the rest, as one. */
static void adapter_layout(char out[PARA_AXES_BYTES], const para_tensor *t)
{
    int used = 0;
    const char *before = "";
    for (int i = 0; i < para_tensor_rank(t) && used < PARA_AXES_BYTES; i++) {
        const char *axis = para_tensor_dim(t, i).axis;
        bool apart = strcmp(axis, "lora") == 0 || strcmp(before, "lora") == 0;
        used += snprintf(out + used, (size_t)(PARA_AXES_BYTES - used), "%s%.31s",
                         i == 0  ? ""
                         : apart ? " "
                                 : "*",
                         axis);
        before = axis;
    }
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

/* Add the value's dimension d to those of the file; `paired`: of the two halves of a head neighbours are an element
 * each. */
static void add_dimension(struct para_value *v, int64_t extent, int64_t stride, bool paired)
{
    v->extent[v->rank] = paired ? extent / 2 : extent;
    v->stride[v->rank++] = stride;
    if (!paired)
        return;
    v->extent[v->rank] = 2;
    v->stride[v->rank++] = extent / 2 * stride;
}

/* The value's type and shape in the file: an axis joins the one before it if '*' stands between them. Without a layout
 * (NULL) each is one. */
static void file_shape(struct para_value *v, const para_tensor *t, const char *layout, bool paired)
{
    para_entry *e = &v->expected;
    int64_t stride[PARA_MAX_RANK];
    const char *word = layout ? layout : "";
    int rank = para_tensor_rank(t);
    v->elements = 1;
    v->in_order = true;
    for (int d = rank - 1; d >= 0; v->elements *= para_tensor_whole(t, d--))
        stride[d] = v->elements;
    for (int i = 0; i < rank; i++, word = next_word(word)) {
        int d = layout ? dimension_of(t, layout, word) : i;
        bool apart = paired && strcmp(para_tensor_dim(t, d).axis, "head_dim") == 0;
        int64_t extent = para_tensor_whole(t, d);
        add_dimension(v, extent, stride[d], apart);
        v->in_order = v->in_order && d == i && !apart;
        if (layout && i > 0 && word[-1] == '*')
            e->shape[e->rank - 1] *= extent;
        else
            e->shape[e->rank++] = extent;
    }
    e->dtype = para_tensor_dtype(t);
    e->bytes = para_dtype_span(e->dtype, v->elements);
}

/* How many elements at the end of the file's order stand side by side in the value, too; *rank: of the axes before. */
static int64_t run_of(const struct para_value *v, int *rank)
{
    int64_t run = 1;
    *rank = v->rank;
    while (*rank > 0 && v->stride[*rank - 1] == run)
        run *= v->extent[--*rank];
    return run;
}

/* Copy run after run, in the file's order, between a file's tensor and a value, one of which is written. */
static void copy_runs(const struct para_value *v, para_dtype dtype, const char *from, char *to, bool from_file)
{
    int rank;
    int64_t at[PARA_MAX_RANK + 1] = {0}, place = 0, run = run_of(v, &rank);
    size_t bytes = para_dtype_span(dtype, run);
    for (int64_t e = 0; e < v->elements; e += run) {
        size_t in_file = para_dtype_span(dtype, e), in_value = para_dtype_span(dtype, place);
        memcpy(to + (from_file ? in_value : in_file), from + (from_file ? in_file : in_value), bytes);
        for (int i = rank - 1; i >= 0; i--) {
            place += v->stride[i];
            if (++at[i] < v->extent[i])
                break;
            place -= v->stride[i] * v->extent[i];
            at[i] = 0;
        }
    }
}

void para_value_from_file(const struct para_value *v, para_dtype dtype, const void *file, void *value)
{
    copy_runs(v, dtype, file, value, true);
}

void para_value_to_file(const struct para_value *v, para_dtype dtype, const void *value, void *file)
{
    copy_runs(v, dtype, value, file, false);
}

/* The layout that a row has for a kind of files. */
static const char *layout_of(const struct para_name *row, enum para_form_kind form)
{
    return form == PARA_GGUF && row->gguf_layout ? row->gguf_layout : row->layout;
}

static int add_value(struct para_values *values, struct para_strmap *seen, const struct para_family *family,
                     enum para_form_kind form, const para_tensor *t, para_error *err)
{
    const char *base = para_tensor_base(t);
    if (para_strmap_get(seen, base))
        return 0; /* another tile of it */
    struct para_value *v = &values->items[values->count++];
    if (para_strmap_set(seen, base, v) < 0)
        return para_fail_memory(err, base);
    v->base = base;
    v->tensor = t;
    const struct para_name *row = NULL;
    char plain[PARA_AXES_BYTES], adapter[PARA_AXES_BYTES];
    PARA_TRY(file_name(v, family, form, para_tensor_kind(t), &row, err));
    adapter_layout(adapter, t);
    bool beside = strncmp(v->name, PARA_LORA_PREFIX, strlen(PARA_LORA_PREFIX)) == 0;
    const char *layout = row ? layout_of(row, form) : beside ? adapter : NULL;
    file_shape(v, t, layout, form == PARA_GGUF && family->paired && row && row->turned);
    plain_layout(plain, t);
    tell_axes(v->axes, layout ? layout : plain);
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

static bool is_of(const para_tensor *t, enum para_value_set set)
{
    para_kind kind = set == PARA_VALUES_OPTIMIZER ? PARA_STATE : PARA_PARAMETER;
    return para_tensor_kind(t) == kind && !para_tensor_producer(t) &&
           (kind == PARA_STATE || is_adapter(para_tensor_base(t)) == (set == PARA_VALUES_ADAPTER));
}

int para_values_list(struct para_values *out, const para_graph *g, const struct para_family *family,
                     enum para_form_kind form, enum para_value_set set, para_error *err)
{
    struct para_strmap seen = {0};
    struct para_values values = {calloc((size_t)para_graph_tensor_count(g) + 1, sizeof *values.items), 0};
    int status = values.items ? 0 : para_fail_memory(err, "a checkpoint");
    for (int i = 0; status == 0 && i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (is_of(t, set) && !is_scale(g, t))
            status = add_value(&values, &seen, family, form, t, err);
    }
    para_strmap_free(&seen);
    if (status < 0)
        free(values.items);
    else
        *out = values;
    return status;
}

const struct para_value *para_values_find(const struct para_values *values, const char *name, size_t length,
                                          const char *end)
{
    for (int i = 0; i < values->count; i++) {
        const char *base = values->items[i].base;
        if (strncmp(base, name, length) == 0 && strcmp(base + length, end) == 0)
            return &values->items[i];
    }
    return NULL;
}

bool para_value_contracts_first(const struct para_value *v)
{
    const para_tensor *a = v->lora_a->tensor;
    bool found = false;
    for (int d = 0; d < para_tensor_rank(a) && !found; d++)
        found = strcmp(para_tensor_dim(a, d).axis, para_tensor_dim(v->tensor, 0).axis) == 0;
    return found;
}
