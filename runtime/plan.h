/* A plan as plain data: buffers, dependencies over shared storage, tasks, costs and priorities. */
#ifndef PARA_RUNTIME_PLAN_H
#define PARA_RUNTIME_PLAN_H

#include <paragraph/session.h>

#include "graph/cluster.h"
#include "graph/liveness.h"

struct para_plan {
    const para_graph *g;
    para_deps *deps; /* of values, storage and shared buffers */
    struct para_buffers buffers;
    struct para_clusters clusters; /* which nodes run as one task */
    double *cost_ns;      /* by node, nominal */
    int *priority;        /* by node: longest path to the end of the run, microseconds */
    size_t scratch_bytes; /* the most any node needs */
    int workers;
    int groups; /* worker groups that nodes are placed on; 0: none are */
};

#endif
