/* Clustering: edges of the dependency graph are contracted, one after another, where that makes no cycle.
 *
 * An edge from a to b can be contracted if nothing but b waits for a, or if b waits for nothing but a. Otherwise there
 * may be another way from a to b, by way of x, say; a and b as one task would then wait for x, and x for them:
 *
 *     a -> b,  a -> x -> b        a has two that wait for it, b waits for two: not contracted
 *
 * Clusters keep the edges that leave them and those that enter them in lists, which are joined as the clusters are. An
 * edge that has come to lie within a cluster, or beside another to the same cluster, is dropped when it is met. So each
 * is looked at a few times in all, however large clusters become. */
#include "graph/cluster.h"

#include "base/fail.h"
#include "graph/time.h"

#include <stdlib.h>
#include <string.h>

/* What the other nodes of a chain may add to the longest, at nominal rates: enough for a task to be worth its cost
 * where kernels are some times faster; or this share of the longest node, so that nothing more urgent waits much longer
 * than it would for that node alone. */
static const double CHAIN_ADDS_NS = 200000.0, CHAIN_ADDS_SHARE = 0.25;

/* By how much a graph's width may be more than its workers, and each node that is ready still has one, but for moments.
 */
static const double NARROW = 1.05;

/* How long others may be kept waiting, in all, by what has joined a cluster though they could have gone on: a share of
 * what a task costs. */
static const double OTHERS_WAIT_SHARE = 0.25;

enum { NONE = -1, MANY = -2 };

/* Edges, from `first` to `last` along `next`. */
struct list {
    int first, last;
};

/* Nodes that have been put together; c->cluster[] has it at the first of them. */
struct cluster {
    int last;       /* node; the chain through `next` ends there */
    double cost_ns; /* of all */
    double most_ns; /* of the longest node */
    double kept_ns; /* of those that keep others waiting */
    struct list out, in;
    int waits, round; /* while clusters are numbered: for how many edges it waits yet; in which round it comes */
};

struct contraction {
    const para_graph *g;
    const para_deps *d;
    const struct para_gpus *gpus; /* NULL: none */
    bool narrow;                  /* whatever is ready has a worker */
    int *leader;                  /* by node: towards the first node of its cluster */
    int *next;                    /* by node: another of its cluster, or NONE */
    struct cluster *cluster;
    int *from, *to;          /* by edge, in the order of the nodes that wait */
    int *next_out, *next_in; /* by edge: the next of its lists */
};

static int leader_of(struct contraction *c, int node)
{
    while (c->leader[node] != node)
        node = c->leader[node] = c->leader[c->leader[node]];
    return node;
}

static void append(struct list *to, struct list more, int *next)
{
    if (to->first == NONE)
        *to = more;
    else if (more.first != NONE) {
        next[to->last] = more.first;
        to->last = more.last;
    }
}

/* Each node as a cluster of its own, with its edges. */
static void begin_clusters(struct contraction *c)
{
    int edge = 0, count;
    for (int i = 0; i < c->g->n_nodes; i++) {
        double ns = para_node_time_ns(c->g->nodes[i]);
        c->leader[i] = i;
        c->next[i] = NONE;
        c->cluster[i] =
            (struct cluster){.last = i, .cost_ns = ns, .most_ns = ns, .out = {NONE, NONE}, .in = {NONE, NONE}};
        const para_edge *edges = para_deps_of(c->d, i, &count);
        for (int e = 0; e < count; e++, edge++) {
            c->from[edge] = edges[e].from;
            c->to[edge] = i;
            c->next_out[edge] = c->next_in[edge] = NONE;
            append(&c->cluster[edges[e].from].out, (struct list){edge, edge}, c->next_out);
            append(&c->cluster[i].in, (struct list){edge, edge}, c->next_in);
        }
    }
}

/* The one cluster at the other ends of a cluster's edges, or NONE or MANY. Edges that tell nothing more are dropped. */
static int neighbour(struct contraction *c, int cluster, struct list *edges, int *next, const int *other_end)
{
    int found = NONE, kept = NONE;
    for (int e = edges->first; e != NONE; e = next[e]) {
        int other = leader_of(c, other_end[e]);
        if (other != cluster && other != found) {
            if (found != NONE)
                return MANY;
            found = other;
            kept = e;
            continue;
        }
        if (kept == NONE)
            edges->first = next[e];
        else
            next[kept] = next[e];
        edges->last = edges->last == e ? kept : edges->last;
    }
    return found;
}

static int successor(struct contraction *c, int cluster)
{
    return neighbour(c, cluster, &c->cluster[cluster].out, c->next_out, c->to);
}

static int predecessor(struct contraction *c, int cluster)
{
    return neighbour(c, cluster, &c->cluster[cluster].in, c->next_in, c->from);
}

static bool same_workers(const struct contraction *c, int a, int b)
{
    bool on_cpus = !c->gpus || (c->gpus->of[a] < 0 && c->gpus->of[b] < 0);
    return on_cpus && c->g->nodes[a]->place == c->g->nodes[b]->place;
}

/* Whether to join b to a; *kept_ns is what then keeps others waiting. */
static bool belong_together(struct contraction *c, int a, int b, double *kept_ns)
{
    const struct cluster *before = &c->cluster[a], *behind = &c->cluster[b];
    bool chain = successor(c, a) == b, only = predecessor(c, b) == a;
    *kept_ns = chain && only ? 0 : (chain ? before : behind)->cost_ns;
    if (chain && only) {
        double most = before->most_ns > behind->most_ns ? before->most_ns : behind->most_ns;
        double added = before->cost_ns + behind->cost_ns - most;
        return c->narrow || added <= CHAIN_ADDS_NS || added <= CHAIN_ADDS_SHARE * most;
    }
    double others_ns = OTHERS_WAIT_SHARE * para_rates[PARA_CPU].task_ns;
    return (chain && before->cost_ns + behind->kept_ns <= others_ns) ||
           (only && behind->cost_ns + before->kept_ns <= others_ns);
}

static void join(struct contraction *c, int a, int b, double kept_ns)
{
    int first = a < b ? a : b, second = a < b ? b : a;
    struct cluster *to = &c->cluster[first], *from = &c->cluster[second];
    c->leader[second] = first;
    c->next[to->last] = second;
    to->last = from->last;
    to->kept_ns += from->kept_ns + kept_ns;
    to->cost_ns += from->cost_ns;
    to->most_ns = from->most_ns > to->most_ns ? from->most_ns : to->most_ns;
    append(&to->out, from->out, c->next_out);
    append(&to->in, from->in, c->next_in);
}

/* Put together what are tasks on GPUs. `first` has room for a number of each node. */
static int join_gathered(struct contraction *c, int *first)
{
    if (!c->gpus)
        return 0;
    int status = para_gather(first, c->g, c->d, c->gpus);
    for (int i = 0; i < c->g->n_nodes && status == 0; i++)
        if (first[i] != i)
            join(c, first[i], i, 0);
    return status;
}

static void contract(struct contraction *c)
{
    int edges = para_deps_edge_count(c->d);
    for (bool changed = true; changed;) {
        changed = false;
        for (int e = 0; e < edges; e++) {
            int a = leader_of(c, c->from[e]), b = leader_of(c, c->to[e]);
            double kept_ns;
            if (a == b || !same_workers(c, a, b) || !belong_together(c, a, b, &kept_ns))
                continue;
            join(c, a, b, kept_ns);
            changed = true;
        }
    }
}

/* Count what each cluster waits for, by the edges that are left in its predecessors' lists. Returns the number of
 * clusters that wait for nothing, which are put into `queue`. */
static int count_waits(struct contraction *c, int *queue)
{
    int n = c->g->n_nodes, ready = 0;
    for (int i = 0; i < n; i++)
        for (int e = c->leader[i] == i ? c->cluster[i].out.first : NONE; e != NONE; e = c->next_out[e])
            if (leader_of(c, c->to[e]) != i)
                c->cluster[leader_of(c, c->to[e])].waits++;
    for (int i = 0; i < n; i++)
        if (c->leader[i] == i && c->cluster[i].waits == 0)
            queue[ready++] = i;
    return ready;
}

/* Number the clusters so that none waits for a later one: round after round in the order of their first nodes, as many
 * of the rest as wait for nothing without a number. So a cluster is in the round of the last that it waits for, or in
 * the next one if that begins later in the program. */
static void number_clusters(struct contraction *c, struct para_clusters *out, int *queue, int *first)
{
    int n = c->g->n_nodes, count = count_waits(c, queue);
    for (int q = 0; q < count; q++) {
        int i = queue[q];
        for (int e = c->cluster[i].out.first; e != NONE; e = c->next_out[e]) {
            int other = leader_of(c, c->to[e]), least = c->cluster[i].round + (i > other);
            struct cluster *behind = &c->cluster[other];
            if (other == i)
                continue;
            behind->round = behind->round < least ? least : behind->round;
            if (--behind->waits == 0)
                queue[count++] = other;
        }
    }
    memset(first, 0, sizeof *first * ((size_t)n + 1));
    for (int q = 0; q < count; q++)
        first[c->cluster[queue[q]].round + 1]++;
    for (int r = 0; r < count; r++)
        first[r + 1] += first[r];
    for (int i = 0; i < n; i++)
        if (c->leader[i] == i) {
            int number = first[c->cluster[i].round]++;
            for (int k = i; k != NONE; k = c->next[k])
                out->of[k] = number;
        }
    out->count = count;
}

/* Sort nodes into their tasks, in program order. */
static void list_nodes(const struct contraction *c, struct para_clusters *out, int *filled)
{
    int n = c->g->n_nodes;
    for (int i = 0; i < n; i++)
        out->first[out->of[i] + 1]++;
    for (int t = 0; t < out->count; t++)
        out->first[t + 1] += out->first[t];
    memset(filled, 0, sizeof *filled * (size_t)n);
    for (int i = 0; i < n; i++)
        out->nodes[out->first[out->of[i]] + filled[out->of[i]]++] = i;
}

/* Each task that another waits for, once. */
static void list_edges(const struct contraction *c, struct para_clusters *out, int *seen)
{
    for (int t = 0; t < out->count; t++)
        seen[t] = NONE;
    for (int t = 0; t < out->count; t++) {
        out->first_edge[t] = out->n_edges;
        for (int k = out->first[t]; k < out->first[t + 1]; k++) {
            int count;
            const para_edge *edges = para_deps_of(c->d, out->nodes[k], &count);
            for (int e = 0; e < count; e++) {
                int from = out->of[edges[e].from];
                if (from == t || seen[from] == t)
                    continue;
                seen[from] = t;
                out->from[out->n_edges++] = from;
            }
        }
    }
    out->first_edge[out->count] = out->n_edges;
}

/* Find out whether workers are as many as the graph keeps busy. Of one that is placed, a group's may be fewer. */
static int find_width(struct contraction *c, int workers)
{
    struct para_times t;
    for (int i = 0; i < c->g->n_nodes; i++)
        if (c->g->nodes[i]->place >= 0)
            return 0;
    PARA_TRY(para_times_new(&t, c->g, c->d, 0));
    c->narrow = t.work_ns <= NARROW * workers * t.critical_ns;
    para_times_free(&t);
    return 0;
}

static bool allocate(struct contraction *c, struct para_clusters *out)
{
    size_t nodes = (size_t)c->g->n_nodes + 1, edges = (size_t)para_deps_edge_count(c->d) + 1;
    c->leader = calloc(nodes, sizeof *c->leader);
    c->next = calloc(nodes, sizeof *c->next);
    c->cluster = calloc(nodes, sizeof *c->cluster);
    c->from = calloc(edges, sizeof *c->from);
    c->to = calloc(edges, sizeof *c->to);
    c->next_out = calloc(edges, sizeof *c->next_out);
    c->next_in = calloc(edges > nodes ? edges : nodes, sizeof *c->next_in);
    out->of = calloc(nodes, sizeof *out->of);
    out->first = calloc(nodes, sizeof *out->first);
    out->nodes = calloc(nodes, sizeof *out->nodes);
    out->first_edge = calloc(nodes, sizeof *out->first_edge);
    out->from = calloc(edges, sizeof *out->from);
    return c->leader && c->next && c->cluster && c->from && c->to && c->next_out && c->next_in && out->of &&
           out->first && out->nodes && out->first_edge && out->from;
}

int para_clusters_new(struct para_clusters *out, const para_graph *g, const para_deps *d, const struct para_gpus *gpus,
                      int workers, para_error *err)
{
    struct para_clusters found = {0};
    struct contraction c = {.g = g, .d = d, .gpus = gpus};
    bool allocated = allocate(&c, &found);
    if (allocated) {
        begin_clusters(&c);
        allocated = find_width(&c, workers) == 0 && join_gathered(&c, found.nodes) == 0;
    }
    if (allocated) {
        contract(&c);
        number_clusters(&c, &found, found.nodes, c.next_in);
        list_nodes(&c, &found, c.next);
        list_edges(&c, &found, c.leader);
        found.narrow = c.narrow;
    }
    free(c.leader);
    free(c.next);
    free(c.cluster);
    free(c.from);
    free(c.to);
    free(c.next_out);
    free(c.next_in);
    if (allocated) {
        *out = found;
        return 0;
    }
    para_clusters_free(&found);
    return para_fail_memory(err, "clustering a graph");
}

void para_clusters_free(struct para_clusters *c)
{
    free(c->of);
    free(c->first);
    free(c->nodes);
    free(c->first_edge);
    free(c->from);
    *c = (struct para_clusters){0};
}
