/* Which nodes run as one task. */
#ifndef PARA_GRAPH_CLUSTER_H
#define PARA_GRAPH_CLUSTER_H

#include "graph/gather.h"

/* Tasks in an order in which none waits for a later one; the nodes of each in program order. */
struct para_clusters {
    int count;
    int *of;    /* node id -> task */
    int *first; /* task -> where its nodes begin in `nodes`; count + 1 of them */
    int *nodes; /* node ids */
    int n_edges;
    int *first_edge; /* task -> where the tasks that it waits for begin in `from`; count + 1 of them */
    int *from;
    bool narrow; /* workers are as many as the graph keeps busy, and no node is placed */
};

/* `gpus` says where nodes run; NULL: all on CPUs. Tasks on GPUs are para_gather()'s. What follows is of CPUs.
 *
 * Put nodes together that gain nothing from being apart. StarPU needs some us for a task, so it should take 100 us or
 * more; and what a node has just written is in the cache if the next one reads it at once. Nodes come together, a and b
 * where b waits for a,
 *
 *   - in a chain: b waits for nothing but a, and nothing but b waits for a. They could never run at the same time
 *     anyway. All others of a chain may add 200 us to its longest node, or a quarter of that node, so that something
 *     more urgent can come between two long nodes. For example matmul, add, gelu: one task; two large products: two.
 *     A chain may have any length where `workers` are as many as the graph keeps busy, its work divided by its critical
 *     path, within a twentieth, and no node is placed: something more urgent then has a worker of its own;
 *
 *   - where only one of these holds, and next to nothing is lost. In
 *
 *         i -> scale -> add        long product -> add
 *
 *     add must wait for the product, and scale needn't; but scale takes a moment. Whatever so waits though it could go
 *     on may lose 5 us in all, a quarter of what a task costs.
 *
 * Only nodes of one worker group come together. */
int para_clusters_new(struct para_clusters *out, const para_graph *g, const para_deps *d, const struct para_gpus *gpus,
                      int workers, para_error *err);
void para_clusters_free(struct para_clusters *c);

#endif
