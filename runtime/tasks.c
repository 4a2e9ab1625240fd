/* A plan as StarPU tasks: made once, replayed every run.
 *
 * One block of buffers is one data handle, registered once; one cluster of nodes is one task, its edges are declared
 * once. Where there is one memory alone nothing needs to be brought anywhere, and a task names no handles, of which
 * StarPU would take 0.1 to 0.3 us each. A task on a GPU enqueues its kernels one by one in its first run; in the second
 * they are captured, and from then on launched as one, as long as the blocks lie where they lay. Sequential consistency
 * is off, so that StarPU adds no order of its own. A run resubmits the same task structures after all have ended. In
 * implicit mode StarPU infers the order from data accesses instead: a debugging aid.
 *
 * Where no more tasks are ready than there are workers, as in making a token, there is nothing to schedule: then each
 * worker gets one task of StarPU's a run, and these share out the plan's among themselves (runtime/crew.h). */
#include "base/fail.h"
#include "runtime/blocks.h"
#include "runtime/crew.h"
#include "runtime/cuda.h"
#include "runtime/mail.h"
#include "runtime/session.h"

#include <sched.h>
#include <starpu.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Where an operand lies: at an address, or in which of its task's handles, and how far behind its begin. */
struct operand {
    void *data; /* NULL: in a handle */
    int slot;
    size_t offset;
};

/* What a GPU's task has come to. */
struct launch {
    enum { PLAIN, CAPTURE, CAPTURED, NEVER } state; /* how it runs next */
    struct para_cuda_graph *graph;
    void **base; /* by handle: where it lay when the graph was captured */
};

struct task {
    struct para_task_nodes nodes; /* first: the codelets look at them */
    para_session *session;
    struct starpu_task *starpu;
    atomic_bool ended;             /* of this run */
    starpu_data_handle_t *handles; /* each buffer once, with its accesses */
    enum starpu_data_access_mode *modes;
    int n_handles;
    struct operand *operand; /* node by node, inputs, then outputs */
    int *together;           /* by node, on a GPU: how many run at once from it on */
    struct para_call *calls; /* of those that run at once, made at each run, and their operands */
    void **operands;
    struct launch launch; /* on a GPU */
    struct para_letters letters;
    uint32_t *workers; /* a bit per worker allowed; NULL: all */
    unsigned worker_words;
};

/* A worker's part in a crew. */
struct member {
    para_session *session;
    int worker;
    struct starpu_task *starpu;
};

/* Where a buffer lies. */
struct place {
    starpu_data_handle_t handle;
    size_t offset;
    int node; /* of StarPU's memories */
};

/* A handle, and whether it holds anything between runs. */
struct held {
    starpu_data_handle_t handle;
    bool keep;
};

struct para_tasks {
    struct para_arena arena;
    struct para_blocks blocks;
    starpu_data_handle_t *handles; /* by block */
    int n_handles;
    struct place *place;          /* by buffer */
    struct held *all;             /* handles of buffers, each once: of blocks, and what another session has */
    int n_buffers, n_all, n_held; /* of all, the first are held */
    struct para_mail mail;
    int *used;     /* by buffer: the last task, as tasks are made, that uses it */
    bool in_place; /* buffers never move: tasks name none */
    const para_machine *machine;
    struct task *tasks; /* by number in the plan */
    int n_tasks;
    int times;              /* that a task on a GPU does its work, of a run of one task */
    struct para_crew *crew; /* NULL: StarPU schedules each task */
    struct member *members; /* by worker */
    int n_members;
    void **scratch; /* by worker: in main memory, and, after those, on the GPUs */
    int n_workers, n_gpus;
};

/* --- running --- */

/* Of a node that runs beside others. */
static size_t gpu_scratch(const para_node *n)
{
    return para_gpu_rounded(n->op->cuda_scratch ? n->op->cuda_scratch(n) : 0);
}

static void *base_of(void *buffers[], int slot)
{
    return (void *)STARPU_VECTOR_GET_PTR(buffers[slot]);
}

/* Where a profile is taken each node has its own time. */
static void run_nodes(struct task *t, void *buffers[], int worker, void *scratch, const struct para_cuda *cuda)
{
    const struct operand *o = t->operand;
    for (int i = 0, count; i < t->nodes.count; i += count) {
        char *free_scratch = scratch;
        void **room = t->operands;
        count = cuda && !t->session->samples ? t->together[i] : 1;
        for (int k = 0; k < count; k++) {
            const para_node *n = t->nodes.of[i + k];
            t->calls[k] =
                (struct para_call){.node = n, .in = room, .out = room + n->n_in, .scratch = free_scratch, .cuda = cuda};
            for (int operands = n->n_in + n->n_out; operands > 0; operands--, o++)
                *room++ = o->data ? o->data : (char *)base_of(buffers, o->slot) + o->offset;
            if (cuda)
                free_scratch += gpu_scratch(n);
        }
        para_run_calls(t->session, t->calls, count, worker);
    }
}

/* The same on a GPU, between what is sent. */
static void run_with_mail(struct task *t, void *buffers[], int worker, void *scratch, const struct para_cuda *cuda)
{
    para_error err = {0};
    int status = para_mail_send(t->letters.take, t->letters.n_take, false, buffers, cuda, &err);
    run_nodes(t, buffers, worker, scratch, cuda);
    status = status < 0 ? status : para_mail_send(t->letters.give, t->letters.n_give, true, buffers, cuda, &err);
    if (status < 0)
        para_keep_error(t->session, t->nodes.of[0], status, err.message);
}

void para_task_run(void *buffers[], void *argument)
{
    struct task *t = argument;
    int worker = para_machine_worker(t->session->machine, starpu_worker_get_id());
    run_nodes(t, buffers, worker, t->session->tasks->scratch[worker], NULL);
}

/* Let the core do something else for a moment, after many looks in vain for one that has to do on it. */
static void wait_a_moment(int looks)
{
    const int MANY = 100;
    if (looks > MANY)
        sched_yield();
#ifdef __x86_64__
    __builtin_ia32_pause();
#endif
}

static void work_in_crew(void *buffers[], void *argument)
{
    const struct member *m = argument;
    const struct para_tasks *ts = m->session->tasks;
    int first = 0, looks = 0, number;
    while ((number = para_crew_take(ts->crew, &first)) != PARA_CREW_END) {
        if (number == PARA_CREW_NONE) {
            wait_a_moment(looks++);
            continue;
        }
        run_nodes(&ts->tasks[number], buffers, m->worker, ts->scratch[m->worker], NULL);
        para_crew_end(ts->crew, number);
        looks = 0;
    }
}

static struct starpu_codelet crew_codelet = {.where = STARPU_CPU, .cpu_funcs = {work_in_crew}, .name = "crew"};

/* Whether the blocks of a captured task still lie where they lay. */
static bool lies_still(const struct task *t, void *buffers[])
{
    for (int h = 0; h < t->n_handles; h++)
        if (t->launch.base[h] != base_of(buffers, h))
            return false;
    return true;
}

/* Tell once that a task's kernels go on being launched one by one. */
static void give_up(struct task *t, const char *why)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;
    t->launch.state = NEVER;
    if (!atomic_flag_test_and_set(&told))
        para_log(PARA_LOG_WARNING, "%s and %d more nodes can't be captured: %s; their kernels are launched one by one",
                 t->nodes.of[0]->name, t->nodes.count - 1, why);
}

static void capture(struct task *t, void *buffers[], int worker, void *scratch, const struct para_cuda *cuda)
{
    const char *why;
    para_session *s = t->session;
    struct para_cuda captured = *cuda;
    captured.stream = s->machine->capture[worker - s->machine->workers];
    captured.early = true;
    para_cuda_graph_free(t->launch.graph);
    t->launch.graph = NULL;
    bool begun = para_cuda_capture_begin(captured.stream, &why);
    if (begun)
        run_with_mail(t, buffers, worker, scratch, &captured);
    if (!begun || !para_cuda_capture_end(captured.stream, &t->launch.graph, &why)) {
        give_up(t, why);
        return;
    }
    t->launch.state = CAPTURED;
    for (int h = 0; h < t->n_handles; h++)
        t->launch.base[h] = base_of(buffers, h);
    pthread_mutex_lock(&s->lock);
    s->counters.captures++;
    pthread_mutex_unlock(&s->lock);
}

/* Kernels one by one the first time, which lets libraries prepare themselves, and wherever each is to have its time. */
static void run_on_gpu(struct task *t, void *buffers[], int worker, void *scratch, const struct para_cuda *cuda)
{
    const char *why;
    struct launch *l = &t->launch;
    if (l->state == CAPTURE || (l->state == CAPTURED && !lies_still(t, buffers)))
        capture(t, buffers, worker, scratch, cuda);
    if (l->state == CAPTURED && para_cuda_graph_launch(l->graph, cuda->stream, &why))
        return;
    if (l->state == CAPTURED)
        give_up(t, why);
    run_with_mail(t, buffers, worker, scratch, cuda);
    if (l->state == PLAIN && !t->session->samples && t->nodes.count > 1)
        l->state = CAPTURE;
}

void para_task_run_cuda(void *buffers[], void *argument)
{
    struct task *t = argument;
    const para_machine *m = t->session->machine;
    int worker = para_machine_worker(m, starpu_worker_get_id());
    struct para_cuda cuda = m->cuda[worker - m->workers];
    cuda.stream = para_cuda_stream();
    para_samples_enter(t->session, t->nodes.of[0], worker, &cuda);
    for (int i = 0; i < t->session->tasks->times; i++)
        run_on_gpu(t, buffers, worker, t->session->tasks->scratch[worker], &cuda);
}

/* The node that takes the most time. */
static const para_node *main_node(const struct task *t)
{
    const double *cost_ns = t->session->plan->times.cost_ns;
    const para_node *most = t->nodes.of[0];
    for (int i = 1; i < t->nodes.count; i++)
        most = cost_ns[t->nodes.of[i]->id] > cost_ns[most->id] ? t->nodes.of[i] : most;
    return most;
}

static void note_end(void *task)
{
    atomic_store(&((struct task *)task)->ended, true);
}

static void fill_task(struct task *t)
{
    struct starpu_task *task = t->starpu;
    const para_session *s = t->session;
    int gpu = s->plan->gpu[t->nodes.of[0]->id];
    task->cl = para_codelet_of(s->machine->codelets, main_node(t)->op);
    task->name = main_node(t)->name;
    task->cl_arg = t;
    task->callback_func = note_end;
    task->callback_arg = t;
    task->destroy = 0;
    task->priority = 0;
    for (int i = 0; i < t->nodes.count; i++)
        if (s->plan->priority[t->nodes.of[i]->id] > task->priority)
            task->priority = s->plan->priority[t->nodes.of[i]->id];
    task->sequential_consistency = s->options.implicit;
    task->nbuffers = t->n_handles;
    task->where = gpu == PARA_ON_CPUS ? STARPU_CPU : STARPU_CUDA;
    task->workerids = t->workers;
    task->workerids_len = t->worker_words;
    if (gpu != PARA_ON_CPUS) {
        task->execute_on_a_specific_worker = 1;
        task->workerid = (unsigned)para_machine_gpu_worker(s->machine, gpu);
    }
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

/* A run that is one task on a GPU may take less than it takes to wake a thread: look at it for a while before going to
 * sleep. */
static void watch(const struct para_tasks *ts)
{
    const double LONG_NS = 1e6;
    double began = para_now_ns();
    if (ts->n_tasks != 1 || !ts->tasks->launch.graph)
        return;
    while (!atomic_load(&ts->tasks->ended) && para_now_ns() - began < LONG_NS * ts->times)
        ;
}

static void note_submission(para_session *s, const struct task *t)
{
    for (int k = 0; k < t->nodes.count && s->samples; k++)
        para_samples_submit(s, t->nodes.of[k]);
}

/* Those submitted before it end: they wait for none after it. */
static int submit(para_session *s, struct starpu_task *task)
{
    int status = starpu_task_submit(task);
    if (status == 0)
        return 0;
    starpu_task_wait_for_all();
    s->broken = true;
    return para_fail(&s->error, PARA_EDEVICE, "%s: StarPU refuses the task: %s", task->name, strerror(-status));
}

static int submit_tasks(para_session *s, struct para_tasks *ts)
{
    for (int i = 0; i < ts->n_tasks; i++) {
        note_submission(s, &ts->tasks[i]);
        atomic_store(&ts->tasks[i].ended, false);
        PARA_TRY(submit(s, ts->tasks[i].starpu));
    }
    return 0;
}

static int submit_crew(para_session *s, struct para_tasks *ts)
{
    para_crew_begin(ts->crew);
    for (int i = 0; i < ts->n_tasks; i++)
        note_submission(s, &ts->tasks[i]);
    for (int w = 0; w < ts->n_members; w++)
        PARA_TRY(submit(s, ts->members[w].starpu));
    return 0;
}

bool para_tasks_repeat(const struct para_tasks *ts)
{
    return ts->n_tasks == 1 && ts->tasks->starpu && ts->tasks->starpu->where == STARPU_CUDA; /* a crew has none */
}

int para_tasks_run(para_session *s, int times)
{
    struct para_tasks *ts = s->tasks;
    ts->times = times;
    PARA_TRY(ts->crew ? submit_crew(s, ts) : submit_tasks(s, ts));
    watch(ts);
    starpu_task_wait_for_all();
    renew(ts, s->options.implicit);
    return 0;
}

/* --- values --- */

static int memory_node(const para_machine *m, int gpu)
{
    return gpu < 0 ? STARPU_MAIN_RAM : (int)starpu_worker_get_memory_node((unsigned)para_machine_gpu_worker(m, gpu));
}

static void *address_of(const struct place *p, int node)
{
    return (char *)STARPU_VECTOR_GET_PTR(starpu_data_get_interface_on_node(p->handle, (unsigned)node)) + p->offset;
}

void *para_tasks_mail(const struct para_tasks *ts, int buffer)
{
    return ts->mail.at[buffer];
}

void para_tasks_mail_set(const struct para_tasks *ts, int buffer)
{
    para_mail_set(&ts->mail, buffer);
}

/* In main memory a buffer is all of its block, and what it held may be lost if it is written. */
int para_tasks_acquire(struct para_tasks *ts, int buffer, bool write, void **address)
{
    const struct place *p = &ts->place[buffer];
    enum starpu_data_access_mode writing = p->node == STARPU_MAIN_RAM ? STARPU_W : STARPU_RW;
    int status = starpu_data_acquire_on_node(p->handle, p->node, write ? writing : STARPU_R);
    if (status == 0)
        *address = address_of(p, p->node);
    return status;
}

void para_tasks_release(struct para_tasks *ts, int buffer)
{
    starpu_data_release_on_node(ts->place[buffer].handle, ts->place[buffer].node);
}

/* What a run doesn't leave behind needn't be brought. */
int para_tasks_acquire_all(struct para_tasks *ts, void *data[])
{
    int status = 0;
    for (; ts->n_held < ts->n_all && status == 0; ts->n_held += status == 0)
        status = starpu_data_acquire_on_node(ts->all[ts->n_held].handle, STARPU_MAIN_RAM,
                                             ts->all[ts->n_held].keep ? STARPU_RW : STARPU_W);
    if (status != 0) {
        para_tasks_release_all(ts);
        return status;
    }
    for (int b = 0; b < ts->n_buffers; b++)
        data[b] = address_of(&ts->place[b], STARPU_MAIN_RAM);
    return 0;
}

void para_tasks_release_all(struct para_tasks *ts)
{
    while (ts->n_held > 0)
        starpu_data_release_on_node(ts->all[--ts->n_held].handle, STARPU_MAIN_RAM);
}

static int clear_block(struct para_tasks *ts, int block, para_error *err)
{
    const struct place first = {.handle = ts->handles[block]};
    int node = memory_node(ts->machine, ts->blocks.gpu[block]);
    if (starpu_data_acquire_on_node(first.handle, node, STARPU_W) != 0)
        return para_fail(err, PARA_EDEVICE, "cuda:%d: no memory for %zu bytes", ts->blocks.gpu[block],
                         ts->blocks.bytes[block]);
    int status = para_cuda_clear(address_of(&first, node), ts->blocks.bytes[block], err);
    starpu_data_release_on_node(first.handle, node);
    return status;
}

/* StarPU notes only where it infers the order that a handle holds something, and lets no other be read. */
int para_tasks_clear(struct para_tasks *ts, para_error *err)
{
    int status = 0;
    for (int b = 0; b < ts->blocks.count && status == 0; b++) {
        if (ts->blocks.gpu[b] < 0 || !ts->blocks.keep[b])
            continue;
        unsigned infer = starpu_data_get_sequential_consistency_flag(ts->handles[b]);
        starpu_data_set_sequential_consistency_flag(ts->handles[b], 1);
        status = clear_block(ts, b, err);
        starpu_data_set_sequential_consistency_flag(ts->handles[b], infer);
    }
    return status;
}

/* --- making --- */

static int register_block(struct para_tasks *ts, para_session *s, int block, const void *data, para_error *err)
{
    size_t bytes = ts->blocks.bytes[block];
    size_t unit = ts->blocks.gpu[block] >= 0 ? PARA_GPU_ALIGNMENT
                  : bytes % 4 == 0           ? 4
                                             : 1; /* none behind lent memory */
    size_t units = (bytes + unit - 1) / unit;
    if (units > UINT32_MAX)
        return para_fail(err, PARA_ERANGE, "a buffer of %zu bytes; StarPU takes at most %zu: split the axis", bytes,
                         unit * UINT32_MAX);
    starpu_vector_data_register(&ts->handles[block], data ? STARPU_MAIN_RAM : -1, (uintptr_t)data, (uint32_t)units,
                                unit);
    ts->n_handles++;
    s->counters.handles_registered++;
    starpu_data_set_sequential_consistency_flag(ts->handles[block], s->options.implicit);
    return 0;
}

static int by_handle(const void *left, const void *right)
{
    uintptr_t a = (uintptr_t)((const struct held *)left)->handle, b = (uintptr_t)((const struct held *)right)->handle;
    return (a > b) - (a < b);
}

/* The handles of all buffers, each once. */
static void list_handles(struct para_tasks *ts)
{
    for (int b = 0; b < ts->n_buffers; b++)
        ts->all[b] =
            (struct held){ts->place[b].handle, ts->blocks.of[b] == PARA_NO_BLOCK || ts->blocks.keep[ts->blocks.of[b]]};
    qsort(ts->all, (size_t)ts->n_buffers, sizeof(*ts->all), by_handle);
    for (int b = 0; b < ts->n_buffers; b++)
        if (b == 0 || ts->all[b].handle != ts->all[ts->n_all - 1].handle)
            ts->all[ts->n_all++] = ts->all[b];
}

static int register_buffers(struct para_tasks *ts, para_session *s, para_error *err)
{
    const struct para_buffers *b = &s->plan->buffers;
    size_t room = (size_t)b->count + 1;
    PARA_TRY(para_blocks_new(&ts->blocks, s->plan, s->store.borrowed, err));
    ts->n_buffers = b->count;
    ts->handles = para_arena_alloc(&ts->arena, sizeof *ts->handles * room);
    ts->place = para_arena_alloc(&ts->arena, sizeof *ts->place * room);
    ts->all = para_arena_alloc(&ts->arena, sizeof *ts->all * room);
    ts->used = para_arena_alloc(&ts->arena, sizeof *ts->used * room);
    if (!ts->handles || !ts->place || !ts->all || !ts->used)
        return para_fail_memory(err, "data handles");
    for (int i = 0; i < b->count; i++) {
        int block = ts->blocks.of[i];
        ts->used[i] = -1;
        if (block == PARA_NO_BLOCK) {
            ts->place[i] = s->options.share->tasks->place[s->shared[i]];
            continue;
        }
        if (block == ts->n_handles)
            PARA_TRY(register_block(ts, s, block, s->store.data[i], err));
        ts->place[i] = (struct place){ts->handles[block], ts->blocks.offset[i], memory_node(ts->machine, b->gpu[i])};
    }
    list_handles(ts);
    return 0;
}

/* The workers of a group: with as many workers as groups or more, a run of neighbours; with fewer, one each in turn. */
static bool in_group(int worker, int workers, int group, int groups)
{
    return groups <= workers ? worker * groups / workers == group : group % workers == worker;
}

/* A task for CPUs that is of a group to the group's workers, by StarPU's numbers. */
static int restrict_workers(struct para_tasks *ts, struct task *t, int groups)
{
    const int *number = t->session->machine->starpu_worker;
    unsigned words = (starpu_worker_get_count() + 31) / 32;
    int group = t->nodes.of[0]->place;
    if (group < 0 || t->session->plan->gpu[t->nodes.of[0]->id] != PARA_ON_CPUS)
        return 0;
    t->workers = para_arena_alloc(&ts->arena, words * sizeof *t->workers);
    if (!t->workers)
        return PARA_ENOMEM;
    for (int w = 0; w < ts->n_workers; w++)
        if (in_group(w, ts->n_workers, group, groups))
            t->workers[number[w] / 32] |= 1u << (number[w] % 32);
    t->worker_words = words;
    return 0;
}

/* Name a buffer's handle once, with all accesses to what is in it. What the task itself writes first, it reads without
 * a need for what was there before: `first` says that it hasn't used the buffer yet. Returns the handle's slot. */
static int name_buffer(struct task *t, starpu_data_handle_t handle, bool write, bool first)
{
    int slot = 0;
    while (slot < t->n_handles && t->handles[slot] != handle)
        slot++;
    if (slot == t->n_handles) {
        t->handles[slot] = handle;
        t->modes[slot] = STARPU_NONE;
        t->n_handles++;
    }
    int mode = t->modes[slot];
    mode |= write ? STARPU_W : 0;
    mode |= !write && first ? STARPU_R : 0;
    t->modes[slot] = (enum starpu_data_access_mode)mode;
    return slot;
}

static void name_buffers(struct task *t, struct para_tasks *ts, const para_plan *p, int number)
{
    struct operand *o = t->operand;
    for (int i = 0; i < t->nodes.count; i++) {
        const para_node *n = t->nodes.of[i];
        for (int k = 0; k < n->n_in + n->n_out; k++, o++) {
            int buffer = p->buffers.of[para_node_operand(n, k)->id];
            const struct place *place = &ts->place[buffer];
            if (ts->in_place) {
                o->data = address_of(place, STARPU_MAIN_RAM);
                continue;
            }
            o->slot = name_buffer(t, place->handle, k >= n->n_in, ts->used[buffer] != number);
            o->offset = place->offset;
            ts->used[buffer] = number;
        }
    }
}

/* Name the handles of what the task copies itself, too. */
static void name_letters(struct task *t, const struct para_tasks *ts, struct para_letter *letter, int count)
{
    for (int i = 0; i < count; i++) {
        if (letter[i].buffer < 0)
            continue;
        const struct place *place = &ts->place[letter[i].buffer];
        name_buffer(t, place->handle, false, letter[i].flag != NULL); /* what isn't set again stays */
        letter[i].slot = name_buffer(t, place->handle, true, false);
        letter[i].offset = place->offset;
    }
}

static int list_letters(struct para_tasks *ts, struct task *t, int number)
{
    PARA_TRY(para_mail_list(&t->letters, &ts->mail, &ts->arena, t->session, &ts->blocks, number, &t->nodes));
    name_letters(t, ts, t->letters.take, t->letters.n_take);
    name_letters(t, ts, t->letters.give, t->letters.n_give);
    return 0;
}

static int count_operands(const para_node *n)
{
    return n->n_in + n->n_out;
}

/* Whether one of two nodes writes what the other touches, by their operands. */
static bool touch(const para_node *n, const struct operand *of_n, const para_node *m, const struct operand *of_m)
{
    for (int i = 0; i < count_operands(n); i++)
        for (int j = 0; j < count_operands(m); j++)
            if ((i >= n->n_in || j >= m->n_in) && of_n[i].slot == of_m[j].slot && of_n[i].offset == of_m[j].offset)
                return true;
    return false;
}

/* How many nodes, from `first` on, their op's kernel for many can take at once: their scratch lies side by side.
 * *operands is how many they have. */
static int count_together(const struct task *t, size_t scratch_bytes, int first, const struct operand *of_first,
                          int *operands)
{
    const para_node *n = t->nodes.of[first];
    size_t bytes = gpu_scratch(n);
    int count = 1;
    *operands = count_operands(n);
    for (; n->op->cuda_many && first + count < t->nodes.count; count++) {
        const para_node *next = t->nodes.of[first + count];
        const struct operand *of_next = of_first + *operands, *of_k = of_first;
        bool fits = next->op == n->op && bytes + gpu_scratch(next) <= scratch_bytes;
        for (int k = 0; k < count && fits; of_k += count_operands(t->nodes.of[first + k]), k++)
            fits = !touch(t->nodes.of[first + k], of_k, next, of_next);
        if (!fits)
            break;
        bytes += gpu_scratch(next);
        *operands += count_operands(next);
    }
    return count;
}

/* Find what runs at once, and make room for the most. */
static int group_nodes(struct para_tasks *ts, struct task *t, const para_plan *p)
{
    bool on_gpu = p->gpu[t->nodes.of[0]->id] != PARA_ON_CPUS;
    const struct operand *o = t->operand;
    int most = 1, most_operands = 1;
    t->together = para_arena_alloc(&ts->arena, (size_t)t->nodes.count * sizeof *t->together);
    if (!t->together)
        return PARA_ENOMEM;
    for (int i = 0, operands; i < t->nodes.count; i += t->together[i], o += operands) {
        t->together[i] = 1;
        operands = count_operands(t->nodes.of[i]);
        if (on_gpu)
            t->together[i] = count_together(t, p->gpu_scratch_bytes, i, o, &operands);
        most = t->together[i] > most ? t->together[i] : most;
        most_operands = operands > most_operands ? operands : most_operands;
    }
    t->calls = para_arena_alloc(&ts->arena, (size_t)most * sizeof *t->calls);
    t->operands = para_arena_alloc(&ts->arena, (size_t)most_operands * sizeof *t->operands);
    return t->calls && t->operands ? 0 : PARA_ENOMEM;
}

/* The nodes of a task, and how many operands they have. */
static int list_nodes(struct para_tasks *ts, struct task *t, const para_session *s, int number, size_t *all)
{
    const struct para_clusters *c = &s->plan->clusters;
    t->nodes.count = c->first[number + 1] - c->first[number];
    t->nodes.of = para_arena_alloc(&ts->arena, (size_t)t->nodes.count * sizeof *t->nodes.of);
    if (!t->nodes.of)
        return PARA_ENOMEM;
    *all = 0;
    for (int i = 0; i < t->nodes.count; i++) {
        t->nodes.of[i] = s->g->nodes[c->nodes[c->first[number] + i]];
        *all += (size_t)count_operands(t->nodes.of[i]);
    }
    return 0;
}

static int create_task(struct starpu_task **out, para_session *s, para_error *err)
{
    *out = starpu_task_create();
    if (!*out)
        return para_fail_memory(err, "tasks");
    s->counters.tasks_created++;
    return 0;
}

static int make_task(struct para_tasks *ts, para_session *s, int number, para_error *err)
{
    struct task *t = &ts->tasks[number];
    size_t all;
    if (list_nodes(ts, t, s, number, &all) < 0)
        return para_fail_memory(err, "tasks");
    t->handles = para_arena_alloc(&ts->arena, all * sizeof *t->handles);
    t->modes = para_arena_alloc(&ts->arena, all * sizeof *t->modes);
    t->operand = para_arena_alloc(&ts->arena, all * sizeof *t->operand);
    t->launch.base = para_arena_alloc(&ts->arena, all * sizeof *t->launch.base);
    if (!t->handles || !t->modes || !t->operand || !t->launch.base)
        return para_fail_memory(err, "tasks");
    if (!ts->crew)
        PARA_TRY(create_task(&t->starpu, s, err));
    ts->n_tasks++;
    t->session = s;
    name_buffers(t, ts, s->plan, number);
    if (s->plan->gpu[t->nodes.of[0]->id] != PARA_ON_CPUS && list_letters(ts, t, number) < 0)
        return para_fail_memory(err, "tasks");
    if (group_nodes(ts, t, s->plan) < 0 || restrict_workers(ts, t, s->plan->groups) < 0)
        return para_fail_memory(err, "tasks");
    if (!ts->crew)
        fill_task(t);
    return 0;
}

/* Whether no more tasks are ready than there are workers, and StarPU brings nothing anywhere for them. Those of a
 * training step are long. Who names a scheduler wants each task to be scheduled. */
static bool wants_crew(const struct para_tasks *ts, const para_session *s)
{
    return ts->in_place && s->plan->clusters.narrow && !s->g->has_backward &&
           strcmp(s->machine->scheduler, "prio") == 0;
}

static int make_crew(struct para_tasks *ts, para_session *s, para_error *err)
{
    ts->crew = para_crew_new(&s->plan->clusters);
    ts->members = para_arena_alloc(&ts->arena, sizeof *ts->members * (size_t)ts->n_workers);
    if (!ts->crew || !ts->members)
        return para_fail_memory(err, "tasks");
    for (int w = 0; w < ts->n_workers; w++) {
        struct member *m = &ts->members[w];
        *m = (struct member){.session = s, .worker = w};
        PARA_TRY(create_task(&m->starpu, s, err));
        ts->n_members++;
        m->starpu->cl = &crew_codelet;
        m->starpu->name = crew_codelet.name;
        m->starpu->cl_arg = m;
        m->starpu->destroy = 0;
        m->starpu->sequential_consistency = 0;
        m->starpu->execute_on_a_specific_worker = 1;
        m->starpu->workerid = (unsigned)s->machine->starpu_worker[w];
    }
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
    const struct para_devices *d = &s->machine->devices;
    size_t bytes = (s->plan->scratch_bytes + 63) / 64 * 64;
    ts->n_workers = s->machine->workers;
    ts->scratch = para_arena_alloc(&ts->arena, sizeof *ts->scratch * (size_t)(ts->n_workers + d->n_gpus));
    if (!ts->scratch)
        return para_fail_memory(err, "kernel scratch");
    for (int w = 0; w < ts->n_workers && bytes; w++)
        if (!(ts->scratch[w] = aligned_alloc(64, bytes)))
            return para_fail_memory(err, "kernel scratch");
    for (int i = 0; i < d->count && s->plan->gpu_scratch_bytes; i++)
        if (d->gpu[i] != PARA_ON_CPUS)
            PARA_TRY(
                para_cuda_new(&ts->scratch[ts->n_workers + ts->n_gpus++], d->gpu[i], s->plan->gpu_scratch_bytes, err));
    return 0;
}

int para_tasks_new(para_session *s, para_error *err)
{
    struct para_tasks *ts = calloc(1, sizeof *ts);
    if (!ts)
        return para_fail_memory(err, "tasks");
    s->tasks = ts;
    ts->machine = s->machine;
    ts->in_place = s->machine->memories == 1 && !s->options.implicit;
    PARA_TRY(make_scratch(ts, s, err));
    PARA_TRY(register_buffers(ts, s, err));
    PARA_TRY(para_mail_new(&ts->mail, &ts->arena, s, &ts->blocks, err));
    ts->tasks = para_arena_alloc(&ts->arena, sizeof *ts->tasks * (size_t)(s->plan->clusters.count + 1));
    if (!ts->tasks)
        return para_fail_memory(err, "tasks");
    if (wants_crew(ts, s))
        PARA_TRY(make_crew(ts, s, err));
    for (int i = 0; i < s->plan->clusters.count; i++)
        PARA_TRY(make_task(ts, s, i, err));
    for (int i = 0; i < s->plan->clusters.count && !s->options.implicit && !ts->crew; i++)
        PARA_TRY(declare_edges(ts, s->plan, i, err));
    return 0;
}

void para_tasks_free(struct para_tasks *ts)
{
    if (!ts)
        return;
    for (int i = 0; i < ts->n_tasks; i++) {
        if (ts->tasks[i].starpu) {
            take_back(ts->tasks[i].starpu);
            starpu_task_destroy(ts->tasks[i].starpu);
        }
        para_cuda_graph_free(ts->tasks[i].launch.graph);
    }
    for (int w = 0; w < ts->n_members; w++)
        starpu_task_destroy(ts->members[w].starpu);
    para_crew_free(ts->crew);
    for (int i = 0; i < ts->n_handles; i++)
        starpu_data_unregister_no_coherency(ts->handles[i]); /* nothing is needed any more */
    para_blocks_free(&ts->blocks);
    for (int w = 0; w < ts->n_workers && ts->scratch; w++)
        free(ts->scratch[w]);
    for (int g = 0; g < ts->n_gpus; g++)
        para_cuda_free(ts->scratch[ts->n_workers + g]);
    para_mail_free(&ts->mail);
    para_arena_free(&ts->arena);
    free(ts);
}
