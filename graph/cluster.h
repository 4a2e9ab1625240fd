/* Which nodes run as one task. */
#ifndef PARA_GRAPH_CLUSTER_H
#define PARA_GRAPH_CLUSTER_H

#include "graph/ir.h"

/* Tasks in an order in which none waits for a later one; the nodes of each in program order. */
struct para_clusters {
    int count;
    int *of;    /* node id -> task */
    int *first; /* task -> where its nodes begin in `nodes`; count + 1 of them */
    int *nodes; /* node ids */
    int n_edges;
    int *first_edge; /* task -> where the tasks that it waits for begin in `from`; count + 1 of them */
    int *from;
};

/* Put nodes together that gain nothing from being apart. A task should take 100 us or more, as StarPU's own cost for one
 * is some us; and what a node has just written is read from the cache when the next follows at once. A node joins
 *   - the one it waits for, if that waits for no other and nothing else waits for that: neither loses a chance to run at
 *     the same time as another. What joins the longest node so adds up to at most 200 us at nominal rates, or a quarter of
 *     that node, so that more urgent tasks can come between long ones;
 *   - the one it waits for, or the one that waits for it, if what waits meanwhile loses, by all that have joined there, less
 *     than a task costs.
 * Only nodes of one worker group come together. */
int para_clusters_new(struct para_clusters *out, const para_graph *g, const para_deps *d, para_error *err);
void para_clusters_free(struct para_clusters *c);

#endif
