/* Weights matched with the values of a graph. */
#include "io/match.h"

#include "base/dtype.h"
#include "base/fail.h"
#include "io/safetensors.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
static const char *sources_of(para_dtype dtype, enum para_form_kind form)
{
    if (!para_dtype_weighs(dtype))
        return para_dtype_name(dtype);
    return form == PARA_GGUF ? PARA_BLOCKS_KNOWN : "f32, f16 or bf16";
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
static const struct para_weight *find_weight(const struct para_weights *weights, const struct para_form *form,
                                             const struct para_values *values, const char *name)
{
    const struct para_weight *found = para_weights_find(weights, name);
    for (const struct para_extra *e = form->extras; e->pattern && !found; e++)
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
    const char *shard = para_weights_absent(weights, name);
    if (shard)
        return para_fail(err, PARA_EFORMAT, "%s: weight_map says that tensor \"%s\" is in %s, which lacks it",
                         weights->path, name, shard);
    for (int i = 0; i < weights->count && i < NAMED && used < sizeof has; i++)
        used +=
            (size_t)snprintf(has + used, sizeof has - used, "%s\"%.60s\"", i ? ", " : "", weights->items[i].written);
    return para_fail(err, PARA_EFORMAT, "%s: has no tensor \"%s\"%s; it has %s%s", weights->path, name, expected, has,
                     weights->count > NAMED ? " and others" : "");
}

static int match(struct para_value *v, const struct para_part *p, const struct para_family *family, para_error *err)
{
    const struct para_weights *weights = &p->weights;
    const char *sources = sources_of(v->expected.dtype, p->form);
    v->found = find_weight(weights, &family->forms[p->form], &p->values, v->name);
    char expected[120];
    snprintf(expected, sizeof expected, " of type %s", sources);
    if (!v->found)
        return fail_missing(weights, v->name, expected, err);
    if (!para_weight_converts(v->found, v->expected.dtype))
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%s\" is %s, expected %s", v->found->path,
                         v->found->entry.name, para_weight_type(v->found), sources);
    return match_shape(v->found, &v->expected, v->axes, err);
}

static const struct para_extra *find_extra(const struct para_form *form, const char *name)
{
    for (const struct para_extra *e = form->extras; e->pattern; e++)
        if (fnmatch(e->pattern, name, 0) == 0)
            return e;
    return NULL;
}

static int refuse_extras(const struct para_values *values, const struct para_weights *weights,
                         const struct para_form *form, para_error *err)
{
    for (int i = 0; i < weights->count; i++) {
        const struct para_weight *w = &weights->items[i];
        bool used = w->other || find_extra(form, w->entry.name);
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
    bool same = strcmp(para_weight_type(copy), para_weight_type(of)) == 0 && a->bytes == b->bytes &&
                memcmp(a->data, b->data, a->bytes) == 0;
    para_safetensors_forget(a);
    para_safetensors_forget(b);
    return same ? 0
                : para_fail(err, PARA_ESUPPORT, "%s: tensor \"%s\" differs from \"%s\", expected a copy of it",
                            copy->path, a->name, b->name);
}

/* A tensor that stands twice in the file, as a head tied to the token table may, is one value of the graph. */
static int check_copies(const struct para_weights *weights, const struct para_form *form,
                        const struct para_values *values, para_error *err)
{
    for (const struct para_extra *e = form->extras; e->pattern; e++) {
        bool applies = is_copy(e, values);
        const struct para_weight *copy = applies ? para_weights_find(weights, e->pattern) : NULL;
        const struct para_weight *of = applies ? para_weights_find(weights, e->copy_of) : NULL;
        if (copy && of)
            PARA_TRY(check_copy(copy, of, err));
    }
    return 0;
}

void para_part_close(struct para_part *p)
{
    para_weights_close(&p->weights);
    free(p->values.items);
    *p = (struct para_part){0};
}

int para_part_match(struct para_part *p, const struct para_family *family, const para_graph *g, enum para_value_set set,
                    para_error *err)
{
    const struct para_form *form = &family->forms[p->form];
    PARA_TRY(para_values_list(&p->values, g, family, p->form, set, err));
    for (int i = 0; i < p->values.count; i++)
        PARA_TRY(match(&p->values.items[i], p, family, err));
    PARA_TRY(refuse_extras(&p->values, &p->weights, form, err));
    return check_copies(&p->weights, form, &p->values, err);
}

/* rows (rows, columns) += scale left (rows, rank) right (rank, columns), by way of a row of sums */
static void add_product(int64_t rows, int64_t columns, int64_t rank, float scale, const float *left, const float *right,
                        float *sums, float *out)
{
    for (int64_t i = 0; i < rows; i++, left += rank, out += columns) {
        memset(sums, 0, (size_t)columns * sizeof *sums);
        for (int64_t k = 0; k < rank; k++)
            for (int64_t j = 0; j < columns; j++)
                sums[j] += left[k] * right[k * columns + j];
        for (int64_t j = 0; j < columns; j++)
            out[j] += scale * sums[j];
    }
}

/* Read a matrix (rows, columns), transposed or not. */
static void read_matrix(const struct para_weight *w, int64_t rows, int64_t columns, bool transposed, float *room,
                        float *out)
{
    para_weight_convert(transposed ? room : out, w, rows * columns);
    for (int64_t i = 0; i < rows && transposed; i++)
        for (int64_t j = 0; j < columns; j++)
            out[j * rows + i] = room[i * columns + j];
}

/* Add what an adapter says, A (rank, in) and B (out, rank): B A to a value (out, in), A^T B^T to one (in, out). */
static int add_adapter(const struct para_value *v, float *out, para_error *err)
{
    const struct para_value *a = v->lora_a, *b = v->lora_b;
    int64_t rank = a->expected.shape[0], in = a->elements / rank, outs = b->elements / rank;
    int64_t longest = in > outs ? in : outs;
    bool in_first = para_value_contracts_first(v);
    float *room = malloc((size_t)(rank * (in + outs + longest) + longest) * sizeof *room);
    if (!room)
        return para_fail_memory(err, v->name);
    float *left = room, *right = left + rank * (in_first ? in : outs), *spare = right + rank * (in_first ? outs : in);
    read_matrix(a->found, rank, in, in_first, spare, in_first ? left : right);
    read_matrix(b->found, outs, rank, in_first, spare, in_first ? right : left);
    add_product(in_first ? in : outs, in_first ? outs : in, rank, (float)v->lora_scale, left, right,
                spare + rank * longest, out);
    free(room);
    return 0;
}

int para_part_floats(const struct para_value *v, float *out, para_error *err)
{
    float *in_file = v->in_order ? out : malloc((size_t)v->elements * sizeof *in_file);
    if (!in_file)
        return para_fail_memory(err, v->found->path);
    para_weight_convert(in_file, v->found, v->elements);
    if (!v->in_order) {
        para_value_from_file(v, PARA_F32, in_file, out);
        free(in_file);
    }
    return v->lora_a ? add_adapter(v, out, err) : 0;
}

static int set_converted(para_session *s, const struct para_value *v, para_error *err)
{
    const para_entry *e = &v->found->entry;
    if (para_weight_is(v->found, PARA_F32) && (uintptr_t)e->data % _Alignof(float) == 0 && v->in_order && !v->lora_a)
        return para_session_set_weight(s, v->base, e->data, v->elements, err);
    float *values = malloc((size_t)v->elements * sizeof *values);
    if (!values)
        return para_fail_memory(err, v->found->path);
    int status = para_part_floats(v, values, err);
    if (status == 0)
        status = para_session_set_weight(s, v->base, values, v->elements, err);
    free(values);
    return status;
}

/* Elements of the value's own type, as they are. */
static int set_as_is(para_session *s, const struct para_value *v, para_error *err)
{
    const para_entry *e = &v->found->entry;
    if (v->in_order)
        return para_session_set(s, v->base, e->data, e->bytes, err);
    void *ordered = malloc(e->bytes);
    if (!ordered)
        return para_fail_memory(err, v->found->path);
    para_value_from_file(v, v->expected.dtype, e->data, ordered);
    int status = para_session_set(s, v->base, ordered, e->bytes, err);
    free(ordered);
    return status;
}

/* What the session says of a value is true of a tensor of the file. */
static int fail_element(const struct para_value *v, para_error *err)
{
    return para_fail(err, PARA_EFORMAT, "%s: tensor \"%s\" has elements that %s can't hold", v->found->path,
                     v->found->entry.name, para_dtype_name(v->expected.dtype));
}

bool para_value_lends(const struct para_value *v)
{
    bool aligned = (uintptr_t)v->found->entry.data % sizeof(uint32_t) == 0;
    return para_dtype_blocks(v->expected.dtype) && para_weight_is(v->found, v->expected.dtype) && v->in_order &&
           aligned && !v->lora_a;
}

int para_part_set(const struct para_part *p, para_session *s, bool lent, para_error *err)
{
    for (int i = 0; i < p->values.count; i++) {
        const struct para_value *v = &p->values.items[i];
        if (lent && para_value_lends(v))
            continue;
        bool same = para_weight_is(v->found, v->expected.dtype) && !v->lora_a;
        int status = same ? set_as_is(s, v, err) : set_converted(s, v, err);
        if (status == PARA_ERANGE)
            return fail_element(v, err);
        PARA_TRY(status);
        para_safetensors_forget(&v->found->entry);
    }
    return 0;
}

/* --- sizes --- */

/* The size that has this name in config.json. */
static int64_t size_named(const para_model *model, const char *name)
{
    const struct para_field *f = model->family->fields;
    while (strcmp(f->name, name) != 0)
        f++;
    return *(const int64_t *)((const char *)model->config + f->offset);
}

int para_weights_check(const struct para_weights *weights, enum para_form_kind kind, const para_model *model,
                       para_error *err)
{
    const struct para_form *form = &model->family->forms[kind];
    int64_t last = para_model_measure(model).layers - 1;
    for (const struct para_evidence *e = form->evidence; e->tensor; e++) {
        char name[PARA_NAME_BYTES], axes[PARA_AXES_BYTES];
        para_name_of_layer(e->tensor, last, name, sizeof name);
        snprintf(axes, sizeof axes, "(%s, %s)", e->rows, e->columns);
        const struct para_weight *w = find_weight(weights, form, NULL, name);
        if (!w)
            return fail_missing(weights, name, kind == PARA_GGUF ? "" : ", expected by config.json", err);
        const para_entry expected = {.rank = 2, .shape = {size_named(model, e->rows), size_named(model, e->columns)}};
        PARA_TRY(match_shape(w, &expected, axes, err));
    }
    return 0;
}
