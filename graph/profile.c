/* Profiles in memory. */
#include "graph/profile.h"

#include "base/fail.h"

#include <stdlib.h>

const char *const para_wait_names[] = {"raw", "war", "waw", "after", "reuse", NULL};

para_profile *para_profile_new(const para_graph *g, int workers, int waits)
{
    para_profile *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    size_t nodes = (size_t)g->n_nodes;
    p->g = g;
    p->workers = workers;
    p->command = p->model = p->recompute = "";
    p->gpu = para_arena_alloc(&p->arena, ((size_t)workers + 1) * sizeof *p->gpu);
    p->nodes = para_arena_alloc(&p->arena, (nodes + 1) * sizeof *p->nodes);
    p->first_wait = para_arena_alloc(&p->arena, (nodes + 1) * sizeof *p->first_wait);
    p->waits = para_arena_alloc(&p->arena, ((size_t)waits + 1) * sizeof *p->waits);
    p->row = para_arena_alloc(&p->arena, (nodes + 1) * sizeof *p->row);
    p->first_row = para_arena_alloc(&p->arena, ((size_t)workers + 1) * sizeof *p->first_row);
    if (p->gpu && p->nodes && p->first_wait && p->waits && p->row && p->first_row)
        return p;
    para_profile_free(p);
    return NULL;
}

void para_profile_free(para_profile *p)
{
    if (!p)
        return;
    para_arena_free(&p->arena);
    para_graph_free(p->own);
    free(p);
}

struct turn {
    const struct para_timing *timing;
    int node;
};

static int compare(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int by_worker_and_time(const void *left, const void *right)
{
    const struct turn *a = left, *b = right;
    int64_t keys[][2] = {{a->timing->worker, b->timing->worker},
                         {a->timing->start_ns, b->timing->start_ns},
                         {a->timing->end_ns, b->timing->end_ns},
                         {a->timing->task, b->timing->task}};
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
        if (keys[k][0] != keys[k][1])
            return compare(keys[k][0], keys[k][1]);
    return compare(a->node, b->node);
}

int para_profile_order(para_profile *p, para_error *err)
{
    int nodes = p->g->n_nodes;
    struct turn *turns = malloc(((size_t)nodes + 1) * sizeof *turns);
    if (!turns)
        return para_fail_memory(err, "a profile");
    for (int i = 0; i < nodes; i++)
        turns[i] = (struct turn){&p->nodes[i], i};
    qsort(turns, (size_t)nodes, sizeof *turns, by_worker_and_time);
    for (int i = 0; i < nodes; i++)
        p->row[i] = turns[i].node;
    free(turns);
    for (int w = 0, at = 0; w <= p->workers; w++) {
        while (at < nodes && p->nodes[p->row[at]].worker < w)
            at++;
        p->first_row[w] = at;
    }
    for (int i = 1; i < nodes; i++) {
        const struct para_timing *before = &p->nodes[p->row[i - 1]], *now = &p->nodes[p->row[i]];
        if (now->worker == before->worker && now->start_ns < before->end_ns)
            return para_fail(err, PARA_EINVAL, "node %d begins at %lld ns on worker %d, where node %d ends at %lld",
                             p->row[i], (long long)now->start_ns, now->worker, p->row[i - 1],
                             (long long)before->end_ns);
    }
    return 0;
}

const para_graph *para_profile_graph(const para_profile *p)
{
    return p->g;
}

const char *para_profile_digest(const para_profile *p)
{
    return p->digest;
}

char *para_profile_device(const para_profile *p, int worker, char text[PARA_DEVICE_TEXT])
{
    snprintf(text, PARA_DEVICE_TEXT, p->gpu[worker] < 0 ? "cpu" : "cuda:%d", p->gpu[worker]);
    return text;
}
