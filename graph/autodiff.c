/* Reverse-mode differentiation: walk the nodes backwards, ask each op for its inputs' gradients, sum fan-in.
 * Griewank and Walther, "Evaluating Derivatives", 2008, chapter 3. */
#include <paragraph/ops.h>

#include "base/grow.h"
#include "graph/ir.h"
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

/* The contributions to one tensor's gradient, in the order in which they were made. */
struct fan_in {
    para_tensor **dx;
    int count, capacity;
};

struct backward {
    para_graph *g;
    struct fan_in *fan_in;  /* by tensor id */
    int *first_use;         /* by tensor id: the first node that reads it, which is visited last */
    int n_tensors, n_nodes; /* of the forward graph */
};

bool para_wants_grad(const para_graph *g, const para_tensor *t)
{
    return g->wants && t->id < g->n_grads && g->wants[t->id];
}

/* A tensor wants a gradient if a parameter reaches it that isn't frozen. */
static int find_wanted(struct backward *b)
{
    para_graph *g = b->g;
    free(g->wants);
    free(g->grads);
    g->n_grads = b->n_tensors;
    g->wants = calloc((size_t)b->n_tensors, sizeof *g->wants);
    g->grads = calloc((size_t)b->n_tensors, sizeof *g->grads);
    if (!g->wants || !g->grads)
        return PARA_ENOMEM;
    for (int t = 0; t < b->n_tensors; t++) {
        g->wants[t] = g->tensors[t]->kind == PARA_PARAMETER && !g->tensors[t]->frozen;
        b->first_use[t] = b->n_nodes;
    }
    for (int i = 0; i < b->n_nodes; i++) {
        const para_node *n = g->nodes[i];
        bool wanted = false;
        for (int k = 0; k < n->n_in; k++)
            wanted = wanted || g->wants[n->in[k]->id];
        for (int k = 0; k < n->n_in; k++)
            b->first_use[n->in[k]->id] = i < b->first_use[n->in[k]->id] ? i : b->first_use[n->in[k]->id];
        for (int k = 0; k < n->n_out; k++)
            g->wants[n->out[k]->id] = wanted && n->out[k]->shape.dtype != PARA_I32;
    }
    return 0;
}

static int contribute(struct backward *b, const para_tensor *t, para_tensor *dx)
{
    struct fan_in *f = &b->fan_in[t->id];
    if (para_grow(&f->dx, f->count, &f->capacity, sizeof *f->dx) < 0)
        return PARA_ENOMEM;
    f->dx[f->count++] = dx;
    return 0;
}

/* The gradient of a tensor all of whose uses have been visited; NULL if nothing depends on it. */
static para_tensor *total(struct backward *b, const para_tensor *t)
{
    struct fan_in *f = &b->fan_in[t->id];
    para_graph *g = b->g;
    if (!g->grads[t->id] && f->count)
        g->grads[t->id] = f->count == 1 ? f->dx[0] : para_sum(g, f->dx, f->count);
    return g->grads[t->id];
}

static int differentiate(struct backward *b, const para_node *n, para_error *err)
{
    para_tensor *dy[PARA_MAX_OUT] = {NULL};
    bool reached = false, wanted = false;
    for (int k = 0; k < n->n_out; k++) {
        wanted = wanted || para_wants_grad(b->g, n->out[k]);
        dy[k] = para_wants_grad(b->g, n->out[k]) ? total(b, n->out[k]) : NULL;
        reached = reached || dy[k];
    }
    if (!reached || !wanted)
        return 0;
    if (!n->op->grad)
        return para_fail(err, PARA_ESUPPORT, "%s: op %s has no gradient", n->name, n->op->name);
    para_tensor **dx = calloc((size_t)n->n_in + 1, sizeof *dx);
    if (!dx)
        return para_fail_memory(err, "differentiating");
    int status = n->op->grad(b->g, n, dy, dx);
    for (int i = 0; i < n->n_in && status == 0; i++)
        if (dx[i] && para_wants_grad(b->g, n->in[i]))
            status = contribute(b, n->in[i], dx[i]);
    free(dx);
    return status;
}

/* Make the gradients of the parameters that a node is the first to use, whether the loss depends on this node or only
 * on later ones. */
static void total_parameters(struct backward *b, const para_node *n)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i]->kind == PARA_PARAMETER && b->first_use[n->in[i]->id] == n->id)
            total(b, n->in[i]);
}

/* Walk the forward nodes in reverse, each within its own scope. */
static int walk(struct backward *b, para_tensor *loss, para_error *err)
{
    para_graph *g = b->g;
    const char *open_scope = g->scope;
    g->in_backward = true;
    PARA_TRY(contribute(b, loss, para_name(para_fill(g, PARA_SCALAR, 1.0), "backward.seed")));
    int status = 0;
    for (int i = b->n_nodes - 1; i >= 0 && status == 0 && !g->error.code; i--) {
        const para_node *n = g->nodes[i];
        g->scope = n->scope;
        g->backward_of = n;
        status = differentiate(b, n, err);
        if (status == 0)
            total_parameters(b, n);
    }
    if (loss->kind == PARA_PARAMETER)
        total(b, loss);
    g->backward_of = NULL;
    g->in_backward = false;
    g->scope = open_scope;
    return status;
}

/* What the loss can't be, and the second time. */
static int check_loss(const para_graph *g, const para_tensor *loss, para_error *err)
{
    if (!loss || loss->graph != g || loss->shape.rank != 0 || loss->shape.dtype != PARA_F32)
        return para_fail(err, PARA_ESHAPE, "the loss \"%s\" is no float32 scalar of this graph",
                         loss ? loss->name : "");
    return g->has_backward ? para_fail(err, PARA_EINVAL, "the graph has its gradients already") : 0;
}

/* Steps of training are far smaller than those between values of fewer bits. */
static int check_parameters(const para_graph *g, para_error *err)
{
    for (int i = 0; i < g->n_tensors; i++) {
        const para_tensor *t = g->tensors[i];
        if (t->kind == PARA_PARAMETER && !t->frozen && t->shape.dtype != PARA_F32)
            return para_fail(err, PARA_ESUPPORT,
                             "parameter \"%s\" is %s, expected f32: weights of fewer bits can't be trained", t->name,
                             para_dtype_name(t->shape.dtype));
    }
    return 0;
}

static int append(para_graph *g, para_tensor *loss, para_error *err)
{
    PARA_TRY(check_loss(g, loss, err));
    PARA_TRY(check_parameters(g, err));
    struct backward b = {.g = g, .n_tensors = g->n_tensors, .n_nodes = g->n_nodes};
    b.fan_in = calloc((size_t)g->n_tensors, sizeof *b.fan_in);
    b.first_use = calloc((size_t)g->n_tensors, sizeof *b.first_use);
    int status = b.fan_in && b.first_use ? find_wanted(&b) : PARA_ENOMEM;
    if (status == 0)
        status = walk(&b, loss, err);
    for (int t = 0; b.fan_in && t < b.n_tensors; t++)
        free(b.fan_in[t].dx);
    free(b.fan_in);
    free(b.first_use);
    if (status == 0 && g->error.code)
        status = para_fail(err, g->error.code, "%s", g->error.message);
    else if (status == PARA_ENOMEM)
        para_fail_memory(err, "differentiating a graph");
    g->has_backward = status == 0;
    g->loss = loss;
    return status;
}

int para_graph_backward(para_graph *g, para_tensor *loss, para_error *err)
{
    para_error own = {0};
    if (g->sealed)
        return para_fail(err, PARA_EINVAL, "the graph is sealed");
    if (g->error.code == 0 && append(g, loss, &own) < 0)
        para_graph_fail(g, &own);
    return g->error.code ? para_fail(err, g->error.code, "%s", g->error.message) : 0;
}

para_tensor *para_grad(const para_graph *g, const para_tensor *t)
{
    return t && t->graph == g && t->id < g->n_grads ? g->grads[t->id] : NULL;
}
