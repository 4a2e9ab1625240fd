/* Precision: activations and their gradients in bfloat16, what is summed and kept in float32.
 *
 * What reads a parameter or a bfloat16 value reads as much in bfloat16 as its op's signature allows, and op->narrow is
 * the op that rounds a result that would be float32. Casts stand where a value isn't of the type that is read; a
 * parameter has a copy instead (PARA_COPY), which those who overwrite it overwrite too. States, and parameters that are
 * frozen, are bfloat16 themselves where all who read and overwrite them take that, as caches of keys and values.
 *
 * Gradients of parameters and outputs are exact: they are made as float32, by ops that can, and so are the terms that
 * sums add up to them.
 * Source: Micikevicius et al., "Mixed precision training", 2018. */
#include "base/fail.h"
#include "graph/op.h"
#include "graph/rewrite.h"
#include "graph/signature.h"

#include <string.h>

struct precision {
    struct para_rewrite pass; /* pass.value[]: what stands for a value, of either type */
    bool *exact;              /* by old tensor id */
    bool *halved;             /* by old tensor id: a state or a frozen parameter that becomes bfloat16 */
    para_tensor **half;       /* by old tensor id: in bfloat16, where pass.value[] is float32; NULL: not yet */
    para_tensor **full;       /* the other way round */
    const para_node *current; /* the old node that is being rewritten */
    para_tensor stand_in;     /* for any operand of bfloat16 */
};

/* How a node reads what is float32 in the old graph: a bit for each input, set where it is read as float32. More inputs
 * than MOST_CHOSEN, which are a sum's, are all read alike. */
typedef unsigned reading;
enum { ALL_HALF = 0, MOST_CHOSEN = 8 };

static bool is_float(const para_tensor *t)
{
    return t->shape.dtype == PARA_F32;
}

/* Whether an old value is a version of a parameter. */
static bool is_parameter(const para_tensor *t)
{
    return t->graph->tensors[t->storage]->kind == PARA_PARAMETER;
}

/* Whether the node overwrites its input i. */
static bool overwrites(const para_node *n, int i)
{
    bool found = false;
    for (int k = 0; k < n->n_out; k++)
        found = found || n->op->updates[k] == i + 1;
    return found;
}

static reading all_full(const para_node *n)
{
    return n->n_in <= MOST_CHOSEN ? (1u << n->n_in) - 1 : 1;
}

/* Whether input i is read in bfloat16. */
static bool reads_half(const struct precision *p, const para_node *n, int i, reading how)
{
    const para_tensor *t = n->in[i];
    if (p->halved[t->storage])
        return true;
    return is_float(t) && !overwrites(n, i) && !(how >> (n->n_in <= MOST_CHOSEN ? i : 0) & 1);
}

/* --- what a node can read and make --- */

/* Whether op takes the node's operands, read like this, and `copies` of bfloat16 more; out has its results' types. */
static int try_reading(struct precision *p, const struct para_op *op, const para_node *n, reading how, int copies,
                       para_dtype out[PARA_MAX_OUT])
{
    para_node trial = *n;
    trial.op = op;
    trial.n_in = n->n_in + copies;
    trial.in = para_rewrite_alloc(&p->pass, trial.n_in + 1, sizeof *trial.in);
    if (!trial.in)
        return PARA_ENOMEM;
    for (int i = 0; i < trial.n_in; i++)
        trial.in[i] = i >= n->n_in || reads_half(p, n, i, how) ? &p->stand_in : n->in[i];
    return para_signature_check(&trial, out, NULL);
}

/* States and frozen parameters that all who read or overwrite them take as bfloat16, together with what else they
 * read. */
static void find_halved(struct precision *p)
{
    const para_graph *g = p->pass.from;
    for (int t = 0; t < g->n_tensors; t++)
        p->halved[t] = (g->tensors[t]->kind == PARA_STATE || g->tensors[t]->frozen) && is_float(g->tensors[t]);
    for (int t = 0; t < g->n_tensors; t++)
        if (g->tensors[t]->is_output)
            p->halved[g->tensors[t]->storage] = false;
    for (bool again = true; again;) {
        again = false;
        for (int i = 0; i < g->n_nodes; i++) {
            const para_node *n = g->nodes[i];
            para_dtype out[PARA_MAX_OUT];
            bool reads = false, taken = try_reading(p, n->op, n, ALL_HALF, 0, out) > 0;
            for (int k = 0; k < n->n_in; k++)
                reads = reads || p->halved[n->in[k]->storage];
            for (int k = 0; k < n->n_in && reads && !taken; k++)
                p->halved[n->in[k]->storage] = false;
            again = again || (reads && !taken);
        }
    }
}

/* Gradients of parameters and outputs, and what they are sums of: where bfloat16 terms would give a bfloat16 result. */
static void find_exact(struct precision *p)
{
    const para_graph *g = p->pass.from;
    for (int t = 0; t < g->n_tensors; t++) {
        p->exact[t] = p->exact[t] || g->tensors[t]->is_output;
        if (t < g->n_grads && g->grads[t] && g->tensors[t]->kind == PARA_PARAMETER)
            p->exact[g->grads[t]->id] = true;
    }
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        const para_node *n = g->nodes[i];
        para_dtype out[PARA_MAX_OUT];
        if (!p->exact[n->out[0]->id] || try_reading(p, n->op, n, ALL_HALF, 0, out) < 0 || out[0] != PARA_BF16)
            continue;
        for (int k = 0; k < n->n_in; k++)
            p->exact[n->in[k]->id] |= n->in[k]->producer && n->in[k]->producer->backward;
    }
}

/* Whether the node reads a parameter, without overwriting it, or a bfloat16 value. */
static bool concerns(const struct precision *p, const para_node *n)
{
    bool found = false;
    for (int i = 0; i < n->n_in; i++) {
        const para_tensor *t = n->in[i];
        bool half = p->pass.value[t->id]->shape.dtype == PARA_BF16 || p->half[t->id];
        found = found || p->halved[t->storage] || ((half || (is_parameter(t) && is_float(t))) && !overwrites(n, i));
    }
    return found;
}

/* The op and the way of reading by which a node is made, and its results' types. */
static int choose(struct precision *p, const para_node *n, int copies, const struct para_op **op, reading *how,
                  para_dtype out[PARA_MAX_OUT])
{
    *op = n->op;
    int outputs = -1;
    for (*how = concerns(p, n) ? ALL_HALF : all_full(n); *how <= all_full(n); (*how)++)
        if ((outputs = try_reading(p, n->op, n, *how, copies, out)) > 0)
            break;
    if (outputs < 0)
        return para_fail(&p->pass.to->error, PARA_ESUPPORT,
                         "%s: op %s can't write bfloat16 copies of the parameters that it updates", n->name,
                         n->op->name);
    para_dtype rounded[PARA_MAX_OUT];
    if (n->op->narrow && concerns(p, n) && !p->exact[n->out[0]->id] &&
        try_reading(p, n->op->narrow, n, *how, copies, rounded) > 0) {
        *op = n->op->narrow;
        out[0] = rounded[0];
    }
    return outputs;
}

/* --- values in the other type --- */

/* A cast beside the current node. */
static para_node *add_cast(struct precision *p, para_tensor *from, const char *name, para_dtype dtype)
{
    const union para_attr attr[PARA_MAX_ATTRS] = {{.s = para_dtype_name(dtype)}};
    return para_rewrite_add_node(&p->pass, p->current, para_op_find("cast"), name, &from, 1, attr);
}

static para_tensor *cast(struct precision *p, const para_tensor *old, para_tensor *from, const char *name,
                         para_dtype dtype)
{
    para_node *n = add_cast(p, from, name, dtype);
    struct para_shape shape = old->shape;
    shape.dtype = dtype;
    return para_rewrite_add_between(old, n, name, &shape);
}

/* The parameter's copy, as it begins. */
static para_tensor *add_copy(struct precision *p, const para_tensor *old, const char *name)
{
    struct para_shape shape = old->shape;
    shape.dtype = PARA_BF16;
    para_tensor *t = name ? para_tensor_add(p->pass.to, PARA_COPY, name, &shape) : NULL;
    if (!t)
        return NULL;
    t->origin = old->origin;
    t->init = old->init;
    t->copies = p->pass.value[old->id]->base;
    return t;
}

static para_tensor *half_of(struct precision *p, const para_tensor *old)
{
    para_tensor *t = p->pass.value[old->id], **half = &p->half[old->id];
    if (!is_float(t))
        return t;
    if (!*half) {
        const char *name = para_name_unique(p->pass.to, "%s.bf16", old->name);
        *half = old->kind == PARA_PARAMETER ? add_copy(p, old, name) : cast(p, old, t, name, PARA_BF16);
    }
    return *half;
}

static para_tensor *full_of(struct precision *p, const para_tensor *old)
{
    para_tensor *t = p->pass.value[old->id], **full = &p->full[old->id];
    if (is_float(t))
        return t;
    if (!*full)
        *full = cast(p, old, t, para_name_unique(p->pass.to, "%s.f32", old->name), PARA_F32);
    return *full;
}

/* --- nodes --- */

/* The copies of parameters that a node overwrites, in the order of its outputs. Returns their number. */
static int list_copies(const struct precision *p, const para_node *n, para_tensor *copy[PARA_MAX_OUT])
{
    int count = 0;
    for (int k = 0; k < n->n_out; k++) {
        const para_tensor *old = n->out[k]->overwrites;
        if (old && is_parameter(old) && p->half[old->id])
            copy[count++] = p->half[old->id];
    }
    return count;
}

/* Results in the order of the old ones; those that are to be float32, but come as bfloat16, are cast after. */
static int add_outputs(struct precision *p, const para_node *n, para_node *made, const para_dtype out[])
{
    for (int k = 0; k < n->n_out; k++) {
        const para_tensor *old = n->out[k];
        struct para_shape shape = old->shape;
        shape.dtype = out[k];
        if (out[k] == PARA_BF16 && p->exact[old->id] && is_float(old) && !old->overwrites)
            p->half[old->id] =
                para_rewrite_add_between(old, made, para_name_unique(p->pass.to, "%s.bf16", old->name), &shape);
        else
            p->pass.value[old->id] = para_rewrite_add_value(&p->pass, old, made, old->name, &shape);
    }
    for (int k = 0; k < n->n_out; k++) {
        const para_tensor *old = n->out[k]->overwrites;
        if (!old || !is_parameter(old) || !p->half[old->id])
            continue;
        const char *name = para_name_unique(p->pass.to, "%s.bf16", n->out[k]->name);
        p->half[n->out[k]->id] = para_rewrite_add_between(n->out[k], made, name, &p->half[old->id]->shape);
    }
    for (int k = 0; k < n->n_out; k++) {
        const para_tensor *old = n->out[k];
        const char *name = p->pass.value[old->id] ? NULL : para_name_unique(p->pass.to, "%s.f32", made->name);
        para_node *widened = name ? add_cast(p, p->half[old->id], name, PARA_F32) : NULL;
        if (widened)
            p->pass.value[old->id] = para_rewrite_add_value(&p->pass, old, widened, old->name, &old->shape);
        if (!p->pass.value[old->id])
            return PARA_ENOMEM;
    }
    return 0;
}

static int rewrite_node(struct precision *p, const para_node *n)
{
    para_dtype out[PARA_MAX_OUT];
    para_tensor *copy[PARA_MAX_OUT], **in = para_rewrite_alloc(&p->pass, n->n_in + PARA_MAX_OUT, sizeof *in);
    const struct para_op *op;
    reading how;
    p->current = n;
    int copies = list_copies(p, n, copy), count = n->n_in;
    PARA_TRY(choose(p, n, copies, &op, &how, out));
    for (int i = 0; i < n->n_in && in; i++) {
        const para_tensor *t = n->in[i];
        in[i] = reads_half(p, n, i, how) ? half_of(p, t) : is_float(t) ? full_of(p, t) : p->pass.value[t->id];
    }
    for (int i = 0; i < copies && in; i++)
        in[count++] = copy[i];
    para_node *made = in ? para_rewrite_add_node(&p->pass, n, op, n->name, in, count, n->attr) : NULL;
    PARA_TRY(para_rewrite_add_after(&p->pass, made, n));
    p->pass.node[n->id] = made;
    return add_outputs(p, n, made, out);
}

static int add_sources(struct precision *p)
{
    for (int t = 0; t < p->pass.from->n_tensors; t++) {
        const para_tensor *old = p->pass.from->tensors[t];
        struct para_shape shape = old->shape;
        shape.dtype = p->halved[t] ? PARA_BF16 : shape.dtype;
        if (!old->producer && !(p->pass.value[t] = para_rewrite_add_value(&p->pass, old, NULL, old->name, &shape)))
            return PARA_ENOMEM;
    }
    return 0;
}

static int run(struct precision *p)
{
    const para_graph *g = p->pass.from;
    if (g->splits[0])
        return para_fail(&p->pass.to->error, PARA_EINVAL, "the graph is split (%s), expected one as written",
                         g->splits);
    p->halved = para_rewrite_alloc(&p->pass, g->n_tensors, sizeof *p->halved);
    p->exact = para_rewrite_alloc(&p->pass, g->n_tensors, sizeof *p->exact);
    p->half = para_rewrite_alloc(&p->pass, g->n_tensors, sizeof *p->half);
    p->full = para_rewrite_alloc(&p->pass, g->n_tensors, sizeof *p->full);
    if (!p->halved || !p->exact || !p->half || !p->full)
        return PARA_ENOMEM;
    find_halved(p);
    find_exact(p);
    PARA_TRY(add_sources(p));
    for (int i = 0; i < g->n_nodes; i++)
        PARA_TRY(rewrite_node(p, g->nodes[i]));
    return 0;
}

int para_graph_precision(para_graph **out, const para_graph *g, para_dtype dtype, para_error *err)
{
    struct precision p = {.stand_in = {.name = "", .shape = {.dtype = PARA_BF16}}};
    if (dtype != PARA_F32 && dtype != PARA_BF16)
        return para_fail(err, PARA_EINVAL, "precision %s, expected f32 or bf16", para_dtype_name(dtype));
    PARA_TRY(para_rewrite_begin(&p.pass, g, err, "precision %s", para_dtype_name(dtype)));
    return para_rewrite_finish(&p.pass, dtype == PARA_F32 ? para_rewrite_copy_all(&p.pass) : run(&p), out, err);
}
