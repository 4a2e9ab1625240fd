/* Recomputation: forward nodes are repeated in the backward part, just before they are needed, so that what they make
 * need not be kept from the one to the other.             Chen et al., "Training deep nets with sublinear memory cost",
 * 2016
 *
 * A value is made again if its maker may be repeated and a backward node wants it. Right before the first such node
 * all that it lacks is repeated, from what is kept; later readers share it. Repeated nodes would be ready as soon as
 * the forward pass is done, and their results would wait for the backward pass as the originals do. So those that read
 * kept values alone wait for the gradients that the first reader takes. */
#include "graph/ir.h"
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

struct recompute {
    const para_graph *from;
    para_graph *to;
    const char *scopes;
    double most;         /* FLOPs per byte */
    int *unit;           /* by old node id: bytes of its scope that the pattern takes; -1: not meant */
    bool *repeats;       /* by old node id: may be repeated */
    bool *crosses;       /* by old tensor id: read by a forward node of another unit, and so kept */
    bool *wanted;        /* by old tensor id: read by a backward node */
    bool *marks;         /* by old node id: to be repeated next */
    para_tensor **kept;  /* by old tensor id: its copy */
    para_tensor **again; /* by old tensor id: made again; NULL: not, or not yet */
};

/* How many bytes of a scope a pattern takes: word by word, a star standing for any one; -1 if it doesn't suit. */
static int match(const char *pattern, const char *scope)
{
    const char *at = scope;
    for (;;) {
        size_t want = strcspn(pattern, "."), have = strcspn(at, ".");
        bool any = want == 1 && *pattern == '*';
        if (have == 0 || !(any || (want == have && strncmp(pattern, at, want) == 0)))
            return -1;
        pattern += want;
        at += have;
        if (!*pattern)
            return (int)(at - scope);
        if (!*at)
            return -1;
        pattern++;
        at++;
    }
}

/* Fail, naming some of the scopes there are. */
static int refuse_scopes(const struct recompute *r, para_error *err)
{
    char known[160] = "";
    size_t used = 0;
    const char *last = "";
    for (int i = 0; i < r->from->n_nodes && used < sizeof known; i++) {
        const para_node *n = r->from->nodes[i];
        if (n->backward || !n->scope[0] || strcmp(n->scope, last) == 0)
            continue;
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", n->scope);
        last = n->scope;
    }
    return para_fail(err, PARA_ENAME, "recompute %s: no forward node is in such a scope; there are %s%s", r->scopes,
                     used ? known : "none", used >= sizeof known ? "..." : "");
}

static int find_units(struct recompute *r, para_error *err)
{
    bool any = false;
    for (int i = 0; i < r->from->n_nodes; i++) {
        const para_node *n = r->from->nodes[i];
        r->unit[i] = n->backward ? -1 : r->scopes ? match(r->scopes, n->scope) : 0;
        any = any || r->unit[i] >= 0;
    }
    return any || !r->scopes ? 0 : refuse_scopes(r, err);
}

static bool same_unit(const struct recompute *r, const para_node *a, const para_node *b)
{
    int bytes = r->unit[a->id];
    return bytes >= 0 && bytes == r->unit[b->id] && strncmp(a->scope, b->scope, (size_t)bytes) == 0;
}

/* Note who reads forward values. Returns the last backward node that does. */
static int find_readers(struct recompute *r)
{
    int last = -1;
    for (int i = 0; i < r->from->n_nodes; i++) {
        const para_node *n = r->from->nodes[i];
        for (int k = 0; k < n->n_in; k++) {
            const para_tensor *t = n->in[k];
            if (!t->producer || t->producer->backward)
                continue;
            if (n->backward)
                r->wanted[t->id] = true;
            else if (!same_unit(r, t->producer, n))
                r->crosses[t->id] = true;
            last = n->backward ? i : last;
        }
    }
    return last;
}

/* Whether a value may be made again, not whether it has to be. */
static bool is_remade(const struct recompute *r, const para_tensor *t)
{
    return t->producer && r->repeats[t->producer->id] && !t->is_output && !r->crosses[t->id];
}

/* Whether a node may be repeated as late as node `last`: it updates nothing, what it reads isn't updated by then, it is
 * cheap for what it frees, and nothing is kept for its sake alone but what crosses into its unit. */
static bool may_repeat(const struct recompute *r, const para_node *n, int last)
{
    double freed = 0;
    if (r->unit[n->id] < 0)
        return false;
    for (int k = 0; k < n->n_out; k++) {
        freed += (double)para_shape_bytes(&n->out[k]->shape);
        if (n->out[k]->overwrites)
            return false;
    }
    for (int i = 0; i < n->n_in; i++) {
        const para_tensor *t = n->in[i];
        bool inner = t->producer && same_unit(r, t->producer, n);
        if (t->overwritten_by && t->overwritten_by->producer->id <= last)
            return false;
        if (inner && !is_remade(r, t) && !r->wanted[t->id] && !t->is_output && !r->crosses[t->id])
            return false;
    }
    return para_node_flops(n) <= r->most * freed;
}

/* Mark the makers of what a node reads and lacks. Returns the highest id marked. */
static int mark_inputs(struct recompute *r, const para_node *n, int highest)
{
    for (int i = 0; i < n->n_in; i++) {
        const para_tensor *t = n->in[i];
        if (!is_remade(r, t) || r->again[t->id])
            continue;
        r->marks[t->producer->id] = true;
        highest = t->producer->id > highest ? t->producer->id : highest;
    }
    return highest;
}

static para_tensor *operand(const struct recompute *r, const para_tensor *t)
{
    return is_remade(r, t) ? r->again[t->id] : r->kept[t->id];
}

static para_tensor **operands(struct recompute *r, const para_node *n)
{
    para_tensor **in = para_arena_alloc(&r->to->arena, sizeof *in * (size_t)(n->n_in + 1));
    for (int i = 0; in && i < n->n_in; i++)
        in[i] = operand(r, n->in[i]);
    return in;
}

/* Let a repeated node wait until the backward pass has come to `reader`: for the gradients that it takes, not for what
 * it adds to. */
static int wait_for_backward(const struct recompute *r, para_node *n, const para_node *reader)
{
    for (int i = 0; i < reader->n_in; i++) {
        const para_tensor *t = reader->in[i];
        bool updated = t->overwritten_by && t->overwritten_by->producer == reader;
        if (t->producer && t->producer->backward && !updated)
            PARA_TRY(para_node_add_after(n, r->kept[t->id]->producer));
    }
    return 0;
}

/* Repeat a node for `reader`; nodes from number `first` on were made for it too. */
static int repeat(struct recompute *r, const para_node *old, const para_node *reader, int first)
{
    para_tensor **in = operands(r, old);
    const char *name = para_name_unique(r->to, "%s.again", old->name);
    para_node *n = in && name ? para_node_add_like(r->to, old, old->op, in, old->n_in) : NULL;
    bool begins = true;
    if (!n)
        return PARA_ENOMEM;
    n->name = name;
    n->backward = true;
    for (int i = 0; i < n->n_in; i++)
        begins = begins && !(in[i]->producer && in[i]->producer->id >= first);
    if (begins)
        PARA_TRY(wait_for_backward(r, n, reader));
    for (int k = 0; k < old->n_out; k++) {
        const char *output = k ? para_arena_format(&r->to->arena, "%s:%d", name, k) : name;
        para_tensor *t = output ? para_node_add_output(n, output, &old->out[k]->shape) : NULL;
        if (!t)
            return PARA_ENOMEM;
        t->origin = old->out[k]->origin;
        r->again[old->out[k]->id] = t;
    }
    return 0;
}

/* Repeat all that a backward node lacks, in program order. */
static int repeat_for(struct recompute *r, const para_node *reader)
{
    int first = r->to->n_nodes, high = mark_inputs(r, reader, -1);
    for (int i = high; i >= 0; i--)
        if (r->marks[i])
            mark_inputs(r, r->from->nodes[i], high);
    for (int i = 0; i <= high; i++) {
        if (r->marks[i])
            PARA_TRY(repeat(r, r->from->nodes[i], reader, first));
        r->marks[i] = false;
    }
    return 0;
}

/* Copy a node: a forward node as it is, a backward node on what was made again. */
static int copy_node(struct recompute *r, const para_node *old)
{
    if (old->backward)
        PARA_TRY(repeat_for(r, old));
    para_tensor **in = para_arena_alloc(&r->to->arena, sizeof *in * (size_t)(old->n_in + 1));
    for (int i = 0; in && i < old->n_in; i++)
        in[i] = old->backward ? operand(r, old->in[i]) : r->kept[old->in[i]->id];
    para_node *n = in ? para_node_add_like(r->to, old, old->op, in, old->n_in) : NULL;
    if (!n)
        return PARA_ENOMEM;
    for (int i = 0; i < old->n_after; i++)
        PARA_TRY(para_node_add_after(n, r->kept[old->after[i]->out[0]->id]->producer));
    return 0;
}

static bool copy_gradients(struct recompute *r)
{
    const para_graph *g = r->from;
    if (!g->grads)
        return true;
    r->to->grads = calloc((size_t)r->to->n_tensors + 1, sizeof(para_tensor *));
    r->to->n_grads = r->to->grads ? r->to->n_tensors : 0;
    for (int t = 0; t < g->n_grads && r->to->grads; t++)
        if (g->grads[t])
            r->to->grads[r->kept[t]->id] = r->kept[g->grads[t]->id];
    return r->to->grads;
}

static int run(struct recompute *r, para_error *err)
{
    const para_graph *g = r->from;
    PARA_TRY(find_units(r, err));
    int last = find_readers(r);
    for (int i = 0; i < g->n_nodes; i++)
        r->repeats[i] = may_repeat(r, g->nodes[i], last);
    for (int i = 0; i < g->n_tensors; i++) {
        const para_tensor *t = g->tensors[i];
        if (t->producer && t->output == 0)
            PARA_TRY(copy_node(r, t->producer));
        para_node *producer = t->producer ? r->to->nodes[r->to->n_nodes - 1] : NULL;
        r->kept[i] = para_tensor_add_like(r->to, t, producer);
        if (!r->kept[i])
            return PARA_ENOMEM;
    }
    r->to->splits = para_arena_string(&r->to->arena, g->splits);
    r->to->has_backward = true;
    return r->to->splits && copy_gradients(r) ? para_graph_seal(r->to, err) : PARA_ENOMEM;
}

static bool allocate(struct recompute *r)
{
    size_t nodes = (size_t)r->from->n_nodes + 1, tensors = (size_t)r->from->n_tensors + 1;
    r->to = para_graph_new();
    r->unit = calloc(nodes, sizeof *r->unit);
    r->repeats = calloc(nodes, sizeof *r->repeats);
    r->marks = calloc(nodes, sizeof *r->marks);
    r->crosses = calloc(tensors, sizeof *r->crosses);
    r->wanted = calloc(tensors, sizeof *r->wanted);
    r->kept = calloc(tensors, sizeof(*r->kept));
    r->again = calloc(tensors, sizeof(*r->again));
    return r->to && r->unit && r->repeats && r->marks && r->crosses && r->wanted && r->kept && r->again;
}

int para_graph_recompute(para_graph **out, const para_graph *g, const char *scopes, double flops_per_byte,
                         para_error *err)
{
    struct recompute r = {.from = g, .scopes = scopes, .most = flops_per_byte};
    if (!g->sealed)
        return para_fail(err, PARA_EINVAL, "recompute: the graph is not sealed");
    if (!g->has_backward)
        return para_fail(err, PARA_EINVAL, "recompute: the graph has no backward part to recompute for");
    if (!(flops_per_byte >= 0))
        return para_fail(err, PARA_ERANGE, "recompute: %g FLOPs per byte, expected 0 or more", flops_per_byte);
    para_error inner = {0};
    int status = allocate(&r) ? run(&r, &inner) : PARA_ENOMEM;
    if (r.to && r.to->error.code)
        inner = r.to->error;
    free(r.unit);
    free(r.repeats);
    free(r.marks);
    free(r.crosses);
    free(r.wanted);
    free(r.kept);
    free(r.again);
    if (status == 0) {
        *out = r.to;
        return 0;
    }
    para_graph_free(r.to);
    return inner.code ? para_fail(err, inner.code, "%s", inner.message) : para_fail_memory(err, "recomputing a graph");
}
