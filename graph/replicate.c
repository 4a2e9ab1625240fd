/* Replicating: what is whole between two cuts, and takes less than a wait, is made once per part.
 *
 * Of a split of "heads" in two,
 *
 *     s = sum(y[heads=0], y[heads=1]); n = norm(s); a[ff=0] = matmul(n, ..); a[ff=1] = matmul(n, ..)
 *
 * one s and n are a task that both parts end before and begin after. With an s and n for each part, that part's
 * products are one task, from the sum on. A meeting is where whole nodes read parts; whole nodes behind equally many
 * meetings are repeated together or not at all, as one that isn't would have to be waited for. */
#include "graph/cuts.h"
#include "graph/op.h"
#include "graph/rewrite.h"
#include "graph/time.h"

enum { WHOLE = -1 };

struct replication {
    struct para_rewrite pass;
    int parts;            /* the most that one axis has */
    int *meetings;        /* by old node: the most on a way to it */
    double *whole_ns;     /* by number of meetings: of whole nodes behind as many */
    bool *wanted;         /* by old tensor and part: a node made for that part reads it */
    para_tensor **copies; /* by old tensor and part: what was made for the part; NULL: nothing */
};

/* The part of a node, by the first axis that it is a part of; or WHOLE. */
static int part_of(const para_node *n)
{
    const char *text = n->part;
    struct para_cut cut;
    return para_cut_next(&text, &cut) > 0 ? cut.number : WHOLE;
}

static size_t at(const struct replication *r, const para_tensor *t, int part)
{
    return (size_t)t->id * (size_t)r->parts + (size_t)part;
}

static bool updates(const para_node *n)
{
    for (int k = 0; k < n->n_out; k++)
        if (n->out[k]->overwrites)
            return true;
    return false;
}

/* Whether a run could be shorter for it: one without a backward part, cut and not placed. */
static bool is_wanted(const para_graph *g, int *parts)
{
    *parts = 0;
    for (int i = 0; i < g->n_nodes; i++) {
        if (g->nodes[i]->place >= 0)
            return false;
        *parts = part_of(g->nodes[i]) >= *parts ? part_of(g->nodes[i]) + 1 : *parts;
    }
    return *parts > 1 && !g->has_backward;
}

static void count_meetings(struct replication *r)
{
    const para_graph *g = r->pass.from;
    for (int i = 0; i < g->n_nodes; i++) {
        const para_node *n = g->nodes[i];
        bool whole = part_of(n) == WHOLE;
        for (int k = 0; k < n->n_in; k++) {
            const para_node *p = n->in[k]->producer;
            int met = p ? r->meetings[p->id] + (whole && part_of(p) != WHOLE) : 0;
            r->meetings[i] = met > r->meetings[i] ? met : r->meetings[i];
        }
        r->whole_ns[r->meetings[i]] += whole ? para_node_time_ns(n) : 0;
    }
}

/* Whether a node is repeated for parts that read its results. */
static bool is_replicated(const struct replication *r, const para_node *n)
{
    return part_of(n) == WHOLE && !updates(n) && r->whole_ns[r->meetings[n->id]] <= para_rates[PARA_CPU].task_ns;
}

static bool is_read(const struct replication *r, const para_node *n, int part)
{
    bool read = false;
    for (int k = 0; k < n->n_out; k++)
        read = read || r->wanted[at(r, n->out[k], part)];
    return read;
}

static void find_readers(struct replication *r)
{
    const para_graph *g = r->pass.from;
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        const para_node *n = g->nodes[i];
        for (int p = 0; p < r->parts; p++)
            if (part_of(n) == p || (is_replicated(r, n) && is_read(r, n, p)))
                for (int k = 0; k < n->n_in; k++)
                    r->wanted[at(r, n->in[k], p)] = true;
    }
}

/* What a node reads for a part, or WHOLE: what was made for it, else the only one there is. */
static para_tensor **operands(struct replication *r, const para_node *n, int part)
{
    para_tensor **in = para_rewrite_alloc(&r->pass, n->n_in, sizeof *in);
    for (int i = 0; i < n->n_in && in; i++) {
        para_tensor *copy = part == WHOLE ? NULL : r->copies[at(r, n->in[i], part)];
        in[i] = copy ? copy : r->pass.value[n->in[i]->id];
    }
    return in;
}

static int add_copy(struct replication *r, const para_node *old, int part)
{
    const char *name = para_name_unique(r->pass.to, "%s.on%d", old->name, part);
    para_node *n = para_rewrite_add_node(&r->pass, old, old->op, name, operands(r, old, part), old->n_in, old->attr);
    PARA_TRY(para_rewrite_add_after(&r->pass, n, old));
    for (int k = 0; k < old->n_out; k++) {
        const para_tensor *t = old->out[k];
        const char *output = k ? para_name_unique(r->pass.to, "%s.on%d", t->name, part) : name;
        para_tensor *copy = para_rewrite_add_between(t, n, output, &t->shape);
        if (!copy)
            return PARA_ENOMEM;
        r->copies[at(r, t, part)] = copy;
    }
    return 0;
}

/* Copy a node; of one that is repeated, the first that is read stands for it. */
static int copy_node(struct replication *r, const para_node *old)
{
    int part = part_of(old), first = 0;
    bool repeated = is_replicated(r, old);
    while (repeated && first < r->parts && !is_read(r, old, first))
        first++;
    part = repeated && first < r->parts ? first : part;
    PARA_TRY(para_rewrite_sources(&r->pass, old));
    para_tensor **in = operands(r, old, part);
    if (!in || !para_rewrite_copy_node(&r->pass, old, old->op, in, old->n_in))
        return PARA_ENOMEM;
    for (int p = first + 1; p < r->parts && repeated; p++)
        if (is_read(r, old, p))
            PARA_TRY(add_copy(r, old, p));
    return 0;
}

static int run(struct replication *r)
{
    const para_graph *g = r->pass.from;
    if (!is_wanted(g, &r->parts))
        return para_rewrite_copy_all(&r->pass);
    r->meetings = para_rewrite_alloc(&r->pass, g->n_nodes, sizeof *r->meetings);
    r->whole_ns = para_rewrite_alloc(&r->pass, g->n_nodes + 1, sizeof *r->whole_ns);
    r->wanted = para_rewrite_alloc(&r->pass, g->n_tensors, (size_t)r->parts * sizeof *r->wanted);
    r->copies = para_rewrite_alloc(&r->pass, g->n_tensors, (size_t)r->parts * sizeof(para_tensor *));
    if (r->pass.to->error.code)
        return PARA_ENOMEM;
    count_meetings(r);
    find_readers(r);
    for (int i = 0; i < g->n_nodes; i++)
        PARA_TRY(copy_node(r, g->nodes[i]));
    return para_rewrite_sources(&r->pass, NULL);
}

int para_graph_replicate(para_graph **out, const para_graph *g, para_error *err)
{
    struct replication r = {.parts = 0};
    PARA_TRY(para_rewrite_begin(&r.pass, g, err, "replicate"));
    return para_rewrite_finish(&r.pass, run(&r), out, err);
}
