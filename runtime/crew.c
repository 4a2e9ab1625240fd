#include "runtime/crew.h"

#include <stdatomic.h>
#include <stdlib.h>

/* How many tasks, from the first that hasn't been taken on, are looked at. That one waits for none behind it, so it can
 * be taken some day, whatever comes behind these. */
enum { WINDOW = 64, TAKEN = -1 };

struct para_crew {
    const struct para_clusters *tasks;
    int *first, *after; /* task -> where those that wait for it begin in `after`; count + 1 of them */
    atomic_int *waits;  /* by task: for how many it waits yet, or TAKEN */
};

/* Edges by the task that is waited for. */
static void turn_edges(struct para_crew *c)
{
    const struct para_clusters *t = c->tasks;
    for (int e = 0; e < t->n_edges; e++)
        c->first[t->from[e] + 1]++;
    for (int i = 0; i < t->count; i++)
        c->first[i + 1] += c->first[i];
    for (int i = t->count - 1; i >= 0; i--)
        for (int e = t->first_edge[i]; e < t->first_edge[i + 1]; e++)
            c->after[--c->first[t->from[e] + 1]] = i;
    for (int i = 0; i < t->count; i++)
        c->first[i] = c->first[i + 1];
    c->first[t->count] = t->n_edges;
}

struct para_crew *para_crew_new(const struct para_clusters *tasks)
{
    struct para_crew *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->tasks = tasks;
    c->first = calloc((size_t)tasks->count + 1, sizeof *c->first);
    c->after = calloc((size_t)tasks->n_edges + 1, sizeof *c->after);
    c->waits = calloc((size_t)tasks->count + 1, sizeof *c->waits);
    if (!c->first || !c->after || !c->waits) {
        para_crew_free(c);
        return NULL;
    }
    turn_edges(c);
    return c;
}

void para_crew_free(struct para_crew *c)
{
    if (!c)
        return;
    free(c->first);
    free(c->after);
    free(c->waits);
    free(c);
}

void para_crew_begin(struct para_crew *c)
{
    for (int i = 0; i < c->tasks->count; i++)
        atomic_store(&c->waits[i], c->tasks->first_edge[i + 1] - c->tasks->first_edge[i]);
}

int para_crew_take(struct para_crew *c, int *first)
{
    int count = c->tasks->count;
    while (*first < count && atomic_load(&c->waits[*first]) == TAKEN)
        ++*first;
    if (*first == count)
        return PARA_CREW_END;
    for (int i = *first; i < count && i < *first + WINDOW; i++) {
        int none = 0;
        if (atomic_load(&c->waits[i]) == 0 && atomic_compare_exchange_strong(&c->waits[i], &none, TAKEN))
            return i;
    }
    return PARA_CREW_NONE;
}

void para_crew_end(struct para_crew *c, int task)
{
    for (int e = c->first[task]; e < c->first[task + 1]; e++)
        atomic_fetch_sub(&c->waits[c->after[e]], 1);
}
