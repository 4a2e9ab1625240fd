/* Building graphs: values, scopes and names, and the one call by which every op adds its node. */
#include "base/dtype.h"
#include "graph/ir.h"
#include "graph/op.h"
#include "graph/signature.h"

#include <limits.h>
#include <stdarg.h>
#include <string.h>

/* The open scopes and a name, "layer.3.attn.qkv"; NULL with the error kept. */
static const char *full_name(para_graph *g, const char *name)
{
    const char *full = para_arena_format(&g->arena, "%s%s%s", g->scope, g->scope[0] ? "." : "", name);
    return full ? full : para_graph_error(g, PARA_ENOMEM, "out of memory: naming %s", name);
}

static bool closed(para_graph *g, const char *what)
{
    if (g->sealed)
        para_graph_error(g, PARA_EINVAL, "%s: the graph is sealed", what);
    return g->sealed || g->error.code;
}

static bool is_named(para_graph *g, const char *name)
{
    if (!name || !*name)
        para_graph_error(g, PARA_ENAME, "a value's name is %s, expected at least one character",
                         name ? "empty" : "NULL");
    return name && *name;
}

static para_tensor *add_source(para_graph *g, para_kind kind, const char *name, para_dtype dtype, const para_dim *dims,
                               para_init init)
{
    if (!is_named(g, name) || closed(g, name))
        return NULL;
    if (init.kind < PARA_INIT_FILL || init.kind > PARA_INIT_UNIFORM)
        return para_graph_error(g, PARA_EINVAL, "\"%s\" begins by kind number %d, expected one of the three kinds",
                                name, (int)init.kind);
    const char *full = full_name(g, name);
    if (!full)
        return NULL;
    struct para_shape shape = {.dtype = dtype};
    for (const para_dim *d = dims; d->axis; d++)
        para_shape_append(&shape, d->axis, d->extent);
    para_tensor *t = para_tensor_add(g, kind, full, &shape);
    if (t)
        t->init = init;
    return t;
}

para_tensor *para_input(para_graph *g, const char *name, para_dtype dtype, const para_dim *dims)
{
    return add_source(g, PARA_INPUT, name, dtype, dims, (para_init){0});
}

para_tensor *para_param(para_graph *g, const char *name, const para_dim *dims, para_init init)
{
    return para_param_as(g, name, PARA_F32, dims, init);
}

para_tensor *para_param_as(para_graph *g, const char *name, para_dtype dtype, const para_dim *dims, para_init init)
{
    if (!para_dtype_weighs(dtype))
        return para_graph_error(g, PARA_ESHAPE, "parameter \"%s\" is %s, expected f32, bf16 or i8", name,
                                para_dtype_name(dtype));
    return add_source(g, PARA_PARAMETER, name, dtype, dims, init);
}

para_tensor *para_state(para_graph *g, const char *name, para_dtype dtype, const para_dim *dims, para_init init)
{
    if (dtype != PARA_F32 && dtype != PARA_I32)
        return para_graph_error(g, PARA_ESHAPE, "state \"%s\" is %s, expected f32 or i32", name,
                                para_dtype_name(dtype));
    if (dtype == PARA_I32 && init.kind != PARA_INIT_FILL)
        return para_graph_error(g, PARA_EINVAL, "state \"%s\" is i32, expected a fill as its initial value", name);
    return add_source(g, PARA_STATE, name, dtype, dims, init);
}

void para_scope_push(para_graph *g, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *name = para_arena_vformat(&g->arena, format, args);
    va_end(args);
    struct para_scope_mark *top = para_arena_alloc(&g->arena, sizeof *top);
    const char *scope = name && top ? full_name(g, name) : NULL;
    if (!scope) {
        para_graph_error(g, PARA_ENOMEM, "out of memory: opening a scope");
        return;
    }
    *top = (struct para_scope_mark){g->scopes, g->scope};
    g->scopes = top;
    g->scope = scope;
}

void para_scope_pop(para_graph *g)
{
    if (!g->scopes) {
        para_graph_error(g, PARA_EINVAL, "para_scope_pop() without a scope open");
        return;
    }
    g->scope = g->scopes->before;
    g->scopes = g->scopes->outer;
}

/* The full name of output k of a node called `full`, "norm:1"; NULL with the error kept. */
static const char *output_name(para_graph *g, const char *full, int k)
{
    const char *name = k ? para_arena_format(&g->arena, "%s:%d", full, k) : full;
    return name ? name : para_graph_error(g, PARA_ENOMEM, "out of memory: naming %s", full);
}

para_tensor *para_name(para_tensor *t, const char *name)
{
    if (!t)
        return NULL;
    para_graph *g = t->graph;
    para_node *n = t->producer;
    if (!is_named(g, name) || closed(g, name))
        return NULL;
    if (!n)
        return para_graph_error(g, PARA_ENAME, "\"%s\" has a name already; para_name() is for results of ops", t->name);
    const char *full = full_name(g, name), *output[PARA_MAX_OUT];
    for (int k = 0; k < n->n_out; k++) {
        output[k] = full ? output_name(g, full, k) : NULL;
        const para_tensor *owner = output[k] ? para_graph_find(g, output[k]) : NULL;
        if (owner && owner->producer != n)
            return para_graph_error(g, PARA_ENAME, "the name \"%s\" is taken", output[k]);
        if (!output[k])
            return NULL;
    }
    para_name_release(g, n->name);
    for (int k = 0; k < n->n_out; k++) {
        if (para_strmap_set(&g->names, output[k], n->out[k]) < 0)
            return para_graph_error(g, PARA_ENOMEM, "out of memory: naming %s", full);
        n->out[k]->name = n->out[k]->base = output[k];
    }
    n->name = n->out[0]->name;
    return t;
}

para_tensor *para_output(para_tensor *t)
{
    if (!t || closed(t->graph, t->name))
        return NULL;
    t->is_output = true;
    return t;
}

static bool same_graph(para_graph *g, const struct para_op *op, para_tensor *const in[], int n_in)
{
    for (int i = 0; i < n_in; i++) {
        if (!in[i])
            return false;
        if (in[i]->graph != g) {
            para_graph_error(g, PARA_EINVAL, "%s: \"%s\" belongs to another graph", op->name, in[i]->name);
            return false;
        }
    }
    return true;
}

int para_node_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    para_error inner = {0};
    para_dtype dtype[PARA_MAX_OUT];
    int count = para_signature_check(n, dtype, &inner);
    for (int k = 0; k < count; k++)
        out[k] = (struct para_shape){.rank = 0};
    int status = count < 0 ? count : n->op->infer(n, out, &inner);
    if (status < 0)
        return para_fail(err, status, "%s (%s): %s", n->name, n->op->name, inner.message);
    for (int k = 0; k < count; k++)
        out[k].dtype = dtype[k];
    return count;
}

para_node *para_apply_node(const struct para_op *op, para_graph *g, para_tensor *const in[], int n_in,
                           const union para_attr attr[])
{
    if (closed(g, op->name) || !same_graph(g, op, in, n_in))
        return NULL;
    const char *name = g->backward_of ? para_name_unique(g, "%s.grad.%s", g->backward_of->name, op->name)
                                      : para_name_unique(g, "%s%s%s", g->scope, g->scope[0] ? "." : "", op->name);
    para_node *n = name ? para_node_add(g, op, name, in, n_in, attr) : NULL;
    if (!n)
        return NULL;
    struct para_shape out[PARA_MAX_OUT];
    int count = para_node_infer(n, out, &g->error);
    for (int k = 0; k < count; k++) {
        const char *output = output_name(g, name, k);
        if (!output || !para_node_add_output(n, output, &out[k]))
            return NULL;
    }
    return count > 0 ? n : NULL;
}

para_tensor *para_apply(const struct para_op *op, para_graph *g, para_tensor *const in[], int n_in,
                        const union para_attr attr[])
{
    para_node *n = para_apply_node(op, g, in, n_in, attr);
    return n ? n->out[0] : NULL;
}

/* --- for infer() --- */

void para_shape_append(struct para_shape *s, const char *axis, int64_t whole)
{
    if (s->rank < PARA_MAX_RANK)
        s->dim[s->rank] = (struct para_extent){axis, whole, 0, whole};
    s->rank++; /* past PARA_MAX_RANK the shape is refused when a tensor is made of it */
}

bool para_word(const char *list, int i, char buffer[PARA_MAX_AXIS_NAME + 1])
{
    for (;; i--) {
        list += strspn(list, " ");
        size_t length = strcspn(list, " ");
        if (length == 0)
            return false;
        if (i == 0) {
            size_t kept = length <= PARA_MAX_AXIS_NAME ? length : PARA_MAX_AXIS_NAME - 3;
            memcpy(buffer, list, kept);
            strcpy(buffer + kept, kept < length ? "..." : "");
            return true;
        }
        list += length;
    }
}

bool para_word_in(const char *word, const char *list)
{
    size_t wanted = strlen(word);
    for (list += strspn(list, " "); *list; list += strspn(list, " ")) {
        size_t length = strcspn(list, " ");
        if (length == wanted && memcmp(list, word, length) == 0)
            return true;
        list += length;
    }
    return false;
}
