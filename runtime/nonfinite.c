/* Where numbers stop being finite. A run's buffers are shared in an order that program order keeps, so the serial
 * interpreter can repeat it on them. */
#include "runtime/session.h"

#include "base/dtype.h"
#include "base/fail.h"

#include <math.h>
#include <stdlib.h>

static bool is_finite(const para_session *s, const para_tensor *t)
{
    const float *x = s->store.data[s->plan->buffers.of[t->id]];
    const uint16_t *half = s->store.data[s->plan->buffers.of[t->id]];
    bool full = t->shape.dtype == PARA_F32, finite = true;
    int64_t elements = full || t->shape.dtype == PARA_BF16 ? para_shape_elements(&t->shape) : 0;
    for (int64_t i = 0; i < elements && finite; i++)
        finite = isfinite(full ? x[i] : para_of_bf16(half[i]));
    return finite;
}

/* Whether a node changes what lives from run to run. */
static bool updates(const para_session *s, const para_node *n)
{
    bool found = false;
    for (int k = 0; k < n->n_out; k++)
        found = found || s->g->tensors[n->out[k]->storage]->kind != PARA_INTERMEDIATE;
    return found;
}

static const para_tensor *find_source(const para_session *s)
{
    for (int i = 0; i < s->g->n_tensors; i++)
        if (!s->g->tensors[i]->producer && !is_finite(s, s->g->tensors[i]))
            return s->g->tensors[i];
    return NULL;
}

static const para_tensor *find_output(para_session *s)
{
    for (int i = 0; i < s->g->n_nodes; i++) {
        const para_node *n = s->g->nodes[i];
        if (updates(s, n))
            continue;
        para_serial_node(s, n);
        for (int k = 0; k < n->n_out; k++)
            if (!is_finite(s, n->out[k]))
                return n->out[k];
    }
    return NULL;
}

int para_session_find_nonfinite(para_session *s, const para_tensor **out, para_error *err)
{
    if (s->broken || s->counters.runs == 0)
        return para_fail(err, PARA_EINVAL, "the session %s", s->broken ? "is broken" : "has had no run to repeat");
    if (!s->operands)
        PARA_TRY(para_serial_prepare(s, err));
    para_sample *samples = s->samples;
    void **own = s->store.data, **held = s->tasks ? calloc((size_t)s->store.count + 1, sizeof *held) : NULL;
    if (s->tasks && !held)
        return para_fail_memory(err, "addresses of values");
    bool all = !s->tasks || para_tasks_acquire_all(s->tasks, held) == 0;
    s->samples = NULL; /* of the run that is repeated */
    s->store.data = held ? held : own;
    if (all) {
        const para_tensor *source = find_source(s);
        *out = source ? source : find_output(s);
    }
    s->store.data = own;
    s->samples = samples;
    if (s->tasks && all)
        para_tasks_release_all(s->tasks);
    free(held);
    return all ? 0 : para_fail(err, PARA_EDEVICE, "values can't be brought to main memory");
}
