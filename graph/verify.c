/* What a legal graph is, as one executable definition; and sealing, which asks for it. */
#include "base/dtype.h"
#include "graph/ir.h"
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

/* Outputs are what the op infers from its inputs, as whole values. */
static int check_inferred(const para_node *n, para_error *err)
{
    struct para_shape out[PARA_MAX_OUT];
    int count = para_node_infer(n, out, err);
    PARA_TRY(count);
    if (count != n->n_out)
        return para_fail(err, PARA_EINVAL, "%s (%s): %d outputs, expected %d", n->name, n->op->name, n->n_out, count);
    for (int k = 0; k < count; k++) {
        char got[PARA_SHAPE_TEXT], want[PARA_SHAPE_TEXT];
        if (!para_shape_same_whole(&out[k], &n->out[k]->shape))
            return para_fail(err, PARA_ESHAPE, "%s (%s): output %d is %s, expected %s", n->name, n->op->name, k,
                             para_shape_text(&n->out[k]->shape, got), para_shape_text(&out[k], want));
    }
    return 0;
}

/* All operands that are cut along an axis are cut in the same place. */
static int check_tiles(const para_node *n, const char *axis, para_error *err)
{
    const struct para_extent *cut = NULL;
    for (int k = 0; k < n->n_in + n->n_out; k++) {
        const para_tensor *t = para_node_operand(n, k);
        int d = para_shape_find(&t->shape, axis);
        if (d < 0)
            continue;
        const struct para_extent *e = &t->shape.dim[d];
        const char *why = "";
        enum para_role role = PARA_PARALLEL;
        if (n->op->role)
            role = n->op->role(n, axis, k < n->n_in ? 0 : k - n->n_in, &why);
        bool follows = k >= n->n_in ? role == PARA_PARALLEL
                                    : role != PARA_WHOLE && (!n->op->follows || n->op->follows(n, axis, k));
        if (!follows && e->extent != e->whole)
            return para_fail(err, PARA_ESHAPE, "%s (%s): \"%s\" has a tile of axis \"%s\", expected all of it", n->name,
                             n->op->name, t->name, axis);
        if (!follows)
            continue;
        if (cut && (cut->extent != e->extent || cut->begin != e->begin))
            return para_fail(err, PARA_ESHAPE,
                             "%s (%s): \"%s\" has %lld elements of axis \"%s\" from %lld, others have "
                             "%lld from %lld",
                             n->name, n->op->name, t->name, (long long)e->extent, axis, (long long)e->begin,
                             (long long)cut->extent, (long long)cut->begin);
        cut = e;
    }
    return 0;
}

/* Whether an operand before number k has the axis, which then has been checked. For the many alike terms of a sum the
 * first one tells. */
static bool checked_before(const para_node *n, int k, const char *axis)
{
    for (int j = 0; j < k; j++)
        if (para_shape_find(&para_node_operand(n, j)->shape, axis) >= 0)
            return true;
    return false;
}

/* A gather's inputs lie one after another along its axis and make up its output; a tile lies within its input. */
static int check_retiled(const para_node *n, para_error *err)
{
    const struct para_shape *out = &n->out[0]->shape;
    const char *axis = n->attr[0].s;
    int along = para_shape_find(out, axis);
    bool cuts = n->op->retiles == PARA_CUTS;
    int64_t next = along >= 0 ? out->dim[along].begin : 0;
    for (int i = 0; i < n->n_in; i++) {
        const struct para_shape *in = &n->in[i]->shape;
        bool fits = along >= 0 && in->rank == out->rank;
        for (int d = 0; d < in->rank && fits; d++) {
            const struct para_extent *a = &in->dim[d], *b = &out->dim[d];
            if (d != along)
                fits = a->extent == b->extent && a->begin == b->begin;
            else if (cuts)
                fits = a->begin <= b->begin && b->begin + b->extent <= a->begin + a->extent;
            else
                fits = a->begin == next;
        }
        if (!fits)
            return para_fail(err, PARA_ESHAPE, "%s (%s): \"%s\" doesn't fit as input %d along axis \"%s\"", n->name,
                             n->op->name, n->in[i]->name, i, axis);
        next += in->dim[along].extent;
    }
    if (!cuts && next != out->dim[along].begin + out->dim[along].extent)
        return para_fail(err, PARA_ESHAPE, "%s (%s): its inputs don't make up \"%s\" along axis \"%s\"", n->name,
                         n->op->name, n->out[0]->name, axis);
    return 0;
}

static int check_node(const para_graph *g, const para_node *n, const int *made_by, para_error *err)
{
    for (int i = 0; i < n->n_after; i++)
        if (n->after[i]->graph != g || n->after[i]->id >= n->id)
            return para_fail(err, PARA_EINVAL, "%s: waits for %s, which doesn't stand before it", n->name,
                             n->after[i]->name);
    for (int i = 0; i < n->n_in; i++) {
        const para_tensor *t = n->in[i];
        if (t->id < 0 || t->id >= g->n_tensors || g->tensors[t->id] != t)
            return para_fail(err, PARA_EINVAL, "%s: input %d is no tensor of this graph", n->name, i);
        if (t->producer && made_by[t->id] < 0)
            return para_fail(err, PARA_EINVAL, "%s: reads \"%s\" before %s makes it", n->name, t->name,
                             t->producer->name);
        if (t->overwritten_by && made_by[t->overwritten_by->id] >= 0)
            return para_fail(err, PARA_EINVAL, "%s: reads \"%s\" after %s has overwritten it", n->name, t->name,
                             t->overwritten_by->producer->name);
    }
    PARA_TRY(check_inferred(n, err));
    if (n->op->retiles)
        return check_retiled(n, err);
    for (int k = 0; k < n->n_in + n->n_out; k++) {
        const para_tensor *t = para_node_operand(n, k);
        for (int d = 0; d < t->shape.rank; d++)
            if (!checked_before(n, k, t->shape.dim[d].axis))
                PARA_TRY(check_tiles(n, t->shape.dim[d].axis, err));
    }
    return 0;
}

/* Whether a value stands in the storage of a parameter or a state. */
static bool is_kept(const para_tensor *t)
{
    para_kind kind = t->graph->tensors[t->storage]->kind;
    return kind == PARA_PARAMETER || kind == PARA_STATE || kind == PARA_COPY;
}

static int check_update(const para_node *n, const para_tensor *t, para_error *err)
{
    const para_tensor *old = t->overwrites;
    int updated = n->op->updates[t->output] - 1;
    if (!old && updated < 0)
        return 0;
    if (updated < 0 || n->in[updated] != old || old->overwritten_by != t || t->storage != old->storage)
        return para_fail(err, PARA_EINVAL, "%s: \"%s\" doesn't overwrite the input that %s updates", n->name, t->name,
                         n->op->name);
    for (int i = 0; i < n->n_in; i++)
        if (i != updated && n->in[i]->storage == old->storage)
            return para_fail(err, PARA_EINVAL, "%s (%s): overwrites \"%s\" and reads it as input %d too", n->name,
                             n->op->name, old->name, i);
    const para_node *copier = old->producer && old->producer->op->retiles ? old->producer : NULL;
    if (copier && is_kept(copier->in[0]))
        return para_fail(err, PARA_EINVAL, "%s (%s): overwrites \"%s\", a copy of what \"%s\" keeps between runs",
                         n->name, n->op->name, old->name, copier->in[0]->base);
    if (old->producer && old->is_output)
        return para_fail(err, PARA_EINVAL, "%s: overwrites \"%s\", which is an output and must stay", n->name,
                         old->name);
    if (para_shape_bytes(&old->shape) != para_shape_bytes(&t->shape) || !para_shape_same_whole(&old->shape, &t->shape))
        return para_fail(err, PARA_ESHAPE, "%s: \"%s\" overwrites \"%s\" of another shape", n->name, t->name,
                         old->name);
    return 0;
}

/* Values that are there before the run; of those that stay, the initial value can be written as their type. */
static int check_source(const para_tensor *t, para_error *err)
{
    bool fill = t->init.kind == PARA_INIT_FILL, count = t->kind == PARA_STATE && t->shape.dtype == PARA_I32;
    if (t->kind == PARA_INTERMEDIATE)
        return para_fail(err, PARA_EINVAL, "\"%s\" is an intermediate value that no node makes", t->name);
    if (t->kind == PARA_INPUT || (t->kind != PARA_COPY && t->shape.dtype == PARA_F32))
        return 0;
    if (t->kind == PARA_PARAMETER && para_dtype_weighs(t->shape.dtype))
        return 0;
    if ((t->kind == PARA_COPY || t->kind == PARA_STATE) && t->shape.dtype == PARA_BF16)
        return 0;
    if (!count)
        return para_fail(err, PARA_ESHAPE, "\"%s\" is %s, expected %s", t->name, para_dtype_name(t->shape.dtype),
                         t->kind == PARA_STATE  ? "a state to be f32, bf16 or i32"
                         : t->kind == PARA_COPY ? "a copy of a parameter to be bf16"
                                                : "a parameter to be f32, bf16, i8, q8_0 or q4_0");
    if (!fill || !(t->init.mean >= INT32_MIN && t->init.mean <= INT32_MAX))
        return para_fail(err, PARA_EINVAL, "\"%s\" is i32, expected a fill with an int32 as its initial value",
                         t->name);
    return 0;
}

/* Whether t is a copy of a parameter's tile: of the same elements. */
static bool copies(const para_tensor *t, const para_tensor *parameter)
{
    struct para_shape s = t->shape;
    s.dtype = parameter->shape.dtype;
    return t->kind == PARA_COPY && t->copies && strcmp(t->copies, parameter->base) == 0 &&
           para_shape_same_tile(&s, &parameter->shape);
}

/* What overwrites a parameter overwrites its copy. */
static int check_overwritten(const para_graph *g, const para_tensor *parameter, const para_tensor *copy,
                             para_error *err)
{
    for (; parameter && copy; parameter = parameter->overwritten_by, copy = copy->overwritten_by) {
        const para_tensor *p = parameter->overwritten_by, *c = copy->overwritten_by;
        if ((p ? p->producer : NULL) != (c ? c->producer : NULL))
            return para_fail(err, PARA_EINVAL, "%s: overwrites only one of \"%s\" and its copy \"%s\"",
                             (p ? p : c)->producer->name, g->tensors[parameter->storage]->name,
                             g->tensors[copy->storage]->name);
    }
    return 0;
}

/* Parameters by name of their tiles and copies of them fit each other. */
static int check_copy(const para_graph *g, const para_tensor *copy, para_error *err)
{
    for (int i = 0; i < g->n_tensors; i++) {
        const para_tensor *t = g->tensors[i];
        if (t->kind == PARA_PARAMETER && t->shape.dtype == PARA_F32 && copies(copy, t))
            return check_overwritten(g, t, copy, err);
    }
    return para_fail(err, PARA_EINVAL,
                     "\"%s\" is a copy of \"%s\", and no f32 parameter has that name and its elements", copy->name,
                     copy->copies ? copy->copies : "");
}

int para_graph_verify(const para_graph *g, para_error *err)
{
    for (int t = 0; t < g->n_tensors; t++)
        if (!g->tensors[t]->producer)
            PARA_TRY(check_source(g->tensors[t], err));
    for (int t = 0; t < g->n_tensors; t++)
        if (g->tensors[t]->kind == PARA_COPY)
            PARA_TRY(check_copy(g, g->tensors[t], err));
    int *made_by = malloc(sizeof *made_by * (size_t)(g->n_tensors + 1));
    if (!made_by)
        return para_fail_memory(err, "verifying a graph");
    for (int t = 0; t < g->n_tensors; t++)
        made_by[t] = -1;
    int status = 0;
    for (int i = 0; i < g->n_nodes && status == 0; i++) {
        const para_node *n = g->nodes[i];
        status = n->id == i ? check_node(g, n, made_by, err)
                            : para_fail(err, PARA_EINVAL, "%s: id %d, expected %d", n->name, n->id, i);
        for (int k = 0; k < n->n_out && status == 0; k++) {
            const para_tensor *t = n->out[k];
            if (t->producer != n || t->output != k || made_by[t->id] >= 0)
                status =
                    para_fail(err, PARA_EINVAL, "\"%s\" is not made once, as output %d of %s", t->name, k, n->name);
            else
                status = check_update(n, t, err);
            made_by[t->id] = i;
        }
    }
    free(made_by);
    return status;
}

int para_graph_seal(para_graph *g, para_error *err)
{
    if (g->error.code) {
        if (err)
            *err = g->error;
        return g->error.code;
    }
    if (g->scopes)
        return para_fail(err, PARA_EINVAL, "scope \"%s\" is still open", g->scope);
    PARA_TRY(para_graph_verify(g, err));
    g->sealed = true;
    return 0;
}
