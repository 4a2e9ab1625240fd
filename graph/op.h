/* The contract between ops and everything else: what an op must say about itself.
 *
 * An op is one const table. Shape check, split, autodiff, cost, execution and dump read the table and know no op
 * by name. Adding an op is one file in ops/ and one line in ops/list.h. */
#ifndef PARA_GRAPH_OP_H
#define PARA_GRAPH_OP_H

#include "base/fail.h"
#include "graph/ir.h"

enum { PARA_MAX_OUT = 4 };

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

enum para_attr_type { PARA_ATTR_INT = 1, PARA_ATTR_FLOAT, PARA_ATTR_STRING };

struct para_attr_spec {
    const char *name;
    enum para_attr_type type;
};

struct para_cost {
    double flops;
    double bytes; /* preset to the bytes of all inputs and outputs */
};

/* What a CUDA kernel gets beside its buffers, which then are the device's. It enqueues work on the stream and does
 * nothing else: it neither waits nor allocates, reads no value on the host, and takes no decision by one, so that what
 * it enqueues can be captured and launched again. Every sum has an order, so that two runs give the same bits. */
struct para_cuda {
    struct CUstream_st *stream;   /* a cudaStream_t */
    struct cublasLtContext *blas; /* a cublasLtHandle_t */
    void *workspace;              /* of the products, one at a time */
    size_t workspace_bytes;
    /* Every kernel before it on the stream is of the same task: one may begin before these have ended, if it waits
     * before it touches what they may have written. */
    bool early;
};

/* What a kernel gets. Buffers hold tiles, dense, last dimension fastest; their shapes stand in the node's
 * tensors: node->in[k]->shape. Tiles of types in blocks are whole blocks. Kernels allocate nothing, read no clock, know
 * no worker. Buffers are aligned to 64 bytes. An updating output has the same address as the input it overwrites;
 * another may have that of its op's over[]; else outputs and inputs lie apart. */
struct para_call {
    const para_node *node;
    void *const *in;
    void *const *out;
    void *scratch;                /* as many bytes as the op's scratch() said, aligned to 64 */
    uint64_t seed;                /* the session's */
    const struct para_cuda *cuda; /* NULL for a CPU's kernel */
    /* Where a GPU's kernel notes what complain() is to say, as the least position << 32 | value; all bits set: nothing.
     */
    unsigned long long *fault;
    para_error *err;
};

struct para_op {
    const char *name;
    struct para_attr_spec attrs[PARA_MAX_ATTRS]; /* up to the first without a name */
    const char *optional; /* names of those, integers, that files and dumps leave out where they are 0 */

    /* Its inputs and outputs by number and element type, "f32 i32 -> f32": graph/signature.h says how. Nodes with other
     * inputs are refused, wherever they come from, before infer() sees them. */
    const char *types;

    /* Check the inputs' shapes and the attributes and append the dimensions of each output to out[k], which comes
     * empty; or fail with a message (the node's name is put before it). Works on whole values: reads `whole` of each
     * dimension, as if unsplit, and sets axis and whole alone. Axes are strings of an input's, an attribute's or
     * para_node_word(): the graph copies them, and infer() writes nothing to it. Returns 0. */
    int (*infer)(const para_node *n, struct para_shape out[], para_error *err);

    /* The role of an axis that an operand or an output has, for one output. NULL: all parallel. */
    enum para_role (*role)(const para_node *n, const char *axis, int output, const char **why);

    /* Whether input number `in`, which has the axis, is cut along with the loop over it. NULL: always. An input
     * that doesn't follow is gathered whole for each part. */
    bool (*follows)(const para_node *n, const char *axis, int in);

    /* The n-ary op that combines partial results of an output; NULL: sum. */
    const struct para_op *combine;

    /* The op of the same attributes that takes the same inputs and one more, the last, to which it adds its one output
     * in place (beta = 1); NULL: none. */
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
    signed char updates[PARA_MAX_OUT];

    /* over[k] = 1 + the input in whose place output k may be written, where nothing reads that input later: reference
     * and kernel give the same result there. 0: none. It is for the memory plan to use or not. */
    signed char over[PARA_MAX_OUT];

    /* Turns tiles of an axis into others; splits alone make such nodes. */
    enum para_retile retiles;

    /* What it computes in one, for graph/fuse.c: its inputs and outputs, and the nodes that it stands for, written as
     * "x w b -> y: y = add(m, b); m = matmul_bf16(x, w)" (graph/pattern.h). fuse() sets the attributes of the node that
     * is to stand for these, which come in the order of the text; or it returns false: they can't be fused. NULL:
     * nothing. */
    const char *fuses;
    bool (*fuse)(const para_node *const of[], union para_attr attr[]);

    /* The op that rounds its one output to bfloat16 where this, of the same inputs, gives float32; NULL: none. */
    const struct para_op *narrow;

    /* Reference and cpu know float32 alone: para_op_call() converts operands of bfloat16, before and after. */
    bool float32;

    /* The plain scalar reference, written from the formula with double accumulation; NULL: cpu is it. */
    int (*reference)(const struct para_call *c);
    /* The production kernel. All return 0, or fail with a message (the node's name is put before it). */
    int (*cpu)(const struct para_call *c);
    /* The same for a GPU, in the .cu file beside the op's; NULL: its nodes run on CPUs. */
    int (*cuda)(const struct para_call *c);
    /* The same for several nodes at once, neighbours in a task of which none touches what another writes, in as few
     * kernels as it can: for ops of which a run has hundreds, most of them small. NULL: they run one by one. */
    int (*cuda_many)(const struct para_call calls[], int count);
    /* Bytes of scratch on the device that it needs; NULL: none. */
    size_t (*cuda_scratch)(const para_node *n);

    /* Fail with what is wrong with a value that an input's tile has at a position, such as an id outside of the table:
     * said by the CPU's kernels as they meet it, and after the run for a GPU's. NULL: nothing can be. */
    int (*complain)(const para_node *n, int64_t position, int32_t value, para_error *err);
};

/* A row's CUDA kernel: NULL in a build without CUDA. */
#ifdef PARA_HAVE_CUDA
#define PARA_CUDA(kernel) (kernel)
#else
#define PARA_CUDA(kernel) NULL
#endif

/* The table that ops/ fills: NULL-terminated, in alphabetical order. */
extern const struct para_op *const para_op_table[];
const struct para_op *para_op_find(const char *name);

/* Run a node's kernel for CPUs, or, if it has one and that is asked for, its reference; scratch has as many bytes as
 * para_op_scratch() says. Returns what the kernel does. */
int para_op_call(const struct para_call *c, bool reference);
size_t para_op_scratch(const para_node *n);

/* Describe a node's outputs, PARA_MAX_OUT at most: hold the inputs to the op's types, then run its infer(). Returns
 * their number, or fails with the node's name before the message. */
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

/* Append a dimension. */
void para_shape_append(struct para_shape *s, const char *axis, int64_t whole);

/* Lists of words, "heads head_dim". */
bool para_word_in(const char *word, const char *list);
/* Copy word number i of list to buffer; false past the end. A word too long for an axis ends in "...". */
bool para_word(const char *list, int i, char buffer[PARA_MAX_AXIS_NAME + 1]);

/* Whether files and dumps of a node leave out an attribute. */
static inline bool para_attr_is_left_out(const para_node *n, int attr)
{
    return n->op->optional && n->attr[attr].i == 0 && para_word_in(n->op->attrs[attr].name, n->op->optional);
}

#endif
