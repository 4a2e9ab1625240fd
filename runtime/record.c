/* A session's last run, kept as a profile. */
#include "graph/profile.h"

#include "base/fail.h"
#include "runtime/session.h"

#include <math.h>
#include <string.h>

/* Whether `to` puts another value where t lay, not a new version of it. */
static bool reuses(const para_node *to, const para_tensor *t)
{
    for (int k = 0; k < to->n_out; k++)
        if (to->out[k]->storage == t->storage)
            return false;
    return true;
}

static enum para_wait_kind kind_of(const para_graph *g, int to, const para_edge *e)
{
    static const enum para_wait_kind kinds[] = {[PARA_RAW] = PARA_WAIT_RAW,
                                                [PARA_WAR] = PARA_WAIT_WAR,
                                                [PARA_WAW] = PARA_WAIT_WAW,
                                                [PARA_AFTER] = PARA_WAIT_AFTER};
    bool overwrites = e->kind == PARA_WAR || e->kind == PARA_WAW;
    return overwrites && reuses(g->nodes[to], g->tensors[e->tensor]) ? PARA_WAIT_REUSE : kinds[e->kind];
}

static void record_waits(para_profile *p, const para_plan *plan)
{
    int count = 0;
    for (int id = 0; id < p->g->n_nodes; id++) {
        int edges;
        const para_edge *edge = para_deps_of(plan->deps, id, &edges);
        p->first_wait[id] = count;
        for (int e = 0; e < edges; e++)
            p->waits[count++] = (struct para_wait){.from = edge[e].from,
                                                   .kind = kind_of(p->g, id, &edge[e]),
                                                   .tensor = edge[e].tensor,
                                                   .buffer = plan->buffers.of[edge[e].tensor]};
    }
    p->first_wait[p->g->n_nodes] = count;
}

static int64_t whole_ns(double ns)
{
    return ns > 0 ? llround(ns) : 0;
}

static void record_times(para_profile *p, const para_session *s)
{
    for (int i = 0; i < p->g->n_nodes; i++) {
        const para_sample *from = &s->samples[i];
        p->nodes[i] = (struct para_timing){.task = from->task,
                                           .worker = from->worker,
                                           .submit_ns = whole_ns(from->submit_ns),
                                           .ready_ns = whole_ns(from->ready_ns),
                                           .start_ns = whole_ns(from->start_ns),
                                           .end_ns = whole_ns(from->end_ns)};
    }
    for (int w = 0; w < p->workers; w++)
        p->gpu[w] = s->machine ? para_machine_gpu_of(s->machine, w) : -1;
    p->run = s->counters.runs;
    p->wall_ns = whole_ns(s->counters.run_ns);
}

static int record_origin(para_profile *p, const para_profile_origin *origin, para_error *err)
{
    const char *from[] = {origin->command, origin->model, origin->recompute};
    const char **to[] = {&p->command, &p->model, &p->recompute};
    for (int i = 0; i < 3; i++)
        if (from[i] && !(*to[i] = para_arena_string(&p->arena, from[i])))
            return para_fail_memory(err, "a profile");
    return 0;
}

static int record(para_profile *p, const para_session *s, const para_profile_origin *origin, para_error *err)
{
    record_times(p, s);
    record_waits(p, s->plan);
    if (origin)
        PARA_TRY(record_origin(p, origin, err));
    PARA_TRY(para_graph_digest(p->g, p->digest, err));
    return para_profile_order(p, err);
}

int para_profile_record(para_profile **out, const para_session *s, const para_profile_origin *origin, para_error *err)
{
    if (!s->samples)
        return para_fail(err, PARA_EINVAL, "the session keeps no times: make it with options.profile");
    if (s->counters.runs == 0)
        return para_fail(err, PARA_EINVAL, "there was no run to profile");
    if (!s->finished)
        return para_fail(err, PARA_EINVAL, "the last run failed: there is none to profile");
    int workers = s->machine ? para_machine_workers(s->machine) + para_machine_gpu_workers(s->machine) : 1;
    para_profile *p = para_profile_new(s->g, workers, para_deps_edge_count(s->plan->deps));
    if (!p)
        return para_fail_memory(err, "a profile");
    int status = record(p, s, origin, err);
    if (status < 0)
        para_profile_free(p);
    else
        *out = p;
    return status;
}
