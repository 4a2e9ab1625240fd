/* The dependency analyzer: which nodes must wait for which, and why.
 *
 * Nodes are taken in program order. Of each storage it is known which value it holds, who wrote it and who has read
 * it since; a read waits for the writer (RAW), a write waits for the readers (WAR) and the writer (WAW) of what it
 * overwrites. An edge that a path of others implies is dropped (Aho, Garey and Ullman, 1972). */
#include "graph/deps.h"

#include "base/grow.h"
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

struct para_deps {
    int n, n_edges;
    int *first; /* n + 1: where each node's edges begin */
    para_edge *edges;
    int *level;
    struct para_reach *reach;
};

/* What stands in one storage at a point of the program. */
struct storage {
    const para_tensor *holds;
    int writer; /* -1: filled before the run */
    int *readers;
    int n_readers, capacity;
};

struct analysis {
    const para_graph *g;
    const int *buffers;
    struct storage *storages; /* by tensor id of own storage, then by buffer number */
    int n_storages;
    para_edge *found; /* of the current node, before reduction */
    int n_found, found_capacity;
    int *found_at; /* by node: where it stands in `found`, if it does */
    int edge_capacity;
};

static struct storage *storage_of(const struct analysis *a, const para_tensor *t)
{
    int buffer = a->buffers ? a->buffers[t->id] : -1;
    return &a->storages[buffer >= 0 ? a->g->n_tensors + buffer : t->storage];
}

/* Note that the current node waits for `from`; of several reasons between two nodes the strongest stays. */
static int wait_for(struct analysis *a, int from, para_edge_kind kind, const para_tensor *t)
{
    int at = a->found_at[from];
    if (at < a->n_found && a->found[at].from == from) {
        if (kind < a->found[at].kind)
            a->found[at] = (para_edge){from, kind, t->id};
        return 0;
    }
    if (para_grow(&a->found, a->n_found, &a->found_capacity, sizeof *a->found) < 0)
        return PARA_ENOMEM;
    a->found_at[from] = a->n_found;
    a->found[a->n_found++] = (para_edge){from, kind, t->id};
    return 0;
}

static int read_value(struct analysis *a, const para_node *n, const para_tensor *t, para_error *err)
{
    struct storage *s = storage_of(a, t);
    if (s->holds != t)
        return para_fail(err, PARA_EINVAL, "%s reads \"%s\", whose storage holds \"%s\" by then", n->name, t->name,
                         s->holds ? s->holds->name : "nothing");
    if (s->writer >= 0)
        PARA_TRY(wait_for(a, s->writer, PARA_RAW, t));
    if (s->n_readers && s->readers[s->n_readers - 1] == n->id)
        return 0;
    if (para_grow(&s->readers, s->n_readers, &s->capacity, sizeof *s->readers) < 0)
        return PARA_ENOMEM;
    s->readers[s->n_readers++] = n->id;
    return 0;
}

static int write_value(struct analysis *a, const para_node *n, const para_tensor *t, para_error *err)
{
    struct storage *s = storage_of(a, t);
    bool used = s->writer == n->id || (s->n_readers && s->readers[s->n_readers - 1] == n->id);
    if (t->overwrites && s != storage_of(a, t->overwrites))
        return para_fail(err, PARA_EINVAL, "\"%s\" updates \"%s\" in place but has another buffer", t->name,
                         t->overwrites->name);
    int over = n->op->over[t->output] - 1;
    bool in_place = over >= 0 && over < n->n_in && s->holds == n->in[over];
    for (int i = 0; i < n->n_in && in_place; i++)
        in_place = i == over || storage_of(a, n->in[i]) != s;
    if (!t->overwrites && used && !in_place)
        return para_fail(err, PARA_EINVAL, "%s writes \"%s\" into the buffer of \"%s\", which it uses itself", n->name,
                         t->name, s->holds->name);
    for (int r = 0; r < s->n_readers; r++)
        if (s->readers[r] != n->id)
            PARA_TRY(wait_for(a, s->readers[r], PARA_WAR, s->holds));
    if (s->writer >= 0 && s->writer != n->id)
        PARA_TRY(wait_for(a, s->writer, PARA_WAW, s->holds));
    s->holds = t;
    s->writer = n->id;
    s->n_readers = 0;
    return 0;
}

static int later_first(const void *left, const void *right)
{
    const para_edge *a = left, *b = right;
    return (a->from < b->from) - (a->from > b->from);
}

/* Keep the edges that no other edge implies: a predecessor that is an ancestor of a later one is implied. */
static int reduce(struct para_deps *d, struct analysis *a, int node)
{
    if (a->n_found > 0)
        qsort(a->found, (size_t)a->n_found, sizeof *a->found, later_first);
    int first = d->n_edges;
    d->first[node] = first;
    for (int e = 0; e < a->n_found; e++) {
        int from = a->found[e].from;
        if (para_reach_precedes(d->reach, from, node, PARA_REACH_SEARCH))
            continue;
        if (para_grow(&d->edges, d->n_edges, &a->edge_capacity, sizeof *d->edges) < 0)
            return PARA_ENOMEM;
        d->edges[d->n_edges++] = a->found[e];
        para_reach_wait(d->reach, from, node);
        if (d->level[node] <= d->level[from])
            d->level[node] = d->level[from] + 1;
    }
    for (int i = first, j = d->n_edges - 1; i < j; i++, j--) {
        para_edge swap = d->edges[i];
        d->edges[i] = d->edges[j];
        d->edges[j] = swap;
    }
    return para_reach_close(d->reach, node);
}

static int analyze_node(struct para_deps *d, struct analysis *a, const para_node *n, para_error *err)
{
    a->n_found = 0;
    for (int i = 0; i < n->n_in; i++)
        PARA_TRY(read_value(a, n, n->in[i], err));
    for (int k = 0; k < n->n_out; k++)
        PARA_TRY(write_value(a, n, n->out[k], err));
    for (int i = 0; i < n->n_after; i++)
        PARA_TRY(wait_for(a, n->after[i]->id, PARA_AFTER, n->after[i]->out[0]));
    return reduce(d, a, n->id);
}

/* Values that stand in their storage before the run. */
static int place_sources(struct analysis *a, para_error *err)
{
    for (int t = 0; t < a->g->n_tensors; t++) {
        const para_tensor *source = a->g->tensors[t];
        if (source->producer)
            continue;
        struct storage *s = storage_of(a, source);
        if (s->holds)
            return para_fail(err, PARA_EINVAL, "\"%s\" and \"%s\" share a buffer and are both there before the run",
                             s->holds->name, source->name);
        s->holds = source;
    }
    return 0;
}

static int analyze(struct para_deps *d, struct analysis *a, para_error *err)
{
    int buffers = 0;
    for (int t = 0; a->buffers && t < a->g->n_tensors; t++)
        buffers = a->buffers[t] >= buffers ? a->buffers[t] + 1 : buffers;
    a->n_storages = a->g->n_tensors + buffers;
    a->storages = calloc((size_t)a->n_storages + 1, sizeof *a->storages);
    if (!a->storages)
        return PARA_ENOMEM;
    for (int s = 0; s < a->n_storages; s++)
        a->storages[s].writer = -1;
    PARA_TRY(place_sources(a, err));
    for (int i = 0; i < a->g->n_nodes; i++)
        PARA_TRY(analyze_node(d, a, a->g->nodes[i], err));
    d->first[d->n] = d->n_edges;
    return 0;
}

int para_deps_new(para_deps **out, const para_graph *g, const int *buffers, para_error *err)
{
    struct analysis a = {.g = g, .buffers = buffers};
    para_deps *d = calloc(1, sizeof *d);
    if (!d)
        return para_fail_memory(err, "analyzing a graph");
    size_t n = (size_t)g->n_nodes;
    d->n = g->n_nodes;
    d->first = calloc(n + 1, sizeof *d->first);
    d->level = calloc(n + 1, sizeof *d->level);
    d->reach = para_reach_new(g, PARA_REACH_BLOCKS(n));
    a.found_at = calloc(n + 1, sizeof *a.found_at);
    para_error inner = {0};
    int status = d->first && d->level && d->reach && a.found_at ? analyze(d, &a, &inner) : PARA_ENOMEM;
    for (int s = 0; s < a.n_storages && a.storages; s++)
        free(a.storages[s].readers);
    free(a.storages);
    free(a.found);
    free(a.found_at);
    if (status == 0) {
        *out = d;
        return 0;
    }
    para_deps_free(d);
    return inner.code ? para_fail(err, status, "%s", inner.message) : para_fail_memory(err, "analyzing a graph");
}

void para_deps_free(para_deps *d)
{
    if (!d)
        return;
    free(d->first);
    free(d->edges);
    free(d->level);
    para_reach_free(d->reach);
    free(d);
}

const para_edge *para_deps_of(const para_deps *d, int node, int *count)
{
    *count = d->first[node + 1] - d->first[node];
    return *count ? d->edges + d->first[node] : d->edges; /* a graph without edges has no array */
}

int para_deps_level(const para_deps *d, int node)
{
    return d->level[node];
}

bool para_deps_reaches(const para_deps *d, int from, int to)
{
    return para_reach_precedes(d->reach, from, to, PARA_REACH_SURELY);
}

struct para_reach *para_deps_lend(para_deps *d)
{
    para_reach_restart(d->reach);
    return d->reach;
}

int para_deps_edge_count(const para_deps *d)
{
    return d->n_edges;
}

struct moment {
    double time;
    int change; /* +1 a node starts, -1 one ends */
};

static int by_time(const void *left, const void *right)
{
    const struct moment *a = left, *b = right;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    return a->change - b->change;
}

static int most_at_once(struct moment *moments, size_t count)
{
    int running = 0, peak = 0;
    qsort(moments, count, sizeof *moments, by_time);
    for (size_t i = 0; i < count; i++) {
        running += moments[i].change;
        peak = running > peak ? running : peak;
    }
    return peak;
}

int para_deps_measure(const para_deps *d, const double *cost, para_parallelism *out, int *path, para_error *err)
{
    size_t n = (size_t)d->n;
    double *end = calloc(n + 1, sizeof *end);
    int *before = calloc(n + 1, sizeof *before);
    struct moment *moments = calloc(2 * n + 1, sizeof *moments);
    if (!end || !before || !moments) {
        free(end);
        free(before);
        free(moments);
        return para_fail_memory(err, "measuring a graph");
    }
    int last = -1;
    *out = (para_parallelism){0};
    for (int i = 0; i < d->n; i++) {
        int count;
        const para_edge *edges = para_deps_of(d, i, &count);
        double start = 0, own = cost ? cost[i] : 1.0;
        before[i] = -1;
        for (int e = 0; e < count; e++)
            if (end[edges[e].from] >= start) {
                start = end[edges[e].from];
                before[i] = edges[e].from;
            }
        end[i] = start + own;
        moments[2 * i] = (struct moment){start, 1};
        moments[2 * i + 1] = (struct moment){end[i], -1};
        out->work += own;
        if (last < 0 || end[i] > end[last])
            last = i;
    }
    out->critical = last >= 0 ? end[last] : 0;
    out->average_width = out->critical > 0 ? out->work / out->critical : 0;
    out->peak_width = most_at_once(moments, 2 * n);
    for (int i = last; i >= 0; i = before[i])
        out->path_length++;
    for (int i = last, at = out->path_length - 1; path && i >= 0; i = before[i])
        path[at--] = i;
    free(end);
    free(before);
    free(moments);
    return 0;
}
