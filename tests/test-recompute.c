/* Recomputation: the same bits in less memory, in an order that the graph itself says, and clear refusals. */
#include "tests/graph-text.h"
#include "tests/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/op.h"

enum { STEPS = 3 };

/* A way to recompute, as para_graph_recompute() takes it. */
struct way {
    const char *scopes;
    double most;
};

static const struct way ways[] = {{"layer.*", INFINITY}, {NULL, 8}, {NULL, INFINITY}, {"layer.2", 64}};
enum { WAYS = sizeof ways / sizeof ways[0] };

static para_graph *recomputed(const para_graph *g, const struct way *w)
{
    para_error err = {0};
    para_graph *out = NULL;
    must(para_graph_recompute(&out, g, w->scopes, w->most, &err), err);
    must(para_graph_verify(out, &err), err);
    return out;
}

static bool is_repeated(const para_node *n)
{
    return strstr(n->name, ".again") != NULL;
}

static int count_repeated(const para_graph *g)
{
    int count = 0;
    for (int i = 0; i < g->n_nodes; i++)
        count += is_repeated(g->nodes[i]);
    return count;
}

static const para_graph *dropping_graph(void)
{
    static para_graph *g;
    para_gpt2 model = train_model;
    model.dropout = 0.2;
    if (!g)
        g = training_graph(&model, TRAIN_BATCH, TRAIN_SEQ, true);
    return g;
}

/* --- the same bits --- */

static int64_t weight_elements(const para_graph *g)
{
    int64_t elements = 0;
    for (int i = 0; i < g->n_tensors; i++)
        elements += is_weight(g->tensors[i]) ? para_tensor_elements(g->tensors[i]) : 0;
    return elements;
}

/* Losses, then all gradients and weights after every step. */
static float *train(const para_graph *g, const para_graph *cut, para_machine *m, int64_t *count)
{
    para_session *s = training_session(g, cut, m, false);
    *count = STEPS * (1 + 2 * weight_elements(g));
    float *trace = must_alloc((size_t)*count * sizeof *trace), *at = trace;
    for (int step = 0; step < STEPS; step++) {
        *at++ = training_step(s, g, step);
        for (int i = 0; i < g->n_tensors; i++) {
            const para_tensor *t = g->tensors[i];
            para_error err = {0};
            if (!is_weight(t))
                continue;
            must(para_session_get(s, t->name, at, para_tensor_bytes(t), &err), err);
            at += para_tensor_elements(t);
            must(para_session_get(s, para_grad(g, t)->name, at, para_tensor_bytes(t), &err), err);
            at += para_tensor_elements(t);
        }
    }
    para_session_free(s);
    return trace;
}

static void compare(const struct plan_case *c, para_machine *m)
{
    const para_graph *g = dropping_graph();
    para_graph *cut = accumulated_graph(g, c);
    int64_t count, again_count;
    float *truth = train(g, cut, NULL, &count);
    for (int w = 0; w < WAYS; w++) {
        para_graph *again = recomputed(cut, &ways[w]);
        assert_true(count_repeated(again) > 0);
        float *trace = train(g, again, m, &again_count);
        assert_int_equal(count, again_count);
        if (memcmp(trace, truth, (size_t)count * sizeof *truth) != 0)
            fail_msg("split \"%s\", stages %d, way %d: other bits", c->split, c->stages, w);
        free(trace);
        para_graph_free(again);
    }
    free(truth);
    para_graph_free(cut);
}

static void compare_cases(para_machine *m)
{
    static const struct plan_case cases[] = {
        {"", 0, NULL}, {"batch=2,heads=2,ff=2,vocab=2", 0, NULL}, {"seq=2,embd=2", 0, NULL}, {"batch=4", 2, NULL}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
        compare(&cases[c], m);
}

static void bits_are_the_same_serially(void **state)
{
    (void)state;
    compare_cases(NULL);
}

static void bits_are_the_same_on_workers(void **state)
{
    (void)state;
    para_machine *m = machine_of(2);
    compare_cases(m);
    para_machine_close(m);
}

/* A graph that recomputes can still be split. */
static void recomputed_graphs_can_be_split(void **state)
{
    (void)state;
    const struct plan_case c = {"batch=2,ff=2", 0, NULL};
    const para_graph *g = dropping_graph();
    para_graph *cut = cut_graph(g, &c), *again = recomputed(g, &ways[0]), *again_cut = cut_graph(again, &c);
    int64_t count;
    float *truth = train(g, cut, NULL, &count), *trace = train(g, again_cut, NULL, &count);
    assert_memory_equal(trace, truth, (size_t)count * sizeof *truth);
    assert_true(count_repeated(again_cut) > 2 * 4 * 10);
    free(truth);
    free(trace);
    para_graph_free(again_cut);
    para_graph_free(again);
    para_graph_free(cut);
}

/* --- less memory --- */

static size_t intermediates(const para_graph *g)
{
    para_error err = {0};
    para_plan *p = NULL;
    must(para_plan_new(&p, g, 2, &err), err);
    size_t bytes = para_plan_summarize(p).intermediate_bytes;
    para_plan_free(p);
    return bytes;
}

/* Activations outweigh everything else here: 8 layers, 512 tokens of 32. */
static void memory_falls(void **state)
{
    (void)state;
    const para_gpt2 model = {
        .layers = 8, .heads = 4, .embd = 32, .ff = 128, .vocab = 67, .context = 64, .norm_eps = 1e-5, .dropout = 0.1};
    para_graph *g = training_graph(&model, 8, 64, true);
    para_graph *layers = recomputed(g, &ways[0]), *cheap = recomputed(g, &ways[1]);
    const struct plan_case rows = {"batch=2", 0, NULL};
    para_graph *cut = accumulated_graph(g, &rows), *layers_cut = recomputed(cut, &ways[0]);
    assert_true(3.5 * (double)intermediates(layers) < (double)intermediates(g));
    assert_true(1.4 * (double)intermediates(cheap) < (double)intermediates(g));
    assert_true(3.5 * (double)intermediates(layers_cut) < (double)intermediates(cut));
    para_graph_free(layers_cut);
    para_graph_free(cut);
    para_graph_free(cheap);
    para_graph_free(layers);
    para_graph_free(g);
}

/* --- order --- */

static para_deps *deps_of(const para_graph *g)
{
    para_error err = {0};
    para_deps *d = NULL;
    must(para_deps_new(&d, g, NULL, &err), err);
    return d;
}

/* Three layers of one product each, h and y: y, which leaves the layer, is kept, and h is made again. */
static const char *const three = "x:input[batch=6,embd=4]; v:param[embd=4]; push(\"in\"); e = mul(x, v); pop();"
                                 "push(\"layer.0\"); h = gelu(e); y = mul(h, h); pop();"
                                 "push(\"layer.1\"); h = gelu(layer.0.y); y = mul(h, h); pop();"
                                 "push(\"layer.2\"); h = gelu(layer.1.y); y = mul(h, h); pop();"
                                 "z = mul(layer.2.y, layer.2.y); loss = reduce_mean(z, \"\"); backward(loss)";

/* What is repeated waits for the gradient that its first reader takes, and for all who read what was repeated before.
 */
static void repeated_nodes_wait_for_the_backward_pass(void **state)
{
    (void)state;
    para_graph *g = graph_of(three), *again = recomputed(g, &ways[0]);
    para_deps *d = deps_of(again);
    assert_int_equal(count_repeated(again), 3);
    const para_node *late = node_of(again, "layer.2.h.again"), *early = node_of(again, "layer.1.h.again");
    assert_ptr_equal(late->in[0]->producer, node_of(again, "layer.1.y"));
    assert_string_equal(late->scope, "layer.2");
    assert_true(late->backward);
    assert_int_equal(late->origin, node_of(g, "layer.2.h")->id);
    assert_true(late->n_after > 0);
    assert_true(para_deps_reaches(d, node_of(again, "layer.2.y")->id, late->id));
    assert_true(para_deps_reaches(d, late->id, early->id));
    int count;
    const para_edge *edges = para_deps_of(d, late->id, &count);
    bool after = false;
    for (int e = 0; e < count; e++)
        after = after || edges[e].kind == PARA_AFTER;
    assert_true(after);
    para_deps_free(d);
    para_graph_free(again);
    para_graph_free(g);
}

/* Parts wait for their own part alone. */
static void parts_keep_apart(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = graph_of(three), *again = recomputed(g, &ways[0]), *cut = NULL;
    must(para_graph_split(&cut, again, "batch", 2, &err), err);
    para_deps *d = deps_of(cut);
    int to = node_of(cut, "layer.1.h.again[batch=0]")->id;
    assert_true(para_deps_reaches(d, node_of(cut, "layer.2.h.again[batch=0]")->id, to));
    assert_false(para_deps_reaches(d, node_of(cut, "layer.2.h.again[batch=1]")->id, to));
    para_deps_free(d);
    para_graph_free(cut);
    para_graph_free(again);
    para_graph_free(g);
}

/* --- what is repeated --- */

static const para_tensor *found(const para_graph *g, const char *name)
{
    return para_graph_find(g, name);
}

static void cheap_nodes_alone_are_repeated(void **state)
{
    (void)state;
    para_graph *again = recomputed(dropping_graph(), &ways[1]);
    assert_non_null(found(again, "layer.1.ln_1.again"));
    assert_non_null(found(again, "layer.1.mlp.gelu.again"));
    assert_null(found(again, "layer.1.mlp.fc.again")); /* its product would have to be kept for it */
    assert_null(found(again, "layer.1.mlp.fc.matmul.again"));
    assert_null(found(again, "layer.1.attn.again"));
    para_graph_free(again);
}

/* Outputs stay as they are; so does what reads a value that is updated before the backward pass. */
static void some_values_are_kept(void **state)
{
    (void)state;
    para_graph *g =
        graph_of("c:count[]; w:param[context=8,embd=4]; push(\"layer.0\"); i = arange_from(c, \"seq\", 4, 8);"
                 "e = embedding(w, i, \"context\"); a = gelu(e); output(a); b = gelu(a); y = mul(b, b); pop();"
                 "c' = increment(c); loss = reduce_mean(layer.0.y, \"\"); backward(loss); train_sgd(0.1, 0, 0, 0)");
    para_graph *again = recomputed(g, &ways[0]);
    assert_non_null(found(again, "layer.0.b.again"));
    assert_null(found(again, "layer.0.a.again"));
    assert_null(found(again, "layer.0.i.again"));
    para_graph_free(again);
    para_graph_free(g);
}

static void gradients_are_found(void **state)
{
    (void)state;
    const para_graph *g = dropping_graph();
    para_graph *again = recomputed(g, &ways[0]);
    for (int i = 0; i < g->n_tensors; i++)
        if (is_weight(g->tensors[i]))
            assert_string_equal(para_grad(again, found(again, g->tensors[i]->name))->name,
                                para_grad(g, g->tensors[i])->name);
    para_graph_free(again);
}

/* --- refusals --- */

static void refused(const char *text, const char *scopes, double most, bool seal, int code, const char *part)
{
    para_graph *g = seal ? graph_of(text) : graph_open(text), *out = NULL;
    para_error err = {0};
    assert_int_equal(para_graph_recompute(&out, g, scopes, most, &err), code);
    assert_null(out);
    if (!strstr(err.message, part))
        fail_msg("\"%s\", expected \"%s\" in it", err.message, part);
    para_graph_free(g);
}

static void mistakes_are_refused(void **state)
{
    (void)state;
    refused(three, "layer.*", 1, false, PARA_EINVAL, "not sealed");
    refused("x:input[n=4]; y = gelu(x)", NULL, 1, true, PARA_EINVAL, "no backward part");
    refused(three, "block.*", 1, true, PARA_ENAME,
            "recompute: no forward node is in a scope \"block.*\"; there are in,");
    refused(three, "layer", -1, true, PARA_ERANGE, "-1 FLOPs per byte");
    refused(three, "layer.*.mlp", 1, true, PARA_ENAME, "layer.*.mlp");
    refused(three, "", 1, true, PARA_ENAME, "no forward node");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_are_the_same_serially),
        cmocka_unit_test(bits_are_the_same_on_workers),
        cmocka_unit_test(recomputed_graphs_can_be_split),
        cmocka_unit_test(memory_falls),
        cmocka_unit_test(repeated_nodes_wait_for_the_backward_pass),
        cmocka_unit_test(parts_keep_apart),
        cmocka_unit_test(cheap_nodes_alone_are_repeated),
        cmocka_unit_test(some_values_are_kept),
        cmocka_unit_test(gradients_are_found),
        cmocka_unit_test(mistakes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
