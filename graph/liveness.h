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
    size_t live_bytes;     /* the most that intermediates hold at once in program order: no sharing needs less */
};

/* Give every value a buffer. Versions of one storage share it. An intermediate takes a buffer over from another if all
 * users of the other precede the node that makes it; or if that can wait for them without making a path longer than
 * the critical one, a tenth more if the graph recomputes, or than four fifths of the work shared by `workers`, at
 * nominal rates. With 0 workers nothing waits. Where the node's op can write in the place of an input (over[]) that is
 * read by nothing later, it does; there it may always wait for a reader that takes less than a hundredth of its time.
 */
int para_buffers_new(struct para_buffers *out, const para_graph *g, const para_deps *d, int workers, para_error *err);
void para_buffers_free(struct para_buffers *b);

#endif
