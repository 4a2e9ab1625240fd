/* A plan as plain data: buffers, dependencies over shared storage, tasks, costs and priorities. */
#ifndef PARA_RUNTIME_PLAN_H
#define PARA_RUNTIME_PLAN_H

#include <paragraph/session.h>

#include "graph/cluster.h"
#include "graph/liveness.h"
#include "graph/time.h"
#include "runtime/devices.h"

struct para_plan {
    const para_graph *g;
    para_deps *deps; /* of values, storage and shared buffers */
    struct para_buffers buffers;
    struct para_clusters clusters; /* which nodes run as one task */
    int *gpu;                      /* by node: which it runs on, or PARA_ON_CPUS */
    struct para_times times;       /* nominal, of nodes under these dependencies */
    int *priority;                 /* by node: longest path to the end of the run, microseconds */
    size_t scratch_bytes;          /* the most any node needs on a CPU */
    size_t gpu_scratch_bytes;      /* on a GPU */
    size_t
        gpu_bytes[PARA_MAX_DEVICES]; /* by device: of a GPU's memory, copies of others' buffers and scratch included */
    struct para_devices devices;
    int workers;
    int groups; /* worker groups that nodes are placed on; 0: none are */
};

/* Buffers in a GPU's memory begin at multiples of this. */
enum { PARA_GPU_ALIGNMENT = 256 };
size_t para_gpu_rounded(size_t bytes);

/* As para_plan_new(), for a machine opened with these devices. */
int para_plan_new_on(para_plan **out, const para_graph *g, int workers, const struct para_devices *d, para_error *err);

#endif
