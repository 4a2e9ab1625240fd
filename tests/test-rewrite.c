/* The kit that passes are made with: nothing that a node or a value has is lost, small passes are small, errors have
 * the pass's name, and when memory runs out nothing else happens. */
#include "tests/dumps.h"
#include "tests/graph-text.h"
#include "tests/random-graph.h"
#include "tests/short-memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "graph/op.h"
#include "graph/rewrite.h"

/* --- the library's passes --- */

static int copy(para_graph **out, const para_graph *g, para_error *err)
{
    return para_graph_split_list(out, g, "", NULL, 0, err);
}

static int split(para_graph **out, const para_graph *g, para_error *err)
{
    return para_graph_split(out, g, "rows", 2, err);
}

/* An axis that the norm needs whole. */
static int split_whole(para_graph **out, const para_graph *g, para_error *err)
{
    return para_graph_split(out, g, "embd", 2, err);
}

static int stage(para_graph **out, const para_graph *g, para_error *err)
{
    return para_graph_stage(out, g, 2, err);
}

static int place(para_graph **out, const para_graph *g, para_error *err)
{
    return para_graph_place(out, g, "layer.1", 5, err);
}

static int spread_parts(para_graph **out, const para_graph *g, para_error *err)
{
    return para_graph_spread(out, g, "rows", err);
}

static int accumulate(para_graph **out, const para_graph *g, para_error *err)
{
    return para_graph_accumulate(out, g, err);
}

static int recompute(para_graph **out, const para_graph *g, para_error *err)
{
    return para_graph_recompute(out, g, "layer.*", INFINITY, err);
}

static int precise(para_graph **out, const para_graph *g, para_error *err)
{
    return para_graph_precision(out, g, PARA_BF16, err);
}

static int fuse_all(para_graph **out, const para_graph *g, para_error *err)
{
    return para_graph_fuse(out, g, err);
}

static int replicate(para_graph **out, const para_graph *g, para_error *err)
{
    return para_graph_replicate(out, g, err);
}

static const struct pass {
    const char *name; /* as messages have it */
    int (*run)(para_graph **out, const para_graph *g, para_error *err);
    bool of_parts; /* it takes a split graph */
} passes[] = {
    {"split", copy, false},          {"split rows=2", split, false},
    {"stages 2", stage, false},      {"spread rows", spread_parts, true},
    {"place layer.1", place, false}, {"accumulate", accumulate, false},
    {"recompute", recompute, false}, {"precision bf16", precise, false},
    {"fuse", fuse_all, false},       {"replicate", replicate, false},
};
enum { PASSES = sizeof passes / sizeof passes[0] };

/* A training step of two layers, split, placed and repeated, so that no field of a node or a value is everywhere as it
 * begins. */
static const char *const training =
    "x:input[rows=4,embd=6]; p:param[embd=6]; q:param[embd=6]; w:param[embd=6,ff=8]; v:param[ff=8,embd=6]; "
    "push(\"layer.0\"); a = gelu(x);"
    "b = matmul(a, w, \"embd\"); c = matmul(b, v, \"ff\"); pop(); push(\"layer.1\"); d = gelu(layer.0.c);"
    "e = matmul(d, w, \"embd\"); f = matmul(e, v, \"ff\"); pop(); s = layernorm(layer.1.f, p, q, 0.01);"
    "loss = reduce_mean(s, \"\"); output(loss); backward(loss); train_adamw(0.01, 0.1, 1)";

/* JSON has all of a graph. */
static void assert_copied(const para_graph *g)
{
    para_error err = {0};
    para_graph *out = NULL;
    must(copy(&out, g, &err), err);
    char *before = dump(g, JSON, 0), *after = dump(out, JSON, 0);
    assert_string_equal(before, after);
    free(before);
    free(after);
    para_graph_free(out);
}

/* Run a pass and put its result in the place of g. */
static para_graph *then(para_graph *g, int (*run)(para_graph **out, const para_graph *g, para_error *err))
{
    para_error err = {0};
    para_graph *out = NULL;
    must(run(&out, g, &err), err);
    para_graph_free(g);
    return out;
}

static void copies_have_everything(void **state)
{
    (void)state;
    struct dice d = {.seed = 8};
    for (int i = 0; i < 60; i++) {
        para_graph *g = random_graph(&d, 30, i % 2 ? RANDOM_UPDATES | RANDOM_WHOLES : RANDOM_TRAINING);
        assert_copied(g);
        para_graph_free(g);
    }
    /* After each pass, for those before may have lost what it copies: parts and reasons for wholes, places, waits. */
    para_graph *g = graph_of(training);
    static int (*const row[])(para_graph **, const para_graph *, para_error *) = {split,        split_whole, stage,
                                                                                  spread_parts, accumulate,  recompute};
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        g = then(g, row[i]);
        assert_copied(g);
    }
    para_graph_free(g);
}

static void open_graphs_are_refused(void **state)
{
    (void)state;
    for (int i = 0; i < PASSES; i++) {
        para_error err = {0};
        para_graph *g = graph_open("x:input[rows=4]; push(\"layer.1\"); y = gelu(x); pop()"), *out = NULL;
        assert_int_equal(passes[i].run(&out, g, &err), PARA_EINVAL);
        assert_null(out);
        char expected[64];
        snprintf(expected, sizeof expected, "%s: the graph is not sealed", passes[i].name);
        assert_string_equal(err.message, expected);
        para_graph_free(g);
    }
}

/* Whenever memory runs out, a pass says so, leaves `out` and the graph alone, and keeps nothing. */
static void memory_may_run_out(void **state)
{
    (void)state;
    para_graph *g = graph_of(training), *parts = then(graph_of(training), split);
    char *before = dump(g, JSON, 0), *parts_before = dump(parts, JSON, 0);
    for (int i = 0; i < PASSES; i++) {
        int status = PARA_ENOMEM, kept = blocks;
        for (int allowed = 0; status == PARA_ENOMEM; allowed++) {
            para_error err = {0};
            para_graph *out = NULL;
            allocations_left = allowed;
            status = passes[i].run(&out, passes[i].of_parts ? parts : g, &err);
            allocations_left = -1;
            if (status == 0)
                assert_true(allowed > 3);
            else if (status != PARA_ENOMEM || out || !strstr(err.message, "out of memory"))
                fail_msg("%s: after %d allocations: %s: %s", passes[i].name, allowed, para_status_name(status),
                         err.message);
            para_graph_free(out);
            assert_int_equal(blocks, kept);
        }
        assert_int_equal(status, 0);
    }
    char *after = dump(g, JSON, 0), *parts_after = dump(parts, JSON, 0);
    assert_string_equal(before, after);
    assert_string_equal(parts_before, parts_after);
    free(before);
    free(after);
    free(parts_before);
    free(parts_after);
    para_graph_free(parts);
    para_graph_free(g);
}

/* --- passes of a few lines --- */

/* Make passes here as the library's are made. */
static para_graph *rewritten(const para_graph *g, int (*run)(struct para_rewrite *pass))
{
    para_error err = {0};
    para_graph *out = NULL;
    struct para_rewrite pass;
    must(para_rewrite_begin(&pass, g, &err, "test"), err);
    must(para_rewrite_finish(&pass, run(&pass), &out, &err), err);
    assert_true(out->sealed);
    return out;
}

/* Fail unless a node or its copies stand where the old one did. */
static void assert_like(const para_node *n, const para_node *old)
{
    assert_string_equal(n->scope, old->scope);
    assert_string_equal(n->part, old->part);
    assert_int_equal(n->origin, old->origin);
    assert_int_equal(n->backward, old->backward);
}

/* Matrix products read their matrix as bfloat16: values change their type, and casts are added. */
static int narrow(struct para_rewrite *pass)
{
    const union para_attr attr[PARA_MAX_ATTRS] = {{.s = "bf16"}};
    for (int i = 0; i < pass->from->n_nodes; i++) {
        const para_node *n = pass->from->nodes[i];
        PARA_TRY(para_rewrite_sources(pass, n));
        para_tensor *in[2] = {0};
        bool product = strcmp(n->op->name, "matmul") == 0;
        if (product) {
            const para_tensor *old = n->in[1];
            struct para_shape shape = old->shape;
            shape.dtype = PARA_BF16;
            const char *name = para_name_unique(pass->to, "%s.bf16", old->name);
            para_node *cast =
                para_rewrite_add_node(pass, n, para_op_find("cast"), name, &pass->value[old->id], 1, attr);
            in[0] = pass->value[n->in[0]->id];
            in[1] = para_rewrite_add_between(old, cast, name, &shape);
        }
        if (!para_rewrite_copy_node(pass, n, n->op, product ? in : NULL, n->n_in))
            return PARA_ENOMEM;
    }
    return para_rewrite_sources(pass, NULL);
}

static void values_can_change_their_type(void **state)
{
    (void)state;
    para_graph *g = then(then(graph_of(training), split), stage), *out = rewritten(g, narrow);
    int casts = 0;
    for (int i = 0; i < out->n_nodes; i++) {
        const para_node *n = out->nodes[i];
        if (strcmp(n->op->name, "cast") != 0)
            continue;
        const para_node *product = out->nodes[i + 1];
        assert_ptr_equal(product->in[1], n->out[0]);
        assert_int_equal(n->out[0]->shape.dtype, PARA_BF16);
        assert_int_equal(n->out[0]->origin, n->in[0]->origin);
        assert_int_equal(n->place, product->place);
        assert_like(n, product);
        casts++;
    }
    assert_true(casts > 12); /* four products, twice as many in the backward part, in two parts each */
    assert_int_equal(out->n_nodes, g->n_nodes + casts);
    para_graph_free(g);
    para_graph_free(out);
}

/* What a scale of a scale alone reads, and that one, become one scale. */
static bool is_inner(const para_node *n)
{
    const para_node *next = para_node_next(n), *last = next ? para_node_next(next) : NULL;
    return strcmp(n->op->name, "scale") == 0 && next && next->op == n->op && next->in[0] == n->out[0] &&
           !(last && last->in[0] == n->out[0]);
}

static int fuse(struct para_rewrite *pass)
{
    PARA_TRY(para_rewrite_sources(pass, NULL));
    for (int i = 0; i < pass->from->n_nodes; i++) {
        const para_node *n = pass->from->nodes[i], *inner = i ? pass->from->nodes[i - 1] : NULL;
        if (is_inner(n))
            continue;
        if (!inner || !is_inner(inner)) {
            if (!para_rewrite_copy_node(pass, n, n->op, NULL, n->n_in))
                return PARA_ENOMEM;
            continue;
        }
        const union para_attr attr[PARA_MAX_ATTRS] = {{.f = inner->attr[0].f * n->attr[0].f}};
        para_node *both = para_rewrite_add_node(pass, n, n->op, n->name, &pass->value[inner->in[0]->id], 1, attr);
        PARA_TRY(para_rewrite_add_after(pass, both, inner));
        PARA_TRY(para_rewrite_add_after(pass, both, n));
        pass->node[inner->id] = pass->node[n->id] = both;
        pass->value[n->out[0]->id] = para_rewrite_add_value(pass, n->out[0], both, n->name, &n->out[0]->shape);
    }
    return 0;
}

static void nodes_can_become_one(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = graph_open("x:input[4]; w = gelu(x); push(\"s\"); a = scale(x, 2); b = scale(s.a, 3); pop();"
                               "y = gelu(s.b); z = gelu(x); output(y); output(z)");
    must(para_node_add_after(g->nodes[1], g->nodes[0]), err); /* s.a waits for w */
    must(para_node_add_after(g->nodes[4], g->nodes[1]), err); /* z waits for s.a */
    must(para_graph_seal(g, &err), err);
    para_graph *out = rewritten(g, fuse);
    assert_int_equal(out->n_nodes, 4);
    const para_node *both = node_of(out, "s.b"), *z = node_of(out, "z");
    assert_float_equal(both->attr[0].f, 6, 0);
    assert_ptr_equal(both->in[0], para_graph_find(out, "x"));
    assert_ptr_equal(node_of(out, "y")->in[0], both->out[0]);
    assert_like(both, node_of(g, "s.b"));
    assert_int_equal(both->n_after, 1);
    assert_ptr_equal(both->after[0], node_of(out, "w"));
    assert_int_equal(z->n_after, 1);
    assert_ptr_equal(z->after[0], both);
    assert_null(para_graph_find(out, "s.a"));
    para_graph_free(g);
    para_graph_free(out);
}

/* Every value is made on each of two groups, from what that group has. */
static int spread(struct para_rewrite *pass)
{
    para_tensor **there = para_rewrite_alloc(pass, pass->from->n_tensors, sizeof *there);
    PARA_TRY(para_rewrite_sources(pass, NULL));
    for (int i = 0; i < pass->from->n_nodes && there; i++) {
        const para_node *n = pass->from->nodes[i];
        const para_tensor *old = n->out[0];
        para_node *here = para_rewrite_copy_node(pass, n, n->op, NULL, n->n_in);
        para_tensor *in = there[n->in[0]->id] ? there[n->in[0]->id] : pass->value[n->in[0]->id];
        const char *name = para_name_unique(pass->to, "%s@1", n->name);
        para_node *again = para_rewrite_add_node(pass, n, n->op, name, &in, 1, n->attr);
        there[old->id] = para_rewrite_add_value(pass, old, again, name, &old->shape);
        if (!here || !there[old->id])
            return PARA_ENOMEM;
        here->place = 0;
        again->place = 1;
    }
    return there ? 0 : PARA_ENOMEM;
}

static void values_can_be_repeated(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[4]; push(\"s\"); a = gelu(x); pop(); y = scale(s.a, 2); output(y)");
    para_graph *out = rewritten(g, spread);
    assert_int_equal(out->n_nodes, 4);
    for (int i = 0; i < 4; i++) {
        assert_like(out->nodes[i], g->nodes[i / 2]);
        assert_int_equal(out->nodes[i]->place, i % 2);
    }
    const para_tensor *y = para_graph_find(out, "y@1");
    assert_string_equal(y->base, "y");
    assert_true(y->is_output);
    assert_string_equal(y->producer->in[0]->name, "s.a@1");
    para_graph_free(g);
    para_graph_free(out);
}

/* A step that fails leaves its message, after which nothing is added, and none of it has to be checked at once. */
static int stumble(struct para_rewrite *pass)
{
    const para_node *n = pass->from->nodes[0];
    PARA_TRY(para_rewrite_sources(pass, NULL));
    para_node *copied = para_rewrite_copy_node(pass, n, n->op, NULL, n->n_in);
    para_node *again = para_rewrite_copy_node(pass, n, n->op, NULL, n->n_in); /* whose name is taken */
    assert_non_null(copied);
    assert_null(again);
    assert_null(para_rewrite_add_node(pass, n, n->op, "z", n->in, n->n_in, n->attr));
    return PARA_ENOMEM;
}

static void errors_have_the_name_of_the_pass(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[4]; y = gelu(x)"), *out = NULL;
    para_error err = {0};
    struct para_rewrite pass;
    must(para_rewrite_begin(&pass, g, &err, "stumble %d", 7), err);
    assert_int_equal(para_rewrite_finish(&pass, stumble(&pass), &out, &err), PARA_ENAME);
    assert_string_equal(err.message, "stumble 7: the name \"y\" is taken");
    must(para_rewrite_begin(&pass, g, &err, "stumble"), err);
    assert_int_equal(para_rewrite_finish(&pass, PARA_ENOMEM, &out, &err), PARA_ENOMEM);
    assert_string_equal(err.message, "stumble: out of memory");
    assert_null(out);
    para_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_have_everything),
        cmocka_unit_test(open_graphs_are_refused),
        cmocka_unit_test(memory_may_run_out),
        cmocka_unit_test(values_can_change_their_type),
        cmocka_unit_test(nodes_can_become_one),
        cmocka_unit_test(values_can_be_repeated),
        cmocka_unit_test(errors_have_the_name_of_the_pass),
    };
    return cmocka_run_group_tests_name("rewrite", tests, NULL, NULL);
}
