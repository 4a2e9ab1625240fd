/* A plan as StarPU tasks: made once, replayed every run.
 *
 * One buffer is one data handle, registered once; one cluster of nodes is one task, its edges are declared once.
 * Sequential consistency is off, so that StarPU adds no order of its own. A run resubmits the same task structures
 * after all have ended. In implicit mode StarPU infers the order from data accesses instead: a debugging aid. */
#include "runtime/session.h"

#include <starpu.h>
#include <stdlib.h>
#include <string.h>

struct task {
    struct para_task_nodes nodes; /* first: the codelets look at them */
    para_session *session;
    struct starpu_task *starpu;
    starpu_data_handle_t *handles; /* each buffer once, with its accesses */
    enum starpu_data_access_mode *modes;
    int n_handles;
    int *slot;         /* node by node, inputs, then outputs: which of the handles */
    void **operands;   /* of one node, filled at each run */
    uint32_t *workers; /* a bit per worker allowed; NULL: all */
    unsigned worker_words;
};

struct para_tasks {
    struct para_arena arena;
    starpu_data_handle_t *handles; /* by buffer number */
    const bool *borrowed;          /* by buffer number: another session's handle */
    int n_handles;
    struct task *tasks; /* by number in the plan */
    int n_tasks;
    void **scratch; /* by worker */
    int n_workers;
};

/* --- running --- */

void para_task_run(void *buffers[], void *argument)
{
    struct task *t = argument;
    int worker = starpu_worker_get_id();
    const int *slot = t->slot;
    for (int i = 0; i < t->nodes.count; i++) {
        const para_node *n = t->nodes.of[i];
        for (int k = 0; k < n->n_in + n->n_out; k++, slot++)
            t->operands[k] = (void *)STARPU_VECTOR_GET_PTR(buffers[*slot]);
        para_run_node(t->session, n, t->operands, t->operands + n->n_in, t->session->tasks->scratch[worker], worker);
    }
}

/* The node that takes the most time. */
static const para_node *main_node(const struct task *t)
{
    const double *cost_ns = t->session->plan->cost_ns;
    const para_node *most = t->nodes.of[0];
    for (int i = 1; i < t->nodes.count; i++)
        most = cost_ns[t->nodes.of[i]->id] > cost_ns[most->id] ? t->nodes.of[i] : most;
    return most;
}

static void fill_task(struct task *t)
{
    struct starpu_task *task = t->starpu;
    const para_session *s = t->session;
    task->cl = para_codelet_of(s->machine->codelets, main_node(t)->op);
    task->name = main_node(t)->name;
    task->cl_arg = t;
    task->destroy = 0;
    task->priority = 0;
    for (int i = 0; i < t->nodes.count; i++)
        if (s->plan->priority[t->nodes.of[i]->id] > task->priority)
            task->priority = s->plan->priority[t->nodes.of[i]->id];
    task->sequential_consistency = s->options.implicit;
    task->nbuffers = t->n_handles;
    task->workerids = t->workers;
    task->workerids_len = t->worker_words;
    if (t->n_handles > STARPU_NMAXBUFS) {
        task->dyn_handles = t->handles;
        task->dyn_modes = t->modes;
        return;
    }
    for (int i = 0; i < t->n_handles; i++) {
        task->handles[i] = t->handles[i];
        task->modes[i] = t->modes[i];
    }
}

/* Take back from StarPU's hands what is the arena's, and release what it allocates at each submission of a task with
 * more handles than fit in the structure, and forgets. */
static void take_back(struct starpu_task *task)
{
    free(task->dyn_interfaces);
    task->dyn_interfaces = NULL;
    task->dyn_handles = NULL;
    task->dyn_modes = NULL;
    task->workerids = NULL;
}

/* Make tasks ready for the next run. StarPU infers no order for a task that has run before: in implicit mode they
 * begin anew. */
static void renew(struct para_tasks *ts, bool implicit)
{
    for (int i = 0; i < ts->n_tasks; i++) {
        struct task *t = &ts->tasks[i];
        if (!implicit && t->n_handles <= STARPU_NMAXBUFS)
            continue;
        take_back(t->starpu);
        if (implicit) {
            starpu_task_clean(t->starpu);
            starpu_task_init(t->starpu);
        }
        fill_task(t);
    }
}

int para_tasks_run(para_session *s)
{
    struct para_tasks *ts = s->tasks;
    for (int i = 0; i < ts->n_tasks; i++) {
        for (int k = 0; k < ts->tasks[i].nodes.count && s->samples; k++)
            para_profile_submit(s, ts->tasks[i].nodes.of[k]);
        int status = starpu_task_submit(ts->tasks[i].starpu);
        if (status != 0) {
            starpu_task_wait_for_all(); /* those before it, which wait for none after it */
            s->broken = true;
            return para_fail(&s->error, PARA_EDEVICE, "%s: StarPU refuses the task: %s", ts->tasks[i].starpu->name,
                             strerror(-status));
        }
    }
    starpu_task_wait_for_all();
    renew(ts, s->options.implicit);
    return 0;
}

int para_tasks_acquire(struct para_tasks *t, int buffer, bool write)
{
    return starpu_data_acquire(t->handles[buffer], write ? STARPU_W : STARPU_R);
}

void para_tasks_release(struct para_tasks *t, int buffer)
{
    starpu_data_release(t->handles[buffer]);
}

/* --- making --- */

static int register_buffers(struct para_tasks *ts, para_session *s, para_error *err)
{
    const struct para_buffers *b = &s->plan->buffers;
    ts->handles = para_arena_alloc(&ts->arena, sizeof *ts->handles * (size_t)(b->count + 1));
    if (!ts->handles)
        return para_fail_memory(err, "data handles");
    ts->borrowed = s->store.borrowed;
    for (int i = 0; i < b->count; i++, ts->n_handles++) {
        if (s->store.borrowed[i]) {
            ts->handles[i] = s->options.share->tasks->handles[s->shared[i]];
            continue;
        }
        size_t words = (b->bytes[i] + 3) / 4;
        if (words > UINT32_MAX)
            return para_fail(err, PARA_ERANGE, "a buffer of %zu bytes; StarPU takes at most %zu: split the axis",
                             b->bytes[i], 4 * (size_t)UINT32_MAX);
        starpu_vector_data_register(&ts->handles[i], STARPU_MAIN_RAM, (uintptr_t)s->store.data[i], (uint32_t)words, 4);
        s->counters.handles_registered++;
        starpu_data_set_sequential_consistency_flag(ts->handles[i], s->options.implicit);
    }
    return 0;
}

/* The workers of a group: with as many workers as groups or more, a run of neighbours; with fewer, one each in turn. */
static bool in_group(int worker, int workers, int group, int groups)
{
    return groups <= workers ? worker * groups / workers == group : group % workers == worker;
}

static int restrict_workers(struct para_tasks *ts, struct task *t, int groups)
{
    unsigned words = ((unsigned)ts->n_workers + 31) / 32;
    int group = t->nodes.of[0]->place;
    if (group < 0)
        return 0;
    t->workers = para_arena_alloc(&ts->arena, words * sizeof *t->workers);
    if (!t->workers)
        return PARA_ENOMEM;
    for (int w = 0; w < ts->n_workers; w++)
        if (in_group(w, ts->n_workers, group, groups))
            t->workers[w / 32] |= 1u << (w % 32);
    t->worker_words = words;
    return 0;
}

/* Name a buffer once, with all its accesses; what the task itself has written first, it reads without a need for what
 * was there before. Returns its slot. */
static int name_buffer(struct task *t, starpu_data_handle_t handle, enum starpu_data_access_mode mode)
{
    int slot = 0;
    while (slot < t->n_handles && t->handles[slot] != handle)
        slot++;
    if (slot == t->n_handles) {
        t->handles[slot] = handle;
        t->modes[slot] = mode;
        t->n_handles++;
    } else if (mode == STARPU_W)
        t->modes[slot] = (enum starpu_data_access_mode)(t->modes[slot] | STARPU_W);
    return slot;
}

static void name_buffers(struct task *t, const struct para_tasks *ts, const para_plan *p)
{
    int *slot = t->slot;
    for (int i = 0; i < t->nodes.count; i++) {
        const para_node *n = t->nodes.of[i];
        for (int k = 0; k < n->n_in + n->n_out; k++) {
            int buffer = p->buffers.of[para_node_operand(n, k)->id];
            *slot++ = name_buffer(t, ts->handles[buffer], k < n->n_in ? STARPU_R : STARPU_W);
        }
    }
}

/* The nodes of a task, and how many operands they have: altogether, and the node that has the most. */
static int list_nodes(struct para_tasks *ts, struct task *t, const para_session *s, int number, size_t *all, size_t *most)
{
    const struct para_clusters *c = &s->plan->clusters;
    t->nodes.count = c->first[number + 1] - c->first[number];
    t->nodes.of = para_arena_alloc(&ts->arena, (size_t)t->nodes.count * sizeof *t->nodes.of);
    if (!t->nodes.of)
        return PARA_ENOMEM;
    *all = *most = 0;
    for (int i = 0; i < t->nodes.count; i++) {
        t->nodes.of[i] = s->g->nodes[c->nodes[c->first[number] + i]];
        size_t operands = (size_t)(t->nodes.of[i]->n_in + t->nodes.of[i]->n_out);
        *all += operands;
        *most = operands > *most ? operands : *most;
    }
    return 0;
}

static int make_task(struct para_tasks *ts, para_session *s, int number, para_error *err)
{
    struct task *t = &ts->tasks[number];
    size_t all, most;
    if (list_nodes(ts, t, s, number, &all, &most) < 0)
        return para_fail_memory(err, "tasks");
    t->handles = para_arena_alloc(&ts->arena, all * sizeof *t->handles);
    t->modes = para_arena_alloc(&ts->arena, all * sizeof *t->modes);
    t->slot = para_arena_alloc(&ts->arena, all * sizeof *t->slot);
    t->operands = para_arena_alloc(&ts->arena, most * sizeof *t->operands);
    t->starpu = t->handles && t->modes && t->slot && t->operands ? starpu_task_create() : NULL;
    if (!t->starpu)
        return para_fail_memory(err, "tasks");
    s->counters.tasks_created++;
    ts->n_tasks++;
    t->session = s;
    name_buffers(t, ts, s->plan);
    if (restrict_workers(ts, t, s->plan->groups) < 0)
        return para_fail_memory(err, "tasks");
    fill_task(t);
    return 0;
}

static int declare_edges(struct para_tasks *ts, const para_plan *p, int number, para_error *err)
{
    const struct para_clusters *c = &p->clusters;
    int count = c->first_edge[number + 1] - c->first_edge[number];
    if (!count)
        return 0;
    struct starpu_task **before = malloc(sizeof(*before) * (size_t)count);
    if (!before)
        return para_fail_memory(err, "edges");
    for (int e = 0; e < count; e++)
        before[e] = ts->tasks[c->from[c->first_edge[number] + e]].starpu;
    starpu_task_declare_deps_array(ts->tasks[number].starpu, (unsigned)count, before);
    free(before);
    return 0;
}

static int make_scratch(struct para_tasks *ts, const para_session *s, para_error *err)
{
    size_t bytes = (s->plan->scratch_bytes + 63) / 64 * 64;
    ts->n_workers = s->machine->workers;
    ts->scratch = para_arena_alloc(&ts->arena, sizeof *ts->scratch * (size_t)ts->n_workers);
    if (!ts->scratch)
        return para_fail_memory(err, "kernel scratch");
    for (int w = 0; w < ts->n_workers && bytes; w++)
        if (!(ts->scratch[w] = aligned_alloc(64, bytes)))
            return para_fail_memory(err, "kernel scratch");
    return 0;
}

int para_tasks_new(para_session *s, para_error *err)
{
    struct para_tasks *ts = calloc(1, sizeof *ts);
    if (!ts)
        return para_fail_memory(err, "tasks");
    s->tasks = ts;
    PARA_TRY(make_scratch(ts, s, err));
    PARA_TRY(register_buffers(ts, s, err));
    ts->tasks = para_arena_alloc(&ts->arena, sizeof *ts->tasks * (size_t)(s->plan->clusters.count + 1));
    if (!ts->tasks)
        return para_fail_memory(err, "tasks");
    for (int i = 0; i < s->plan->clusters.count; i++)
        PARA_TRY(make_task(ts, s, i, err));
    for (int i = 0; i < s->plan->clusters.count && !s->options.implicit; i++)
        PARA_TRY(declare_edges(ts, s->plan, i, err));
    return 0;
}

void para_tasks_free(struct para_tasks *ts)
{
    if (!ts)
        return;
    for (int i = 0; i < ts->n_tasks; i++) {
        take_back(ts->tasks[i].starpu);
        starpu_task_destroy(ts->tasks[i].starpu);
    }
    for (int i = 0; i < ts->n_handles; i++)
        if (!ts->borrowed[i])
            starpu_data_unregister(ts->handles[i]);
    for (int w = 0; w < ts->n_workers && ts->scratch; w++)
        free(ts->scratch[w]);
    para_arena_free(&ts->arena);
    free(ts);
}
