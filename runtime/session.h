/* A session's parts, shared by its two ways to run: in program order, and on StarPU. */
#ifndef PARA_RUNTIME_SESSION_H
#define PARA_RUNTIME_SESSION_H

#include "graph/op.h"
#include "runtime/machine.h"
#include "runtime/plan.h"
#include "runtime/store.h"

#include <pthread.h>
#include <stdatomic.h>

struct para_session {
    const para_graph *g;
    para_machine *machine; /* NULL: serial */
    para_session_options options;
    para_plan *plan;
    struct para_store store;
    int *shared; /* by buffer number: the other session's buffer, or -1; NULL without options.share */
    size_t taken[PARA_MAX_DEVICES]; /* by device: of its memory, as planned */
    size_t main_taken;              /* of main memory, as planned */
    bool *is_set;                   /* by tensor id: an input that has been set, or is no input that a node reads */
    struct para_tasks *tasks;       /* on StarPU */
    unsigned long long *fault;      /* by node id: where its kernel for GPUs notes one; NULL without a GPU */
    void *scratch, **operands;      /* serial: kernel scratch, and room for one node's addresses */
    para_sample *samples;           /* by node id; NULL without profile */
    struct para_cuda_marks **marks; /* by GPU: of each node's end, and of each task's begin; NULL without profile */
    double marks_began_ns;          /* when their times began to count, since the run did */
    para_session_counters counters;
    double run_began_ns;
    bool finished;          /* the last run: it neither failed nor is going on */
    pthread_mutex_t lock;   /* of the error */
    int status;             /* of the current run */
    atomic_int failed_node; /* the first in program order, INT_MAX: none; nodes behind it don't run any more */
    para_error error;
    bool broken; /* a task was refused: `error` says which, and nothing runs any more */
};

double para_now_ns(void);

/* Keep what went wrong in a node, unless an earlier one has failed; from any thread. */
void para_keep_error(para_session *s, const para_node *n, int status, const char *message);

/* Run a node's kernel, that of a GPU where the call has one, or that for some nodes at once, keeping times and errors
 * in the session, which completes the calls: they come with node, operands, scratch and GPU. */
void para_run_calls(para_session *s, struct para_call calls[], int count, int worker);

/* The samples of options.profile: made once, a run's begin and each task's submission noted, and what only the whole
 * run tells added at its end. */
int para_samples_prepare(para_session *s, para_error *err);
void para_samples_free(para_session *s);
int para_samples_begin(para_session *s, para_error *err);
void para_samples_submit(para_session *s, const para_node *n);
/* The first node of a task on a GPU comes next on the stream. */
void para_samples_enter(para_session *s, const para_node *n, int worker, const struct para_cuda *cuda);
void para_samples_finish(para_session *s);

/* Serial: make room for scratch and addresses, once; run in program order. */
int para_serial_prepare(para_session *s, para_error *err);
void para_serial_run(para_session *s);
void para_serial_node(para_session *s, const para_node *n);

/* StarPU: register every buffer, make every task and declare the plan's edges, once; submit all and wait. */
int para_tasks_new(para_session *s, para_error *err);
void para_tasks_free(struct para_tasks *t);
/* Whether a run is one task on a GPU, which can do its work several times. */
bool para_tasks_repeat(const struct para_tasks *t);
/* Run so many times, more than one only where that is so. A task that StarPU refuses breaks the session; s->error says
 * which. */
int para_tasks_run(para_session *s, int times);
/* What every codelet runs, on a CPU and on a GPU. */
void para_task_run(void *buffers[], void *argument);
void para_task_run_cuda(void *buffers[], void *argument);
/* Make what lasts from run to run in GPUs' memory zeros: before anything is written there. */
int para_tasks_clear(struct para_tasks *t, para_error *err);
/* Hold a buffer where it lies for the caller, for reading or writing; then let it go. One at a time. */
int para_tasks_acquire(struct para_tasks *t, int buffer, bool write, void **address);
void para_tasks_release(struct para_tasks *t, int buffer);
/* Main memory where a GPU's task finds a small input at its next run, or left a small output at its last one: such a
 * buffer is reached there and not acquired. NULL: it is another. */
void *para_tasks_mail(const struct para_tasks *t, int buffer);
/* Note that an input there has been written: its task takes it at the next run. */
void para_tasks_mail_set(const struct para_tasks *t, int buffer);
/* Hold all buffers in main memory, after a run, for reading and writing: data[] has their addresses; then let all go.
 */
int para_tasks_acquire_all(struct para_tasks *t, void *data[]);
void para_tasks_release_all(struct para_tasks *t);

/* Initial values; after the tasks, which know where they lie. */
int para_values_begin(para_session *s, para_error *err);

#endif
