/* Gradients: what the pass makes of a graph. That each op's gradient is right is test-ops's to show. */
#include "tests/graph-text.h"

#include <stdlib.h>
#include <string.h>

#include "graph/op.h"

static para_tensor *tensor(para_graph *g, const char *name)
{
    const para_tensor *t = para_graph_find(g, name);
    assert_graph(g, t != NULL, "looking for \"%s\"", name);
    return g->tensors[t->id];
}

static para_graph *with_gradients(const char *text)
{
    para_error err = {0};
    para_graph *g = graph_open(text);
    must(para_graph_backward(g, tensor(g, "loss"), &err), err);
    return g;
}

static void seal(para_graph *g)
{
    para_error err = {0};
    must(para_graph_seal(g, &err), err);
}

/* d (w + 2 w + 3 w) / dw = 6: three uses meet in one sum, in the order in which the walk back finds them. */
static void fan_in_is_one_sum(void **state)
{
    (void)state;
    para_graph *g = with_gradients("w:param[4]; a = scale(w, 2); b = scale(w, 3); c = add(a, b); d = add(c, w);"
                                   "loss = reduce_sum(d, \"\")");
    para_tensor *dw = para_grad(g, tensor(g, "w"));
    assert_non_null(dw);
    assert_string_equal(dw->producer->op->name, "sum");
    assert_int_equal(dw->producer->n_in, 3);
    para_name(para_output(dw), "dw");
    seal(g);
    para_session *s = serial_session(g, false);
    run_once(s);
    float *values = get_floats(s, "dw", 4);
    for (int i = 0; i < 4; i++)
        assert_true(values[i] == 6.0f);
    free(values);
    para_session_free(s);
    para_graph_free(g);
}

/* One use makes no sum, and a value on the way has its gradient too. */
static void a_single_use_makes_no_sum(void **state)
{
    (void)state;
    para_graph *g = with_gradients("w:param[4]; a = gelu(w); loss = reduce_sum(a, \"\")");
    for (int i = 0; i < g->n_nodes; i++)
        assert_string_not_equal(g->nodes[i]->op->name, "sum");
    assert_non_null(para_grad(g, tensor(g, "a")));
    assert_non_null(para_grad(g, tensor(g, "loss")));
    seal(g);
    para_graph_free(g);
}

/* What the loss doesn't depend on has no gradient, nor have inputs, nor what only they reach: no node is made for it.
 */
static void what_is_not_needed_is_not_made(void **state)
{
    (void)state;
    para_graph *g = with_gradients("x:input[4]; w:param[4]; unused:param[4]; aside = gelu(unused); y = gelu(x);"
                                   "z = mul(y, w); loss = reduce_sum(z, \"\")");
    assert_non_null(para_grad(g, tensor(g, "w")));
    assert_null(para_grad(g, tensor(g, "unused")));
    assert_null(para_grad(g, tensor(g, "x")));
    assert_null(para_grad(g, tensor(g, "y")));
    for (int i = 0; i < g->n_nodes; i++)
        assert_string_not_equal(g->nodes[i]->op->name, "gelu_backward");
    seal(g);
    para_graph_free(g);
}

/* The parameter's first reader leads nowhere; the gradient comes from the second. */
static void a_first_use_may_lead_nowhere(void **state)
{
    (void)state;
    para_graph *g = with_gradients("w:param[4]; nowhere = gelu(w); a = scale(w, 5); b = scale(w, 2); c = add(a, b);"
                                   "loss = reduce_sum(c, \"\")");
    assert_non_null(para_grad(g, tensor(g, "w")));
    assert_int_equal(para_grad(g, tensor(g, "w"))->producer->n_in, 2);
    seal(g);
    para_graph_free(g);
}

/* Gradient nodes stand in the scope of the node they come from, are marked, and come after the forward pass. */
static void gradients_inherit_scopes(void **state)
{
    (void)state;
    para_graph *g = graph_open("w:param[rows=4]; push(\"layer.2\"); a = gelu(w); pop(); loss = reduce_sum(a, \"\")");
    para_error err = {0};
    int forward = g->n_nodes;
    must(para_graph_backward(g, tensor(g, "loss"), &err), err);
    assert_true(g->n_nodes > forward);
    for (int i = 0; i < g->n_nodes; i++)
        assert_int_equal(g->nodes[i]->backward, i >= forward);
    const para_node *dw = para_grad(g, tensor(g, "w"))->producer;
    assert_string_equal(dw->scope, "layer.2");
    assert_string_equal(dw->name, "layer.2.a.grad.gelu_backward");
    assert_string_equal(dw->out[0]->shape.dim[0].axis, "rows");
    assert_string_equal(g->scope, "");
    seal(g);
    para_graph_free(g);
}

static void assert_refused(para_graph *g, const char *loss, int code, const char *text)
{
    para_error err = {0};
    const para_tensor *t = para_graph_find(g, loss);
    assert_int_equal(para_graph_backward(g, t ? g->tensors[t->id] : NULL, &err), code);
    assert_graph(g, strstr(err.message, text) != NULL, "the message \"%s\" says \"%s\"", err.message, text);
}

/* A failure stays in the graph, which can't be sealed any more. */
static void assert_spoiled(const char *text, const char *loss, int code, const char *message)
{
    para_error err = {0};
    para_graph *g = graph_open(text);
    assert_refused(g, loss, code, message);
    assert_int_equal(para_graph_seal(g, &err), code);
    assert_graph(g, strstr(err.message, message) != NULL, "the message \"%s\" says \"%s\"", err.message, message);
    para_graph_free(g);
    g = graph_open(text);
    const para_tensor *t = para_graph_find(g, loss);
    assert_int_equal(para_graph_backward(g, t ? g->tensors[t->id] : NULL, NULL), code);
    assert_int_equal(para_graph_seal(g, NULL), code);
    para_graph_free(g);
}

static void bad_losses_are_refused(void **state)
{
    (void)state;
    static const char text[] = "w:param[4]; k:count[]; n = increment(k); loss = reduce_sum(w, \"\")";
    para_graph *g = graph_open(text);
    para_graph *other = graph_open("other:input[]");
    para_error err = {0};
    assert_int_equal(para_graph_backward(g, tensor(other, "other"), &err), PARA_ESHAPE);
    assert_null(para_grad(g, tensor(g, "w")));
    para_graph_free(other);
    para_graph_free(g);
    assert_spoiled(text, "w", PARA_ESHAPE, "the loss \"w\" is no float32 scalar");
    assert_spoiled(text, "n", PARA_ESHAPE, "the loss \"n\" is no float32 scalar");
    assert_spoiled(text, "nobody", PARA_ESHAPE, "no float32 scalar");
    assert_spoiled("w:param[4]; loss = reduce_sum(w, \"\"); backward(loss)", "loss", PARA_EINVAL,
                   "has its gradients already");
    g = graph_of("w:param[4]; loss = reduce_sum(w, \"\")");
    assert_refused(g, "loss", PARA_EINVAL, "is sealed");
    para_graph_free(g);
}

static void an_op_without_a_gradient_is_named(void **state)
{
    (void)state;
    assert_spoiled("w:param[4]; s = reduce_sum(w, \"\"); limit = clip_scale(s, 1); loss = scale(limit, 2)", "loss",
                   PARA_ESUPPORT, "limit: op clip_scale has no gradient");
    para_graph *g =
        graph_open("w:param[4]; x:input[]; limit = clip_scale(x, 1); s = reduce_sum(w, \"\"); loss = add(s, limit)");
    para_error err = {0};
    must(para_graph_backward(g, tensor(g, "loss"), &err), err);
    para_graph_free(g);
}

static void an_earlier_error_comes_first(void **state)
{
    (void)state;
    para_graph *g = graph_open("w:param[4]; loss = reduce_sum(w, \"\"); bad = reduce_sum(w, \"nowhere\")");
    assert_refused(g, "loss", PARA_EAXIS, "nowhere");
    para_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fan_in_is_one_sum),
        cmocka_unit_test(a_single_use_makes_no_sum),
        cmocka_unit_test(what_is_not_needed_is_not_made),
        cmocka_unit_test(a_first_use_may_lead_nowhere),
        cmocka_unit_test(gradients_inherit_scopes),
        cmocka_unit_test(bad_losses_are_refused),
        cmocka_unit_test(an_op_without_a_gradient_is_named),
        cmocka_unit_test(an_earlier_error_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
