/* The samples of a session: what each node's run took. */
#include "runtime/session.h"

#include "base/fail.h"
#include "runtime/cuda.h"

#include <math.h>
#include <stdlib.h>

int para_samples_prepare(para_session *s, para_error *err)
{
    s->samples = calloc((size_t)s->g->n_nodes + 1, sizeof *s->samples);
    if (!s->samples)
        return para_fail_memory(err, "the profile");
    for (int i = 0; i < s->g->n_nodes; i++)
        s->samples[i] = (para_sample){
            .node = i, .task = s->machine ? s->plan->clusters.of[i] : i, .bytes = para_node_bytes(s->g->nodes[i])};
    if (!s->machine || !s->machine->devices.n_gpus)
        return 0;
    const struct para_devices *d = &s->machine->devices;
    int marks = s->g->n_nodes + s->plan->clusters.count, made = 0;
    s->marks = calloc((size_t)d->n_gpus, sizeof *s->marks);
    if (!s->marks)
        return para_fail_memory(err, "the profile");
    for (int i = 0; i < d->count; i++)
        if (d->gpu[i] != PARA_ON_CPUS)
            PARA_TRY(para_cuda_marks_new(&s->marks[made++], d->gpu[i], marks, err));
    return 0;
}

void para_samples_free(para_session *s)
{
    for (int i = 0; s->marks && i < s->machine->devices.n_gpus; i++)
        para_cuda_marks_free(s->marks[i]);
    free(s->marks);
    free(s->samples);
}

int para_samples_begin(para_session *s, para_error *err)
{
    for (int i = 0; s->marks && i < s->machine->devices.n_gpus; i++)
        PARA_TRY(para_cuda_marks_begin(s->marks[i], err));
    s->marks_began_ns = para_now_ns() - s->run_began_ns;
    return 0;
}

void para_samples_enter(para_session *s, const para_node *n, int worker, const struct para_cuda *cuda)
{
    if (s->samples)
        para_cuda_mark(s->marks[worker - s->machine->workers], s->g->n_nodes + s->plan->clusters.of[n->id],
                       cuda->stream);
}

void para_samples_submit(para_session *s, const para_node *n)
{
    s->samples[n->id].submit_ns = para_now_ns() - s->run_began_ns;
}

/* When a task ended: its last node. */
static double end_of(const para_session *s, int task)
{
    const struct para_clusters *c = &s->plan->clusters;
    return s->samples[c->nodes[c->first[task + 1] - 1]].end_ns;
}

/* Kernels of GPUs take their times from the marks around them. */
static void read_marks(para_session *s, int task)
{
    const struct para_clusters *c = &s->plan->clusters;
    int gpu = s->samples[c->nodes[c->first[task]]].worker - s->machine->workers, before = s->g->n_nodes + task;
    for (int i = c->first[task]; i < c->first[task + 1] && gpu >= 0; i++) {
        para_sample *sample = &s->samples[c->nodes[i]];
        sample->start_ns = s->marks_began_ns + para_cuda_marked_ns(s->marks[gpu], before);
        sample->end_ns = s->marks_began_ns + para_cuda_marked_ns(s->marks[gpu], c->nodes[i]);
        before = c->nodes[i];
    }
}

/* When each node could have begun: what its task waits for and the nodes before it in the task had ended. */
void para_samples_finish(para_session *s)
{
    const struct para_clusters *c = &s->plan->clusters;
    for (int t = 0; t < c->count && s->tasks; t++)
        read_marks(s, t);
    for (int t = 0; t < c->count && s->tasks; t++) {
        double ready = s->samples[c->nodes[c->first[t]]].submit_ns;
        for (int e = c->first_edge[t]; e < c->first_edge[t + 1]; e++)
            ready = fmax(ready, end_of(s, c->from[e]));
        for (int i = c->first[t]; i < c->first[t + 1]; i++) {
            para_sample *sample = &s->samples[c->nodes[i]];
            sample->ready_ns = fmax(ready, sample->submit_ns);
            ready = sample->end_ns;
        }
    }
    for (int i = 0; i < s->g->n_nodes && !s->tasks; i++)
        s->samples[i].ready_ns = s->samples[i].submit_ns;
}

const para_sample *para_session_profile(const para_session *s, int *count)
{
    *count = s->samples ? s->g->n_nodes : 0;
    return s->samples;
}
