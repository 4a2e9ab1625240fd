/* The index of ancestors and the edges that it leaves, held to sets of ancestors of a bit per pair of nodes. */
#include "tests/graph-text.h"
#include "tests/random-graph.h"

#include <paragraph/ops.h>
#include <paragraph/optim.h>

#include <stdlib.h>

#include "graph/liveness.h"
#include "graph/reach.h"

enum { GRAPHS = 1000 };

/* A bit for each pair of nodes. */
struct ancestors {
    size_t words;
    uint64_t *rows;
};

static struct ancestors ancestors_new(int nodes)
{
    struct ancestors a = {.words = ((size_t)nodes + 63) / 64};
    a.rows = calloc(a.words * (size_t)nodes + 1, sizeof *a.rows);
    assert_non_null(a.rows);
    return a;
}

static bool is_ancestor(const struct ancestors *a, int before, int node)
{
    return a->rows[a->words * (size_t)node + (size_t)before / 64] >> (before % 64) & 1;
}

static void add_ancestor(struct ancestors *a, int before, int node)
{
    uint64_t *row = a->rows + a->words * (size_t)node, *other = a->rows + a->words * (size_t)before;
    for (size_t w = 0; w <= (size_t)before / 64; w++)
        row[w] |= other[w];
    row[before / 64] |= (uint64_t)1 << (before % 64);
}

/* Let each node wait for its edges' nodes and for some nodes more. */
static void fill(const para_graph *g, struct dice *dice, struct para_reach *r, struct ancestors *a)
{
    para_error err = {0};
    para_deps *d = NULL;
    must(para_deps_new(&d, g, NULL, &err), err);
    for (int i = 0; i < g->n_nodes; i++) {
        int count;
        const para_edge *e = para_deps_of(d, i, &count);
        for (int k = 0; k < count; k++) {
            para_reach_wait(r, e[k].from, i);
            add_ancestor(a, e[k].from, i);
        }
        for (int k = i ? roll(dice, 3) : 0; k > 0; k--) {
            int from = roll(dice, i);
            para_reach_wait(r, from, i);
            add_ancestor(a, from, i);
        }
        assert_int_equal(para_reach_close(r, i), 0);
    }
    para_deps_free(d);
}

/* Whatever waits are added to whatever graph, every pair is told right: by tables, by searches where there is no room
 * for tables, and, begun anew, once more. A search that may give up never says yes where it is no. */
static void pairs_are_told_right(void **state)
{
    (void)state;
    int64_t given_up = 0;
    for (int number = 0; number < GRAPHS; number++) {
        struct dice dice = {.seed = 7000 + (uint64_t)number};
        para_graph *g = random_graph(&dice, 4 + number % 60, number % 3 ? RANDOM_UPDATES : RANDOM_TRAINING);
        size_t blocks = number % 4 == 0 ? 0 : number % 4 == 1 ? 20 : PARA_REACH_BLOCKS(g->n_nodes);
        struct para_reach *r = para_reach_new(g, blocks);
        assert_non_null(r);
        for (int again = 0; again < 2; again++) {
            struct ancestors a = ancestors_new(g->n_nodes);
            para_reach_restart(r);
            fill(g, &dice, r, &a);
            for (int to = 0; to < g->n_nodes; to++)
                for (int from = 0; from < g->n_nodes; from++) {
                    bool is = is_ancestor(&a, from, to);
                    assert_graph(g, para_reach_precedes(r, from, to, PARA_REACH_SURELY) == is, "graph %d, %d to %d",
                                 number, from, to);
                    bool few = para_reach_precedes(r, from, to, 2);
                    assert_true(is || !few);
                    given_up += is && !few;
                }
            free(a.rows);
        }
        para_reach_free(r);
        para_graph_free(g);
    }
    assert_true(given_up > GRAPHS);
}

/* Edges that no path of others implies. */
static int count_needed(const para_graph *g, const para_deps *d)
{
    struct ancestors a = ancestors_new(g->n_nodes);
    int needed = 0, count;
    for (int i = 0; i < g->n_nodes; i++) {
        const para_edge *e = para_deps_of(d, i, &count);
        for (int k = count - 1; k >= 0; k--) {
            needed += !is_ancestor(&a, e[k].from, i);
            add_ancestor(&a, e[k].from, i);
        }
    }
    free(a.rows);
    return needed;
}

/* Edges of values and of shared buffers, and what the index and the sets tell of some pairs. */
static void check_graph(const para_graph *g, struct dice *dice)
{
    para_error err = {0};
    para_deps *d = NULL;
    struct para_buffers b;
    must(para_deps_new(&d, g, NULL, &err), err);
    assert_int_equal(para_deps_edge_count(d), count_needed(g, d));
    must(para_buffers_new(&b, g, d, NULL, 1 + roll(dice, 8), &err), err);
    para_deps_free(d);
    must(para_deps_new(&d, g, b.of, &err), err);
    assert_int_equal(para_deps_edge_count(d), count_needed(g, d));
    para_deps_free(d);
    para_buffers_free(&b);
}

/* A step of residual layers, in parts: ops of no name of their own, long chains, and branches that end late. */
static para_graph *layered(int layers, int batch, const char *split)
{
    para_error err = {0};
    para_graph *g = para_graph_new(), *cut = NULL, *out = NULL;
    assert_non_null(g);
    para_tensor *x = para_input(g, "x", PARA_F32, PARA_DIMS({"batch", batch}, {"embd", 8}));
    for (int l = 0; l < layers; l++) {
        char name[2][16];
        snprintf(name[0], sizeof name[0], "w%d", l);
        snprintf(name[1], sizeof name[1], "v%d", l);
        para_tensor *w = para_param(g, name[0], PARA_DIMS({"embd", 8}, {"ff", 16}), (para_init){0});
        para_tensor *v = para_param(g, name[1], PARA_DIMS({"ff", 16}, {"embd", 8}), (para_init){0});
        x = para_add(g, x, para_matmul(g, para_gelu(g, para_matmul(g, x, w, "embd")), v, "ff"));
    }
    para_tensor *loss = para_output(para_reduce_mean(g, para_mul(g, x, x), ""));
    para_adamw_options adamw = para_adamw_default();
    must(para_graph_backward(g, loss, &err), err);
    must(para_graph_adamw(g, &adamw, &err), err);
    must(para_graph_seal(g, &err), err);
    must(para_graph_split_list(&cut, g, split, NULL, 0, &err), err);
    must(para_graph_accumulate(&out, cut, &err), err);
    para_graph_free(cut);
    para_graph_free(g);
    return out;
}

static void edges_are_as_few_as_can_be(void **state)
{
    (void)state;
    struct dice dice = {.seed = 77};
    for (int number = 0; number < GRAPHS; number++) {
        struct dice own = {.seed = 8000 + (uint64_t)number};
        para_graph *g = random_graph(&own, 4 + number % 60, number % 3 ? RANDOM_UPDATES : RANDOM_TRAINING);
        check_graph(g, &dice);
        para_graph_free(g);
    }
    static const struct {
        int layers, batch;
        const char *split;
    } cases[] = {{400, 4, ""}, {100, 4, "batch=4"}, {20, 8, "batch=8,ff=4"}, {4, 64, "batch=64,ff=2"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        para_graph *g = layered(cases[i].layers, cases[i].batch, cases[i].split);
        assert_true(g->n_nodes > 2000);
        check_graph(g, &dice);
        para_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_told_right),
        cmocka_unit_test(edges_are_as_few_as_can_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
