/* Clusters: what is put together, what stays apart, and that tasks never wait for each other in a circle. */
#include "tests/graph-text.h"
#include "tests/random-graph.h"

#include <stdlib.h>

#include "graph/cluster.h"
#include "graph/op.h"

struct clustered {
    para_graph *g;
    para_deps *d;
    struct para_clusters c;
};

static struct clustered cluster(para_graph *g)
{
    para_error err = {0};
    struct clustered k = {.g = g};
    must(para_deps_new(&k.d, g, NULL, &err), err);
    must(para_clusters_new(&k.c, g, k.d, &err), err);
    return k;
}

static void done(struct clustered *k)
{
    para_clusters_free(&k->c);
    para_deps_free(k->d);
    para_graph_free(k->g);
}

static bool together(const struct clustered *k, const char *a, const char *b)
{
    return k->c.of[node_of(k->g, a)->id] == k->c.of[node_of(k->g, b)->id];
}

static void chains_of_short_nodes_are_one_task(void **state)
{
    (void)state;
    struct clustered k = cluster(graph_of("x:input[m=64,n=64]; a = gelu(x); b = scale(a, 2); y = gelu(b); output(y)"));
    assert_int_equal(k.c.count, 1);
    assert_int_equal(k.c.n_edges, 0);
    done(&k);
}

/* Both products are long, so that something more urgent may come between; what is short beside them joins them. */
static void long_nodes_stay_apart(void **state)
{
    (void)state;
    struct clustered k = cluster(graph_of("x:input[m=256,k=512]; w:param[k=512,n=512]; v:param[n=512,o=512];"
                                          "a = matmul(x, w, \"k\"); b = gelu(a); y = matmul(b, v, \"n\"); output(y)"));
    assert_true(together(&k, "a", "b"));
    assert_false(together(&k, "b", "y"));
    assert_int_equal(k.c.count, 2);
    assert_int_equal(k.c.n_edges, 1);
    done(&k);
}

/* a and b can run at the same time, and so they must stay able to. */
static void what_can_overlap_stays_apart(void **state)
{
    (void)state;
    struct clustered k = cluster(graph_of("x:input[m=64,n=256]; h = gelu(x); a = gelu(h); b = gelu(h); y = add(a, b);"
                                          "output(y)"));
    assert_false(together(&k, "a", "b"));
    assert_false(together(&k, "h", "a") || together(&k, "h", "b"));
    assert_false(together(&k, "y", "a") || together(&k, "y", "b"));
    done(&k);
}

/* A node of a moment is not worth a task, though another branch waits for it meanwhile. */
static void moments_join_their_neighbours(void **state)
{
    (void)state;
    struct clustered k = cluster(graph_of("x:input[m=256,n=256]; h = gelu(x); s = gelu(h); i:input[]; j = scale(i, 2);"
                                          "k = scale(j, 2); a = reduce_sum(s, \"m n\"); y = add(a, k); output(y)"));
    assert_true(together(&k, "j", "k"));
    assert_true(together(&k, "y", "k") || together(&k, "y", "a"));
    done(&k);
}

static void groups_of_workers_stay_apart(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = graph_of("x:input[n=8]; push(\"p\"); a = gelu(x); pop(); push(\"q\"); b = gelu(p.a); pop(); output(q.b)"),
               *first = NULL, *both = NULL;
    must(para_graph_place(&first, g, "p", 0, &err), err);
    must(para_graph_place(&both, first, "q", 1, &err), err);
    struct clustered k = cluster(both);
    assert_int_equal(k.c.count, 2);
    done(&k);
    para_graph_free(first);
    para_graph_free(g);
}

/* Every node is in one task, in program order there; tasks wait for earlier ones alone, and for all that their nodes
 * wait for. */
static void tasks_keep_every_order(void **state)
{
    (void)state;
    int fewer = 0;
    for (int number = 0; number < 1000; number++) {
        struct dice dice = {.seed = 9000 + (uint64_t)number};
        struct clustered k =
            cluster(random_graph(&dice, 4 + number % 40, number % 3 ? RANDOM_UPDATES : RANDOM_TRAINING));
        const struct para_clusters *c = &k.c;
        assert_int_equal(c->first[c->count], k.g->n_nodes);
        for (int t = 0; t < c->count; t++) {
            assert_true(c->first[t] < c->first[t + 1]);
            for (int i = c->first[t]; i < c->first[t + 1]; i++) {
                assert_int_equal(c->of[c->nodes[i]], t);
                assert_true(i == c->first[t] || c->nodes[i - 1] < c->nodes[i]);
            }
            for (int e = c->first_edge[t]; e < c->first_edge[t + 1]; e++)
                assert_in_range(c->from[e], 0, t - 1);
        }
        for (int n = 0; n < k.g->n_nodes; n++) {
            int count;
            const para_edge *edges = para_deps_of(k.d, n, &count);
            for (int e = 0; e < count; e++) {
                int from = c->of[edges[e].from], to = c->of[n];
                bool waits = from == to;
                for (int i = c->first_edge[to]; i < c->first_edge[to + 1]; i++)
                    waits = waits || c->from[i] == from;
                assert_graph(k.g, waits, "graph %d: node %d waits for node %d", number, n, edges[e].from);
            }
        }
        fewer += c->count < k.g->n_nodes;
        done(&k);
    }
    assert_true(fewer > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_of_short_nodes_are_one_task), cmocka_unit_test(long_nodes_stay_apart),
        cmocka_unit_test(what_can_overlap_stays_apart),       cmocka_unit_test(moments_join_their_neighbours),
        cmocka_unit_test(groups_of_workers_stay_apart),       cmocka_unit_test(tasks_keep_every_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
