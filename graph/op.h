/* The contract between ops and everything else: what an op must say about itself.
 *
 * An op is one const table. Shape check, split, autodiff, cost, execution and dump read the table and know no op
 * by name. Adding an op is one file in ops/ and one row in ops/table.c. */
#ifndef PARA_GRAPH_OP_H
#define PARA_GRAPH_OP_H

#include "base/fail.h"
#include "graph/ir.h"

/* How one output depends on the parts of a loop axis. */
enum para_role {
    PARA_PARALLEL, /* part p computes tile p of the output, which has the axis */
    PARA_REDUCE,   /* part p computes a partial result of all of the output; they are combined in part order */
    PARA_WHOLE     /* the node can't be cut along the axis; *why says why */
};

enum para_retile {
    PARA_KEEPS_TILES,
    PARA_GATHERS, /* its inputs are tiles one after another, which make up its output */
    PARA_CUTS     /* its output is a tile of its one input */
};

enum { PARA_NO_INPUTS = -1 };

enum para_attr_type { PARA_ATTR_INT = 1, PARA_ATTR_FLOAT, PARA_ATTR_STRING };

struct para_attr_spec {
    const char *name;
    enum para_attr_type type;
};

struct para_cost {
    double flops;
    double bytes; /* preset to the bytes of all inputs and outputs */
};

/* What a kernel gets. Buffers hold tiles, dense, last dimension fastest; their shapes stand in the node's
 * tensors: node->in[k]->shape. Kernels allocate nothing, read no clock, know no worker. Buffers are aligned to
 * 64 bytes. An updating output has the same address as the input it overwrites; another may have that of its op's
 * over[]; else outputs and inputs lie apart. */
struct para_call {
    const para_node *node;
    void *const *in;
    void *const *out;
    void *scratch; /* as many bytes as the op's scratch() said, aligned to 64 */
    uint64_t seed; /* the session's */
    para_error *err;
};

struct para_op {
    const char *name;
    struct para_attr_spec attrs[PARA_MAX_ATTRS]; /* up to the first without a name */

    /* The least and the most inputs it takes; a most of 0: any number, PARA_NO_INPUTS: none. Nodes with another number
     * are refused before infer() sees them. */
    signed char inputs[2];

    /* Check the inputs and attributes and describe the outputs: fill out[0..] and return their number (at least
     * 1, at most PARA_MAX_OUT), or fail with a message about shapes (the node's name is put before it). Works on
     * whole values: reads `whole` of each dimension, as if unsplit, and sets axis and whole alone. Axes are strings of
     * an input's, an attribute's or para_node_word(): the graph copies them, and infer() writes nothing to it. */
    int (*infer)(const para_node *n, struct para_shape out[], para_error *err);

    /* The role of an axis that an operand or an output has, for one output. NULL: all parallel. */
    enum para_role (*role)(const para_node *n, const char *axis, int output, const char **why);

    /* Whether input number `in`, which has the axis, is cut along with the loop over it. NULL: always. An input
     * that doesn't follow is gathered whole for each part. */
    bool (*follows)(const para_node *n, const char *axis, int in);

    /* The n-ary op that combines partial results of an output; NULL: sum. */
    const struct para_op *combine;

    /* The op of the same attributes that takes the same inputs and one more, the last, to which it adds its one output in
     * place (beta = 1); NULL: none. */
    const struct para_op *accumulate;

    /* Build the gradients of the inputs: dy[k] is that of output k (NULL: none); set dx[i] where input i has a
     * gradient. NULL: the op has none. Builder errors are kept in the graph; return 0. */
    int (*grad)(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[]);

    /* NULL: one FLOP per output element. */
    void (*cost)(const para_node *n, struct para_cost *c);

    /* Bytes of scratch its kernel needs for this node; NULL: none. */
    size_t (*scratch)(const para_node *n);

    /* updates[k] = 1 + the input whose storage output k overwrites; 0: a value of its own. Updated inputs are
     * cut with the loop and never gathered. */
    signed char updates[4];

    /* over[k] = 1 + the input in whose place output k may be written, where nothing reads that input later: reference and
     * kernel give the same result there. 0: none. It is for the memory plan to use or not. */
    signed char over[4];

    /* Turns tiles of an axis into others; splits alone make such nodes. */
    enum para_retile retiles;

    /* The plain scalar reference, written from the formula with double accumulation; NULL: cpu is it. */
    int (*reference)(const struct para_call *c);
    /* The production kernel. Both return 0, or fail with a message (the node's name is put before it). */
    int (*cpu)(const struct para_call *c);
};

enum { PARA_MAX_OUT = 4 };

/* The table that ops/ fills: NULL-terminated, in alphabetical order. */
extern const struct para_op *const para_op_table[];
const struct para_op *para_op_find(const char *name);

/* Check the number of inputs and run the op's infer(), putting the node's name before its message. */
int para_node_infer(const para_node *n, struct para_shape out[], para_error *err);

/* Add a node with inferred outputs, named after its op within the open scopes; NULL with the error kept. Any
 * NULL input makes it return NULL. `attr` may be NULL. */
para_node *para_apply_node(const struct para_op *op, para_graph *g, para_tensor *const in[], int n_in,
                           const union para_attr attr[]);
/* The same, returning output 0. */
para_tensor *para_apply(const struct para_op *op, para_graph *g, para_tensor *const in[], int n_in,
                        const union para_attr attr[]);
#define PARA_IN(...)                                                                                                   \
    ((para_tensor *const[]){__VA_ARGS__}), (int)(sizeof((para_tensor *const[]){__VA_ARGS__}) / sizeof(para_tensor *))
#define PARA_ATTRS(...) ((const union para_attr[PARA_MAX_ATTRS]){__VA_ARGS__})

/* Helpers for infer(). */
/* out[0] = the shape of input i, whole. Returns 1. */
int para_infer_like(const para_node *n, int i, struct para_shape out[]);
/* Fail unless input i has this element type. */
int para_need_dtype(const para_node *n, int i, para_dtype dtype, para_error *err);
/* Fail unless inputs i and j have the same axes, extents and type. */
int para_need_same(const para_node *n, int i, int j, para_error *err);
/* Fail unless input i, to which the op adds, is like its output as a whole; returns 1, the number of outputs. */
int para_need_accumulator(const para_node *n, int i, const struct para_shape *out, para_error *err);
/* Append a dimension. */
void para_shape_append(struct para_shape *s, const char *axis, int64_t whole);

/* Lists of words, "heads head_dim". */
bool para_word_in(const char *word, const char *list);
/* Copy word number i of list to buffer; false past the end. A word too long for an axis ends in "...". */
bool para_word(const char *list, int i, char buffer[PARA_MAX_AXIS_NAME + 1]);

/* What a task costs beside its kernels, waiting for others included. */
#define PARA_TASK_NS 20000.0

double para_node_time_ns(const para_node *n); /* by nominal rates: 60 GFLOP/s, 8 GB/s, for balancing and tiling */

#endif
