#include "tests/random-graph.h"

#include <paragraph/ops.h>
#include <paragraph/optim.h>

#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "graph/op.h"

enum { MAX_LIVE = 64, AXES = 3, N_INPUTS = 6, N_PARAMS = 4, N_STATES = 3 };

static const char *const axis_name[AXES] = {"rows", "cols", "deep"};

/* Values that may be read: float32 ones, and the count. Inputs come first. */
struct maker {
    para_graph *g;
    struct dice *d;
    int64_t extent[AXES];
    para_tensor *live[MAX_LIVE], *count;
    int n_live, n_inputs;
};

int roll(struct dice *d, int sides)
{
    return (int)(((uint64_t)para_draw(d->seed, 77, d->thrown++) * (uint64_t)sides) >> 32);
}

static void add_live(struct maker *m, para_tensor *t)
{
    if (t && m->n_live < MAX_LIVE)
        m->live[m->n_live++] = t;
}

/* A source with the axes of a bit mask. */
static void add_source(struct maker *m, para_kind kind, int number, int axes)
{
    para_dim dims[AXES + 1] = {{NULL, 0}};
    int rank = 0;
    for (int a = 0; a < AXES; a++)
        if (axes >> a & 1)
            dims[rank++] = (para_dim){axis_name[a], m->extent[a]};
    const para_init init = {PARA_INIT_UNIFORM, 0.0, 1.0};
    char name[16];
    snprintf(name, sizeof name, "%c%d", "xps"[kind], number);
    if (kind == PARA_INPUT)
        add_live(m, para_input(m->g, name, PARA_F32, dims));
    else if (kind == PARA_PARAMETER)
        add_live(m, para_param(m->g, name, dims, init));
    else
        add_live(m, para_state(m->g, name, PARA_F32, dims, init));
}

static void add_sources(struct maker *m)
{
    static const int input_axes[N_INPUTS] = {0, 0, 3, 6, 5, 1}, other_axes[N_PARAMS] = {3, 6, 2, 3};
    for (int i = 0; i < N_INPUTS; i++)
        add_source(m, PARA_INPUT, i, input_axes[i]);
    m->n_inputs = m->n_live;
    for (int i = 0; i < N_PARAMS; i++)
        add_source(m, PARA_PARAMETER, i, other_axes[i]);
    for (int i = 0; i < N_STATES; i++)
        add_source(m, PARA_STATE, i, other_axes[i]);
    m->count = para_state(m->g, "count", PARA_I32, PARA_SCALAR, (para_init){PARA_INIT_FILL, 3, 0});
}

static int any(struct maker *m)
{
    return m->n_inputs + roll(m->d, m->n_live - m->n_inputs);
}

/* A live value of the same axes in the same order as value number x, and another one; -1 if there is none. */
static int alike(struct maker *m, int x, int but)
{
    int start = roll(m->d, m->n_live);
    const struct para_shape *want = &m->live[x]->shape;
    for (int i = 0; i < m->n_live; i++) {
        int y = (start + i) % m->n_live;
        const struct para_shape *have = &m->live[y]->shape;
        bool same = y != x && y != but && have->rank == want->rank;
        for (int k = 0; same && k < want->rank; k++)
            same = have->dim[k].axis == want->dim[k].axis;
        if (same)
            return y;
    }
    return -1;
}

/* An input whose axes are some or all of value x's; there is always one, the scalar. */
static para_tensor *part_of(struct maker *m, const para_tensor *x)
{
    for (;;) {
        para_tensor *y = m->live[roll(m->d, m->n_inputs)];
        bool part = true;
        for (int k = 0; k < y->shape.rank; k++)
            part = part && para_shape_find(&x->shape, y->shape.dim[k].axis) >= 0;
        if (part)
            return y;
    }
}

/* x times an input over one axis that both have; inputs are at most 1, so values can't run away. */
static para_tensor *multiply(struct maker *m, para_tensor *x)
{
    int start = roll(m->d, m->n_inputs);
    for (int i = 0; i < m->n_inputs; i++) {
        para_tensor *y = m->live[(start + i) % m->n_inputs];
        for (int k = 0; k < y->shape.rank; k++)
            if (para_shape_find(&x->shape, y->shape.dim[k].axis) >= 0)
                return roll(m->d, 2) ? para_matmul(m->g, x, y, y->shape.dim[k].axis)
                                     : para_matmul(m->g, y, x, y->shape.dim[k].axis);
    }
    return para_scale(m->g, x, 0.75);
}

static para_tensor *add_several(struct maker *m, int x)
{
    para_tensor *term[3] = {m->live[x]};
    int count = 1, y = alike(m, x, -1), z = alike(m, x, y);
    if (y >= 0)
        term[count++] = m->live[y];
    if (z >= 0)
        term[count++] = m->live[z];
    return para_sum(m->g, term, count);
}

static para_tensor *compute(struct maker *m)
{
    int x = any(m);
    para_tensor *t = m->live[x];
    switch (roll(m->d, 10)) {
    case 0:
        return para_scale(m->g, t, roll(m->d, 2) ? 0.5 : -1.25);
    case 1:
        return para_gelu(m->g, t);
    case 2:
        return para_add(m->g, t, part_of(m, t));
    case 3:
        return para_mul(m->g, t, part_of(m, t));
    case 4:
    case 5:
        return add_several(m, x);
    case 6:
        return t->shape.rank ? para_reduce_sum(m->g, t, t->shape.dim[roll(m->d, t->shape.rank)].axis)
                             : para_gelu_erf(m->g, t);
    case 7:
        return para_dropout(m->g, t, m->count, 0.25);
    default:
        return multiply(m, t);
    }
}

/* Take one axis apart and put it together again. */
static para_tensor *slice_and_join(struct maker *m, para_tensor *t, int k)
{
    const struct para_extent *e = &t->shape.dim[k];
    char rest[PARA_MAX_AXIS_NAME + 1];
    snprintf(rest, sizeof rest, "%s.rest", e->axis);
    para_tensor *part[2] = {para_slice(m->g, t, e->axis, 0, 1, "first"),
                            para_slice(m->g, t, e->axis, 1, e->whole - 1, rest)};
    return para_concat(m->g, part, 2, k, e->axis);
}

static para_tensor *compute_whole(struct maker *m)
{
    para_tensor *t = m->live[any(m)];
    if (t->shape.rank == 0)
        return para_gelu(m->g, t);
    int k = roll(m->d, t->shape.rank);
    const char *axis = t->shape.dim[k].axis;
    char order[2 * PARA_MAX_AXIS_NAME + 2], other[PARA_MAX_AXIS_NAME + 1];
    switch (roll(m->d, 4)) {
    case 0:
        return para_softmax(m->g, t, axis);
    case 1:
        snprintf(other, sizeof other, "%s.other", axis);
        return para_rename(m->g, para_scale(m->g, para_rename(m->g, t, axis, other), 0.5), other, axis);
    case 2:
        return slice_and_join(m, t, k);
    default:
        if (t->shape.rank != 2)
            return para_logsumexp(m->g, t, axis);
        snprintf(order, sizeof order, "%s %s", t->shape.dim[1].axis, t->shape.dim[0].axis);
        return para_permute(m->g, t, order);
    }
}

/* Overwrite a value: its new version takes its place among those that may be read. */
static void update(struct maker *m)
{
    int p = any(m), g = alike(m, p, -1), v = alike(m, p, g);
    para_tensor *lr = m->live[0], *scale = m->live[1];
    if (roll(m->d, 5) == 0) {
        m->count = para_apply(para_op_find("increment"), m->g, PARA_IN(m->count), NULL);
    } else if (g >= 0 && v >= m->n_inputs && roll(m->d, 2)) {
        para_node *n =
            para_apply_node(para_op_find("sgd_momentum"), m->g, PARA_IN(m->live[p], m->live[g], m->live[v], lr, scale),
                            PARA_ATTRS({.f = 0.5}, {.f = 0.125}));
        m->live[p] = n ? n->out[0] : NULL;
        m->live[v] = n ? n->out[1] : NULL;
    } else if (g >= 0) {
        m->live[p] =
            para_apply(para_op_find("sgd"), m->g, PARA_IN(m->live[p], m->live[g], lr, scale), PARA_ATTRS({.f = 0.125}));
    }
}

/* The loss has a parameter, any value, and the latest one in it. */
static void train(struct maker *m)
{
    para_error err = {0};
    para_tensor *loss = para_reduce_sum(m->g, para_gelu(m->g, m->live[m->n_inputs + roll(m->d, N_PARAMS)]), "");
    loss = para_add(m->g, loss, para_reduce_sum(m->g, m->live[any(m)], ""));
    loss = para_add(m->g, loss, para_reduce_sum(m->g, m->live[m->n_live - 1], ""));
    para_sgd_options o = para_sgd_default();
    o.schedule = (para_schedule){PARA_SCHEDULE_COSINE, 0.5, 0.25, 10, 200};
    o.momentum = 0.5;
    o.clip = 0.5;
    must(para_graph_backward(m->g, para_output(loss), &err), err);
    must(para_graph_sgd(m->g, &o, &err), err);
}

para_graph *random_graph(struct dice *d, int calls, int features)
{
    struct maker m = {.g = para_graph_new(), .d = d};
    assert_non_null(m.g);
    for (int a = 0; a < AXES; a++)
        m.extent[a] = 2 + roll(d, 4);
    add_sources(&m);
    for (int i = 0; i < calls && !m.g->error.code; i++) {
        int kind = roll(d, 4);
        if (kind == 0 && features & RANDOM_UPDATES)
            update(&m);
        else if (kind == 1 && features & RANDOM_WHOLES)
            add_live(&m, compute_whole(&m));
        else
            add_live(&m, compute(&m));
    }
    for (int i = m.n_inputs; i < m.n_live && !m.g->error.code; i++)
        if (m.live[i]->producer && roll(d, 4) == 0)
            para_output(m.live[i]);
    if (features & RANDOM_TRAINING && !m.g->error.code)
        train(&m);
    para_error err = {0};
    must(para_graph_seal(m.g, &err), err);
    return m.g;
}

/* The first version of a value's storage, found by walking back. */
static const para_tensor *root_of(const para_tensor *t)
{
    while (t->overwrites)
        t = t->overwrites;
    return t;
}

/* By id of a storage's first version, the last node that reads or writes it; -1: none; n_nodes: it must stay. */
static int *last_uses(const para_graph *g)
{
    int *last = must_alloc(sizeof *last * (size_t)(g->n_tensors + 1));
    for (int t = 0; t < g->n_tensors; t++)
        last[t] = -1;
    for (int i = 0; i < g->n_nodes; i++) {
        for (int k = 0; k < g->nodes[i]->n_in; k++)
            last[root_of(g->nodes[i]->in[k])->id] = i;
        for (int k = 0; k < g->nodes[i]->n_out; k++)
            last[root_of(g->nodes[i]->out[k])->id] = i;
    }
    for (int t = 0; t < g->n_tensors; t++)
        if (g->tensors[t]->is_output || g->tensors[t]->kind == PARA_PARAMETER || g->tensors[t]->kind == PARA_STATE)
            last[root_of(g->tensors[t])->id] = g->n_nodes;
    return last;
}

int *random_sharing(struct dice *d, const para_graph *g)
{
    size_t bytes = sizeof(int) * (size_t)(g->n_tensors + 1);
    int *map = must_alloc(bytes), *holds = must_alloc(bytes), *last = last_uses(g), buffers = 0;
    for (int t = 0; t < g->n_tensors; t++)
        if (!g->tensors[t]->producer) {
            holds[buffers] = t;
            map[t] = buffers++;
        }
    for (int i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < g->nodes[i]->n_out; k++) {
            const para_tensor *t = g->nodes[i]->out[k];
            if (t->overwrites) {
                map[t->id] = map[root_of(t)->id];
                continue;
            }
            int start = roll(d, buffers), b = 0;
            while (b < buffers && last[holds[(start + b) % buffers]] >= i)
                b++;
            map[t->id] = b < buffers && roll(d, 4) ? (start + b) % buffers : buffers++;
            holds[map[t->id]] = t->id;
        }
    free(holds);
    free(last);
    return map;
}

para_graph *random_scopes(struct dice *d, int nodes, int depth, int width)
{
    para_graph *g = para_graph_new();
    para_tensor **made = calloc((size_t)nodes + 2, sizeof *made);
    para_error err = {0};
    int open = 0, count = 0;
    assert_non_null(made);
    made[count++] = para_input(g, "x", PARA_F32, PARA_DIMS({"n", 3}));
    made[count++] = para_param(g, "p", PARA_DIMS({"n", 3}), (para_init){PARA_INIT_FILL, 1, 0});
    while (count < nodes + 2) {
        int turn = roll(d, 8);
        if (turn == 0 && open < depth) {
            para_scope_push(g, roll(d, 2) ? "s.%d" : "w%d", roll(d, width));
            open++;
        } else if (turn == 1 && open > 0) {
            para_scope_pop(g);
            open--;
        } else {
            int reach = roll(d, 4) ? 6 : count, a = count - 1 - roll(d, reach < count ? reach : count),
                b = roll(d, count);
            made[count] = turn < 5 ? para_gelu(g, made[a]) : para_add(g, made[a], made[b]);
            assert_non_null(made[count++]);
        }
    }
    for (; open > 0; open--)
        para_scope_pop(g);
    para_output(made[count - 1]);
    must(para_graph_seal(g, &err), err);
    free(made);
    return g;
}
