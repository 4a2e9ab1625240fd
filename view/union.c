/* The union of two graphs: copies of their nodes and values under new ids. */
#include "view/union.h"

#include "base/fail.h"
#include "base/grow.h"

#include <stdlib.h>

const char para_signs[PARA_SIGNS] = {' ', '~', '-', '+'};

enum para_sign para_match_sign(const struct para_match *match, const char *change)
{
    return match->b < 0 ? PARA_ONLY_A : match->a < 0 ? PARA_ONLY_B : change[0] ? PARA_CHANGED : PARA_SAME;
}

struct joiner {
    struct para_union *u;
    struct para_matching *m;
    int capacity; /* of only_a */
};

/* ---- nodes ---- */

static int add_node(struct joiner *j, int match, const para_node *n, bool of_b)
{
    struct para_union *u = j->u;
    int id = u->graph.n_nodes++;
    para_node *copy = u->graph.nodes[id] = para_arena_alloc(&u->arena, sizeof *copy);
    u->change[id] = para_match_change(j->m, &j->m->matches[match]);
    if (!copy || !u->change[id])
        return -1;
    *copy = *n;
    copy->id = id;
    u->in_a[id] = j->m->matches[match].a;
    u->in_b[id] = of_b ? n->id : -1;
    u->sign[id] = para_match_sign(&j->m->matches[match], u->change[id]);
    *(of_b ? &u->of_b[n->id] : &u->of_a[n->id]) = id;
    return 0;
}

/* Of the matches from *next on, those of the first graph alone, up to `end`. */
static int add_alone(struct joiner *j, int *next, int end)
{
    int status = 0;
    for (; *next < end && status == 0; ++*next)
        status = add_node(j, *next, j->m->a->nodes[j->m->matches[*next].a], false);
    return status;
}

/* In the order of the matches; further parts of the second graph where they stand there. */
static int add_nodes(struct joiner *j)
{
    const struct para_matching *m = j->m;
    int next = 0;
    for (int i = 0; i < m->b->n_nodes; i++) {
        bool first = m->matches[m->of_b[i]].b == i;
        if (first && add_alone(j, &next, m->of_b[i]) < 0)
            return -1;
        next += first;
        if (add_node(j, m->of_b[i], m->b->nodes[i], true) < 0)
            return -1;
    }
    if (add_alone(j, &next, m->count) < 0)
        return -1;
    for (int i = 0; i < m->a->n_nodes; i++)
        if (m->matches[m->of_a[i]].b >= 0)
            j->u->of_a[i] = j->u->of_b[m->matches[m->of_a[i]].b];
    return 0;
}

/* ---- values ---- */

static para_tensor *add_value(struct joiner *j, const para_tensor *t, const int *node_of)
{
    struct para_union *u = j->u;
    para_tensor *copy = para_arena_alloc(&u->arena, sizeof *copy);
    if (!copy)
        return NULL;
    *copy = *t;
    copy->id = u->graph.n_tensors;
    copy->producer = t->producer ? u->graph.nodes[node_of[t->producer->id]] : NULL;
    u->graph.tensors[u->graph.n_tensors++] = copy;
    return copy;
}

/* What stands for a value of the first graph among those of the second; NULL: nothing. */
static const para_tensor *counterpart(const struct joiner *j, const para_tensor *t)
{
    const struct para_matching *m = j->m;
    if (!t->producer) {
        const para_tensor *same = para_graph_find(m->b, t->name);
        return same && !same->producer && same->kind == t->kind ? same : NULL;
    }
    int other = m->matches[m->of_a[t->producer->id]].b;
    return other >= 0 && t->output < m->b->nodes[other]->n_out ? m->b->nodes[other]->out[t->output] : NULL;
}

static int add_values(struct joiner *j)
{
    struct para_union *u = j->u;
    const para_graph *a = j->m->a, *b = j->m->b;
    for (int t = 0; t < b->n_tensors; t++)
        if (!add_value(j, b->tensors[t], u->of_b))
            return -1;
    for (int t = 0; t < a->n_tensors; t++) {
        const para_tensor *same = counterpart(j, a->tensors[t]), *copy;
        copy = same ? u->graph.tensors[same->id] : add_value(j, a->tensors[t], u->of_a);
        if (!copy)
            return -1;
        u->value_of_a[t] = copy->id;
    }
    return 0;
}

/* What stands here for a value of either graph. */
static para_tensor *value_here(const struct joiner *j, const para_tensor *t)
{
    return j->u->graph.tensors[t->graph == j->m->b ? t->id : j->u->value_of_a[t->id]];
}

static para_tensor **values_here(const struct joiner *j, para_tensor *const values[], int count)
{
    para_tensor **here = para_arena_alloc(&j->u->arena, ((size_t)count + 1) * sizeof(para_tensor *));
    for (int i = 0; i < count && here; i++)
        here[i] = value_here(j, values[i]);
    return here;
}

static int link_all(struct joiner *j)
{
    struct para_union *u = j->u;
    for (int i = 0; i < u->graph.n_nodes; i++) {
        para_node *n = u->graph.nodes[i];
        n->in = values_here(j, n->in, n->n_in);
        n->out = values_here(j, n->out, n->n_out);
        if (!n->in || !n->out)
            return -1;
    }
    for (int t = 0; t < u->graph.n_tensors; t++)
        if (u->graph.tensors[t]->overwrites)
            u->graph.tensors[t]->overwrites = value_here(j, u->graph.tensors[t]->overwrites);
    return 0;
}

/* ---- what was read ---- */

bool para_union_reads(const para_node *n, const para_tensor *t)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] == t)
            return true;
    return false;
}

/* A node that both have alone may read in the first graph what it doesn't in the second; parts are left as they are. */
static int add_reads(struct joiner *j)
{
    struct para_union *u = j->u;
    for (int i = 0; i < j->m->count; i++) {
        const struct para_match *match = &j->m->matches[i];
        if (match->n_a != 1 || match->n_b != 1)
            continue;
        const para_node *a = j->m->a->nodes[match->a], *here = u->graph.nodes[u->of_b[match->b]];
        for (int k = 0; k < a->n_in; k++) {
            const para_tensor *t = value_here(j, a->in[k]);
            if (para_union_reads(here, t))
                continue;
            if (para_grow(&u->only_a, u->n_only_a, &j->capacity, sizeof *u->only_a) < 0)
                return -1;
            u->only_a[u->n_only_a++] = (struct para_read){here->id, t->id};
        }
    }
    return 0;
}

static int join(struct joiner *j)
{
    struct para_union *u = j->u;
    size_t na = (size_t)j->m->a->n_nodes + 1, nb = (size_t)j->m->b->n_nodes + 1;
    u->graph.nodes = para_arena_alloc(&u->arena, (na + nb) * sizeof(para_node *));
    u->graph.tensors = para_arena_alloc(&u->arena, ((size_t)j->m->a->n_tensors + (size_t)j->m->b->n_tensors + 1) *
                                                       sizeof(para_tensor *));
    u->of_a = para_arena_alloc(&u->arena, na * sizeof *u->of_a);
    u->of_b = para_arena_alloc(&u->arena, nb * sizeof *u->of_b);
    u->in_a = para_arena_alloc(&u->arena, (na + nb) * sizeof *u->in_a);
    u->in_b = para_arena_alloc(&u->arena, (na + nb) * sizeof *u->in_b);
    u->sign = para_arena_alloc(&u->arena, (na + nb) * sizeof *u->sign);
    u->change = para_arena_alloc(&u->arena, (na + nb) * sizeof *u->change);
    u->value_of_a = para_arena_alloc(&u->arena, ((size_t)j->m->a->n_tensors + 1) * sizeof *u->value_of_a);
    if (!u->graph.nodes || !u->graph.tensors || !u->of_a || !u->of_b || !u->in_a || !u->in_b || !u->sign ||
        !u->change || !u->value_of_a)
        return -1;
    return add_nodes(j) < 0 || add_values(j) < 0 || link_all(j) < 0 ? -1 : add_reads(j);
}

int para_union_new(struct para_union *out, struct para_matching *m, para_error *err)
{
    struct para_union u = {.a = m->a, .b = m->b, .graph.splits = m->b->splits};
    struct joiner j = {.u = &u, .m = m};
    if (join(&j) < 0) {
        para_union_free(&u);
        return para_fail_memory(err, "comparing graphs");
    }
    *out = u;
    return 0;
}

void para_union_free(struct para_union *u)
{
    free(u->only_a);
    para_arena_free(&u->arena);
}
