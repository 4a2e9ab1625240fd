/* The outline of a graph: what is drawn, as a tree of boxes, and the wires between them.
 *
 * A box is a node, or holds boxes and may be drawn closed or open. The tree is made once and knows nothing of which
 * boxes are open. A scope is up to three boxes, for its forward, backward and updating nodes: gradients stand in the
 * scope of the forward node, so that one box would feed itself by way of all others.
 *
 * Boxes are numbered so that each stands before those in it, and those of one box stand in the order of their first
 * nodes. That order is also theirs from left to right, in all ranks: it hangs on no neighbour, so that adding or
 * removing a node moves no two others past each other. */
#ifndef PARA_VIEW_OUTLINE_H
#define PARA_VIEW_OUTLINE_H

#include "base/arena.h"
#include "graph/dump.h"
#include "graph/ir.h"
#include "view/union.h"

enum para_box_kind {
    PARA_BOX_GRAPH,  /* box 0 */
    PARA_BOX_NODE,   /* a node */
    PARA_BOX_INPUT,  /* an input of the graph with all its tiles; it stands before its first reader */
    PARA_BOX_SCOPE,  /* the nodes of one class in a scope */
    PARA_BOX_PARTS,  /* the parts of one node, or of what splits inserted before it: "gelu x64" */
    PARA_BOX_REPEAT, /* equal scopes, "layer x12": the first of them, and a box of the rest */
    PARA_BOX_REST,
    PARA_BOX_RUN /* up to PARA_BOX_CHILDREN neighbours in a box that would have more */
};

enum {
    PARA_BOX_CHILDREN = 100, /* most boxes in one */
    PARA_BOX_ROW = 6,        /* most boxes in a rank */
    PARA_BOX_REPEATS = 3     /* fewest equal scopes that are folded */
};

struct para_box {
    enum para_box_kind kind;
    enum para_class class; /* of its first node */
    int parent;            /* -1: none */
    int end;               /* the boxes inside are its own number + 1 to end - 1 */
    int item;              /* id of its first node; of an input, of its first tensor */
    int nodes;
    int members;               /* of a repeat: the scopes; of the others, the boxes right inside */
    int depth;                 /* of a scope: components of its name */
    int scope_bytes;           /* of a scope: length of its name, with which its first node's scope begins */
    int rank;                  /* from 1 on */
    int in, n_in;              /* the wires into it: wires_in[in] on */
    int out, n_out;            /* the wires from it: wires_out[out] on */
    bool leaves;               /* its result is read outside of the box around it, by nodes of its class */
    bool kept;                 /* the same, by nodes of another class */
    bool fed;                  /* it reads results of another class that come from outside of the box around it */
    const char *name, *detail; /* two lines; visible characters */
    int width;                 /* of the wider one, in pixels */
};

/* From a box to one beside it. What comes into an open box goes on inside: there it comes `from` the outer wire, as
 * boxes + its number. Wires between classes end at the border of the box that has one class; what they mean inside is
 * `kept` and `fed`. */
struct para_wire {
    int from, to;
    int values;     /* how many values it stands for */
    int slot;       /* which of the wires into `to` */
    int out, n_out; /* the wires that it goes on as: wires_out[out] on */
    bool back;      /* boxes in a cycle: it goes against their order, and counts for no rank */
};

struct para_outline {
    const para_graph *graph;
    const struct para_union *joined; /* of which that is the graph; NULL: it is one of its own */
    struct para_box *boxes;
    struct para_wire *wires;
    int *wires_in, *wires_out; /* wire numbers by the box into which, and from which they go */
    int *box_of;               /* node id -> its box */
    int *input_of;             /* tensor id -> the box of an input that is read, else -1 */
    int n_boxes, n_wires;
    int64_t steps; /* what making it took; a test holds this to the size of the graph */
    struct para_arena arena;
};

enum { PARA_OUTLINE_ALIKE = 1 }; /* fold what is alike: parts of one node, equal scopes */

/* Returns 0 or PARA_ENOMEM. */
int para_outline_new(struct para_outline *out, const para_graph *g, int flags, para_error *err);
/* The outline of two graphs that are compared, which must live as long: names begin with signs. */
int para_outline_joined(struct para_outline *out, const struct para_union *u, int flags, para_error *err);
void para_outline_free(struct para_outline *o);

/* The boxes right inside of a box are box + 1, and after each the one at its end, while that is below the box's end. */

static inline bool para_box_holds(const struct para_outline *o, int box, int inner)
{
    return inner >= box && inner < o->boxes[box].end;
}

#endif
