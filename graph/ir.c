/* Values, nodes and names: making them and looking at them. */
#include "graph/ir.h"

#include "base/checked.h"
#include "base/dtype.h"
#include "base/fail.h"
#include "base/grow.h"
#include "graph/op.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct axis {
    const char *name;
    int64_t whole;
};

para_graph *para_graph_new(void)
{
    para_graph *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->scope = g->splits = g->spread = "";
    return g;
}

void para_graph_free(para_graph *g)
{
    if (!g)
        return;
    para_arena_free(&g->arena);
    para_strmap_free(&g->names);
    para_strmap_free(&g->numbers);
    para_strmap_free(&g->axes);
    free(g->nodes);
    free(g->tensors);
    free(g->grads);
    free(g->wants);
    free(g);
}

void *para_graph_error(para_graph *g, int code, const char *format, ...)
{
    if (g->error.code)
        return NULL;
    va_list args;
    va_start(args, format);
    g->error.code = code;
    vsnprintf(g->error.message, sizeof g->error.message, format, args);
    va_end(args);
    return NULL;
}

void para_graph_fail(para_graph *g, const para_error *err)
{
    if (!g->error.code)
        g->error = *err;
}

static void *out_of_memory(para_graph *g)
{
    return para_graph_error(g, PARA_ENOMEM, "out of memory: building a graph");
}

const char *para_axis_intern(para_graph *g, const char *axis, int64_t whole, const char *owner)
{
    size_t length = axis ? strlen(axis) : 0;
    if (length == 0 || length > PARA_MAX_AXIS_NAME || strpbrk(axis, " ,=[]"))
        return para_graph_error(g, PARA_EAXIS,
                                "%s: \"%s\" can't name an axis: expected 1 to %d characters, none of "
                                "them a space, comma, equals sign or bracket",
                                owner, axis ? axis : "", PARA_MAX_AXIS_NAME);
    struct axis *a = para_strmap_get(&g->axes, axis);
    if (a && a->whole != whole)
        return para_graph_error(g, PARA_ESHAPE,
                                "%s: axis \"%s\" has extent %lld here and %lld elsewhere; a name has one "
                                "extent in a graph",
                                owner, axis, (long long)whole, (long long)a->whole);
    if (a)
        return a->name;
    a = para_arena_alloc(&g->arena, sizeof *a);
    char *name = para_arena_string(&g->arena, axis);
    if (!a || !name)
        return out_of_memory(g);
    *a = (struct axis){name, whole};
    if (para_strmap_set(&g->axes, name, a) < 0)
        return out_of_memory(g);
    return name;
}

int64_t para_shape_elements(const struct para_shape *s)
{
    int64_t elements = 1;
    for (int d = 0; d < s->rank; d++)
        elements *= s->dim[d].extent;
    return elements;
}

size_t para_shape_bytes(const struct para_shape *s)
{
    return para_dtype_span(s->dtype, para_shape_elements(s));
}

bool para_shape_in_blocks(const struct para_shape *s, struct para_shape *blocks)
{
    int64_t block = para_dtype_block(s->dtype), behind = 1;
    *blocks = *s;
    for (int d = s->rank - 1; d >= 0 && block > 1; d--) {
        struct para_extent *e = &blocks->dim[d];
        *e = (struct para_extent){e->axis, e->extent * behind, e->begin * behind, e->whole * behind};
        if (e->whole % block == 0) {
            blocks->rank = d + 1;
            bool on_borders = e->extent % block == 0 && e->begin % block == 0;
            *e = (struct para_extent){e->axis, e->extent / block, e->begin / block, e->whole / block};
            return on_borders;
        }
        if (e->extent != e->whole)
            return false;
        behind = e->whole;
    }
    return block == 1;
}

int64_t para_shape_whole_index(const struct para_shape *s, int64_t e)
{
    int64_t index = 0, stride = 1;
    for (int d = s->rank - 1; d >= 0; d--) {
        index += (s->dim[d].begin + e % s->dim[d].extent) * stride;
        e /= s->dim[d].extent;
        stride *= s->dim[d].whole;
    }
    return index;
}

int para_shape_find(const struct para_shape *s, const char *axis)
{
    for (int d = 0; d < s->rank; d++)
        if (strcmp(s->dim[d].axis, axis) == 0)
            return d;
    return -1;
}

int64_t para_shape_stride(const struct para_shape *s, const char *axis)
{
    int64_t stride = 1;
    for (int d = s->rank - 1; d >= 0; d--) {
        if (strcmp(s->dim[d].axis, axis) == 0)
            return stride;
        stride *= s->dim[d].extent;
    }
    return 0;
}

bool para_shape_same_axes(const struct para_shape *a, const struct para_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int d = 0; d < a->rank; d++)
        if (strcmp(a->dim[d].axis, b->dim[d].axis) != 0 || a->dim[d].whole != b->dim[d].whole)
            return false;
    return true;
}

bool para_shape_same_whole(const struct para_shape *a, const struct para_shape *b)
{
    return a->dtype == b->dtype && para_shape_same_axes(a, b);
}

bool para_shape_same_tile(const struct para_shape *a, const struct para_shape *b)
{
    bool same = para_shape_same_whole(a, b);
    for (int d = 0; d < a->rank && same; d++)
        same = a->dim[d].extent == b->dim[d].extent && a->dim[d].begin == b->dim[d].begin;
    return same;
}

char *para_shape_text(const struct para_shape *s, char buffer[PARA_SHAPE_TEXT])
{
    int used = snprintf(buffer, PARA_SHAPE_TEXT, "%s (", para_dtype_name(s->dtype));
    for (int d = 0; d < s->rank && used < PARA_SHAPE_TEXT; d++) {
        const struct para_extent *e = &s->dim[d];
        used += snprintf(buffer + used, (size_t)(PARA_SHAPE_TEXT - used), "%s%s %lld", d ? ", " : "", e->axis,
                         (long long)e->extent);
        if (e->extent != e->whole && used < PARA_SHAPE_TEXT)
            used += snprintf(buffer + used, (size_t)(PARA_SHAPE_TEXT - used), " of %lld at %lld", (long long)e->whole,
                             (long long)e->begin);
    }
    if (used < PARA_SHAPE_TEXT)
        snprintf(buffer + used, (size_t)(PARA_SHAPE_TEXT - used), ")");
    return buffer;
}

/* Names are kept when a tensor is renamed, so an entry counts only while its tensor still has the name. */
static para_tensor *named(const para_graph *g, const char *name)
{
    para_tensor *t = para_strmap_get(&g->names, name);
    return t && strcmp(t->name, name) == 0 ? t : NULL;
}

const para_tensor *para_graph_find(const para_graph *g, const char *name)
{
    return named(g, name);
}

para_tensor *para_graph_value(para_graph *g, const char *name)
{
    return g->sealed ? NULL : named(g, name);
}

bool para_graph_has_frozen(const para_graph *g)
{
    bool found = false;
    for (int t = 0; t < g->n_tensors && !found; t++)
        found = g->tensors[t]->frozen;
    return found;
}

/* The first number that may be free behind a taken name; NULL when memory runs out. */
static int *next_number(para_graph *g, const char *name)
{
    int *number = para_strmap_get(&g->numbers, name);
    if (number)
        return number;
    number = para_arena_alloc(&g->arena, sizeof *number);
    if (!number || para_strmap_set(&g->numbers, name, number) < 0)
        return NULL;
    *number = 2;
    return number;
}

const char *para_name_unique(para_graph *g, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *wanted = para_arena_vformat(&g->arena, format, args);
    va_end(args);
    if (!wanted)
        return out_of_memory(g);
    if (!named(g, wanted))
        return wanted;
    size_t bytes = strlen(wanted) + 16;
    int *number = next_number(g, wanted);
    char *name = para_arena_alloc(&g->arena, bytes);
    if (!name || !number)
        return out_of_memory(g);
    for (;; ++*number) {
        snprintf(name, bytes, "%s.%d", wanted, *number);
        if (!named(g, name))
            return name;
    }
}

void para_name_release(para_graph *g, const char *name)
{
    const char *dot = strrchr(name, '.');
    long released = dot ? strtol(dot + 1, NULL, 10) : 0;
    const char *wanted = released >= 2 ? para_arena_format(&g->arena, "%.*s", (int)(dot - name), name) : NULL;
    int *number = wanted ? para_strmap_get(&g->numbers, wanted) : NULL;
    if (number && released < *number)
        *number = (int)released;
}

static int check_blocks(para_graph *g, const char *name, const struct para_shape *shape)
{
    struct para_shape blocks;
    char text[PARA_SHAPE_TEXT];
    if (para_shape_in_blocks(shape, &blocks))
        return 0;
    para_graph_error(g, PARA_ESHAPE, "%s: %s, expected whole blocks of %d elements along the last axes", name,
                     para_shape_text(shape, text), (int)para_dtype_block(shape->dtype));
    return -1;
}

/* Copy a shape with the graph's own axis names, checking it. */
static int adopt_shape(para_graph *g, const char *name, const struct para_shape *shape, struct para_shape *own)
{
    *own = *shape;
    int64_t elements = 1;
    if (shape->dtype < PARA_F32 || shape->dtype > PARA_Q4_0) {
        para_graph_error(g, PARA_ESHAPE,
                         "%s: element type number %d, expected that of f32, f16, bf16, i32, i8, q8_0 or q4_0", name,
                         (int)shape->dtype);
        return -1;
    }
    if (shape->rank > PARA_MAX_RANK) {
        para_graph_error(g, PARA_ESHAPE, "%s: %d dimensions, expected at most %d", name, shape->rank, PARA_MAX_RANK);
        return -1;
    }
    for (int d = 0; d < shape->rank; d++) {
        struct para_extent *e = &own->dim[d];
        if (e->extent < 1 || e->begin < 0 || e->whole < 1 || e->extent > e->whole || e->begin > e->whole - e->extent) {
            para_graph_error(g, PARA_ERANGE,
                             "%s: axis \"%s\" has extent %lld at %lld of %lld; expected at least 1, "
                             "within the whole",
                             name, e->axis, (long long)e->extent, (long long)e->begin, (long long)e->whole);
            return -1;
        }
        if (!para_mul_i64(elements, e->whole, &elements) || elements > INT64_MAX / 8) {
            para_graph_error(g, PARA_ERANGE, "%s: the number of elements overflows", name);
            return -1;
        }
        for (int k = 0; k < d; k++)
            if (strcmp(own->dim[k].axis, e->axis) == 0) {
                para_graph_error(g, PARA_EAXIS, "%s: axis \"%s\" stands twice; a name stands once in a tensor", name,
                                 e->axis);
                return -1;
            }
        e->axis = para_axis_intern(g, e->axis, e->whole, name);
        if (!e->axis)
            return -1;
    }
    return check_blocks(g, name, shape);
}

para_tensor *para_tensor_add(para_graph *g, para_kind kind, const char *name, const struct para_shape *shape)
{
    if (g->error.code)
        return NULL;
    if (named(g, name))
        return para_graph_error(g, PARA_ENAME, "the name \"%s\" is taken", name);
    para_tensor *t = para_arena_alloc(&g->arena, sizeof *t);
    char *copy = para_arena_string(&g->arena, name);
    if (!t || !copy || para_grow(&g->tensors, g->n_tensors, &g->tensor_capacity, sizeof *g->tensors) < 0)
        return out_of_memory(g);
    if (adopt_shape(g, name, shape, &t->shape) < 0)
        return NULL;
    t->graph = g;
    t->id = t->origin = t->storage = g->n_tensors;
    t->kind = kind;
    t->name = t->base = copy;
    if (para_strmap_set(&g->names, copy, t) < 0)
        return out_of_memory(g);
    g->tensors[g->n_tensors++] = t;
    return t;
}

/* Copy a list of words with an end after each, and an empty word behind the last. */
static const char *split_words(struct para_arena *arena, const char *list)
{
    char *words = para_arena_alloc(arena, strlen(list) + 2), *to = words;
    for (list += strspn(list, " "); words && *list; list += strspn(list, " ")) {
        size_t length = strcspn(list, " ");
        memcpy(to, list, length);
        to += length + 1; /* the arena's memory is zero */
        list += length;
    }
    return words;
}

static bool keep_attr(para_node *n, int a, union para_attr value)
{
    para_graph *g = n->graph;
    n->attr[a] = value;
    if (n->op->attrs[a].type != PARA_ATTR_STRING)
        return true;
    if (!value.s) {
        para_graph_error(g, PARA_EINVAL, "%s (%s): %s is NULL, expected a string", n->name, n->op->name,
                         n->op->attrs[a].name);
        return false;
    }
    n->attr[a].s = para_arena_string(&g->arena, value.s);
    n->words[a] = split_words(&g->arena, value.s);
    if (!n->attr[a].s || !n->words[a])
        out_of_memory(g);
    return n->attr[a].s && n->words[a];
}

para_node *para_node_add(para_graph *g, const struct para_op *op, const char *name, para_tensor *const in[], int n_in,
                         const union para_attr attr[])
{
    if (g->error.code)
        return NULL;
    para_node *n = para_arena_alloc(&g->arena, sizeof *n);
    n = n && para_grow(&g->nodes, g->n_nodes, &g->node_capacity, sizeof *g->nodes) == 0 ? n : NULL;
    para_tensor **ins = para_arena_alloc(&g->arena, sizeof *ins * (size_t)(n_in + PARA_MAX_OUT));
    const char *copy = para_arena_string(&g->arena, name), *scope = para_arena_string(&g->arena, g->scope);
    if (!n || !ins || !copy || !scope)
        return out_of_memory(g);
    *n = (para_node){.graph = g,
                     .id = g->n_nodes,
                     .origin = g->n_nodes,
                     .op = op,
                     .name = copy,
                     .scope = scope,
                     .part = "",
                     .place = -1,
                     .backward = g->has_backward || g->in_backward,
                     .n_in = n_in,
                     .in = ins,
                     .out = ins + n_in};
    if (n_in)
        memcpy(ins, in, sizeof *ins * (size_t)n_in);
    for (int a = 0; attr && a < PARA_MAX_ATTRS && op->attrs[a].name; a++)
        if (!keep_attr(n, a, attr[a]))
            return NULL;
    for (int i = 0; i < n_in; i++)
        if (in[i]->overwritten_by)
            return para_graph_error(g, PARA_EINVAL, "%s: reads \"%s\" after %s has overwritten it; use its result",
                                    name, in[i]->name, in[i]->overwritten_by->producer->name);
    g->nodes[g->n_nodes++] = n;
    return n;
}

para_tensor *para_node_add_output(para_node *n, const char *name, const struct para_shape *shape)
{
    if (n->n_out == PARA_MAX_OUT)
        return para_graph_error(n->graph, PARA_EINVAL, "%s: more than %d outputs", n->name, PARA_MAX_OUT);
    para_tensor *t = para_tensor_add(n->graph, PARA_INTERMEDIATE, name, shape);
    if (!t)
        return NULL;
    int updated = n->op->updates[n->n_out] - 1;
    t->producer = n;
    t->output = n->n_out;
    n->out[n->n_out++] = t;
    if (updated >= 0) {
        t->overwrites = n->in[updated];
        t->overwrites->overwritten_by = t;
        t->storage = t->overwrites->storage;
    }
    return t;
}

/* Make room for one more: a full list, whose length is a power of two, doubles. */
static bool grow_after(para_node *n)
{
    size_t count = (size_t)n->n_after;
    if (count & (count - 1))
        return true;
    para_node **after = para_arena_alloc(&n->graph->arena, sizeof(para_node *) * (count ? 2 * count : 1));
    if (after && count)
        memcpy(after, n->after, sizeof(para_node *) * count);
    n->after = after ? after : n->after;
    return after;
}

int para_node_add_after(para_node *n, para_node *other)
{
    int at = n->n_after;
    while (at > 0 && n->after[at - 1]->id > other->id)
        at--;
    if (at > 0 && n->after[at - 1] == other)
        return 0;
    if (!grow_after(n)) {
        out_of_memory(n->graph);
        return PARA_ENOMEM;
    }
    for (int i = n->n_after++; i > at; i--)
        n->after[i] = n->after[i - 1];
    n->after[at] = other;
    return 0;
}

const para_tensor *para_node_operand(const para_node *n, int k)
{
    return k < n->n_in ? n->in[k] : n->out[k - n->n_in];
}

bool para_node_has_axis(const para_node *n, const char *axis)
{
    for (int k = 0; k < n->n_in + n->n_out; k++)
        if (para_shape_find(&para_node_operand(n, k)->shape, axis) >= 0)
            return true;
    return false;
}

const char *para_node_word(const para_node *n, int a, int i)
{
    const char *word = n->words[a];
    for (; i > 0 && *word; i--)
        word += strlen(word) + 1;
    return *word ? word : NULL;
}

/* --- looking at graphs --- */

const para_node *para_graph_first(const para_graph *g)
{
    return g->n_nodes ? g->nodes[0] : NULL;
}

const para_node *para_node_next(const para_node *n)
{
    return n->id + 1 < n->graph->n_nodes ? n->graph->nodes[n->id + 1] : NULL;
}

int para_graph_node_count(const para_graph *g)
{
    return g->n_nodes;
}

const para_node *para_graph_node(const para_graph *g, int id)
{
    return id >= 0 && id < g->n_nodes ? g->nodes[id] : NULL;
}

const char *para_graph_splits(const para_graph *g)
{
    return g->splits;
}

const char *para_graph_spreading(const para_graph *g)
{
    return g->spread;
}

int para_graph_tensor_count(const para_graph *g)
{
    return g->n_tensors;
}

const para_tensor *para_graph_tensor(const para_graph *g, int id)
{
    return id >= 0 && id < g->n_tensors ? g->tensors[id] : NULL;
}

int para_node_id(const para_node *n)
{
    return n->id;
}

const char *para_node_name(const para_node *n)
{
    return n->name;
}

const char *para_node_op(const para_node *n)
{
    return n->op->name;
}

const char *para_node_scope(const para_node *n)
{
    return n->scope;
}

const char *para_node_part(const para_node *n)
{
    return n->part;
}

int para_node_origin(const para_node *n)
{
    return n->origin;
}

bool para_node_backward(const para_node *n)
{
    return n->backward;
}

int para_node_place(const para_node *n)
{
    return n->place;
}

int para_node_inputs(const para_node *n)
{
    return n->n_in;
}

int para_node_outputs(const para_node *n)
{
    return n->n_out;
}

const para_tensor *para_node_input(const para_node *n, int i)
{
    return i >= 0 && i < n->n_in ? n->in[i] : NULL;
}

const para_tensor *para_node_output(const para_node *n, int i)
{
    return i >= 0 && i < n->n_out ? n->out[i] : NULL;
}

int para_tensor_id(const para_tensor *t)
{
    return t->id;
}

const char *para_tensor_name(const para_tensor *t)
{
    return t->name;
}

const char *para_tensor_base(const para_tensor *t)
{
    return t->base;
}

para_kind para_tensor_kind(const para_tensor *t)
{
    return t->kind;
}

bool para_tensor_frozen(const para_tensor *t)
{
    return t->frozen;
}

para_dtype para_tensor_dtype(const para_tensor *t)
{
    return t->shape.dtype;
}

int para_tensor_rank(const para_tensor *t)
{
    return t->shape.rank;
}

static bool has_dim(const para_tensor *t, int i)
{
    return i >= 0 && i < t->shape.rank;
}

para_dim para_tensor_dim(const para_tensor *t, int i)
{
    return has_dim(t, i) ? (para_dim){t->shape.dim[i].axis, t->shape.dim[i].extent} : (para_dim){NULL, 0};
}

int64_t para_tensor_whole(const para_tensor *t, int i)
{
    return has_dim(t, i) ? t->shape.dim[i].whole : 0;
}

int64_t para_tensor_begin(const para_tensor *t, int i)
{
    return has_dim(t, i) ? t->shape.dim[i].begin : 0;
}

int64_t para_tensor_elements(const para_tensor *t)
{
    return para_shape_elements(&t->shape);
}

size_t para_tensor_bytes(const para_tensor *t)
{
    return para_shape_bytes(&t->shape);
}

const para_node *para_tensor_producer(const para_tensor *t)
{
    return t->producer;
}
