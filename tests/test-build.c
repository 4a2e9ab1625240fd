/* Building graphs: names, scopes, axes, errors that stick, and updates as versions. */
#include "tests/graph-text.h"

#include <limits.h>
#include <string.h>

#include "graph/op.h"

/* The graph, sealed, gives this error. */
static void assert_error(para_graph *g, int code, const char *text)
{
    para_error err = {0};
    assert_int_equal(para_graph_seal(g, &err), code);
    assert_int_equal(err.code, code);
    assert_graph(g, strstr(err.message, text) != NULL, "the message \"%s\" says \"%s\"", err.message, text);
    assert_int_equal(para_graph_seal(g, NULL), code);
    para_graph_free(g);
}

static void scopes_go_before_names(void **state)
{
    (void)state;
    para_graph *g = para_graph_new();
    para_tensor *x = para_input(g, "x", PARA_F32, PARA_DIMS({"rows", 4}));
    para_scope_push(g, "layer.%d", 3);
    para_scope_push(g, "attn");
    para_tensor *w = para_param(g, "w", PARA_DIMS({"rows", 4}), (para_init){PARA_INIT_FILL, 0, 0});
    para_tensor *y = para_add(g, x, w), *z = para_add(g, y, w);
    para_scope_pop(g);
    para_name(z, "out");
    para_scope_pop(g);
    assert_string_equal(para_tensor_name(w), "layer.3.attn.w");
    assert_string_equal(para_tensor_name(y), "layer.3.attn.add");
    assert_string_equal(para_tensor_name(z), "layer.3.out");
    assert_string_equal(para_node_name(para_tensor_producer(z)), "layer.3.out");
    assert_string_equal(para_tensor_producer(z)->scope, "layer.3.attn");
    assert_ptr_equal(para_graph_find(g, "layer.3.out"), z);
    assert_null(para_graph_find(g, "layer.3.attn.add.2"));
    assert_null(para_graph_find(g, "out"));
    para_error err = {0};
    must(para_graph_seal(g, &err), err);
    para_graph_free(g);
}

static void ops_without_a_name_are_numbered(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[4]; a = gelu(x); gelu(a); gelu(a); gelu(a)");
    assert_ptr_equal(node_of(g, "gelu")->in[0], node_of(g, "gelu.3")->in[0]);
    assert_non_null(para_graph_find(g, "gelu.2"));
    assert_null(para_graph_find(g, "gelu.4"));
    para_graph_free(g);
}

/* A number that is given up for a name is the next to be made, as if it had never been. */
static void numbers_given_up_are_made_again(void **state)
{
    (void)state;
    para_graph *g = graph_open("x:input[4]");
    para_tensor *x = g->tensors[0], *made[4];
    for (int i = 0; i < 4; i++)
        made[i] = para_gelu(g, x);
    assert_string_equal(para_tensor_name(made[3]), "gelu.4");
    para_name(made[2], "c");
    para_name(made[1], "b");
    assert_string_equal(para_tensor_name(para_gelu(g, x)), "gelu.2");
    assert_string_equal(para_tensor_name(para_gelu(g, x)), "gelu.3");
    assert_string_equal(para_tensor_name(para_gelu(g, x)), "gelu.5");
    para_name(made[0], "a");
    assert_string_equal(para_tensor_name(para_gelu(g, x)), "gelu");
    para_graph_free(g);
}

/* No name is cut, however long: not in scopes, gradients, optimizers, or tiles. */
static void long_names_are_kept(void **state)
{
    (void)state;
    char scope[1501] = "", name[2000];
    memset(scope, 's', sizeof scope - 1);
    para_graph *g = para_graph_new(), *cut = NULL;
    para_error err = {0};
    para_scope_push(g, "%s", scope);
    para_tensor *w = para_param(g, "w", PARA_DIMS({"rows", 4}), (para_init){PARA_INIT_FILL, 1, 0});
    para_tensor *y = para_gelu(g, w), *z = para_gelu(g, y);
    para_tensor *loss = para_name(para_reduce_sum(g, z, ""), "loss");
    para_scope_pop(g);
    must(para_graph_backward(g, loss, &err), err);
    must(para_graph_adamw(g, NULL, &err), err);
    must(para_graph_seal(g, &err), err);
    static const char *const made[] = {"w", "gelu", "gelu.2", "loss", "loss.grad.broadcast", "w.m", "w.adamw"};
    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++) {
        snprintf(name, sizeof name, "%s.%s", scope, made[i]);
        if (!para_graph_find(g, name))
            fail_msg("no tensor is called <scope>.%s", made[i]);
    }
    assert_string_equal(para_grad(g, w)->producer->scope, scope);
    must(para_graph_split(&cut, g, "rows", 2, &err), err);
    snprintf(name, sizeof name, "%s.w.adamw[rows=1]", scope);
    assert_string_equal(node_of(cut, name)->scope, scope);
    para_graph_free(cut);
    para_graph_free(g);
}

static void names_are_taken_once(void **state)
{
    (void)state;
    assert_error(graph_open("x:input[4]; x:param[4]"), PARA_ENAME, "the name \"x\" is taken");
    assert_error(graph_open("x:input[4]; a = gelu(x); a = gelu(a)"), PARA_ENAME, "the name \"a\" is taken");
    para_graph *g = graph_open("x:input[4]; a = gelu(x)");
    assert_null(para_name(g->tensors[0], "y"));
    assert_error(g, PARA_ENAME, "\"x\" has a name already");
}

/* A node's other outputs are named after the first, and must be free too. */
static void names_of_all_outputs_are_taken_once(void **state)
{
    (void)state;
    para_graph *g = graph_open("x:input[4]; w:param[4]; y = layernorm(x, w, w, 0)");
    assert_non_null(para_input(g, "norm:1", PARA_F32, PARA_SCALAR));
    assert_null(para_name(g->nodes[0]->out[0], "norm"));
    assert_error(g, PARA_ENAME, "the name \"norm:1\" is taken");
}

/* What a caller may hand over by mistake is refused by name, not followed. */
static void bad_arguments_are_refused(void **state)
{
    (void)state;
    para_graph *g = para_graph_new();
    assert_null(para_input(g, "", PARA_F32, PARA_SCALAR));
    assert_error(g, PARA_ENAME, "a value's name is empty");
    g = para_graph_new();
    assert_null(para_input(g, NULL, PARA_F32, PARA_SCALAR));
    assert_error(g, PARA_ENAME, "a value's name is NULL");
    g = para_graph_new();
    assert_null(para_input(g, "x", (para_dtype)9, PARA_SCALAR));
    assert_error(g, PARA_ESHAPE, "x: element type number 9");
    g = para_graph_new();
    assert_null(para_param(g, "w", PARA_SCALAR, (para_init){(para_init_kind)7, 0, 0}));
    assert_error(g, PARA_EINVAL, "\"w\" begins by kind number 7");
    g = graph_open("x:input[rows=2,cols=3]");
    assert_null(para_matmul(g, g->tensors[0], g->tensors[0], NULL));
    assert_error(g, PARA_EINVAL, "matmul (matmul): contract is NULL, expected a string");
    g = para_graph_new();
    para_state(g, "s", PARA_I32, PARA_SCALAR, (para_init){PARA_INIT_FILL, 1e12, 0});
    assert_error(g, PARA_EINVAL, "\"s\" is i32, expected a fill with an int32");
}

static void scopes_are_closed_as_often_as_opened(void **state)
{
    (void)state;
    assert_error(graph_open("push(\"layer.0\"); push(\"attn\"); pop()"), PARA_EINVAL,
                 "scope \"layer.0\" is still open");
    assert_error(graph_open("push(\"a\"); pop(); pop()"), PARA_EINVAL, "without a scope open");
}

/* The first error stays, NULL passes through every later call, and nothing is added any more. */
static void errors_stick(void **state)
{
    (void)state;
    para_graph *g = graph_open("x:input[rows=4]; y:input[cols=4]; ok = gelu(x)");
    int nodes = g->n_nodes;
    para_tensor *bad = para_add(g, g->tensors[0], g->tensors[1]);
    assert_null(bad);
    assert_null(para_gelu(g, bad));
    assert_null(para_name(para_scale(g, bad, 2.0), "never"));
    assert_null(para_output(NULL));
    assert_null(para_matmul(g, bad, g->tensors[0], "nowhere"));
    assert_null(para_gelu(g, g->tensors[0]));
    assert_null(para_input(g, "z", PARA_F32, PARA_SCALAR));
    assert_in_range(g->n_nodes, nodes, nodes + 1);
    para_error err = {0}, late = {PARA_EIO, "late"};
    para_graph_fail(g, &late);
    assert_int_equal(para_graph_backward(g, g->tensors[0], &err), PARA_ESHAPE);
    assert_error(g, PARA_ESHAPE, "add");
}

/* A builder of models may keep an error of its own. */
static void a_model_can_fail(void **state)
{
    (void)state;
    para_graph *g = graph_open("x:input[4]");
    para_error own = {PARA_EINVAL, "heads must divide the width"};
    para_graph_fail(g, &own);
    assert_error(g, PARA_EINVAL, "heads must divide the width");
}

static void an_axis_has_one_extent(void **state)
{
    (void)state;
    assert_error(graph_open("x:input[rows=4]; y:input[rows=5]"), PARA_ESHAPE,
                 "axis \"rows\" has extent 5 here and 4 elsewhere");
    assert_error(graph_open("x:input[rows=4,rows=4]"), PARA_EAXIS, "axis \"rows\" stands twice");
    assert_error(graph_open("x:input[rows=0]"), PARA_ERANGE, "expected at least 1");
    assert_error(graph_open("x:input[a=1,b=1,c=1,d=1,e=1,f=1]; y:input[z=2]; w = matmul(x, y, \"\")"), PARA_ESHAPE,
                 "axes");
    assert_error(graph_open("x:input[a=4294967296,b=4294967296]"), PARA_ERANGE, "overflows");
    static const char *const bad[] = {"", "two words", "a=b", "a,b", "a[0]", "an_axis_whose_name_is_far_too_long"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        para_graph *g = para_graph_new();
        assert_null(para_input(g, "x", PARA_F32, PARA_DIMS({bad[i], 4})));
        assert_error(g, PARA_EAXIS, "can't name an axis");
    }
    para_graph *g = para_graph_new();
    assert_null(
        para_input(g, "x", PARA_F32, PARA_DIMS({"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}, {"e", 1}, {"f", 1}, {"g", 1})));
    assert_error(g, PARA_ESHAPE, "7 dimensions, expected at most 6");
}

static void states_are_floats_or_counts(void **state)
{
    (void)state;
    para_graph *g = para_graph_new();
    assert_null(para_state(g, "s", PARA_BF16, PARA_SCALAR, (para_init){PARA_INIT_FILL, 0, 0}));
    assert_error(g, PARA_ESHAPE, "state \"s\" is bf16, expected f32 or i32");
    g = para_graph_new();
    assert_null(para_state(g, "s", PARA_I32, PARA_SCALAR, (para_init){PARA_INIT_NORMAL, 0, 1}));
    assert_error(g, PARA_EINVAL, "state \"s\" is i32, expected a fill");
}

/* An update is a new value in the old one's storage. */
static void updates_are_versions(void **state)
{
    (void)state;
    para_graph *g = graph_of("w:param[4]; d:input[4]; lr:input[]; a = scale(w, 2); w' = sgd(w, d, lr, lr, 0);"
                             "w'' = sgd(w', a, lr, lr, 0)");
    const para_tensor *w = para_graph_find(g, "w"), *w1 = para_graph_find(g, "w'"), *w2 = para_graph_find(g, "w''");
    assert_ptr_equal(w1->overwrites, w);
    assert_ptr_equal(w->overwritten_by, w1);
    assert_ptr_equal(w2->overwrites, w1);
    assert_null(w2->overwritten_by);
    assert_int_equal(w1->storage, w->id);
    assert_int_equal(w2->storage, w->id);
    assert_int_equal(para_tensor_kind(w2), PARA_INTERMEDIATE);
    para_graph_free(g);
}

static void overwritten_versions_are_not_read(void **state)
{
    (void)state;
    assert_error(graph_open("w:param[4]; d:input[4]; lr:input[]; w' = sgd(w, d, lr, lr, 0); a = gelu(w)"), PARA_EINVAL,
                 "reads \"w\" after w' has overwritten it; use its result");
    assert_error(graph_open("w:param[4]; d:input[4]; lr:input[]; w' = sgd(w, d, lr, lr, 0); b = sgd(w, d, lr, lr, 0)"),
                 PARA_EINVAL, "reads \"w\" after");
}

/* A kernel may write its result while it still reads its other inputs. */
static void an_updated_value_is_read_once(void **state)
{
    (void)state;
    assert_error(graph_open("w:param[4]; lr:input[]; w' = sgd(w, w, lr, lr, 0)"), PARA_EINVAL,
                 "w' (sgd): overwrites \"w\" and reads it as input 1 too");
    assert_error(graph_open("w:param[]; d:input[]; w' = sgd(w, d, d, w, 0)"), PARA_EINVAL, "as input 3 too");
}

static void graphs_do_not_mix(void **state)
{
    (void)state;
    para_graph *other = graph_open("x:input[4]"), *g = graph_open("y:input[4]");
    assert_null(para_add(g, g->tensors[0], other->tensors[0]));
    assert_error(g, PARA_EINVAL, "\"x\" belongs to another graph");
    para_graph_free(other);
}

static void sealed_graphs_stay_as_they_are(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[4]; y = gelu(x)");
    assert_null(para_gelu(g, g->tensors[0]));
    assert_null(para_input(g, "z", PARA_F32, PARA_SCALAR));
    assert_null(para_output(g->tensors[1]));
    assert_false(g->tensors[1]->is_output);
    assert_int_equal(g->n_nodes, 1);
    assert_int_equal(g->n_tensors, 2);
    para_graph_free(g);
    para_graph_free(NULL);
}

static void graphs_can_be_walked(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:ids[rows=4,cols=3]; a = cast(x, \"f32\"); b = reduce_sum(a, \"cols\")");
    const para_node *n = para_graph_first(g);
    assert_string_equal(para_node_op(n), "cast");
    assert_string_equal(para_node_op(para_node_next(n)), "reduce_sum");
    assert_null(para_node_next(para_node_next(n)));
    assert_ptr_equal(para_graph_node(g, 1), para_node_next(n));
    assert_null(para_graph_node(g, 2));
    assert_null(para_graph_node(g, -1));
    assert_null(para_graph_tensor(g, 3));
    const para_tensor *x = para_node_input(n, 0), *b = para_graph_find(g, "b");
    assert_int_equal(para_tensor_kind(x), PARA_INPUT);
    assert_int_equal(para_tensor_dtype(x), PARA_I32);
    assert_int_equal(para_tensor_bytes(x), 48);
    assert_int_equal(para_tensor_rank(b), 1);
    assert_string_equal(para_tensor_dim(b, 0).axis, "rows");
    assert_int_equal(para_tensor_dim(b, 0).extent, 4);
    assert_int_equal(para_tensor_whole(b, 0), 4);
    assert_int_equal(para_tensor_begin(b, 0), 0);
    assert_string_equal(para_node_scope(n), "");
    assert_string_equal(para_node_part(n), "");
    assert_int_equal(para_node_origin(n), 0);
    assert_int_equal(para_node_place(n), -1);
    para_graph_free(g);
}

static void dimensions_that_are_not_there_are_empty(void **state)
{
    (void)state;
    static const int wrong[] = {-1, 2, PARA_MAX_RANK, INT_MAX, INT_MIN};
    para_graph *g = para_graph_new();
    const para_tensor *x = para_input(g, "x", PARA_F32, PARA_DIMS({"rows", 3}, {"columns", 4}));
    assert_int_equal(para_tensor_dim(x, 1).extent, 4);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_null(para_tensor_dim(x, wrong[i]).axis);
        assert_int_equal(para_tensor_dim(x, wrong[i]).extent, 0);
        assert_int_equal(para_tensor_whole(x, wrong[i]), 0);
        assert_int_equal(para_tensor_begin(x, wrong[i]), 0);
    }
    para_graph_free(g);
}

/* With or without jansson, a graph file needs no name to be refused. */
static void files_need_no_name(void **state)
{
    (void)state;
    para_graph *g = NULL;
    para_error err = {0};
    char text[] = "[]";
    FILE *file = fmemopen(text, strlen(text), "r");
    assert_non_null(file);
    assert_true(para_graph_load_json(&g, file, NULL, &err) < 0);
    fclose(file);
    assert_null(g);
    assert_int_equal(strncmp(err.message, "graph: ", 7), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scopes_go_before_names),
        cmocka_unit_test(ops_without_a_name_are_numbered),
        cmocka_unit_test(numbers_given_up_are_made_again),
        cmocka_unit_test(names_are_taken_once),
        cmocka_unit_test(scopes_are_closed_as_often_as_opened),
        cmocka_unit_test(errors_stick),
        cmocka_unit_test(a_model_can_fail),
        cmocka_unit_test(an_axis_has_one_extent),
        cmocka_unit_test(states_are_floats_or_counts),
        cmocka_unit_test(updates_are_versions),
        cmocka_unit_test(overwritten_versions_are_not_read),
        cmocka_unit_test(graphs_do_not_mix),
        cmocka_unit_test(sealed_graphs_stay_as_they_are),
        cmocka_unit_test(graphs_can_be_walked),
        cmocka_unit_test(names_of_all_outputs_are_taken_once),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(an_updated_value_is_read_once),
        cmocka_unit_test(long_names_are_kept),
        cmocka_unit_test(dimensions_that_are_not_there_are_empty),
        cmocka_unit_test(files_need_no_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
