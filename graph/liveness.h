/* Which values share a buffer. */
#ifndef PARA_GRAPH_LIVENESS_H
#define PARA_GRAPH_LIVENESS_H

#include "graph/ir.h"

struct para_buffers {
    int count;
    int *of;       /* tensor id -> buffer number */
    size_t *bytes; /* by buffer number */
    bool *keep;    /* by buffer number: holds an input, parameter, state or output; shared with no other value */
    int *gpu;      /* by buffer number: the GPU whose memory it lies in; negative: main memory */
    size_t unshared_bytes; /* what intermediates alone would take if none shared */
    size_t live_bytes;     /* the most that intermediates hold at once in program order: no sharing needs less */
};

/* Give every value a buffer.
 *
 * Versions of one storage share theirs. Inputs, parameters, states and outputs have one each. An intermediate may take
 * over the buffer of another that no later node needs:
 *
 *     a = f(x); b = g(a); c = h(b)        c may lie where a lay: g, the one reader of a, is done before h begins
 *
 * That costs nothing where all users of the old value precede the node that makes the new one. Where they only stand
 * before it in the program, on another branch, say, the node may wait for them, if there is time: at nominal rates no
 * path through it may become longer than the critical path (by a tenth, in a graph that recomputes), or than four
 * fifths of the work shared by `workers`, whichever is more. With 0 workers nothing waits.
 *
 * Where an op can write in the place of an input (over[]) that is read by nothing later, it does. It then may also wait
 * for another reader that takes less than a hundredth of its own time.
 *
 * `gpu` says where each node runs, by node id: the number of a GPU, or negative for CPUs; NULL: all on CPUs. A value
 * lies in the memory of the device that makes it; an input, parameter or state in that of the one that updates it, else
 * of the first that reads it, else in main memory. Values share a buffer within one memory alone. On a GPU nodes run in
 * program order, so there a node waits for earlier ones for nothing.
 *
 * The index of `d` is borrowed: para_deps_reaches() afterwards counts the waits too. */
int para_buffers_new(struct para_buffers *out, const para_graph *g, para_deps *d, const int *gpu, int workers,
                     para_error *err);
void para_buffers_free(struct para_buffers *b);

#endif
