/* Which nodes run as one task on a GPU. */
#ifndef PARA_GRAPH_GATHER_H
#define PARA_GRAPH_GATHER_H

#include "graph/ir.h"

/* Where nodes run and what they hold. */
struct para_gpus {
    const int *of;       /* by node id: the GPU that runs it; negative: CPUs */
    const int *buffer;   /* by tensor id */
    const size_t *bytes; /* by buffer */
    int n_buffers;
    size_t most_bytes; /* that the buffers of one task may take together, unless it is one node; 0: no limit */
};

/* For each node, the first node of its task: itself, for one on CPUs.
 *
 * A task on a GPU costs more than some of its kernels, and when it is launched as a whole its kernels follow each other
 * at once. So a task is as much as can be one without keeping another device waiting: of the nodes of one GPU in
 * program order,
 *
 *   - one whose result another device waits for is the last of its task, but for as much as that one can wait without
 *     making the run longer, at nominal rates: not at all for a layer's input, a while for a weight's gradient. Before
 *     nodes of another device that wait for it come, a task ends in any case;
 *   - one that waits for another device begins a task, unless its task waits for as late a node already;
 *   - one whose buffers would make too many bytes begins a task;
 *   - where there are several devices, the parts of a split go on in tasks of their own, so that micro-batches come one
 *     after another.
 *
 * With one GPU and memory enough, all of a run is one task. No tasks wait for each other in a circle: before a task
 * waits for another, that one is complete.
 *
 * Returns 0 or PARA_ENOMEM. */
int para_gather(int first[], const para_graph *g, const para_deps *d, const struct para_gpus *gpus);

#endif
