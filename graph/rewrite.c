#include "graph/rewrite.h"

#include "base/fail.h"
#include "graph/op.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void *out_of_memory(struct para_rewrite *r)
{
    return para_graph_error(r->to, PARA_ENOMEM, "out of memory");
}

/* Copy a string of the old graph, which may be freed first. */
static const char *keep(struct para_rewrite *r, const char *text)
{
    const char *copy = para_arena_string(&r->to->arena, text);
    return copy ? copy : out_of_memory(r);
}

void *para_rewrite_alloc(struct para_rewrite *r, int count, size_t bytes)
{
    void *memory = para_arena_alloc(&r->work, (size_t)count * bytes);
    return memory ? memory : out_of_memory(r);
}

/* --- beginning and end --- */

int para_rewrite_begin(struct para_rewrite *r, const para_graph *from, para_error *err, const char *format, ...)
{
    va_list args;
    *r = (struct para_rewrite){.from = from, .to = para_graph_new(), .title = "rewriting a graph"};
    if (!r->to)
        return para_fail_memory(err, r->title);
    va_start(args, format);
    const char *title = para_arena_vformat(&r->work, format, args);
    va_end(args);
    r->title = title ? title : r->title;
    if (!from->sealed)
        para_graph_error(r->to, PARA_EINVAL, "the graph is not sealed");
    r->value = para_rewrite_alloc(r, from->n_tensors, sizeof(para_tensor *));
    r->node = para_rewrite_alloc(r, from->n_nodes, sizeof(para_node *));
    r->to->splits = keep(r, from->splits);
    r->to->spread = keep(r, from->spread);
    r->to->has_backward = from->has_backward;
    bool begun = title && r->value && r->node && r->to->splits && r->to->spread && from->sealed;
    return begun ? 0 : para_rewrite_finish(r, PARA_ENOMEM, NULL, err);
}

/* Where both a value and its gradient are still there. */
static int take_gradients(struct para_rewrite *r)
{
    const para_graph *from = r->from;
    para_graph *to = r->to;
    if (!from->grads || r->drops_gradients)
        return 0;
    to->grads = calloc((size_t)to->n_tensors + 1, sizeof(para_tensor *));
    if (!to->grads)
        return PARA_ENOMEM;
    to->n_grads = to->n_tensors;
    for (int t = 0; t < from->n_grads; t++)
        if (from->grads[t] && r->value[t])
            to->grads[r->value[t]->id] = r->value[from->grads[t]->id];
    return 0;
}

int para_rewrite_finish(struct para_rewrite *r, int status, para_graph **out, para_error *err)
{
    para_graph *to = r->to;
    if (status == 0)
        status = take_gradients(r);
    if (status == 0 && !r->stays_open)
        status = para_graph_seal(to, &to->error);
    else if (status == 0)
        status = to->error.code;
    if (status == 0) {
        *out = to;
    } else {
        out_of_memory(r); /* unless another error is kept */
        status = para_fail(err, to->error.code, "%s: %s", r->title, to->error.message);
        para_graph_free(to);
    }
    para_arena_free(&r->work);
    return status;
}

/* --- making --- */

para_node *para_rewrite_add_node(struct para_rewrite *r, const para_node *old, const struct para_op *op,
                                 const char *name, para_tensor *const in[], int n_in, const union para_attr attr[])
{
    bool given = name && in;
    for (int i = 0; i < n_in && given; i++)
        given = in[i];
    para_node *n = given ? para_node_add(r->to, op, name, in, n_in, attr) : NULL;
    if (!n)
        return NULL;
    n->scope = keep(r, old->scope);
    n->part = keep(r, old->part);
    n->origin = old->origin;
    n->place = old->place;
    n->backward = old->backward;
    return n->scope && n->part ? n : NULL;
}

int para_rewrite_add_after(struct para_rewrite *r, para_node *n, const para_node *old)
{
    for (int i = 0; i < old->n_after && n; i++)
        if (r->node[old->after[i]->id])
            PARA_TRY(para_node_add_after(n, r->node[old->after[i]->id]));
    return n ? 0 : PARA_ENOMEM;
}

para_tensor *para_rewrite_add_between(const para_tensor *old, para_node *producer, const char *name,
                                      const struct para_shape *shape)
{
    para_tensor *t = producer && name ? para_node_add_output(producer, name, shape) : NULL;
    if (t)
        t->origin = old->origin;
    return t;
}

para_tensor *para_rewrite_add_value(struct para_rewrite *r, const para_tensor *old, para_node *producer,
                                    const char *name, const struct para_shape *shape)
{
    para_tensor *t = !name      ? NULL
                     : producer ? para_node_add_output(producer, name, shape)
                                : para_tensor_add(r->to, old->kind, name, shape);
    if (!t)
        return NULL;
    t->origin = old->origin;
    t->is_output = old->is_output;
    t->init = old->init;
    t->frozen = old->frozen;
    t->base = strcmp(name, old->base) == 0 ? t->name : keep(r, old->base);
    t->why_whole = old->why_whole ? keep(r, old->why_whole) : NULL;
    t->copies = old->copies ? keep(r, old->copies) : NULL;
    return t->base && (!old->why_whole || t->why_whole) && (!old->copies || t->copies) ? t : NULL;
}

/* --- copying --- */

int para_rewrite_sources(struct para_rewrite *r, const para_node *before)
{
    int end = before ? before->out[0]->id : r->from->n_tensors;
    for (; r->sources < end; r->sources++) {
        const para_tensor *old = r->from->tensors[r->sources];
        if (!old->producer && !(r->value[old->id] = para_rewrite_add_value(r, old, NULL, old->name, &old->shape)))
            return PARA_ENOMEM;
    }
    return 0;
}

/* What stands for the operands of an old node. */
static para_tensor **map_inputs(struct para_rewrite *r, const para_node *old)
{
    para_tensor **in = para_rewrite_alloc(r, old->n_in, sizeof *in);
    for (int i = 0; i < old->n_in && in; i++)
        in[i] = r->value[old->in[i]->id];
    return in;
}

para_node *para_rewrite_copy_node(struct para_rewrite *r, const para_node *old, const struct para_op *op,
                                  para_tensor *const in[], int n_in)
{
    para_node *n = para_rewrite_add_node(r, old, op, old->name, in ? in : map_inputs(r, old), n_in, old->attr);
    if (para_rewrite_add_after(r, n, old) < 0)
        return NULL;
    r->node[old->id] = n;
    for (int k = 0; k < old->n_out && n; k++) {
        const para_tensor *t = old->out[k];
        if (!(r->value[t->id] = para_rewrite_add_value(r, t, n, t->name, &t->shape)))
            return NULL;
    }
    return n;
}

int para_rewrite_copy_all(struct para_rewrite *r)
{
    for (int i = 0; i < r->from->n_nodes; i++) {
        const para_node *n = r->from->nodes[i];
        PARA_TRY(para_rewrite_sources(r, n));
        if (!para_rewrite_copy_node(r, n, n->op, NULL, n->n_in))
            return PARA_ENOMEM;
    }
    return para_rewrite_sources(r, NULL);
}
