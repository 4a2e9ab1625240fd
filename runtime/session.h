/* A session's parts, shared by its two ways to run: in program order, and on StarPU. */
#ifndef PARA_RUNTIME_SESSION_H
#define PARA_RUNTIME_SESSION_H

#include "graph/op.h"
#include "runtime/machine.h"
#include "runtime/plan.h"
#include "runtime/store.h"

#include <pthread.h>

struct para_session {
    const para_graph *g;
    para_machine *machine; /* NULL: serial */
    para_session_options options;
    para_plan *plan;
    struct para_store store;
    int *shared;               /* by buffer number: the other session's buffer, or -1; NULL without options.share */
    bool *is_set;              /* by tensor id: an input that has been set, or is no input that a node reads */
    struct para_tasks *tasks;  /* on StarPU */
    void *scratch, **operands; /* serial: kernel scratch, and room for one node's addresses */
    para_sample *samples;      /* by node id; NULL without profile */
    para_session_counters counters;
    double run_began_ns;
    pthread_mutex_t lock; /* of the error */
    int status;           /* of the current run */
    int failed_node;      /* the first in program order */
    para_error error;
    bool broken; /* a task was refused: `error` says which, and nothing runs any more */
};

double para_now_ns(void);

/* Run a node's kernel on buffers that hold its operands, keeping its times and its error in the session. */
void para_run_node(para_session *s, const para_node *n, void *const in[], void *const out[], void *scratch, int worker);

/* The samples of options.profile: made once, a task's submission noted, and what only the whole run tells added at its
 * end. */
int para_profile_prepare(para_session *s, para_error *err);
void para_profile_submit(para_session *s, const para_node *n);
void para_profile_finish(para_session *s);

/* Serial: make room for scratch and addresses, once; run in program order. */
int para_serial_prepare(para_session *s, para_error *err);
void para_serial_run(para_session *s);

/* StarPU: register every buffer, make every task and declare the plan's edges, once; submit all and wait. */
int para_tasks_new(para_session *s, para_error *err);
void para_tasks_free(struct para_tasks *t);
/* A task that StarPU refuses breaks the session; s->error says which. */
int para_tasks_run(para_session *s);
/* What every codelet runs. */
void para_task_run(void *buffers[], void *argument);
/* Hold a buffer in main memory for the caller, for reading or writing; then let it go. */
int para_tasks_acquire(struct para_tasks *t, int buffer, bool write);
void para_tasks_release(struct para_tasks *t, int buffer);

#endif
