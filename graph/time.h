/* Time at nominal rates: what a node takes, when it can begin, how long a run goes on from there.
 *
 * Splits, stages, chains, clusters, shared buffers and priorities weigh work by these numbers. They follow from the
 * graph and from a table, never from the machine, so that the same graph is cut the same way everywhere. */
#ifndef PARA_GRAPH_TIME_H
#define PARA_GRAPH_TIME_H

#include "graph/ir.h"

/* What a kind of device can do, in round numbers. */
struct para_rates {
    const char *device;
    double flops_per_ns, bytes_per_ns;
    double task_ns;                   /* what a task costs beside its kernels, waiting for others included */
    double kernel_ns;                 /* what it costs to start a kernel */
    double hop_ns, link_bytes_per_ns; /* what brings a value from another device's memory; of GPUs alone */
};

enum para_device { PARA_CPU, PARA_GPU, PARA_DEVICES };
extern const struct para_rates para_rates[PARA_DEVICES];

/* A node's time on a CPU core: the larger of its FLOPs and its bytes at the core's rates. It is a multiple of 1/1024
 * ns, so that sums of times are exact: paths of one length are equal, in whatever order they are added up. */
double para_node_time_ns(const para_node *n);
/* The same on a kind of device, what starting its kernel takes included. */
double para_node_time_on_ns(const para_node *n, enum para_device device);
/* What it takes to bring so many bytes from one GPU's memory to another's. */
double para_hop_ns(double bytes);

/* A run of a graph on as many workers as it can use. */
struct para_times {
    double *cost_ns;  /* by node: what it takes */
    double *start_ns; /* by node: its earliest start */
    double *rest_ns;  /* by node: the longest path from its start to the end of the run */
    double work_ns;   /* of all nodes */
    double critical_ns;
};

/* Measure a graph under its dependencies, each node as a task of its own that costs task_ns more. For example, of a
 * (2 ns), b (3 ns) and c (1 ns), where b and c wait for a, starts are 0, 2, 2, rests 5, 3, 1, and 5 ns are critical.
 * Returns 0, or PARA_ENOMEM with *out untouched. */
int para_times_new(struct para_times *out, const para_graph *g, const para_deps *d, double task_ns);
void para_times_free(struct para_times *t);

#endif
