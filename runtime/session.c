/* Sessions: a graph, its plan, its memory, and one of two ways to run. */
#include "runtime/session.h"

#include "runtime/cuda.h"
#include "runtime/limits.h"
#include "runtime/machine.h"

#include <paragraph/ops.h>

#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const unsigned long long NO_FAULT = ~0ull;

para_session_options para_session_default(void)
{
    return (para_session_options){.seed = 1};
}

double para_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e9 * (double)t.tv_sec + (double)t.tv_nsec;
}

void para_keep_error(para_session *s, const para_node *n, int status, const char *message)
{
    pthread_mutex_lock(&s->lock);
    if (n->id < s->failed_node) {
        s->failed_node = n->id;
        s->status = para_fail(&s->error, status, "%s: %s", n->name, message);
    }
    pthread_mutex_unlock(&s->lock);
}

void para_run_calls(para_session *s, struct para_call calls[], int count, int worker)
{
    const para_node *n = calls->node;
    const struct para_cuda *cuda = calls->cuda;
    para_error err = {0};
    if (n->id > s->failed_node)
        return;
    for (int i = 0; i < count; i++) {
        calls[i].seed = s->options.seed;
        calls[i].fault = cuda ? &s->fault[calls[i].node->id] : NULL;
        calls[i].err = &err;
    }
    para_sample *sample = s->samples ? &s->samples[n->id] : NULL;
    if (sample) {
        sample->worker = worker;
        sample->start_ns = para_now_ns() - s->run_began_ns;
    }
    int status = count > 1 ? n->op->cuda_many(calls, count)
                 : cuda    ? n->op->cuda(calls)
                           : para_op_call(calls, s->options.reference);
    if (sample)
        sample->end_ns = para_now_ns() - s->run_began_ns;
    if (sample && cuda)
        para_cuda_mark(s->marks[worker - s->machine->workers], n->id, cuda->stream);
    if (status < 0)
        para_keep_error(s, n, status, err.message);
}

/* What kernels for GPUs have noted is said as those for CPUs say it, and forgotten. */
static void read_faults(para_session *s)
{
    for (int i = 0; i < s->g->n_nodes && s->fault; i++) {
        unsigned long long fault = s->fault[i];
        if (fault == NO_FAULT)
            continue;
        const para_node *n = s->g->nodes[i];
        para_error err = {0};
        int status = n->op->complain(n, (int64_t)(fault >> 32), (int32_t)fault, &err);
        para_keep_error(s, n, status, err.message);
        s->fault[i] = NO_FAULT;
    }
}

static int make_faults(para_session *s, para_error *err)
{
    if (!s->machine->devices.n_gpus)
        return 0;
    void *memory = NULL;
    PARA_TRY(para_cuda_mapped_new(&memory, ((size_t)s->g->n_nodes + 1) * sizeof *s->fault, err));
    s->fault = memory;
    for (int i = 0; i < s->g->n_nodes; i++)
        s->fault[i] = NO_FAULT;
    return 0;
}

/* Find the other session's buffer of a kept value; -1 if it has none of that name. */
static int find_shared(const para_session *other, const para_tensor *t, int *buffer, para_error *err)
{
    *buffer = -1;
    for (int i = 0; i < other->g->n_tensors; i++) {
        const para_tensor *o = other->g->tensors[i];
        if (o->kind != t->kind || o->producer || strcmp(o->base, t->base) != 0)
            continue;
        if (para_shape_same_tile(&o->shape, &t->shape)) {
            *buffer = other->plan->buffers.of[i];
            return 0;
        }
        *buffer = -2;
    }
    if (*buffer == -1)
        return 0;
    char text[PARA_SHAPE_TEXT];
    return para_fail(err, PARA_ESHAPE,
                     "\"%s\" is %s, which the session to share with has in another shape or other "
                     "tiles; split both graphs alike",
                     t->name, para_shape_text(&t->shape, text));
}

static bool has_parameter(const para_graph *g, const char *base)
{
    bool found = false;
    for (int i = 0; i < g->n_tensors && !found; i++)
        found = g->tensors[i]->kind == PARA_PARAMETER && strcmp(g->tensors[i]->base, base) == 0;
    return found;
}

/* The parameter's first tile that a lent value is of. */
static const para_tensor *find_lent(const para_session *s, const para_lent *l, para_error *err)
{
    for (int i = 0; i < s->g->n_tensors; i++) {
        const para_tensor *t = s->g->tensors[i];
        size_t bytes = para_shape_whole_bytes(&t->shape);
        if (t->kind != PARA_PARAMETER || t->producer || strcmp(t->base, l->name) != 0)
            continue;
        if (bytes == l->bytes)
            return t;
        para_fail(err, PARA_ESHAPE, "\"%s\" takes %zu bytes, %zu are lent", l->name, bytes, l->bytes);
        return NULL;
    }
    para_fail(err, PARA_ENAME, "no parameter is called \"%s\", of which a value is lent", l->name);
    return NULL;
}

/* Find, by buffer, what can be read where the caller has it: in main memory, never written, its elements together. */
static int find_all_lent(const para_session *s, const void **lent, para_error *err)
{
    const struct para_buffers *b = &s->plan->buffers;
    para_error local;
    err = err ? err : &local;
    for (int k = 0; k < s->options.lent_count; k++) {
        const para_lent *l = &s->options.lent[k];
        const para_tensor *first = find_lent(s, l, err);
        if (!first)
            return err->code;
        for (int i = first->id; i < s->g->n_tensors; i++) {
            const para_tensor *t = s->g->tensors[i];
            size_t offset;
            if (!t->producer && strcmp(t->base, l->name) == 0 && b->gpu[b->of[i]] < 0 &&
                para_tile_together(&t->shape, &offset))
                lent[b->of[i]] = (const char *)l->data + offset;
        }
    }
    for (int i = 0; i < s->g->n_tensors; i++)
        if (s->g->tensors[i]->producer)
            lent[b->of[i]] = NULL;
    return 0;
}

/* Main memory that the session takes: its own buffers, none of which is lent, and scratch. */
static size_t main_memory_of(const para_session *s, const void *const *lent)
{
    const struct para_buffers *b = &s->plan->buffers;
    size_t bytes = s->plan->scratch_bytes * (size_t)(s->machine ? s->machine->workers : 1);
    for (int i = 0; i < b->count; i++)
        if (b->gpu[i] < 0 && !lent[i] && !(s->shared && s->shared[i] >= 0))
            bytes += b->bytes[i];
    return bytes;
}

/* Refuse what can't fit into main memory, before anything is allocated: the system would give it, and end the program
 * once it is used. */
static int take_main_memory(para_session *s, const void *const *lent, para_error *err)
{
    enum { SMALL = 64 << 20 };
    const double gib = 1 << 30;
    size_t own = s->main_taken = main_memory_of(s, lent), all = own;
    if (s->machine)
        all = s->machine->main_taken += own;
    if (own <= SMALL)
        return 0;
    struct para_limits limits = para_limits_read("");
    struct para_memory memory = para_limits_memory(&limits);
    if ((double)all > (double)memory.most)
        return para_fail(err, PARA_ENOMEM,
                         "the run takes %.3f GiB of memory, and %s has %.3f; a smaller batch%s takes less",
                         (double)all / gib, limits.bytes == memory.bytes ? "its control group" : "this machine",
                         (double)memory.most / gib, s->g->has_backward ? ", or recomputing (--recompute)," : "");
    if ((double)own > (double)memory.free)
        para_log(PARA_LOG_WARNING, "the run takes %.3f GiB of memory, and %.3f are free", (double)own / gib,
                 (double)memory.free / gib);
    return 0;
}

static int make_own_store(para_session *s, const struct para_store *lender, para_error *err)
{
    const struct para_buffers *b = &s->plan->buffers;
    const void **lent = calloc((size_t)b->count + 1, sizeof *lent);
    int status = lent ? find_all_lent(s, lent, err) : para_fail_memory(err, "buffers");
    if (status == 0)
        status = take_main_memory(s, lent, err);
    if (status == 0)
        status = para_store_new(&s->store, b, lender, s->shared, lent, err);
    free(lent);
    return status;
}

/* Make memory: own buffers, and those that another session or the caller lends. */
static int make_store(para_session *s, para_error *err)
{
    const para_session *other = s->options.share;
    const struct para_buffers *b = &s->plan->buffers;
    if (!other)
        return make_own_store(s, NULL, err);
    if (other->machine != s->machine)
        return para_fail(err, PARA_EINVAL, "sessions that share run on one machine, or both serially");
    s->shared = malloc(((size_t)b->count + 1) * sizeof *s->shared);
    int status = s->shared ? 0 : para_fail_memory(err, "sharing a session's memory");
    for (int i = 0; i < b->count && status == 0; i++)
        s->shared[i] = -1;
    for (int i = 0; i < s->g->n_tensors && status == 0; i++) {
        const para_tensor *t = s->g->tensors[i];
        if (t->kind != PARA_PARAMETER && t->kind != PARA_STATE && t->kind != PARA_COPY)
            continue;
        int *shared = &s->shared[b->of[i]];
        status = find_shared(other, t, shared, err);
        if (status == 0 && *shared < 0 && t->kind == PARA_COPY && has_parameter(other->g, t->copies))
            status = para_fail(err, PARA_ESHAPE,
                               "\"%s\" is shared with a session that has no bfloat16 copy of it; give both graphs one "
                               "precision",
                               t->copies);
    }
    return status == 0 ? make_own_store(s, &other->store, err) : status;
}

/* Inputs that nodes read, or that are outputs, must be set before the first run. */
static int note_inputs(para_session *s, para_error *err)
{
    s->is_set = malloc((size_t)s->g->n_tensors + 1);
    if (!s->is_set)
        return para_fail_memory(err, "making a session");
    for (int i = 0; i < s->g->n_tensors; i++)
        s->is_set[i] = s->g->tensors[i]->kind != PARA_INPUT || !s->g->tensors[i]->is_output;
    for (int i = 0; i < s->g->n_nodes; i++)
        for (int k = 0; k < s->g->nodes[i]->n_in; k++)
            if (s->g->nodes[i]->in[k]->kind == PARA_INPUT)
                s->is_set[s->g->nodes[i]->in[k]->id] = false;
    return 0;
}

/* A GPU's memory that the session takes: what the plan says, but for what another session has already. */
static size_t memory_of(const para_session *s, int device)
{
    const struct para_devices *d = &s->machine->devices;
    size_t bytes = s->plan->gpu_bytes[device];
    for (int b = 0; b < s->plan->buffers.count && d->gpu[device] != PARA_ON_CPUS; b++)
        if (s->store.borrowed[b] && s->plan->buffers.gpu[b] == d->gpu[device])
            bytes -= para_gpu_rounded(s->plan->buffers.bytes[b]);
    return bytes;
}

static int check_memory(const para_session *s, int device, para_error *err)
{
    const para_machine *m = s->machine;
    const double gib = 1 << 30;
    size_t free_bytes = m->devices.bytes[device] - m->taken[device];
    int gpu = m->devices.gpu[device];
    if (memory_of(s, device) > free_bytes)
        return para_fail(err, PARA_ENOMEM,
                         "cuda:%d: the run takes %.3f GiB of memory, and %.3f are free; a smaller batch, recomputing "
                         "(--recompute), or more devices (--spread, --stages) take less",
                         gpu, (double)memory_of(s, device) / gib, (double)free_bytes / gib);
    return 0;
}

/* Refuse what can't fit into the GPUs, before anything is allocated there. */
static int take_memory(para_session *s, para_error *err)
{
    for (int i = 0; s->machine && i < s->machine->devices.count; i++)
        if (s->machine->devices.gpu[i] != PARA_ON_CPUS)
            PARA_TRY(check_memory(s, i, err));
    for (int i = 0; s->machine && i < s->machine->devices.count; i++)
        s->machine->taken[i] += s->taken[i] = memory_of(s, i);
    return 0;
}

/* Tell once of what runs on CPUs for want of a kernel. */
static void log_left_out(const para_session *s)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;
    const struct para_devices *d = &s->machine->devices;
    const para_node *first = NULL;
    int nodes = 0;
    for (int i = 0; i < s->g->n_nodes; i++)
        if (s->plan->gpu[i] == PARA_ON_CPUS && !para_devices_place_on_cpus(d, s->g->nodes[i])) {
            first = first ? first : s->g->nodes[i];
            nodes++;
        }
    if (first && !atomic_flag_test_and_set(&told))
        para_log(PARA_LOG_WARNING, "%d of %d nodes have no kernel for GPUs and run on CPUs; the first is %s (%s)",
                 nodes, s->g->n_nodes, first->name, first->op->name);
}

static int plan_on_machine(para_session *s, para_error *err)
{
    const struct para_devices *d = &s->machine->devices;
    PARA_TRY(para_plan_new_on(&s->plan, s->g, s->machine->workers, d, err));
    if (d->n_gpus)
        log_left_out(s);
    if (d->n_gpus > 1 && !s->plan->groups)
        para_log(PARA_LOG_WARNING, "running on one GPU of %d: nothing is placed on the others (--spread, --stages)",
                 d->n_gpus);
    return 0;
}

static int prepare(para_session *s, para_error *err)
{
    if (s->machine)
        PARA_TRY(plan_on_machine(s, err));
    else
        PARA_TRY(para_plan_new(&s->plan, s->g, 1, err));
    PARA_TRY(make_store(s, err));
    PARA_TRY(take_memory(s, err));
    PARA_TRY(note_inputs(s, err));
    if (s->options.profile)
        PARA_TRY(para_samples_prepare(s, err));
    if (s->machine) {
        PARA_TRY(make_faults(s, err));
        PARA_TRY(para_tasks_new(s, err));
    } else
        PARA_TRY(para_serial_prepare(s, err));
    return para_values_begin(s, err);
}

int para_session_new(para_session **out, const para_graph *g, para_machine *m, const para_session_options *options,
                     para_error *err)
{
    const char *provider;
    if (options && options->reference && m)
        return para_fail(err, PARA_EINVAL, "reference kernels run on the serial interpreter alone");
    PARA_TRY(para_matmul_provider(&provider, err)); /* of kernels: chosen before they run, on this thread */
    para_session *s = calloc(1, sizeof *s);
    if (!s || pthread_mutex_init(&s->lock, NULL) != 0) {
        free(s);
        return para_fail_memory(err, "making a session");
    }
    s->g = g;
    s->machine = m;
    s->options = options ? *options : para_session_default();
    int status = prepare(s, err);
    if (status == 0)
        status = para_check_blas_room(m ? m->workers : 1, 0, err);
    if (status < 0)
        para_session_free(s);
    else
        *out = s;
    return status;
}

void para_session_free(para_session *s)
{
    if (!s)
        return;
    para_tasks_free(s->tasks);
    for (int i = 0; s->machine && i < s->machine->devices.count; i++)
        s->machine->taken[i] -= s->taken[i];
    if (s->machine)
        s->machine->main_taken -= s->main_taken;
    if (s->fault)
        para_cuda_mapped_free(s->fault);
    para_store_free(&s->store);
    para_plan_free(s->plan);
    free(s->shared);
    free(s->scratch);
    free(s->operands);
    para_samples_free(s);
    free(s->is_set);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int check_ready(const para_session *s, para_error *err)
{
    if (s->broken)
        return para_fail(err, PARA_EDEVICE, "the session is broken since a run failed: %s", s->error.message);
    for (int i = 0; i < s->g->n_tensors; i++)
        if (!s->is_set[i])
            return para_fail(err, PARA_EINVAL, "input \"%s\" was never set", s->g->tensors[i]->base);
    return 0;
}

/* Once, or, of one task on a GPU, several times at once. */
static int run(para_session *s, int times, para_error *err)
{
    PARA_TRY(check_ready(s, err));
    s->status = 0;
    s->finished = false;
    s->failed_node = INT_MAX;
    s->run_began_ns = para_now_ns();
    int status = s->samples ? para_samples_begin(s, err) : 0;
    if (status < 0)
        return status;
    if (s->tasks)
        status = para_tasks_run(s, times);
    else
        para_serial_run(s);
    read_faults(s);
    s->counters.run_ns = para_now_ns() - s->run_began_ns;
    s->counters.runs += times;
    if (status < 0 || s->status < 0)
        return para_fail(err, s->error.code, "%s", s->error.message);
    if (s->samples)
        para_samples_finish(s);
    s->finished = true;
    return 0;
}

int para_session_run(para_session *s, para_error *err)
{
    return run(s, 1, err);
}

int para_session_run_times(para_session *s, int times, para_error *err)
{
    bool at_once = s->tasks && !s->samples && para_tasks_repeat(s->tasks);
    if (times < 1)
        return para_fail(err, PARA_ERANGE, "%d runs, expected at least one", times);
    if (at_once)
        return run(s, times, err);
    for (int i = 0; i < times; i++)
        PARA_TRY(run(s, 1, err));
    return 0;
}

para_session_counters para_session_count(const para_session *s)
{
    return s->counters;
}

size_t para_session_gpu_bytes(const para_session *s, int gpu)
{
    for (int i = 0; s->machine && i < s->machine->devices.count; i++)
        if (s->machine->devices.gpu[i] == gpu)
            return s->taken[i];
    return 0;
}
