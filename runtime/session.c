/* Sessions: a graph, its plan, its memory, and one of two ways to run. */
#include "runtime/session.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

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

static void keep_error(para_session *s, const para_node *n, int status, const char *message)
{
    pthread_mutex_lock(&s->lock);
    if (s->status == 0 || n->id < s->failed_node) {
        s->failed_node = n->id;
        s->status = para_fail(&s->error, status, "%s: %s", n->name, message);
    }
    pthread_mutex_unlock(&s->lock);
}

void para_run_node(para_session *s, const para_node *n, void *const in[], void *const out[], void *scratch, int worker)
{
    para_error err = {0};
    struct para_call call = {.node = n, .in = in, .out = out, .scratch = scratch, .seed = s->options.seed, .err = &err};
    para_sample *sample = s->samples ? &s->samples[n->id] : NULL;
    if (sample) {
        sample->worker = worker;
        sample->start_ns = para_now_ns() - s->run_began_ns;
    }
    int status = s->options.reference && n->op->reference ? n->op->reference(&call) : n->op->cpu(&call);
    if (sample)
        sample->end_ns = para_now_ns() - s->run_began_ns;
    if (status < 0)
        keep_error(s, n, status, err.message);
}

static bool holds_value(const para_tensor *t, const char *name)
{
    return strcmp(t->base, name) == 0 && (!t->producer || t->is_output);
}

static int acquire(para_session *s, int buffer, bool write)
{
    return s->tasks ? para_tasks_acquire(s->tasks, buffer, write) : 0;
}

static void release(para_session *s, int buffer)
{
    if (s->tasks)
        para_tasks_release(s->tasks, buffer);
}

static void initialize(para_session *s)
{
    for (int i = 0; i < s->g->n_tensors; i++) {
        const para_tensor *t = s->g->tensors[i];
        int buffer = s->plan->buffers.of[i];
        bool kept = t->kind == PARA_PARAMETER || t->kind == PARA_STATE;
        bool drawn = t->init.kind != PARA_INIT_FILL;
        if (kept && !s->store.borrowed[buffer] && !(drawn && s->options.no_draws))
            para_fill_initial(t, s->options.seed, s->store.data[buffer]);
    }
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

/* Make memory: own buffers, and those that another session lends. */
static int make_store(para_session *s, para_error *err)
{
    const para_session *other = s->options.share;
    const struct para_buffers *b = &s->plan->buffers;
    if (!other)
        return para_store_new(&s->store, b, NULL, err);
    if (other->machine != s->machine)
        return para_fail(err, PARA_EINVAL, "sessions that share run on one machine, or both serially");
    void **lent = calloc((size_t)b->count + 1, sizeof *lent);
    s->shared = malloc(((size_t)b->count + 1) * sizeof *s->shared);
    int status = lent && s->shared ? 0 : para_fail_memory(err, "sharing a session's memory");
    for (int i = 0; i < b->count && status == 0; i++)
        s->shared[i] = -1;
    for (int i = 0; i < s->g->n_tensors && status == 0; i++) {
        const para_tensor *t = s->g->tensors[i];
        if (t->kind != PARA_PARAMETER && t->kind != PARA_STATE)
            continue;
        int *shared = &s->shared[b->of[i]];
        status = find_shared(other, t, shared, err);
        lent[b->of[i]] = status == 0 && *shared >= 0 ? other->store.data[*shared] : NULL;
    }
    if (status == 0)
        status = para_store_new(&s->store, b, lent, err);
    free(lent);
    return status;
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

static int prepare(para_session *s, para_error *err)
{
    PARA_TRY(para_plan_new(&s->plan, s->g, s->machine ? para_machine_workers(s->machine) : 1, err));
    PARA_TRY(make_store(s, err));
    initialize(s);
    PARA_TRY(note_inputs(s, err));
    if (s->options.profile)
        PARA_TRY(para_profile_prepare(s, err));
    if (s->machine)
        return para_tasks_new(s, err);
    return para_serial_prepare(s, err);
}

int para_session_new(para_session **out, const para_graph *g, para_machine *m, const para_session_options *options,
                     para_error *err)
{
    if (options && options->reference && m)
        return para_fail(err, PARA_EINVAL, "reference kernels run on the serial interpreter alone");
    para_session *s = calloc(1, sizeof *s);
    if (!s || pthread_mutex_init(&s->lock, NULL) != 0) {
        free(s);
        return para_fail_memory(err, "making a session");
    }
    s->g = g;
    s->machine = m;
    s->options = options ? *options : para_session_default();
    int status = prepare(s, err);
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
    para_store_free(&s->store);
    para_plan_free(s->plan);
    free(s->shared);
    free(s->scratch);
    free(s->operands);
    free(s->samples);
    free(s->is_set);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Check name and size of a whole value; returns its first tile, or NULL with the error filled. */
static const para_tensor *find_value(const para_session *s, const char *name, size_t bytes, bool write, para_error *err)
{
    for (int i = 0; i < s->g->n_tensors; i++) {
        const para_tensor *t = s->g->tensors[i];
        if (!holds_value(t, name) || (write && t->producer))
            continue;
        if (bytes == para_shape_whole_bytes(&t->shape))
            return t;
        para_fail(err, PARA_ESHAPE, "\"%s\" takes %zu bytes, got %zu", name, para_shape_whole_bytes(&t->shape), bytes);
        return NULL;
    }
    para_fail(err, PARA_ENAME, "no %s is called \"%s\"",
              write ? "input, parameter or state" : "input, parameter, state or output", name);
    return NULL;
}

int para_session_set(para_session *s, const char *name, const void *data, size_t bytes, para_error *err)
{
    para_error local;
    err = err ? err : &local;
    const para_tensor *first = find_value(s, name, bytes, true, err);
    if (!first)
        return err->code;
    for (int i = first->id; i < s->g->n_tensors; i++) {
        const para_tensor *t = s->g->tensors[i];
        int buffer = s->plan->buffers.of[i];
        if (t->producer || strcmp(t->base, name) != 0)
            continue;
        if (acquire(s, buffer, true) != 0)
            return para_fail(err, PARA_EDEVICE, "\"%s\" can't be brought to main memory", name);
        para_tile_take(&t->shape, s->store.data[buffer], data);
        release(s, buffer);
        s->is_set[i] = true;
    }
    return 0;
}

int para_session_get(para_session *s, const char *name, void *data, size_t bytes, para_error *err)
{
    para_error local;
    err = err ? err : &local;
    const para_tensor *first = find_value(s, name, bytes, false, err);
    if (!first)
        return err->code;
    for (int i = first->id; i < s->g->n_tensors; i++) {
        const para_tensor *t = s->g->tensors[i];
        int buffer = s->plan->buffers.of[i];
        if (!holds_value(t, name))
            continue;
        if (acquire(s, buffer, false) != 0)
            return para_fail(err, PARA_EDEVICE, "\"%s\" can't be brought to main memory", name);
        para_tile_put(&t->shape, s->store.data[buffer], data);
        release(s, buffer);
    }
    return 0;
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

int para_session_run(para_session *s, para_error *err)
{
    PARA_TRY(check_ready(s, err));
    s->status = 0;
    s->run_began_ns = para_now_ns();
    int status = 0;
    if (s->tasks)
        status = para_tasks_run(s);
    else
        para_serial_run(s);
    s->counters.run_ns = para_now_ns() - s->run_began_ns;
    s->counters.runs++;
    if (status < 0 || s->status < 0)
        return para_fail(err, s->error.code, "%s", s->error.message);
    if (s->samples)
        para_profile_finish(s);
    return 0;
}

para_session_counters para_session_count(const para_session *s)
{
    return s->counters;
}
