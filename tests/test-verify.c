/* The definition of a legal graph: graphs broken by hand are refused, one rule each. */
#include "tests/graph-text.h"

#include <string.h>

#include "graph/op.h"

static para_tensor *tensor(para_graph *g, const char *name)
{
    const para_tensor *t = para_graph_find(g, name);
    assert_graph(g, t != NULL, "looking for \"%s\"", name);
    return g->tensors[t->id];
}

static para_node *node(para_graph *g, const char *name)
{
    return tensor(g, name)->producer;
}

static void swap_nodes(para_graph *g, int i, int j)
{
    para_node *n = g->nodes[i];
    g->nodes[i] = g->nodes[j];
    g->nodes[j] = n;
    g->nodes[i]->id = i;
    g->nodes[j]->id = j;
}

static void give_wrong_id(para_graph *g)
{
    node(g, "b")->id = 7;
}

static void read_alien(para_graph *g)
{
    static para_tensor alien;
    alien = *tensor(g, "x");
    node(g, "a")->in[0] = &alien;
}

static void read_too_early(para_graph *g)
{
    swap_nodes(g, 0, 1);
}

static void lose_an_output(para_graph *g)
{
    node(g, "b")->n_out = 0;
}

static void change_extent(para_graph *g)
{
    tensor(g, "b")->shape.dim[0].extent = tensor(g, "b")->shape.dim[0].whole = 3;
}

static void change_type(para_graph *g)
{
    tensor(g, "b")->shape.dtype = PARA_I32;
}

static void change_axis(para_graph *g)
{
    tensor(g, "b")->shape.dim[0].axis = "other";
}

static void contract_nothing(para_graph *g)
{
    node(g, "y")->attr[0].s = "nowhere";
}

static void list_other_axes(para_graph *g)
{
    node(g, "f")->words[0] = "never\0004\0";
}

static void list_other_extents(para_graph *g)
{
    node(g, "f")->words[0] = "rows\0005\0";
}

static void lose_inputs(para_graph *g)
{
    node(g, "b")->n_in = 0;
}

static void make_twice(para_graph *g)
{
    node(g, "b")->out[0] = tensor(g, "a");
}

static void miscount_output(para_graph *g)
{
    tensor(g, "b")->output = 1;
}

static void read_after_update(para_graph *g)
{
    swap_nodes(g, 0, 1);
}

static void forget_old_version(para_graph *g)
{
    tensor(g, "w'")->overwrites = NULL;
}

static void overwrite_another(para_graph *g)
{
    tensor(g, "w'")->overwrites = tensor(g, "d");
}

static void forget_new_version(para_graph *g)
{
    tensor(g, "w")->overwritten_by = NULL;
}

static void move_storage(para_graph *g)
{
    tensor(g, "w'")->storage = tensor(g, "d")->id;
}

static void update_by_gelu(para_graph *g)
{
    tensor(g, "b")->overwrites = tensor(g, "a");
    tensor(g, "a")->overwritten_by = tensor(g, "b");
}

static void mark_overwritten(para_graph *g)
{
    tensor(g, "a")->is_output = true;
}

struct breakage {
    const char *text;
    void (*damage)(para_graph *g);
    int code;
    const char *message;
};

static const char chain[] = "x:input[4]; a = gelu(x); b = gelu(a)";
static const char product[] = "x:input[rows=2,cols=3]; w:param[cols=3]; y = matmul(x, w, \"cols\")";
static const char filled[] = "f = fill(\"rows=4\", 1)";
static const char update[] = "w:param[4]; d:input[4]; lr:input[]; r = gelu(w); w' = sgd(w, d, lr, lr, 0)";
static const char update_of_result[] = "x:input[4]; lr:input[]; a = gelu(x); b = sgd(a, x, lr, lr, 0)";

static const struct breakage breakages[] = {
    {chain, give_wrong_id, PARA_EINVAL, "b: id 7, expected 1"},
    {chain, read_alien, PARA_EINVAL, "a: input 0 is no tensor of this graph"},
    {chain, read_too_early, PARA_EINVAL, "b: reads \"a\" before a makes it"},
    {chain, lose_an_output, PARA_EINVAL, "b (gelu): 0 outputs, expected 1"},
    {chain, change_extent, PARA_ESHAPE, "b (gelu): output 0 is f32 (n4 3), expected f32 (n4 4)"},
    {chain, change_type, PARA_ESHAPE, "output 0 is i32 (n4 4), expected f32 (n4 4)"},
    {chain, change_axis, PARA_ESHAPE, "output 0 is f32 (other 4), expected f32 (n4 4)"},
    {product, contract_nothing, PARA_EAXIS, "y (matmul): contract is \"nowhere\""},
    {filled, list_other_axes, PARA_ESHAPE, "f (fill): output 0 is f32 (rows 4), expected f32 (never 4)"},
    {filled, list_other_extents, PARA_ESHAPE, "f (fill): output 0 is f32 (rows 4), expected f32 (rows 5)"},
    {chain, lose_inputs, PARA_EINVAL, "b (gelu): 0 inputs, expected 1"},
    {chain, make_twice, PARA_EINVAL, "is not made once"},
    {chain, miscount_output, PARA_EINVAL, "\"b\" is not made once, as output 0 of b"},
    {update, read_after_update, PARA_EINVAL, "r: reads \"w\" after w' has overwritten it"},
    {update, forget_old_version, PARA_EINVAL, "\"w'\" doesn't overwrite the input that sgd updates"},
    {update, overwrite_another, PARA_EINVAL, "\"w'\" doesn't overwrite the input that sgd updates"},
    {update, forget_new_version, PARA_EINVAL, "\"w'\" doesn't overwrite the input that sgd updates"},
    {update, move_storage, PARA_EINVAL, "\"w'\" doesn't overwrite the input that sgd updates"},
    {chain, update_by_gelu, PARA_EINVAL, "\"b\" doesn't overwrite the input that gelu updates"},
    {update_of_result, mark_overwritten, PARA_EINVAL, "b: overwrites \"a\", which is an output and must stay"},
};

static void assert_broken(para_graph *g, const struct breakage *b)
{
    para_error err = {0};
    must(para_graph_verify(g, &err), err);
    b->damage(g);
    size_t axes = g->axes.count, names = g->names.count;
    int status = para_graph_verify(g, &err);
    if (status != b->code || !strstr(err.message, b->message))
        fail_msg("%s: \"%s\", expected %s: \"%s\"", para_status_name(status), err.message, para_status_name(b->code),
                 b->message);
    assert_int_equal(para_graph_verify(g, NULL), b->code);
    assert_true(g->axes.count == axes && g->names.count == names && g->error.code == 0); /* it only looks */
    para_graph_free(g);
}

static void broken_graphs_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof breakages / sizeof breakages[0]; i++)
        assert_broken(graph_of(breakages[i].text), &breakages[i]);
}

/* --- tiles --- */

static void move_tile(para_graph *g)
{
    tensor(g, "x[cols=1]")->shape.dim[1].begin = 0;
}

static void put_tile_into_norm(para_graph *g)
{
    node(g, "n")->in[0] = tensor(g, "a[cols=0]");
}

static void swap_gathered(para_graph *g)
{
    para_node *n = node(g, "a.gather");
    para_tensor *first = n->in[0];
    n->in[0] = n->in[1];
    n->in[1] = first;
}

static void lose_gathered(para_graph *g)
{
    node(g, "a.gather")->n_in = 1;
}

static void gather_nothing(para_graph *g)
{
    node(g, "a.gather")->n_in = 0;
}

static void cut_past_the_end(para_graph *g)
{
    tensor(g, "n.tile[cols=1]")->shape.dim[1].begin = 3;
    tensor(g, "m[cols=1]")->shape.dim[1].begin = 3;
}

/* As para_graph_split() makes them by cols=2: a in tiles, n whole on its gather, m in tiles of n. */
static const char norm[] =
    "x:input[rows=2,cols=4]; c:param[cols=4]; a = gelu(x); n = layernorm(a, c, c, 0.1); m = gelu(n)";

static const struct breakage tile_breakages[] = {
    {norm, move_tile, PARA_ESHAPE, "elements of axis \"cols\" from"},
    {norm, put_tile_into_norm, PARA_ESHAPE,
     "n (layernorm): \"a[cols=0]\" has a tile of axis \"cols\", expected all of it"},
    {norm, swap_gathered, PARA_ESHAPE, "\"a[cols=1]\" doesn't fit as input 0 along axis \"cols\""},
    {norm, lose_gathered, PARA_ESHAPE, "its inputs don't make up \"a.gather\""},
    {norm, gather_nothing, PARA_EINVAL, "0 inputs, expected at least 1"},
    {norm, cut_past_the_end, PARA_ESHAPE, "\"n\" doesn't fit as input 0"},
};

static void broken_tiles_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof tile_breakages / sizeof tile_breakages[0]; i++) {
        para_error err = {0};
        para_graph *g = graph_of(tile_breakages[i].text), *cut = NULL;
        must(para_graph_split(&cut, g, "cols", 2, &err), err);
        assert_broken(cut, &tile_breakages[i]);
        para_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_graphs_are_refused),
        cmocka_unit_test(broken_tiles_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
