/* A session's values, in and out by their names, and their first ones. What lies in a GPU's memory goes through a block
 * of main memory, piece by piece, so that main memory holds no copy. A machine's workers draw first values together. */
#include "runtime/session.h"

#include "base/dtype.h"
#include "runtime/cuda.h"

#include <starpu.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Make, or take in, `count` elements of a tile from number `first` on. */
typedef void piece_function(const para_session *s, const para_tensor *t, int64_t first, int64_t count, void *piece,
                            void *user);

/* Elements that a worker draws at a time. */
enum { SHARE = 4096 * PARA_BLOCK };

/* A piece that workers draw together. */
struct drawing {
    const para_tensor *t;
    uint64_t seed;
    int64_t first, count;
    char *piece;
    atomic_llong begun;
};

/* Take shares until there are no more; which worker draws one changes nothing. */
static void draw_shares(void *argument)
{
    struct drawing *d = argument;
    for (int64_t at; (at = atomic_fetch_add(&d->begun, SHARE)) < d->count;) {
        int64_t count = d->count - at < SHARE ? d->count - at : SHARE;
        para_fill_initial(d->t, d->seed, d->first + at, count, d->piece + para_dtype_span(d->t->shape.dtype, at));
    }
}

static void draw_piece(const para_session *s, const para_tensor *t, int64_t first, int64_t count, void *piece,
                       void *user)
{
    struct drawing d = {.t = t, .seed = s->options.seed, .first = first, .count = count, .piece = piece};
    (void)user;
    if (s->machine && count > SHARE)
        starpu_execute_on_each_worker(draw_shares, &d, STARPU_CPU);
    else
        draw_shares(&d);
}

static void set_piece(const para_session *s, const para_tensor *t, int64_t first, int64_t count, void *piece,
                      void *user)
{
    (void)s;
    const void *const *whole = user;
    para_tile_take(&t->shape, first, count, piece, *whole);
}

static void get_piece(const para_session *s, const para_tensor *t, int64_t first, int64_t count, void *piece,
                      void *whole)
{
    (void)s;
    para_tile_put(&t->shape, first, count, piece, whole);
}

/* Go through a tile in a GPU's memory, at `home`. */
static int go_through(const para_session *s, const para_tensor *t, char *home, bool write, piece_function *go,
                      void *user, para_error *err)
{
    int64_t elements = para_shape_elements(&t->shape);
    para_dtype dtype = t->shape.dtype;
    int64_t most = (int64_t)(PARA_STAGING_BYTES / para_dtype_bytes(dtype)) * para_dtype_block(dtype);
    for (int64_t first = 0; first < elements; first += most) {
        int64_t count = elements - first < most ? elements - first : most;
        char *there = home + para_dtype_span(dtype, first);
        size_t bytes = para_dtype_span(dtype, count);
        if (!write)
            PARA_TRY(para_cuda_copy(s->machine->staging, there, bytes, err));
        go(s, t, first, count, s->machine->staging, user);
        if (write)
            PARA_TRY(para_cuda_copy(there, s->machine->staging, bytes, err));
    }
    return 0;
}

static int access_tile(para_session *s, const para_tensor *t, bool write, piece_function *go, void *user,
                       para_error *err)
{
    int buffer = s->plan->buffers.of[t->id], status = 0;
    void *home = s->store.data[buffer], *mail = s->tasks ? para_tasks_mail(s->tasks, buffer) : NULL;
    if (mail) {
        go(s, t, 0, para_shape_elements(&t->shape), mail, user);
        if (write)
            para_tasks_mail_set(s->tasks, buffer);
        return 0;
    }
    if (s->tasks && para_tasks_acquire(s->tasks, buffer, write, &home) != 0)
        return para_fail(err, PARA_EDEVICE, "\"%s\" can't be reached in memory", t->name);
    if (s->plan->buffers.gpu[buffer] < 0)
        go(s, t, 0, para_shape_elements(&t->shape), home, user);
    else
        status = go_through(s, t, home, write, go, user, err);
    if (s->tasks)
        para_tasks_release(s->tasks, buffer);
    return status;
}

static bool is_own(const para_session *s, const para_tensor *t)
{
    int buffer = s->plan->buffers.of[t->id];
    return !s->store.borrowed[buffer] && !s->store.lent[buffer];
}

/* What can't be read where the caller has it. */
static int copy_lent(para_session *s, const para_lent *l, para_error *err)
{
    const void *whole = l->data;
    for (int i = 0; i < s->g->n_tensors; i++) {
        const para_tensor *t = s->g->tensors[i];
        bool lent = t->kind == PARA_PARAMETER && !t->producer && strcmp(t->base, l->name) == 0;
        if (lent && is_own(s, t))
            PARA_TRY(access_tile(s, t, true, set_piece, &whole, err));
    }
    return 0;
}

int para_values_begin(para_session *s, para_error *err)
{
    bool frozen = para_graph_has_frozen(s->g);
    if (s->tasks)
        PARA_TRY(para_tasks_clear(s->tasks, err));
    for (int i = 0; i < s->g->n_tensors; i++) {
        const para_tensor *t = s->g->tensors[i];
        bool kept = t->kind == PARA_PARAMETER || t->kind == PARA_STATE || t->kind == PARA_COPY;
        bool drawn = t->init.kind != PARA_INIT_FILL, zero = !drawn && t->init.mean == 0;
        bool undrawn = drawn && s->options.no_draws && t->frozen == frozen;
        if (kept && !t->producer && !zero && is_own(s, t) && !undrawn)
            PARA_TRY(access_tile(s, t, true, draw_piece, NULL, err));
    }
    for (int k = 0; k < s->options.lent_count; k++)
        PARA_TRY(copy_lent(s, &s->options.lent[k], err));
    return 0;
}

/* Whether a tile of a parameter is read in the caller's memory. */
static bool is_lent(const para_session *s, const char *name)
{
    bool lent = false;
    for (int i = 0; i < s->g->n_tensors && !lent; i++)
        lent = s->store.lent[s->plan->buffers.of[i]] && strcmp(s->g->tensors[i]->base, name) == 0;
    return lent;
}

static bool holds_value(const para_tensor *t, const char *name)
{
    return strcmp(t->base, name) == 0 && (!t->producer || t->is_output);
}

/* Check name and size of a whole value; returns its first tile, or NULL with the error filled. */
static const para_tensor *find_value(const para_session *s, const char *name, size_t bytes, bool write, para_error *err)
{
    for (int i = 0; i < s->g->n_tensors; i++) {
        const para_tensor *t = s->g->tensors[i];
        if (!holds_value(t, name) || (write && t->producer) || t->kind == PARA_COPY)
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

/* Round a parameter's values into its copies, of which `rounded` has room for all. */
static int set_copy(para_session *s, const para_tensor *t, const float *data, uint16_t *rounded, para_error *err)
{
    const void *whole = rounded;
    for (size_t e = 0; e < para_shape_whole_bytes(&t->shape) / sizeof *rounded; e++)
        rounded[e] = para_bf16_of(data[e]);
    return access_tile(s, t, true, set_piece, &whole, err);
}

static int set_copies(para_session *s, const char *name, const void *data, para_error *err)
{
    for (int i = 0; i < s->g->n_tensors; i++) {
        const para_tensor *t = s->g->tensors[i];
        if (t->kind != PARA_COPY || strcmp(t->copies, name) != 0)
            continue;
        uint16_t *rounded = malloc(para_shape_whole_bytes(&t->shape));
        int status = rounded ? set_copy(s, t, data, rounded, err) : para_fail_memory(err, name);
        free(rounded);
        PARA_TRY(status);
    }
    return 0;
}

int para_session_set(para_session *s, const char *name, const void *data, size_t bytes, para_error *err)
{
    para_error local;
    err = err ? err : &local;
    const para_tensor *first = find_value(s, name, bytes, true, err);
    if (!first)
        return err->code;
    if (is_lent(s, name))
        return para_fail(err, PARA_EINVAL, "\"%s\" is read in memory lent by the caller, and can't be set", name);
    for (int i = first->id; i < s->g->n_tensors; i++) {
        const para_tensor *t = s->g->tensors[i];
        if (t->producer || strcmp(t->base, name) != 0)
            continue;
        PARA_TRY(access_tile(s, t, true, set_piece, &data, err));
        s->is_set[i] = true;
    }
    return first->kind == PARA_PARAMETER ? set_copies(s, name, data, err) : 0;
}

int para_session_get(para_session *s, const char *name, void *data, size_t bytes, para_error *err)
{
    para_error local;
    err = err ? err : &local;
    const para_tensor *first = find_value(s, name, bytes, false, err);
    if (!first)
        return err->code;
    for (int i = first->id; i < s->g->n_tensors; i++)
        if (holds_value(s->g->tensors[i], name))
            PARA_TRY(access_tile(s, s->g->tensors[i], false, get_piece, data, err));
    return 0;
}
