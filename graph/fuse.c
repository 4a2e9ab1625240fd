/* Fusing: several nodes become one of an op that computes them in one pass over memory.
 *
 * Rows of the table say what they fuse (op->fuses), as a graph is written: "x w b -> y: m = matmul_bf16(x, w);
 * y = add(m, b)" are inputs and outputs of the op, in their order, and the nodes that it stands for. The first of them
 * is looked for, and each other one, in the order of the text, from a value that those before it have. Rows with more
 * nodes are tried first. Nodes are fused if nobody else reads what lies between, and if the last of them can stand for
 * all: who reads their results comes after it, and what they read isn't overwritten before it. */
#include "base/fail.h"
#include "graph/pattern.h"
#include "graph/rewrite.h"
#include "graph/signature.h"

#include <string.h>

/* Nodes and values that a pattern stands for. */
struct match {
    const struct para_pattern *pattern;
    const para_node *node[PARA_PATTERN_NODES];
    const para_tensor *value[PARA_PATTERN_NAMES];
    union para_attr attr[PARA_MAX_ATTRS];
};

struct fusion {
    struct para_rewrite pass;
    const para_node **reader; /* by tensor id from first_reader[id] to first_reader[id + 1]: who reads it */
    int *first_reader;
    const struct match **match; /* by node id: whose last node it is */
    bool *taken;                /* by node id */
};

/* --- finding them --- */

static bool bind(struct match *m, int name, const para_tensor *t)
{
    if (m->value[name] && m->value[name] != t)
        return false;
    m->value[name] = t;
    return true;
}

static bool take(const struct fusion *f, struct match *m, int number, const para_node *n)
{
    const struct para_statement *s = &m->pattern->node[number];
    bool fits = n->op == s->op && n->n_in == s->n_in && n->n_out == s->n_out && !f->taken[n->id] && n->n_after == 0;
    for (int i = 0; i < s->n_in && fits; i++)
        fits = bind(m, s->in[i], n->in[i]);
    for (int k = 0; k < s->n_out && fits; k++)
        fits = bind(m, s->out[k], n->out[k]);
    m->node[number] = n;
    return fits;
}

/* Find the nodes from `number` on. */
static bool find_rest(const struct fusion *f, struct match *m, int number)
{
    const struct para_statement *s = &m->pattern->node[number];
    if (number == m->pattern->count)
        return true;
    for (int k = 0; k < s->n_out; k++) {
        const para_tensor *t = m->value[s->out[k]];
        if (t)
            return t->producer && take(f, m, number, t->producer) && find_rest(f, m, number + 1);
    }
    for (int i = 0; i < s->n_in; i++) {
        const para_tensor *t = m->value[s->in[i]];
        for (int r = t ? f->first_reader[t->id] : 0; t && r < f->first_reader[t->id + 1]; r++) {
            struct match with = *m;
            if (take(f, &with, number, f->reader[r]) && find_rest(f, &with, number + 1)) {
                *m = with;
                return true;
            }
        }
        if (t)
            return false;
    }
    return false;
}

static bool has(const struct match *m, const para_node *n)
{
    for (int i = 0; i < m->pattern->count; i++)
        if (m->node[i] == n)
            return true;
    return false;
}

static const para_node *last_of(const struct match *m)
{
    const para_node *last = m->node[0];
    for (int i = 1; i < m->pattern->count; i++)
        last = m->node[i]->id > last->id ? m->node[i] : last;
    return last;
}

static bool is_among(int name, const int list[], int count)
{
    for (int i = 0; i < count; i++)
        if (list[i] == name)
            return true;
    return false;
}

/* Whether the op writes a value over the same input as the node that makes it does, or over none. */
static bool updates_alike(const struct match *m, const para_tensor *t)
{
    const struct para_pattern *p = m->pattern;
    const para_tensor *over = NULL;
    for (int k = 0; k < p->n_out; k++)
        if (m->value[p->out[k]] == t && p->op->updates[k])
            over = m->value[p->in[p->op->updates[k] - 1]];
    return t->overwrites == over;
}

/* Whether a value of the pattern may be one that the fused node reads, makes, or doesn't make at all. */
static bool may_be(const struct fusion *f, const struct match *m, int name, const para_node *last)
{
    const struct para_pattern *p = m->pattern;
    const para_tensor *t = m->value[name];
    if (is_among(name, p->in, p->n_in))
        return !t->overwritten_by || t->overwritten_by->producer->id > last->id || has(m, t->overwritten_by->producer);
    bool kept = is_among(name, p->out, p->n_out), fine = updates_alike(m, t) && (kept || !t->is_output);
    for (int r = f->first_reader[t->id]; r < f->first_reader[t->id + 1] && fine; r++)
        fine = has(m, f->reader[r]) || (kept && f->reader[r]->id > last->id);
    return fine;
}

/* Whether the op takes inputs of these types and gives outputs of theirs. */
static bool types_fit(const struct match *m)
{
    const struct para_pattern *p = m->pattern;
    para_tensor *in[PARA_PATTERN_OPERANDS];
    para_node trial = {.op = p->op, .in = in, .n_in = p->n_in};
    para_dtype out[PARA_MAX_OUT];
    memcpy(trial.attr, m->attr, sizeof trial.attr);
    for (int i = 0; i < p->n_in; i++) {
        const para_tensor *t = m->value[p->in[i]];
        in[i] = t->graph->tensors[t->id];
    }
    bool fit = para_signature_check(&trial, out, NULL) == p->n_out;
    for (int k = 0; k < p->n_out && fit; k++)
        fit = out[k] == m->value[p->out[k]]->shape.dtype;
    return fit;
}

static bool is_legal(const struct fusion *f, struct match *m)
{
    const para_node *last = last_of(m);
    bool legal = true;
    for (int name = 0; name < m->pattern->names && legal; name++)
        legal = may_be(f, m, name, last);
    for (int i = 0; i < m->pattern->count && legal; i++) {
        legal = m->node[i]->place == last->place && strcmp(m->node[i]->part, last->part) == 0;
        for (int k = 0; k < i && legal; k++)
            legal = m->node[i] != m->node[k];
    }
    return legal && m->pattern->op->fuse(m->node, m->attr) && types_fit(m);
}

static int find_all(struct fusion *f, const struct para_pattern *p)
{
    const para_graph *g = f->pass.from;
    for (int id = 0; id < g->n_nodes; id++) {
        struct match m = {.pattern = p};
        if (!take(f, &m, 0, g->nodes[id]) || !find_rest(f, &m, 1) || !is_legal(f, &m))
            continue;
        struct match *kept = para_rewrite_alloc(&f->pass, 1, sizeof *kept);
        if (!kept)
            return PARA_ENOMEM;
        *kept = m;
        for (int i = 0; i < p->count; i++)
            f->taken[m.node[i]->id] = true;
        f->match[last_of(kept)->id] = kept;
    }
    return 0;
}

/* Patterns of more nodes first, those of as many in the order of the table. */
static int find_patterns(struct fusion *f)
{
    for (int count = PARA_PATTERN_NODES; count > 0; count--)
        for (int i = 0; para_op_table[i]; i++) {
            struct para_pattern p;
            for (int form = 0; para_pattern_read(&p, para_op_table[i], form); form++) {
                struct para_pattern *kept = p.count == count ? para_rewrite_alloc(&f->pass, 1, sizeof *kept) : NULL;
                if (p.count != count)
                    continue;
                if (!kept)
                    return PARA_ENOMEM;
                *kept = p;
                PARA_TRY(find_all(f, kept));
            }
        }
    return 0;
}

/* --- the new graph --- */

static int list_readers(struct fusion *f)
{
    const para_graph *g = f->pass.from;
    int reads = 0;
    f->first_reader = para_rewrite_alloc(&f->pass, g->n_tensors + 2, sizeof *f->first_reader);
    f->match = para_rewrite_alloc(&f->pass, g->n_nodes, sizeof *f->match);
    f->taken = para_rewrite_alloc(&f->pass, g->n_nodes, sizeof *f->taken);
    for (int i = 0; i < g->n_nodes; i++)
        reads += g->nodes[i]->n_in;
    f->reader = para_rewrite_alloc(&f->pass, reads, sizeof *f->reader);
    if (!f->first_reader || !f->match || !f->taken || !f->reader)
        return PARA_ENOMEM;
    int *end = f->first_reader + 1; /* end[t] moves from where t's readers begin to where they end */
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i]->n_in; k++)
            end[g->nodes[i]->in[k]->id + 1]++;
    for (int t = 0; t < g->n_tensors; t++)
        end[t + 1] += end[t];
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i]->n_in; k++)
            f->reader[end[g->nodes[i]->in[k]->id]++] = g->nodes[i];
    return 0;
}

static int add_fused(struct fusion *f, const struct match *m)
{
    const struct para_pattern *p = m->pattern;
    const para_node *last = last_of(m);
    para_tensor *in[PARA_PATTERN_OPERANDS];
    for (int i = 0; i < p->n_in; i++)
        in[i] = f->pass.value[m->value[p->in[i]]->id];
    para_node *n = para_rewrite_add_node(&f->pass, last, p->op, last->name, in, p->n_in, m->attr);
    for (int k = 0; k < p->n_out && n; k++) {
        const para_tensor *old = m->value[p->out[k]];
        if (!(f->pass.value[old->id] = para_rewrite_add_value(&f->pass, old, n, old->name, &old->shape)))
            return PARA_ENOMEM;
    }
    for (int i = 0; i < p->count; i++)
        f->pass.node[m->node[i]->id] = n;
    return n ? 0 : PARA_ENOMEM;
}

static int run(struct fusion *f)
{
    const para_graph *g = f->pass.from;
    PARA_TRY(list_readers(f));
    PARA_TRY(find_patterns(f));
    PARA_TRY(para_rewrite_sources(&f->pass, NULL));
    for (int i = 0; i < g->n_nodes; i++) {
        if (f->match[i])
            PARA_TRY(add_fused(f, f->match[i]));
        else if (!f->taken[i] &&
                 !para_rewrite_copy_node(&f->pass, g->nodes[i], g->nodes[i]->op, NULL, g->nodes[i]->n_in))
            return PARA_ENOMEM;
    }
    return 0;
}

int para_graph_fuse(para_graph **out, const para_graph *g, para_error *err)
{
    struct fusion f = {.reader = NULL};
    PARA_TRY(para_rewrite_begin(&f.pass, g, err, "fuse"));
    return para_rewrite_finish(&f.pass, run(&f), out, err);
}
