/* Deep copies of graphs: the passes that only change notes on nodes start from one. */
#include "graph/ir.h"
#include "graph/op.h"

#include <stdlib.h>

para_node *para_node_add_like(para_graph *to, const para_node *old, const struct para_op *op, para_tensor *const in[],
                              int n_in)
{
    para_node *n = para_node_add(to, op, old->name, in, n_in, old->attr);
    if (!n)
        return NULL;
    n->scope = para_arena_string(&to->arena, old->scope);
    n->part = para_arena_string(&to->arena, old->part);
    n->origin = old->origin;
    n->place = old->place;
    n->backward = old->backward;
    return n->scope && n->part ? n : para_graph_error(to, PARA_ENOMEM, "out of memory: copying %s", old->name);
}

para_tensor *para_tensor_add_like(para_graph *to, const para_tensor *old, para_node *producer)
{
    para_tensor *t = producer ? para_node_add_output(producer, old->name, &old->shape)
                              : para_tensor_add(to, old->kind, old->name, &old->shape);
    if (!t)
        return NULL;
    t->kind = old->kind;
    t->origin = old->origin;
    t->is_output = old->is_output;
    t->init = old->init;
    t->base = old->base == old->name ? t->name : para_arena_string(&to->arena, old->base);
    t->whole = old->whole ? para_arena_string(&to->arena, old->whole) : NULL;
    return t->base && (!old->whole || t->whole)
               ? t
               : para_graph_error(to, PARA_ENOMEM, "out of memory: copying %s", old->name);
}

static bool copy_node(para_graph *to, const para_node *old)
{
    para_tensor **in = para_arena_alloc(&to->arena, sizeof *in * (size_t)(old->n_in + 1));
    for (int i = 0; in && i < old->n_in; i++)
        in[i] = to->tensors[old->in[i]->id];
    para_node *n = in ? para_node_add_like(to, old, old->op, in, old->n_in) : NULL;
    bool copied = n != NULL;
    for (int i = 0; i < old->n_after && copied; i++)
        copied = para_node_add_after(n, to->nodes[old->after[i]->id]) == 0;
    return copied;
}

static bool copy_gradients(para_graph *to, const para_graph *g)
{
    if (!g->grads)
        return true;
    to->grads = calloc((size_t)g->n_grads + 1, sizeof *to->grads);
    to->n_grads = to->grads ? g->n_grads : 0;
    for (int i = 0; i < to->n_grads; i++)
        to->grads[i] = g->grads[i] ? to->tensors[g->grads[i]->id] : NULL;
    return to->grads;
}

/* Tensors are copied in the order of their ids; a node just before its first output. */
para_graph *para_graph_copy(const para_graph *g)
{
    para_graph *to = para_graph_new();
    if (!to)
        return NULL;
    bool copied = (to->splits = para_arena_string(&to->arena, g->splits)) != NULL;
    for (int i = 0; i < g->n_tensors && copied; i++) {
        const para_tensor *t = g->tensors[i];
        if (t->producer && t->output == 0)
            copied = copy_node(to, t->producer);
        copied = copied && para_tensor_add_like(to, t, t->producer ? to->nodes[t->producer->id] : NULL);
    }
    to->has_backward = g->has_backward;
    if (copied && copy_gradients(to, g))
        return to;
    para_graph_free(to);
    return NULL;
}
