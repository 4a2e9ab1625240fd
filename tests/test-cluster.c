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

/* `gpu`, by node id, says where nodes run; NULL: on CPUs. Each value has a buffer of its own. */
static struct clustered cluster_for(para_graph *g, int workers, const int *gpu, size_t most_bytes)
{
    para_error err = {0};
    struct clustered k = {.g = g};
    size_t tensors = (size_t)g->n_tensors + 1, *bytes = must_alloc(tensors * sizeof *bytes);
    int *buffer = must_alloc(tensors * sizeof *buffer);
    for (int t = 0; t < g->n_tensors; t++) {
        buffer[t] = t;
        bytes[t] = para_shape_bytes(&g->tensors[t]->shape);
    }
    const struct para_gpus gpus = {gpu, buffer, bytes, g->n_tensors, most_bytes};
    must(para_deps_new(&k.d, g, NULL, &err), err);
    must(para_clusters_new(&k.c, g, k.d, gpu ? &gpus : NULL, workers, &err), err);
    free(bytes);
    free(buffer);
    return k;
}

/* With so many workers that no width is narrow to them. */
static struct clustered cluster_on(para_graph *g, const int *gpu, size_t most_bytes)
{
    return cluster_for(g, 0, gpu, most_bytes);
}

static struct clustered cluster(para_graph *g)
{
    return cluster_on(g, NULL, 0);
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

/* Unless nothing more urgent ever lacks a worker: a chain has one, and two chains have two. */
static void long_nodes_join_where_workers_are_enough(void **state)
{
    (void)state;
    static const char chain[] = "x:input[m=256,k=512]; w:param[k=512,n=512]; v:param[n=512,k=512];"
                                "a = matmul(x, w, \"k\"); b = matmul(a, v, \"n\");";
    static const char second[] = "c = matmul(x, w, \"k\"); d = matmul(c, v, \"n\"); output(d)";
    for (int workers = 1; workers <= 2; workers++)
        for (int chains = 1; chains <= 2; chains++) {
            para_error err = {0};
            para_graph *g = graph_open(chain), *placed = NULL;
            graph_append(g, chains == 2 ? second : "output(b)");
            must(para_graph_seal(g, &err), err);
            must(para_graph_place(&placed, g, "", 0, &err), err);
            struct clustered k = cluster_for(g, workers, NULL, 0), on_group = cluster_for(placed, workers, NULL, 0);
            assert_int_equal(k.c.count, workers >= chains ? chains : 2 * chains);
            assert_int_equal(on_group.c.count, 2 * chains);
            done(&k);
            done(&on_group);
        }
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
    para_graph *g = graph_of(
                   "x:input[n=8]; push(\"p\"); a = gelu(x); pop(); push(\"q\"); b = gelu(p.a); pop(); output(q.b)"),
               *first = NULL, *both = NULL;
    must(para_graph_place(&first, g, "p", 0, &err), err);
    must(para_graph_place(&both, first, "q", 1, &err), err);
    struct clustered k = cluster(both);
    assert_int_equal(k.c.count, 2);
    done(&k);
    para_graph_free(first);
    para_graph_free(g);
}

static const char two_products[] = "x:input[m=256,k=512]; w:param[k=512,n=512]; v:param[n=512,o=512];"
                                   "a = matmul(x, w, \"k\"); b = gelu(a); y = matmul(b, v, \"n\"); z = gelu(x);"
                                   "output(y); output(z)";

/* On one GPU all is one task, however long and independent its nodes. */
static void all_of_a_gpu_is_one_task(void **state)
{
    (void)state;
    static const int gpu[4] = {0};
    struct clustered k = cluster_on(graph_of(two_products), gpu, 0);
    assert_int_equal(k.c.count, 1);
    assert_int_equal(k.c.n_edges, 0);
    done(&k);
}

/* a: x, w and itself, 2 MiB; with b 2.5, with y and v 4. */
static void memory_bounds_a_task(void **state)
{
    (void)state;
    static const int gpu[4] = {0};
    struct clustered k = cluster_on(graph_of(two_products), gpu, 3 << 20);
    assert_true(together(&k, "a", "b"));
    assert_false(together(&k, "b", "y"));
    done(&k);
    k = cluster_on(graph_of(two_products), gpu, 1);
    assert_int_equal(k.c.count, 4);
    done(&k);
}

/* b runs on another device: a ends its task, so that b can begin, and c, which waits for b, begins one, which d, that
 * waits for nothing, needn't wait for. */
static void what_crosses_ends_a_task(void **state)
{
    (void)state;
    for (int other = -1; other <= 1; other += 2) {
        const int gpu[] = {0, 0, 0, other, 0, 0};
        struct clustered k =
            cluster_on(graph_of("x:input[n=8]; o = gelu(x); a = gelu(o); d = scale(x, 2); b = scale(a, 2);"
                                "c = gelu(b); e = scale(c, 2); output(e); output(d)"),
                       gpu, 0);
        assert_true(together(&k, "o", "a"));
        assert_false(together(&k, "a", "d"));
        assert_false(together(&k, "d", "c"));
        assert_true(together(&k, "c", "e"));
        assert_int_equal(k.c.count, 4);
        done(&k);
    }
}

/* s waits for a of another device and has time: the way by b, c and d is longer. So a's task goes on, by b; with c it
 * would make s late, as c would end when d should. */
static void what_has_time_to_cross_does_not(void **state)
{
    (void)state;
    static const int gpu[] = {0, 0, 0, 0, 1};
    struct clustered k = cluster_on(graph_of("x:input[n=4096]; a = gelu(x); b = gelu(x); c = gelu(b); d = gelu(c);"
                                             "s = scale(a, 2); output(d); output(s)"),
                                    gpu, 0);
    assert_true(together(&k, "a", "b"));
    assert_false(together(&k, "b", "c"));
    assert_true(together(&k, "c", "d"));
    assert_int_equal(k.c.count, 3);
    done(&k);
}

/* Two stages on two GPUs, two micro-batches: each is a task of each stage, so that the second stage begins with the
 * first while the first stage is at the second. */
static void micro_batches_are_tasks_of_their_own(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = graph_of("x:input[batch=4,k=8]; w:param[k=8,n=8]; v:param[n=8,o=8]; a = matmul(x, w, \"k\");"
                             "b = gelu(a); c = matmul(b, v, \"n\"); y = gelu(c); output(y)"),
               *cut = NULL;
    must(para_graph_split(&cut, g, "batch", 2, &err), err);
    int *gpu = must_alloc((size_t)cut->n_nodes * sizeof *gpu), tasks[2] = {0};
    for (int i = 0; i < cut->n_nodes; i++)
        gpu[i] = cut->nodes[i]->origin >= node_of(g, "c")->id;
    struct clustered k = cluster_on(cut, gpu, 0);
    for (int t = 0; t < k.c.count; t++) {
        const para_node *n = cut->nodes[k.c.nodes[k.c.first[t]]];
        tasks[gpu[n->id]] += n->part[0] != '\0';
        for (int i = k.c.first[t]; i < k.c.first[t + 1]; i++)
            assert_string_equal(cut->nodes[k.c.nodes[i]]->part, n->part);
    }
    assert_true(tasks[0] >= 2 && tasks[1] >= 2);
    free(gpu);
    done(&k);
    para_graph_free(g);
}

/* Tasks have numbers by rounds over the tasks that have none, in the order of their first nodes: each that waits for
 * nothing without a number gets one. */
static void check_numbers(const struct clustered *k)
{
    const struct para_clusters *c = &k->c;
    int *number = must_alloc(sizeof *number * ((size_t)c->count + 1)), next = 0;
    for (int t = 0; t < c->count; t++)
        number[t] = -1;
    while (next < c->count)
        for (int n = 0; n < k->g->n_nodes; n++) {
            int t = c->of[n];
            bool ready = c->nodes[c->first[t]] == n && number[t] < 0;
            for (int e = c->first_edge[t]; e < c->first_edge[t + 1]; e++)
                ready = ready && number[c->from[e]] >= 0;
            if (ready)
                number[t] = next++;
        }
    for (int t = 0; t < c->count; t++)
        assert_int_equal(number[t], t);
    free(number);
}

static void check_order(const struct clustered *k, int number)
{
    const struct para_clusters *c = &k->c;
    check_numbers(k);
    assert_int_equal(c->first[c->count], k->g->n_nodes);
    for (int t = 0; t < c->count; t++) {
        assert_true(c->first[t] < c->first[t + 1]);
        for (int i = c->first[t]; i < c->first[t + 1]; i++) {
            assert_int_equal(c->of[c->nodes[i]], t);
            assert_true(i == c->first[t] || c->nodes[i - 1] < c->nodes[i]);
        }
        for (int e = c->first_edge[t]; e < c->first_edge[t + 1]; e++)
            assert_in_range(c->from[e], 0, t - 1);
    }
    for (int n = 0; n < k->g->n_nodes; n++) {
        int count;
        const para_edge *edges = para_deps_of(k->d, n, &count);
        for (int e = 0; e < count; e++) {
            int from = c->of[edges[e].from], to = c->of[n];
            bool waits = from == to;
            for (int i = c->first_edge[to]; i < c->first_edge[to + 1]; i++)
                waits = waits || c->from[i] == from;
            assert_graph(k->g, waits, "graph %d: node %d waits for node %d", number, n, edges[e].from);
        }
    }
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
        check_order(&k, number);
        fewer += k.c.count < k.g->n_nodes;
        done(&k);
    }
    assert_true(fewer > 500);
}

/* The same on random devices, CPUs among them, of which each runs some nodes in a row; and no task has two. */
static void tasks_on_devices_keep_every_order(void **state)
{
    (void)state;
    int fewer = 0;
    for (int number = 0; number < 1000; number++) {
        struct dice dice = {.seed = 19000 + (uint64_t)number};
        para_graph *g = random_graph(&dice, 4 + number % 40, number % 3 ? RANDOM_UPDATES : RANDOM_TRAINING);
        int *gpu = must_alloc(((size_t)g->n_nodes + 1) * sizeof *gpu), here = 0;
        for (int i = 0; i < g->n_nodes; i++)
            gpu[i] = here = roll(&dice, 4) ? here : roll(&dice, 4) - 1;
        struct clustered k = cluster_on(g, gpu, number % 2 ? 0 : 400);
        check_order(&k, number);
        for (int t = 0; t < k.c.count; t++)
            for (int i = k.c.first[t]; i < k.c.first[t + 1]; i++)
                assert_int_equal(gpu[k.c.nodes[i]], gpu[k.c.nodes[k.c.first[t]]]);
        fewer += k.c.count < g->n_nodes;
        free(gpu);
        done(&k);
    }
    assert_true(fewer > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_of_short_nodes_are_one_task),
        cmocka_unit_test(long_nodes_stay_apart),
        cmocka_unit_test(long_nodes_join_where_workers_are_enough),
        cmocka_unit_test(what_can_overlap_stays_apart),
        cmocka_unit_test(moments_join_their_neighbours),
        cmocka_unit_test(groups_of_workers_stay_apart),
        cmocka_unit_test(tasks_keep_every_order),
        cmocka_unit_test(all_of_a_gpu_is_one_task),
        cmocka_unit_test(memory_bounds_a_task),
        cmocka_unit_test(what_has_time_to_cross_does_not),
        cmocka_unit_test(what_crosses_ends_a_task),
        cmocka_unit_test(micro_batches_are_tasks_of_their_own),
        cmocka_unit_test(tasks_on_devices_keep_every_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
