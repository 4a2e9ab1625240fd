#include "tests/replay.h"

#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "graph/op.h"

enum { ALIGNMENT = 64, MAX_OPERANDS = 64 };

struct replay {
    const para_graph *g;
    uint64_t seed;
    void **truth;  /* by tensor id */
    void **buffer; /* by buffer number; as many as tensors, each as large as the largest */
    size_t largest;
    void *scratch;
};

static void *aligned(size_t bytes)
{
    void *memory = aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
    assert_non_null(memory);
    return memory;
}

static size_t bytes_of(const para_tensor *t)
{
    return para_shape_bytes(&t->shape);
}

/* What stands in a source before the run: whole numbers for a count, else floats around 0. */
static void fill_source(const struct replay *r, const para_tensor *t, void *data)
{
    int64_t elements = para_shape_elements(&t->shape);
    if (t->shape.dtype == PARA_I32)
        fill_ids(data, elements, r->seed, (uint64_t)t->id, 100);
    else
        fill_uniform(data, elements, r->seed, (uint64_t)t->id, -1.0, 1.0);
}

static int run_node(const struct replay *r, const para_node *n, void *const in[], void *const out[])
{
    para_error err = {0};
    struct para_call call = {.node = n, .in = in, .out = out, .scratch = r->scratch, .seed = r->seed, .err = &err};
    return para_op_call(&call, false);
}

/* An updating node gets a copy of the old version, so that every version stays. */
static void make_truth(struct replay *r)
{
    for (int t = 0; t < r->g->n_tensors; t++) {
        r->truth[t] = aligned(bytes_of(r->g->tensors[t]));
        if (!r->g->tensors[t]->producer)
            fill_source(r, r->g->tensors[t], r->truth[t]);
    }
    for (int i = 0; i < r->g->n_nodes; i++) {
        const para_node *n = r->g->nodes[i];
        void *in[MAX_OPERANDS], *out[PARA_MAX_OUT];
        assert_true(n->n_in <= MAX_OPERANDS);
        for (int k = 0; k < n->n_in; k++)
            in[k] = r->truth[n->in[k]->id];
        for (int k = 0; k < n->n_out; k++) {
            out[k] = r->truth[n->out[k]->id];
            if (!n->op->updates[k])
                continue;
            void **old = &in[n->op->updates[k] - 1];
            memcpy(out[k], *old, bytes_of(n->out[k]));
            *old = out[k];
        }
        assert_graph(r->g, run_node(r, n, in, out) == 0, "running %s", n->name);
    }
}

struct replay *replay_new(const para_graph *g, uint64_t seed)
{
    struct replay *r = must_alloc(sizeof *r);
    size_t scratch = 0;
    *r = (struct replay){.g = g, .seed = seed};
    r->truth = must_alloc(sizeof *r->truth * (size_t)(g->n_tensors + 1));
    r->buffer = must_alloc(sizeof *r->buffer * (size_t)(g->n_tensors + 1));
    for (int t = 0; t < g->n_tensors; t++)
        r->largest = bytes_of(g->tensors[t]) > r->largest ? bytes_of(g->tensors[t]) : r->largest;
    for (int i = 0; i < g->n_nodes; i++) {
        size_t bytes = para_op_scratch(g->nodes[i]);
        scratch = bytes > scratch ? bytes : scratch;
    }
    r->scratch = aligned(scratch);
    for (int t = 0; t < g->n_tensors; t++)
        r->buffer[t] = aligned(r->largest);
    make_truth(r);
    return r;
}

void replay_free(struct replay *r)
{
    for (int t = 0; t < r->g->n_tensors; t++) {
        free(r->truth[t]);
        free(r->buffer[t]);
    }
    free(r->truth);
    free(r->buffer);
    free(r->scratch);
    free(r);
}

static void *place_of(const struct replay *r, const int *buffers, const para_tensor *t)
{
    return r->buffer[buffers ? buffers[t->id] : t->storage];
}

static bool is_true(const struct replay *r, const para_tensor *t, const void *data)
{
    return memcmp(data, r->truth[t->id], bytes_of(t)) == 0;
}

/* Buffers begin with bytes that no value has, then sources are put in. */
static void begin(const struct replay *r, const int *buffers)
{
    for (int t = 0; t < r->g->n_tensors; t++)
        memset(r->buffer[t], 0x40 + t % 16, r->largest);
    for (int t = 0; t < r->g->n_tensors; t++)
        if (!r->g->tensors[t]->producer)
            memcpy(place_of(r, buffers, r->g->tensors[t]), r->truth[t], bytes_of(r->g->tensors[t]));
}

/* Whether each buffer holds the value that program order leaves in it: tensors' ids stand in program order. */
static bool ends_true(const struct replay *r, const int *buffers)
{
    const para_tensor **last = must_alloc(sizeof *last * (size_t)(r->g->n_tensors + 1));
    for (int t = 0; t < r->g->n_tensors; t++)
        last[buffers ? buffers[t] : r->g->tensors[t]->storage] = r->g->tensors[t];
    bool all = true;
    for (int b = 0; b < r->g->n_tensors; b++)
        all = all && (!last[b] || is_true(r, last[b], r->buffer[b]));
    free(last);
    return all;
}

bool replay_agrees(struct replay *r, const int *buffers, const int *order)
{
    begin(r, buffers);
    for (int i = 0; i < r->g->n_nodes; i++) {
        const para_node *n = r->g->nodes[order[i]];
        void *in[MAX_OPERANDS], *out[PARA_MAX_OUT];
        for (int k = 0; k < n->n_in; k++)
            in[k] = place_of(r, buffers, n->in[k]);
        for (int k = 0; k < n->n_out; k++)
            out[k] = place_of(r, buffers, n->out[k]);
        if (run_node(r, n, in, out) < 0)
            return false;
        for (int k = 0; k < n->n_out; k++)
            if (!is_true(r, n->out[k], out[k]))
                return false;
    }
    return ends_true(r, buffers);
}
