/* Blocks: which buffers share a data handle, and that a task may say of one as a whole how it uses it. */
#include "tests/graph-text.h"
#include "tests/random-graph.h"

#include <stdlib.h>

#include "graph/op.h"
#include "runtime/blocks.h"

/* A plan of a graph whose nodes run where `gpu` says. */
static para_plan *plan_on(const para_graph *g, const int *gpu, size_t most_bytes)
{
    para_error err = {0};
    para_plan *p = must_alloc(sizeof *p);
    para_deps *values = NULL;
    *p = (para_plan){.g = g, .gpu = must_alloc(((size_t)g->n_nodes + 1) * sizeof *p->gpu)};
    for (int i = 0; i < g->n_nodes; i++)
        p->gpu[i] = gpu[i];
    must(para_deps_new(&values, g, NULL, &err), err);
    must(para_buffers_new(&p->buffers, g, values, gpu, 2, &err), err);
    para_deps_free(values);
    must(para_deps_new(&p->deps, g, p->buffers.of, &err), err);
    const struct para_gpus gpus = {gpu, p->buffers.of, p->buffers.bytes, p->buffers.count, most_bytes};
    must(para_clusters_new(&p->clusters, g, p->deps, &gpus, 2, &err), err);
    return p;
}

static struct para_blocks blocks_of(const para_plan *p, const bool *borrowed)
{
    para_error err = {0};
    struct para_blocks b;
    must(para_blocks_new(&b, p, borrowed, &err), err);
    return b;
}

/* All of one task: small inputs are a block, what else stays another, and what doesn't a third. */
static void a_task_has_three_blocks(void **state)
{
    (void)state;
    static const int gpu[3] = {0};
    bool borrowed[8] = {false};
    para_graph *g = graph_of("x:input[n=8]; w:param[n=8]; a = mul(x, w); b = gelu(a); y = add(b, a); output(y)");
    para_plan *p = plan_on(g, gpu, 0);
    struct para_blocks b = blocks_of(p, borrowed);
    assert_int_equal(b.count, 3);
    for (int i = 0; i < b.count; i++)
        assert_int_equal(b.inputs[i], i == b.of[p->buffers.of[para_graph_find(g, "x")->id]]);
    para_blocks_free(&b);
    borrowed[p->buffers.of[para_graph_find(g, "w")->id]] = true;
    b = blocks_of(p, borrowed);
    assert_int_equal(b.count, 3);
    assert_int_equal(b.of[p->buffers.of[para_graph_find(g, "w")->id]], PARA_NO_BLOCK);
    para_blocks_free(&b);
    para_plan_free(p);
    para_graph_free(g);
}

/* Whether a task's first use of a buffer only writes it; -1: it doesn't use it. */
static int writes_first(const para_plan *p, int task, int buffer)
{
    for (int i = p->clusters.first[task]; i < p->clusters.first[task + 1]; i++) {
        const para_node *n = p->g->nodes[p->clusters.nodes[i]];
        for (int k = 0; k < n->n_in + n->n_out; k++)
            if (p->buffers.of[para_node_operand(n, k)->id] == buffer)
                return k >= n->n_in;
    }
    return -1;
}

static bool is_small_input(const para_plan *p, int buffer)
{
    bool is = false;
    for (int i = 0; i < p->g->n_tensors; i++)
        is = is || (p->buffers.of[i] == buffer && p->g->tensors[i]->kind == PARA_INPUT);
    return is && p->buffers.bytes[buffer] <= PARA_SMALL_BYTES;
}

static void check_pair(const para_plan *p, const struct para_blocks *b, int one, int other)
{
    bool same = p->buffers.gpu[one] >= 0 && p->buffers.gpu[one] == p->buffers.gpu[other] &&
                p->buffers.keep[one] == p->buffers.keep[other] && is_small_input(p, one) == is_small_input(p, other);
    for (int t = 0; t < p->clusters.count; t++)
        same = same && (writes_first(p, t, one) < 0) == (writes_first(p, t, other) < 0);
    assert_int_equal(b->of[one] == b->of[other], same);
    if (same)
        assert_true(b->offset[one] + p->buffers.bytes[one] <= b->offset[other] ||
                    b->offset[other] + p->buffers.bytes[other] <= b->offset[one]);
}

/* A block that doesn't last holds nothing when a run begins: the first task that uses it must write all of its buffers
 * before it reads them. */
static void check_first_use(const para_plan *p, const struct para_blocks *b, int block)
{
    for (int t = 0; t < p->clusters.count; t++) {
        bool used = false;
        for (int i = 0; i < p->buffers.count; i++)
            if (b->of[i] == block && writes_first(p, t, i) >= 0) {
                used = true;
                assert_graph(p->g, writes_first(p, t, i), "task %d reads buffer %d first", t, i);
            }
        if (used)
            return;
    }
}

static void blocks_are_of_the_same_tasks(void **state)
{
    (void)state;
    int fewer = 0;
    for (int number = 0; number < 400; number++) {
        struct dice dice = {.seed = 29000 + (uint64_t)number};
        para_graph *g = random_graph(&dice, 4 + number % 30, number % 3 ? RANDOM_UPDATES : RANDOM_TRAINING);
        int *gpu = must_alloc(((size_t)g->n_nodes + 1) * sizeof *gpu), here = 0;
        bool *borrowed = calloc((size_t)g->n_tensors + 1, sizeof *borrowed);
        assert_non_null(borrowed);
        for (int i = 0; i < g->n_nodes; i++)
            gpu[i] = here = roll(&dice, 4) ? here : roll(&dice, 3) - 1;
        para_plan *p = plan_on(g, gpu, number % 2 ? 0 : 400);
        struct para_blocks b = blocks_of(p, borrowed);
        for (int i = 0; i < p->buffers.count; i++) {
            assert_int_equal(b.gpu[b.of[i]], p->buffers.gpu[i]);
            assert_true(b.offset[i] + p->buffers.bytes[i] <= b.bytes[b.of[i]]);
            assert_int_equal(b.offset[i] % PARA_GPU_ALIGNMENT, 0);
            for (int k = 0; k < i; k++)
                check_pair(p, &b, k, i);
        }
        for (int i = 0; i < b.count; i++)
            if (b.gpu[i] >= 0 && !b.keep[i])
                check_first_use(p, &b, i);
        fewer += b.count < p->buffers.count;
        para_blocks_free(&b);
        para_plan_free(p);
        para_graph_free(g);
        free(gpu);
        free(borrowed);
    }
    assert_true(fewer > 100);
}

/* Two stages on two GPUs: the second has a copy of what the first makes for it. In a build without CUDA no op has a
 * kernel for GPUs, and all is in main memory. */
static void plans_count_each_memory(void **state)
{
    (void)state;
    enum { BYTES = 4096 }; /* of 1000 elements, rounded */
    para_error err = {0};
    const struct para_devices devices = {.count = 2, .gpu = {0, 1}, .n_gpus = 2};
    para_graph *g = graph_of("x:input[n=1000]; push(\"p\"); a = gelu(x); pop(); push(\"q\"); b = gelu(p.a); pop();"
                             "output(q.b)"),
               *first = NULL, *both = NULL;
    must(para_graph_place(&first, g, "p", 0, &err), err);
    must(para_graph_place(&both, first, "q", 1, &err), err);
    para_plan *p = NULL;
    must(para_plan_new_on(&p, both, 2, &devices, &err), err);
    bool cuda = node_of(both, "p.a")->op->cuda;
    assert_int_equal(p->clusters.count, 2);
    assert_int_equal(p->gpu_bytes[0], cuda ? 2 * BYTES : 0); /* x, a */
    assert_int_equal(p->gpu_bytes[1], cuda ? 2 * BYTES : 0); /* a, b */
    para_plan_free(p);
    para_graph_free(both);
    para_graph_free(first);
    para_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_task_has_three_blocks),
                                       cmocka_unit_test(blocks_are_of_the_same_tasks),
                                       cmocka_unit_test(plans_count_each_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
