/* What a profile tells of a run: why each worker stood still and when, what the run's length rests on, and what bounds
 * it. */
#ifndef PARA_VIEW_TIMELINE_H
#define PARA_VIEW_TIMELINE_H

#include "graph/profile.h"

enum para_gap_cause {
    PARA_GAP_WAIT,    /* idle: what ended the gap by becoming ready waited for another node */
    PARA_GAP_SUBMIT,  /* idle: the same wasn't submitted yet */
    PARA_GAP_END,     /* idle: all that might run here had begun elsewhere, or was about to */
    PARA_GAP_RUNTIME, /* what runs here next was ready */
    PARA_GAP_QUEUED,  /* idle: what might have run here was ready, but another worker had taken it, and was busy */
    PARA_GAP_OUTSIDE, /* the runtime, before it submitted anything, or after all had run */
    PARA_GAP_CAUSES
};

/* A time in which a worker ran no kernel. */
struct para_gap {
    int worker;
    int64_t begin_ns, end_ns;
    enum para_gap_cause cause;
    int node; /* that was ready, or became so at the end of the gap, here or on another worker; -1: none */
    int wait; /* of PARA_GAP_WAIT: which of the profile's waits ended last; else -1 */
};

enum para_link {
    PARA_LINK_FIRST,  /* nothing came before it */
    PARA_LINK_WAIT,   /* it waited for a node of the task before it in the path */
    PARA_LINK_WORKER, /* its worker was busy until then */
    PARA_LINK_TASK    /* it is the next node of the same task */
};

/* A node of the measured critical path, and why it couldn't begin before the one before it had ended. */
struct para_step {
    int node;
    enum para_link link;
    int wait; /* of PARA_LINK_WAIT: which of the profile's waits; else -1 */
};

/* From a time on, so many tasks were ready and not begun, and so many ran. */
struct para_load {
    int64_t time_ns;
    int ready, running;
};

/* Where all workers' time went: what can bound a step. The first two are time in kernels, of nodes that at nominal
 * rates their FLOPs keep busy, or their bytes. */
enum para_bound {
    PARA_BOUND_COMPUTE,
    PARA_BOUND_MEMORY,
    PARA_BOUND_DEPENDENCY, /* PARA_GAP_WAIT */
    PARA_BOUND_IMBALANCE,  /* PARA_GAP_END */
    PARA_BOUND_QUEUE,      /* PARA_GAP_QUEUED */
    PARA_BOUND_RUNTIME,    /* all others */
    PARA_BOUNDS
};
/* "compute", "memory", ... */
extern const char *const para_bound_names[];

struct para_timeline {
    const para_profile *p;
    int *last_node; /* by task: its node that ended last; -1: it has none */
    int *last_wait; /* by task: of what its nodes waited for in other tasks, the wait whose task ended last; -1: none */
    struct para_gap *gaps; /* by worker, in the order of time */
    int n_gaps, gap_capacity;
    int *first_gap;         /* by worker, and one more: where its gaps begin */
    struct para_step *path; /* the measured critical path, in the order of time */
    int n_path;
    struct para_load *loads; /* in the order of time */
    int n_loads;
    int64_t gap_ns[PARA_GAP_CAUSES];
    int64_t part_ns[PARA_BOUNDS]; /* together the workers' time, wall time each */
    double flops, bytes;          /* of nodes that compute bounds, and of nodes that memory bounds */
    int64_t chain_ns;             /* the longest chain of nodes that wait for each other, kernels alone */
    enum para_bound bound;        /* the largest part */
    int most_waited;              /* the node for which workers idled longest; -1: none */
    int64_t most_waited_ns;
    int late; /* nodes that took three times the median of others of the same op, work and bytes on such a device */
    int64_t late_ns; /* what they took more than the median */
    int latest;      /* the node that took most more; if late > 0 */
    int64_t latest_ns;
    int held; /* times in which a ready task wasn't begun that took a hundred times the median of such */
    int64_t held_ns, longest_held_ns;
    bool disturbed;      /* all that took so much that the rest says little */
    const char *summary; /* what bounds this step, and the figures, for people; visible characters */
    struct para_arena arena;
};

/* Returns 0 or PARA_ENOMEM. `p` must live as long. */
int para_timeline_new(struct para_timeline *out, const para_profile *p, para_error *err);
void para_timeline_free(struct para_timeline *t);

/* "RAW on layer.0.h, from layer.0.mlp", or shorter where the node is called like the value: a wait in words, visible
 * characters; NULL when memory runs out. */
const char *para_wait_text(struct para_arena *arena, const para_graph *g, const struct para_wait *w);
/* The node of which another worker ran most within a gap, and how long; -1: none ran. */
int para_gap_meanwhile(const struct para_timeline *t, const struct para_gap *g, int64_t *ns);
/* Why a gap is there, in words; NULL when memory runs out. */
const char *para_gap_text(struct para_arena *arena, const para_profile *p, const struct para_gap *g);

#endif
