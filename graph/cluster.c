/* Clustering: edges of the dependency graph are contracted, one after another, where that makes no cycle.
 *
 * An edge from a to b can be contracted if b is all that waits for a, or a is all that b waits for: another way from a
 * to b, which would become a cycle, would begin at another successor of a and end at another predecessor of b. */
#include "graph/cluster.h"

#include "base/fail.h"
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

/* Nominal nanoseconds. What nodes in a chain may add to the longest of them: enough for a task to be worth its cost at
 * rates well above the nominal ones, or QUARTER of that node, so that nothing more urgent waits much longer than it would
 * for that node alone. And how long others may be kept waiting by all that joined a group though they could have gone on. */
static const double SHORT_NS = 200000.0, QUARTER = 0.25, MOMENT_NS = PARA_TASK_NS / 4;

enum { NONE = -1, MANY = -2 };

/* What nodes have been put together, by the first of them. */
struct group {
    int last;       /* node; the chain through `next` ends there */
    double cost_ns; /* of all */
    double most_ns; /* of the longest node */
    double kept_ns; /* of those that keep others waiting */
};

struct contraction {
    const para_graph *g;
    const para_deps *d;
    int *leader; /* by node: towards the first node of its group */
    int *next;   /* by node: another of its group, or NONE */
    struct group *group;
    int *first_after, *after; /* the nodes that wait for each */
};

static int leader_of(struct contraction *c, int node)
{
    while (c->leader[node] != node)
        node = c->leader[node] = c->leader[c->leader[node]];
    return node;
}

static void list_successors(struct contraction *c)
{
    int n = c->g->n_nodes, count;
    for (int i = 0; i < n; i++) {
        const para_edge *edges = para_deps_of(c->d, i, &count);
        for (int e = 0; e < count; e++)
            c->first_after[edges[e].from + 1]++;
    }
    for (int i = 0; i < n; i++)
        c->first_after[i + 1] += c->first_after[i];
    int *filled = c->next; /* not yet in use */
    memset(filled, 0, sizeof *filled * (size_t)n);
    for (int i = 0; i < n; i++) {
        const para_edge *edges = para_deps_of(c->d, i, &count);
        for (int e = 0; e < count; e++)
            c->after[c->first_after[edges[e].from] + filled[edges[e].from]++] = i;
    }
}

/* The one group that waits for a group, or NONE or MANY. */
static int successor(struct contraction *c, int group)
{
    int found = NONE;
    for (int n = group; n != NONE; n = c->next[n])
        for (int e = c->first_after[n]; e < c->first_after[n + 1]; e++) {
            int other = leader_of(c, c->after[e]);
            if (other != group && found != NONE && other != found)
                return MANY;
            found = other != group ? other : found;
        }
    return found;
}

/* The one group that a group waits for, or NONE or MANY. */
static int predecessor(struct contraction *c, int group)
{
    int found = NONE;
    for (int n = group; n != NONE; n = c->next[n]) {
        int count;
        const para_edge *edges = para_deps_of(c->d, n, &count);
        for (int e = 0; e < count; e++) {
            int other = leader_of(c, edges[e].from);
            if (other != group && found != NONE && other != found)
                return MANY;
            found = other != group ? other : found;
        }
    }
    return found;
}

/* Whether to join b to a; *kept_ns is what then keeps others waiting. */
static bool belong_together(struct contraction *c, int a, int b, double *kept_ns)
{
    const struct group *before = &c->group[a], *behind = &c->group[b];
    bool chain = successor(c, a) == b, only = predecessor(c, b) == a;
    *kept_ns = chain && only ? 0 : (chain ? before : behind)->cost_ns;
    if (chain && only) {
        double most = before->most_ns > behind->most_ns ? before->most_ns : behind->most_ns;
        double added = before->cost_ns + behind->cost_ns - most;
        return added <= SHORT_NS || added <= QUARTER * most;
    }
    return (chain && before->cost_ns + behind->kept_ns <= MOMENT_NS) ||
           (only && behind->cost_ns + before->kept_ns <= MOMENT_NS);
}

static void join(struct contraction *c, int a, int b, double kept_ns)
{
    int first = a < b ? a : b, second = a < b ? b : a;
    struct group *to = &c->group[first], *from = &c->group[second];
    c->leader[second] = first;
    c->next[to->last] = second;
    to->last = from->last;
    to->kept_ns += from->kept_ns + kept_ns;
    to->cost_ns += from->cost_ns;
    to->most_ns = from->most_ns > to->most_ns ? from->most_ns : to->most_ns;
}

static void contract(struct contraction *c)
{
    for (bool changed = true; changed;) {
        changed = false;
        for (int i = 0; i < c->g->n_nodes; i++) {
            int count;
            const para_edge *edges = para_deps_of(c->d, i, &count);
            for (int e = 0; e < count; e++) {
                int a = leader_of(c, edges[e].from), b = leader_of(c, i);
                double kept_ns;
                if (a == b || c->g->nodes[a]->place != c->g->nodes[b]->place || !belong_together(c, a, b, &kept_ns))
                    continue;
                join(c, a, b, kept_ns);
                changed = true;
            }
        }
    }
}

/* Number the groups so that none waits for a later one: pass after pass over their first nodes, those that wait for
 * nothing unnumbered. Most graphs take one pass. */
static void number_groups(struct contraction *c, struct para_clusters *out)
{
    int n = c->g->n_nodes, numbered = 0;
    for (int i = 0; i < n; i++)
        out->of[i] = NONE;
    while (numbered < n)
        for (int i = 0; i < n; i++) {
            bool ready = c->leader[i] == i && out->of[i] == NONE;
            for (int k = i; k != NONE && ready; k = c->next[k]) {
                int count;
                const para_edge *edges = para_deps_of(c->d, k, &count);
                for (int e = 0; e < count && ready; e++)
                    ready = leader_of(c, edges[e].from) == i || out->of[edges[e].from] != NONE;
            }
            for (int k = i; k != NONE && ready; k = c->next[k], numbered++)
                out->of[k] = out->count;
            out->count += ready;
        }
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

static bool allocate(struct contraction *c, struct para_clusters *out)
{
    size_t nodes = (size_t)c->g->n_nodes + 1, edges = (size_t)para_deps_edge_count(c->d) + 1;
    c->leader = calloc(nodes, sizeof *c->leader);
    c->next = calloc(nodes, sizeof *c->next);
    c->group = calloc(nodes, sizeof *c->group);
    c->first_after = calloc(nodes, sizeof *c->first_after);
    c->after = calloc(edges, sizeof *c->after);
    out->of = calloc(nodes, sizeof *out->of);
    out->first = calloc(nodes, sizeof *out->first);
    out->nodes = calloc(nodes, sizeof *out->nodes);
    out->first_edge = calloc(nodes, sizeof *out->first_edge);
    out->from = calloc(edges, sizeof *out->from);
    return c->leader && c->next && c->group && c->first_after && c->after && out->of && out->first && out->nodes &&
           out->first_edge && out->from;
}

int para_clusters_new(struct para_clusters *out, const para_graph *g, const para_deps *d, para_error *err)
{
    struct para_clusters found = {0};
    struct contraction c = {.g = g, .d = d};
    bool allocated = allocate(&c, &found);
    if (allocated) {
        list_successors(&c);
        for (int i = 0; i < g->n_nodes; i++) {
            double ns = para_node_time_ns(g->nodes[i]);
            c.leader[i] = i;
            c.next[i] = NONE;
            c.group[i] = (struct group){.last = i, .cost_ns = ns, .most_ns = ns};
        }
        contract(&c);
        number_groups(&c, &found);
        list_nodes(&c, &found, c.next);
        list_edges(&c, &found, c.leader);
    }
    free(c.leader);
    free(c.next);
    free(c.group);
    free(c.first_after);
    free(c.after);
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
