/* A measured run as plain data: which node ran when, on which worker, in which task, and what each waited for. */
#ifndef PARA_GRAPH_PROFILE_H
#define PARA_GRAPH_PROFILE_H

#include <paragraph/profile.h>

#include "base/arena.h"
#include "graph/ir.h"

/* Why a node waits for another. An update of a value and another value in the same memory are both writes over what
 * others read; the latter is the plan's doing, and called reuse. */
enum para_wait_kind { PARA_WAIT_RAW, PARA_WAIT_WAR, PARA_WAIT_WAW, PARA_WAIT_AFTER, PARA_WAIT_REUSE };
/* "raw", "war", "waw", "after", "reuse"; NULL ends the list. */
extern const char *const para_wait_names[];

struct para_wait {
    int from; /* the node that is waited for */
    enum para_wait_kind kind;
    int tensor; /* the value that is the reason */
    int buffer; /* the plan's number of the memory where it lies */
};

/* One node's run. Nanoseconds since the run began; all workers' together are no more than PARA_MOST_NS. */
struct para_timing {
    int task, worker;
    int64_t submit_ns, ready_ns, start_ns, end_ns; /* as in para_sample */
};

#define PARA_MOST_NS ((int64_t)1 << 53)
enum { PARA_MOST_WORKERS = 4096 };

struct para_profile {
    const para_graph *g;
    para_graph *own; /* the same, if it was loaded; else NULL */
    char digest[PARA_DIGEST_TEXT];
    const char *command, *model, *recompute; /* "" if nobody said */
    int64_t run, wall_ns;
    int workers;
    int *gpu;                  /* by worker: the GPU that it runs; -1: a CPU core */
    struct para_timing *nodes; /* by node id */
    int *first_wait;           /* by node id, and one more: where its waits begin */
    struct para_wait *waits;
    int *row;       /* node ids by worker, and of each worker in the order in which they ran */
    int *first_row; /* by worker, and one more: where its nodes begin in `row` */
    struct para_arena arena;
};

/* Begin a profile of a graph: room for its nodes and for so many workers and waits. NULL when memory runs out. */
para_profile *para_profile_new(const para_graph *g, int workers, int waits);
/* What each worker did with its time: para_profile_account(). `times` has room for all workers. */
int para_profile_times(const para_profile *p, para_worker_time *times, para_error *err);
/* With all else filled, order the rows. Fails with PARA_EINVAL if a worker runs two nodes at once. */
int para_profile_order(para_profile *p, para_error *err);

/* "cpu" or "cuda:0" */
enum { PARA_DEVICE_TEXT = 24 };
char *para_profile_device(const para_profile *p, int worker, char text[PARA_DEVICE_TEXT]);

#endif
