/* The dependency analyzer, held to a brute-force conflict relation, to program order's bytes, and to wrong analyzers
 * that the same checks must catch. */
#include "tests/conflicts.h"
#include "tests/graph-text.h"
#include "tests/random-graph.h"
#include "tests/replay.h"

#include <stdlib.h>
#include <string.h>

#include "graph/liveness.h"
#include "graph/op.h"

enum { GRAPHS = 2000, ORDERS = 8 };

/* The ways in which tensors share storage: updates alone, the memory plan, and whatever is legal. */
enum { OWN, PLANNED, TIGHT, SHARINGS };

struct sample {
    para_graph *g;
    struct dice dice;
    struct para_buffers planned;
    const int *map[SHARINGS];
    int *tight;
};

static para_deps *deps_of(const para_graph *g, const int *buffers)
{
    para_error err = {0};
    para_deps *d = NULL;
    must(para_deps_new(&d, g, buffers, &err), err);
    return d;
}

static void sample_begin(struct sample *s, int number)
{
    para_error err = {0};
    *s = (struct sample){.dice = {.seed = 1000 + (uint64_t)number}};
    bool training = number % 4 == 3;
    s->g = random_graph(&s->dice, training ? 4 : 6 + number % 20, training ? RANDOM_TRAINING : RANDOM_UPDATES);
    assert_true(s->g->n_nodes <= MAX_NODES);
    para_deps *d = deps_of(s->g, NULL);
    must(para_buffers_new(&s->planned, s->g, d, NULL, 0, &err), err);
    para_deps_free(d);
    s->tight = random_sharing(&s->dice, s->g);
    s->map[PLANNED] = s->planned.of;
    s->map[TIGHT] = s->tight;
}

static void sample_end(struct sample *s)
{
    para_buffers_free(&s->planned);
    free(s->tight);
    para_graph_free(s->g);
}

/* What an analyzer answers, as a relation. */
static struct relation edges_of(const para_deps *d, int n)
{
    struct relation r = {.n = n};
    for (int j = 0; j < n; j++) {
        int count;
        const para_edge *e = para_deps_of(d, j, &count);
        for (int i = 0; i < count; i++)
            r.row[j] |= (uint64_t)1 << e[i].from;
    }
    return r;
}

/* --- orders --- */

/* A topological order: of the nodes that are ready, a random one, or, without dice, the latest. */
static void order_of(const struct relation *direct, struct dice *dice, int order[MAX_NODES])
{
    uint64_t done = 0;
    for (int placed = 0; placed < direct->n; placed++) {
        int ready[MAX_NODES], count = 0;
        for (int i = 0; i < direct->n; i++)
            if (!(done >> i & 1) && !(direct->row[i] & ~done))
                ready[count++] = i;
        assert_true(count > 0);
        order[placed] = ready[dice ? roll(dice, count) : count - 1];
        done |= (uint64_t)1 << order[placed];
    }
}

/* An order that keeps all edges but the one: `to` comes just before `from`, both as early as can be. */
static void order_violating(const struct relation *without, int from, int to, int order[MAX_NODES])
{
    struct relation all = closure(without);
    assert_false(has(&all, from, to));
    uint64_t before = all.row[from] | all.row[to];
    int placed = 0;
    for (int i = 0; i < all.n; i++)
        if (before >> i & 1)
            order[placed++] = i;
    order[placed++] = to;
    order[placed++] = from;
    for (int i = 0; i < all.n; i++)
        if (!(before >> i & 1) && i != from && i != to)
            order[placed++] = i;
    assert_int_equal(placed, all.n);
}

/* How many of a few orders that an analyzer allows give other bytes than program order. */
static int count_wrong_orders(struct replay *r, const int *map, const struct relation *direct, struct dice *dice)
{
    int order[MAX_NODES], wrong = 0;
    for (int k = 0; k < ORDERS; k++) {
        order_of(direct, k ? dice : NULL, order);
        wrong += !replay_agrees(r, map, order);
    }
    return wrong;
}

/* --- small graphs, by hand --- */

static const para_edge *find_edge(const para_graph *g, const para_deps *d, const char *from, const char *to)
{
    int count;
    const para_edge *e = para_deps_of(d, node_of(g, to)->id, &count);
    for (int i = 0; i < count; i++)
        if (e[i].from == node_of(g, from)->id)
            return &e[i];
    return NULL;
}

static void assert_edge(const para_graph *g, const para_deps *d, const char *from, const char *to, para_edge_kind kind,
                        const char *tensor)
{
    const para_edge *e = find_edge(g, d, from, to);
    assert_graph(g, e && e->kind == kind && strcmp(g->tensors[e->tensor]->name, tensor) == 0,
                 "an edge of kind %d from %s to %s for \"%s\"", kind, from, to, tensor);
}

/* sgd overwrites w in place: every reader of the old w must come first (WAR), and nothing else is ordered. */
static void an_update_waits_for_readers(void **state)
{
    (void)state;
    para_graph *g = graph_of("w:param[4]; lr:input[]; a = scale(w, 2); b = scale(w, 3); w' = sgd(w, a, lr, lr, 0);"
                             "c = scale(w', 4)");
    para_deps *d = deps_of(g, NULL);
    assert_edge(g, d, "a", "w'", PARA_RAW, "a");
    assert_edge(g, d, "b", "w'", PARA_WAR, "w");
    assert_edge(g, d, "w'", "c", PARA_RAW, "w'");
    assert_int_equal(para_deps_edge_count(d), 3);
    assert_true(para_deps_reaches(d, node_of(g, "b")->id, node_of(g, "c")->id));
    assert_false(para_deps_reaches(d, node_of(g, "a")->id, node_of(g, "b")->id));
    assert_false(para_deps_reaches(d, node_of(g, "c")->id, node_of(g, "a")->id));
    assert_int_equal(para_deps_level(d, node_of(g, "b")->id), 0);
    assert_int_equal(para_deps_level(d, node_of(g, "c")->id), 2);
    para_deps_free(d);
    para_graph_free(g);
}

/* Where b and c take the buffer of a: b waits for a's reader, and c for b, which nobody reads (WAW). */
static void shared_buffers_make_edges(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[4]; a = scale(x, 2); r = scale(a, 3); b = scale(x, 4); c = scale(x, 5)");
    int map[] = {0, 1, 2, 1, 1};
    para_deps *d = deps_of(g, map);
    assert_edge(g, d, "a", "r", PARA_RAW, "a");
    assert_edge(g, d, "r", "b", PARA_WAR, "a");
    assert_edge(g, d, "b", "c", PARA_WAW, "b");
    assert_int_equal(para_deps_edge_count(d), 3);
    para_deps_free(d);
    d = deps_of(g, NULL);
    assert_int_equal(para_deps_edge_count(d), 1);
    para_deps_free(d);
    para_graph_free(g);
}

static void assert_refused(const para_graph *g, const int *map, const char *text)
{
    para_error err = {0};
    para_deps *d = NULL;
    assert_int_equal(para_deps_new(&d, g, map, &err), PARA_EINVAL);
    assert_null(d);
    assert_graph(g, strstr(err.message, text) != NULL, "the message \"%s\" says \"%s\"", err.message, text);
    assert_int_equal(para_deps_new(&d, g, map, NULL), PARA_EINVAL);
}

/* A sharing under which program order itself is wrong is refused, with the values named. */
static void impossible_sharings_are_refused(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[4]; y:input[4]; a = scale(x, 2); b = scale(x, 3); c = add(a, b)");
    assert_refused(g, (int[]){0, 1, 2, 2, 3}, "c reads \"a\", whose storage holds \"b\" by then");
    assert_refused(g, (int[]){0, 0, 1, 2, 3}, "\"x\" and \"y\" share a buffer");
    para_graph_free(g);
    g = graph_of("x:input[i=2,j=2]; y:input[4]; a = permute(x, \"j i\"); b = scale(y, 3); c = reduce_sum(a, \"\")");
    assert_refused(g, (int[]){0, 1, 0, 2, 3}, "a writes \"a\" into the buffer of \"x\", which it uses itself");
    para_graph_free(g);
    g = graph_of("w:param[4]; lr:input[]; g:input[4]; w' = sgd(w, g, lr, lr, 0)");
    assert_refused(g, (int[]){0, 1, 2, 3}, "\"w'\" updates \"w\" in place but has another buffer");
    para_graph_free(g);
}

/* --- properties of 2,000 random graphs under three sharings --- */

/* The strongest kind by which b must follow a when nothing between them writes what both touch. Where a itself
 * overwrites what it reads, b overwrites a's result, not what a read. */
static para_edge_kind strongest(const para_node *a, const para_node *b, const int *map)
{
    for (int k = 0; k < b->n_in; k++)
        if (b->in[k]->producer == a)
            return PARA_RAW;
    for (int k = 0; k < b->n_out; k++) {
        int s = storage_of(b->out[k], map);
        if (touches(a, s, false, map) && !touches(a, s, true, map))
            return PARA_WAR;
    }
    return PARA_WAW;
}

/* The edge's kind is the strongest that holds, and its tensor is one that is truly read or overwritten. */
static bool is_reason(const para_graph *g, const para_edge *e, int to, const int *map)
{
    const para_tensor *t = g->tensors[e->tensor];
    const para_node *a = g->nodes[e->from], *b = g->nodes[to];
    bool made = t->producer == a, read_before = false, read_after = false;
    bool overwritten = touches(b, storage_of(t, map), true, map);
    for (int k = 0; k < a->n_in; k++)
        read_before = read_before || a->in[k] == t;
    for (int k = 0; k < b->n_in; k++)
        read_after = read_after || b->in[k] == t;
    if (e->kind != strongest(a, b, map))
        return false;
    if (e->kind == PARA_RAW)
        return made && read_after;
    return overwritten && (e->kind == PARA_WAR ? read_before : made);
}

static void check_edges(const para_graph *g, const int *map, const para_deps *d)
{
    struct conflicts c = find_conflicts(g, map);
    struct relation needed = conflicts_but(&c, -1), direct = edges_of(d, g->n_nodes);
    struct relation wanted = closure(&needed), reached = closure(&direct);
    assert_graph(g, count_missing(&needed, &reached) == 0, "every conflict is ordered");
    assert_graph(g, count_missing(&reached, &wanted) == 0, "nothing else is ordered");
    int edges = 0;
    for (int to = 0; to < g->n_nodes; to++) {
        int count;
        const para_edge *e = para_deps_of(d, to, &count);
        edges += count;
        for (int k = 0; k < count; k++) {
            struct relation without = direct;
            without.row[to] &= ~((uint64_t)1 << e[k].from);
            without = closure(&without);
            assert_graph(g, count_missing(&needed, &without) > 0, "the edge %d to %d matters", e[k].from, to);
            assert_graph(g, is_reason(g, &e[k], to, map), "%d to %d for kind %d, tensor %d", e[k].from, to, e[k].kind,
                         e[k].tensor);
            assert_true(k == 0 || e[k - 1].from < e[k].from);
        }
        for (int from = 0; from < g->n_nodes; from++)
            assert_int_equal(para_deps_reaches(d, from, to), has(&reached, from, to));
    }
    assert_int_equal(edges, para_deps_edge_count(d));
}

/* Reachability is the closure of the conflicts, no more; each edge, once dropped, leaves one uncovered, so that none
 * is implied by others; and each says its reason truly. */
static void edges_are_the_conflicts_reduced(void **state)
{
    (void)state;
    int64_t kinds[KINDS] = {0};
    for (int number = 0; number < GRAPHS; number++) {
        struct sample s;
        sample_begin(&s, number);
        for (int m = 0; m < SHARINGS; m++) {
            para_deps *d = deps_of(s.g, s.map[m]);
            check_edges(s.g, s.map[m], d);
            for (int to = 0, count; to < s.g->n_nodes; to++) {
                const para_edge *e = para_deps_of(d, to, &count);
                for (int k = 0; k < count; k++)
                    kinds[e[k].kind]++;
            }
            para_deps_free(d);
        }
        sample_end(&s);
    }
    print_message("edges: %lld RAW, %lld WAR, %lld WAW\n", (long long)kinds[0], (long long)kinds[1],
                  (long long)kinds[2]);
    assert_true(kinds[PARA_RAW] > GRAPHS && kinds[PARA_WAR] > GRAPHS && kinds[PARA_WAW] > GRAPHS / 4);
}

/* The longest path to each node over all conflicts, which need not be edges: by cost, and counted in nodes. */
static void find_longest(const struct relation *needed, const double *cost, double end[MAX_NODES], int level[MAX_NODES])
{
    for (int j = 0; j < needed->n; j++) {
        double start = 0;
        level[j] = 0;
        for (int i = 0; i < j; i++)
            if (has(needed, i, j)) {
                start = end[i] > start ? end[i] : start;
                level[j] = level[i] >= level[j] ? level[i] + 1 : level[j];
            }
        end[j] = start + cost[j];
    }
}

static void check_measures(const para_graph *g, const int *map, const para_deps *d, const double *cost)
{
    struct conflicts c = find_conflicts(g, map);
    struct relation needed = conflicts_but(&c, -1);
    double end[MAX_NODES], work = 0, critical = 0, along = 0;
    int level[MAX_NODES], path[MAX_NODES], peak = 0;
    find_longest(&needed, cost, end, level);
    for (int i = 0; i < g->n_nodes; i++) {
        int running = 0;
        for (int j = 0; j < g->n_nodes; j++)
            running += end[j] - cost[j] <= end[i] - cost[i] && end[i] - cost[i] < end[j];
        peak = running > peak ? running : peak;
        work += cost[i];
        critical = end[i] > critical ? end[i] : critical;
        assert_graph(g, para_deps_level(d, i) == level[i], "level of node %d is %d", i, level[i]);
    }
    para_error err = {0};
    para_parallelism p;
    must(para_deps_measure(d, cost, &p, path, &err), err);
    assert_true(p.work == work && p.critical == critical && p.average_width == work / critical);
    assert_graph(g, p.peak_width == peak, "peak width %d is %d", p.peak_width, peak);
    for (int k = 0; k < p.path_length; k++) {
        assert_true(k == 0 || has(&needed, path[k - 1], path[k]));
        along += cost[path[k]];
    }
    assert_true(along == critical);
}

/* Costs are whole numbers, so that sums are exact and many nodes start and end together. */
static void measures_agree_with_a_naive_recomputation(void **state)
{
    (void)state;
    for (int number = 0; number < GRAPHS; number++) {
        struct sample s;
        double cost[MAX_NODES];
        sample_begin(&s, number);
        for (int i = 0; i < s.g->n_nodes; i++)
            cost[i] = 1 + roll(&s.dice, 9);
        para_deps *d = deps_of(s.g, s.map[number % SHARINGS]);
        check_measures(s.g, s.map[number % SHARINGS], d, cost);
        para_deps_free(d);
        sample_end(&s);
    }
}

static void an_empty_graph_has_no_width(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[4]");
    para_deps *d = deps_of(g, NULL);
    para_parallelism p;
    para_error err = {0};
    must(para_deps_measure(d, NULL, &p, NULL, &err), err);
    assert_true(p.work == 0 && p.critical == 0 && p.average_width == 0 && p.peak_width == 0 && p.path_length == 0);
    para_deps_free(d);
    para_deps_free(NULL);
    para_graph_free(g);
}

/* Whatever order the analyzer allows, production kernels over the shared buffers make program order's bytes. */
static void allowed_orders_make_the_same_bytes(void **state)
{
    (void)state;
    for (int number = 0; number < GRAPHS; number++) {
        struct sample s;
        sample_begin(&s, number);
        struct replay *r = replay_new(s.g, (uint64_t)number);
        for (int m = 0; m < SHARINGS; m++) {
            para_deps *d = deps_of(s.g, s.map[m]);
            struct relation direct = edges_of(d, s.g->n_nodes);
            assert_graph(s.g, count_wrong_orders(r, s.map[m], &direct, &s.dice) == 0, "graph %d, sharing %d", number,
                         m);
            para_deps_free(d);
        }
        replay_free(r);
        sample_end(&s);
    }
}

/* An order that violates one edge and keeps the others makes other bytes: nearly always, for some values don't tell
 * (equal ones, or one that nobody reads before the next overwrites it). */
static void violated_edges_change_bytes(void **state)
{
    (void)state;
    int64_t edges[KINDS] = {0}, changed[KINDS] = {0};
    for (int number = 0; number < GRAPHS; number++) {
        struct sample s;
        sample_begin(&s, number);
        struct replay *r = replay_new(s.g, (uint64_t)number);
        para_deps *d = deps_of(s.g, s.tight);
        struct relation direct = edges_of(d, s.g->n_nodes);
        for (int to = 0, count; to < s.g->n_nodes; to++) {
            const para_edge *e = para_deps_of(d, to, &count);
            for (int k = 0; k < count; k++) {
                int order[MAX_NODES];
                struct relation without = direct;
                without.row[to] &= ~((uint64_t)1 << e[k].from);
                order_violating(&without, e[k].from, to, order);
                edges[e[k].kind]++;
                changed[e[k].kind] += !replay_agrees(r, s.tight, order);
            }
        }
        para_deps_free(d);
        replay_free(r);
        sample_end(&s);
    }
    for (int kind = 0; kind < KINDS; kind++) {
        print_message("%s: %lld of %lld violated edges changed bytes\n", ((const char *[]){"RAW", "WAR", "WAW"})[kind],
                      (long long)changed[kind], (long long)edges[kind]);
        assert_true(edges[kind] > GRAPHS / 8 && changed[kind] >= edges[kind] * 3 / 4);
    }
}

/* --- wrong analyzers --- */

/* What the checks above say of an analyzer, summed over all graphs. */
struct verdict {
    int uncovered; /* graphs with a conflict that it leaves unordered */
    int needless;  /* graphs with an order that no conflict asks for */
    int wrong;     /* graphs with other bytes than program order in an order that it allows */
};

static void judge(struct verdict *v, const struct relation *answer, const struct relation *needed, struct sample *s,
                  struct replay *r)
{
    struct relation reached = closure(answer), wanted = closure(needed);
    v->uncovered += count_missing(needed, &reached) > 0;
    v->needless += count_missing(&reached, &wanted) > 0;
    v->wrong += count_wrong_orders(r, s->tight, answer, &s->dice) > 0;
}

/* Analyzers that leave out conflicts of one kind, that know no shared buffers, or that keep program order; each
 * closes over what it has. The right relation passes the same checks. */
static void wrong_analyzers_are_caught(void **state)
{
    (void)state;
    enum { NO_RAW, NO_WAR, NO_WAW, RIGHT, BLIND, CHAIN, ANALYZERS };
    struct verdict v[ANALYZERS] = {{0}};
    for (int number = 0; number < GRAPHS; number++) {
        struct sample s;
        sample_begin(&s, number);
        struct replay *r = replay_new(s.g, (uint64_t)number);
        struct conflicts c = find_conflicts(s.g, s.tight), own = find_conflicts(s.g, NULL);
        struct relation needed = conflicts_but(&c, -1), answer[ANALYZERS] = {{0}};
        for (int kind = 0; kind < KINDS; kind++)
            answer[kind] = conflicts_but(&c, kind);
        answer[RIGHT] = needed;
        answer[BLIND] = conflicts_but(&own, -1);
        answer[CHAIN].n = s.g->n_nodes;
        for (int i = 1; i < s.g->n_nodes; i++)
            answer[CHAIN].row[i] = (uint64_t)1 << (i - 1);
        for (int a = 0; a < ANALYZERS; a++)
            judge(&v[a], &answer[a], &needed, &s, r);
        replay_free(r);
        sample_end(&s);
    }
    static const char *const names[] = {"no RAW", "no WAR", "no WAW", "right", "blind to buffers", "chain"};
    for (int a = 0; a < ANALYZERS; a++)
        print_message("%s: %d graphs with a conflict unordered, %d with a needless order, %d with wrong bytes\n",
                      names[a], v[a].uncovered, v[a].needless, v[a].wrong);
    assert_true(v[RIGHT].uncovered == 0 && v[RIGHT].needless == 0 && v[RIGHT].wrong == 0);
    assert_true(v[CHAIN].uncovered == 0 && v[CHAIN].needless > GRAPHS / 2 && v[CHAIN].wrong == 0);
    for (int a = 0; a < ANALYZERS; a++)
        if (a != RIGHT && a != CHAIN)
            assert_true(v[a].uncovered > GRAPHS / 20 && v[a].wrong > GRAPHS / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_update_waits_for_readers),
        cmocka_unit_test(shared_buffers_make_edges),
        cmocka_unit_test(impossible_sharings_are_refused),
        cmocka_unit_test(edges_are_the_conflicts_reduced),
        cmocka_unit_test(measures_agree_with_a_naive_recomputation),
        cmocka_unit_test(an_empty_graph_has_no_width),
        cmocka_unit_test(allowed_orders_make_the_same_bytes),
        cmocka_unit_test(violated_edges_change_bytes),
        cmocka_unit_test(wrong_analyzers_are_caught),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
