/* The graph in memory: nodes, tensors and shapes as every pass reads them.
 *
 * A value is written once (SSA). An update of a parameter or a state is a new value that shares the storage of
 * the old one: `overwrites` names the version before, `storage` the first one. Ids are indices of the graph's
 * arrays; nodes stand in program order, which is a topological order in which no value is read after the update
 * that overwrites it. */
#ifndef PARA_GRAPH_IR_H
#define PARA_GRAPH_IR_H

#include <paragraph/graph.h>

#include "base/arena.h"
#include "base/strmap.h"

enum { PARA_MAX_ATTRS = 10 };

/* One dimension of a tile: `extent` elements from `begin` on, of an axis of `whole` elements. */
struct para_extent {
    const char *axis;
    int64_t extent, begin, whole;
};

struct para_shape {
    para_dtype dtype;
    int rank;
    struct para_extent dim[PARA_MAX_RANK];
};

/* An attribute's value; which member counts stands in the op's table. */
union para_attr {
    int64_t i;
    double f;
    const char *s;
};

struct para_tensor {
    para_graph *graph;
    int id;
    para_kind kind;
    const char *name;
    const char *base; /* name of the whole value this is a tile of; its own name if none */
    struct para_shape shape;
    para_node *producer;         /* NULL for inputs, parameters and states as they begin */
    int output;                  /* which output of the producer */
    int origin;                  /* id of the value in the graph as written */
    para_tensor *overwrites;     /* the version before this one, in the same storage; or NULL */
    para_tensor *overwritten_by; /* the version after it; or NULL */
    int storage;                 /* id of the first version */
    bool is_output;
    para_init init;        /* parameters and states */
    const char *why_whole; /* why a split left it whole, naming the axis; NULL if none did */
    const char *copies;    /* base of the parameter of which a PARA_COPY has the values, rounded */
    bool frozen;           /* a parameter that isn't trained: nothing makes its gradient */
};

struct para_node {
    para_graph *graph;
    int id;
    const struct para_op *op;
    const char *name;
    const char *scope; /* "layer.3.attn", "" at the top */
    const char *part;  /* "batch=0,ff=1", "" */
    int origin;        /* id of the node in the graph as written */
    int place;         /* worker group, -1: any */
    bool backward;     /* made by para_graph_backward() or after it */
    int n_in, n_out, n_after;
    para_tensor **in, **out;
    para_node **after; /* nodes that must be done before it, whether or not it reads what they make; by id */
    union para_attr attr[PARA_MAX_ATTRS];
    const char *words[PARA_MAX_ATTRS]; /* string attributes word by word, each ended by '\0', an empty one last */
};

/* An open scope: the joined scopes before it. */
struct para_scope_mark {
    struct para_scope_mark *outer;
    const char *before;
};

struct para_graph {
    struct para_arena arena;
    struct para_strmap names;   /* of tensors */
    struct para_strmap numbers; /* taken name -> int: names with numbers from 2 up to it behind them are taken too */
    struct para_strmap axes;    /* name -> struct axis: interned, with one extent each */
    para_node **nodes;
    para_tensor **tensors;
    int n_nodes, n_tensors, node_capacity, tensor_capacity;
    const char *scope;              /* the open scopes, joined by '.' */
    struct para_scope_mark *scopes; /* innermost first */
    const para_node *backward_of;   /* while its gradient is being built */
    para_tensor *loss;              /* what backward began with */
    para_tensor **grads;            /* by tensor id, after backward; n_grads of them */
    int n_grads;
    bool *wants;        /* by tensor id, during backward: on a way from a parameter */
    const char *splits; /* "batch=2,ff=2": the splits made so far; "" */
    const char *spread; /* "batch=2": which parts lie on how many devices of each stage; "" */
    bool sealed, in_backward, has_backward;
    para_error error; /* the first error of a builder call */
};

int64_t para_shape_elements(const struct para_shape *s);
size_t para_shape_bytes(const struct para_shape *s);
/* The same tile counted in blocks of its type: as many of the last dimensions are taken as one as hold whole blocks
 * together. False if a border of the tile isn't one of blocks. */
bool para_shape_in_blocks(const struct para_shape *s, struct para_shape *blocks);
/* The index in the whole value of a tile's element e. */
int64_t para_shape_whole_index(const struct para_shape *s, int64_t e);
/* Index of the dimension called axis, or -1. */
int para_shape_find(const struct para_shape *s, const char *axis);
/* Elements from one index of an axis to the next in a dense tile; 0 if it lacks the axis. */
int64_t para_shape_stride(const struct para_shape *s, const char *axis);
/* Whether two values have the same axes in the same order, with the same whole extents. */
bool para_shape_same_axes(const struct para_shape *a, const struct para_shape *b);
/* Whether two values are alike as wholes: type, axes in order, extents. */
bool para_shape_same_whole(const struct para_shape *a, const struct para_shape *b);
/* Whether they are that, and the same tile of it. */
bool para_shape_same_tile(const struct para_shape *a, const struct para_shape *b);
/* "f32 (batch 12, seq 64)"; a tile adds where it lies: "vocab 25129 of 50257 at 0". Returns buffer. */
enum { PARA_SHAPE_TEXT = 256 };
char *para_shape_text(const struct para_shape *s, char buffer[PARA_SHAPE_TEXT]);

/* Keep the graph's first error; returns NULL, so that a builder can return it. */
void *para_graph_error(para_graph *g, int code, const char *format, ...) PARA_PRINTF(3, 4);

/* Return the graph's own copy of an axis name, checking its one extent (whole); NULL with the error kept. `owner` is
 * what has the axis, for the message. */
const char *para_axis_intern(para_graph *g, const char *axis, int64_t whole, const char *owner);

/* Low-level makers, used by builders and passes; NULL with the error kept. Names are full and must be new.
 * A node's inputs must belong to g. Its outputs are added with para_node_add_output(). */
para_tensor *para_tensor_add(para_graph *g, para_kind kind, const char *name, const struct para_shape *shape);
para_node *para_node_add(para_graph *g, const struct para_op *op, const char *name, para_tensor *const in[], int n_in,
                         const union para_attr attr[]);
para_tensor *para_node_add_output(para_node *n, const char *name, const struct para_shape *shape);
/* Let n wait for `other`, which stands before it, too; once is enough. Returns 0, or PARA_ENOMEM kept in the graph. */
int para_node_add_after(para_node *n, para_node *other);

/* Whether it has parameters that aren't trained, beside which there are those that are. */
bool para_graph_has_frozen(const para_graph *g);

/* Operand number k: the inputs, then the outputs; there are n_in + n_out. */
const para_tensor *para_node_operand(const para_node *n, int k);
/* Whether an operand has the axis. */
bool para_node_has_axis(const para_node *n, const char *axis);
/* Word number i of string attribute number a; NULL past the end. It lives as long as the node. */
const char *para_node_word(const para_node *n, int a, int i);

/* Whether t is on a way from a parameter, so that its gradient is of use; for grad() of ops. */
bool para_wants_grad(const para_graph *g, const para_tensor *t);

/* Make a name that isn't taken yet: what the format says, or with .2, .3, ... behind it. It is the arena's; NULL with
 * the error kept. */
const char *para_name_unique(para_graph *g, const char *format, ...) PARA_PRINTF(2, 3);
/* A name that para_name_unique() may have made is given up, for another or for none: it may be made again. */
void para_name_release(para_graph *g, const char *name);

#endif
