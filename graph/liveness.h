/* Which values share a buffer. */
#ifndef PARA_GRAPH_LIVENESS_H
#define PARA_GRAPH_LIVENESS_H

#include "graph/ir.h"

struct para_buffers {
    int count;
    int *of;       /* tensor id -> buffer number */
    size_t *bytes; /* by buffer number */
    bool *keep;    /* by buffer number: holds an input, parameter, state or output; shared with no other value */
    size_t unshared_bytes; /* what intermediates alone would take if none shared */
};

/* Give every value a buffer. Versions of one storage share it. An intermediate takes a buffer over from another
 * only if all readers of the other already precede the node that makes it, so reuse adds no edge to the DAG. Where its
 * op can write in the place of an input (over[]) that is read by nothing later, it does; there it may have to wait
 * for another reader, but only for one that takes less than a hundredth of its own time. */
int para_buffers_new(struct para_buffers *out, const para_graph *g, const para_deps *d, para_error *err);
void para_buffers_free(struct para_buffers *b);

#endif
