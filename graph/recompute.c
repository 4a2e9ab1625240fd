/* Recomputation: forward nodes are repeated in the backward part, just before they are needed, so that what they make
 * need not be kept from the one to the other.             Chen et al., "Training deep nets with sublinear memory cost",
 * 2016
 *
 * A value is made again if its maker may be repeated and a backward node wants it. Right before the first such node
 * all that it lacks is repeated, from what is kept; later readers share it. Repeated nodes would be ready as soon as
 * the forward pass is done, and their results would wait for the backward pass as the originals do. So those that read
 * kept values alone wait for the gradients that the first reader takes. */
#include "base/fail.h"
#include "graph/op.h"
#include "graph/rewrite.h"

#include <string.h>

struct recompute {
    struct para_rewrite pass;
    const char *scopes;
    double most;         /* FLOPs per byte */
    int *unit;           /* by old node id: bytes of its scope that the pattern takes; -1: not meant */
    bool *repeats;       /* by old node id: may be repeated */
    bool *crosses;       /* by old tensor id: read by a forward node of another unit, and so kept */
    bool *wanted;        /* by old tensor id: read by a backward node */
    bool *marks;         /* by old node id: to be repeated next */
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
static int refuse_scopes(const struct recompute *r)
{
    char known[160] = "";
    size_t used = 0;
    const char *last = "";
    for (int i = 0; i < r->pass.from->n_nodes && used < sizeof known; i++) {
        const para_node *n = r->pass.from->nodes[i];
        if (n->backward || !n->scope[0] || strcmp(n->scope, last) == 0)
            continue;
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", n->scope);
        last = n->scope;
    }
    return para_fail(&r->pass.to->error, PARA_ENAME, "no forward node is in a scope \"%s\"; there are %s%s", r->scopes,
                     used ? known : "none", used >= sizeof known ? "..." : "");
}

static int find_units(struct recompute *r)
{
    bool any = false;
    for (int i = 0; i < r->pass.from->n_nodes; i++) {
        const para_node *n = r->pass.from->nodes[i];
        r->unit[i] = n->backward ? -1 : r->scopes ? match(r->scopes, n->scope) : 0;
        any = any || r->unit[i] >= 0;
    }
    return any || !r->scopes ? 0 : refuse_scopes(r);
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
    for (int i = 0; i < r->pass.from->n_nodes; i++) {
        const para_node *n = r->pass.from->nodes[i];
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

/* Whether a node may be repeated as late as node `last`. It must update nothing; what it reads must not be updated by
 * then; it must be cheap for what it frees. And nothing of its own unit may be kept for its sake alone: of
 *
 *     u = matmul(x, w); y = gelu(u)        x comes from another unit; the backward part reads y
 *
 * y is made again if u is, too, or if the backward part reads u anyway. Else u would be kept in place of y, and nothing
 * would be gained. */
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

/* What a backward node, or a repeated one, reads in a value's place. */
static para_tensor **operands(struct recompute *r, const para_node *n)
{
    para_tensor **in = para_rewrite_alloc(&r->pass, n->n_in, sizeof *in);
    for (int i = 0; i < n->n_in && in; i++)
        in[i] = is_remade(r, n->in[i]) ? r->again[n->in[i]->id] : r->pass.value[n->in[i]->id];
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
            PARA_TRY(para_node_add_after(n, r->pass.value[t->id]->producer));
    }
    return 0;
}

/* Repeat a node for `reader`; nodes from number `first` on were made for it too. */
static int repeat(struct recompute *r, const para_node *old, const para_node *reader, int first)
{
    para_tensor **in = operands(r, old);
    const char *name = para_name_unique(r->pass.to, "%s.again", old->name);
    para_node *n = para_rewrite_add_node(&r->pass, old, old->op, name, in, old->n_in, old->attr);
    bool begins = true;
    if (!n)
        return PARA_ENOMEM;
    n->backward = true;
    for (int i = 0; i < n->n_in; i++)
        begins = begins && !(in[i]->producer && in[i]->producer->id >= first);
    if (begins)
        PARA_TRY(wait_for_backward(r, n, reader));
    for (int k = 0; k < old->n_out; k++) {
        const para_tensor *t = old->out[k];
        const char *output = k ? para_arena_format(&r->pass.work, "%s:%d", name, k) : name;
        r->again[t->id] = para_rewrite_add_between(t, n, output, &t->shape);
        if (!r->again[t->id])
            return PARA_ENOMEM;
    }
    return 0;
}

/* Repeat all that a backward node lacks, in program order. */
static int repeat_for(struct recompute *r, const para_node *reader)
{
    int first = r->pass.to->n_nodes, high = mark_inputs(r, reader, -1);
    for (int i = high; i >= 0; i--)
        if (r->marks[i])
            mark_inputs(r, r->pass.from->nodes[i], high);
    for (int i = 0; i <= high; i++) {
        if (r->marks[i])
            PARA_TRY(repeat(r, r->pass.from->nodes[i], reader, first));
        r->marks[i] = false;
    }
    return 0;
}

/* Copy a node: a forward node as it is, a backward node on what was made again. */
static int copy_node(struct recompute *r, const para_node *n)
{
    PARA_TRY(para_rewrite_sources(&r->pass, n));
    if (n->backward)
        PARA_TRY(repeat_for(r, n));
    para_tensor **in = n->backward ? operands(r, n) : NULL;
    return para_rewrite_copy_node(&r->pass, n, n->op, in, n->n_in) ? 0 : PARA_ENOMEM;
}

static int run(struct recompute *r)
{
    const para_graph *g = r->pass.from;
    r->unit = para_rewrite_alloc(&r->pass, g->n_nodes, sizeof *r->unit);
    r->repeats = para_rewrite_alloc(&r->pass, g->n_nodes, sizeof *r->repeats);
    r->marks = para_rewrite_alloc(&r->pass, g->n_nodes, sizeof *r->marks);
    r->crosses = para_rewrite_alloc(&r->pass, g->n_tensors, sizeof *r->crosses);
    r->wanted = para_rewrite_alloc(&r->pass, g->n_tensors, sizeof *r->wanted);
    r->again = para_rewrite_alloc(&r->pass, g->n_tensors, sizeof *r->again);
    if (r->pass.to->error.code)
        return PARA_ENOMEM;
    PARA_TRY(find_units(r));
    int last = find_readers(r);
    for (int i = 0; i < g->n_nodes; i++)
        r->repeats[i] = may_repeat(r, g->nodes[i], last);
    for (int i = 0; i < g->n_nodes; i++)
        PARA_TRY(copy_node(r, g->nodes[i]));
    return para_rewrite_sources(&r->pass, NULL);
}

/* What can't be asked for. */
static int check(const struct recompute *r)
{
    if (!r->pass.from->has_backward)
        return para_fail(&r->pass.to->error, PARA_EINVAL, "the graph has no backward part to recompute for");
    if (!(r->most >= 0))
        return para_fail(&r->pass.to->error, PARA_ERANGE, "%g FLOPs per byte, expected 0 or more", r->most);
    return 0;
}

int para_graph_recompute(para_graph **out, const para_graph *g, const char *scopes, double flops_per_byte,
                         para_error *err)
{
    struct recompute r = {.scopes = scopes, .most = flops_per_byte};
    PARA_TRY(para_rewrite_begin(&r.pass, g, err, "recompute"));
    int status = check(&r);
    return para_rewrite_finish(&r.pass, status == 0 ? run(&r) : status, out, err);
}
