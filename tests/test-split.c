/* Splitting an axis: what it makes of small graphs, and that it changes no result of random ones. */
#include "tests/graph-text.h"
#include "tests/random-graph.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/op.h"
#include "ops/need.h"

enum { GRAPHS = 2000 };

static para_graph *split_of(const para_graph *g, const char *list)
{
    para_error err = {0};
    para_graph *cut = NULL;
    must(para_graph_split_list(&cut, g, list, NULL, 0, &err), err);
    must(para_graph_verify(cut, &err), err);
    assert_true(cut->sealed);
    return cut;
}

static int count_op(const para_graph *g, const char *op)
{
    int count = 0;
    for (int i = 0; i < g->n_nodes; i++)
        count += strcmp(g->nodes[i]->op->name, op) == 0;
    return count;
}

static const para_tensor *tensor(const para_graph *g, const char *name)
{
    const para_tensor *t = para_graph_find(g, name);
    assert_graph(g, t != NULL, "looking for \"%s\"", name);
    return t;
}

/* Parts of a contracted axis give partial products, added in part order; the rest of the graph stays. */
static void partial_sums_stand_in_part_order(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[rows=2,cols=6]; w:param[cols=6,deep=3]; y = matmul(x, w, \"cols\"); z = gelu(y)");
    para_graph *cut = split_of(g, "cols=3");
    assert_int_equal(count_op(cut, "matmul"), 3);
    assert_int_equal(count_op(cut, "sum"), 1);
    assert_int_equal(cut->n_nodes, 5);
    const para_node *sum = node_of(cut, "y");
    assert_string_equal(sum->op->name, "sum");
    assert_int_equal(sum->n_in, 3);
    for (int p = 0; p < 3; p++) {
        char part[16];
        snprintf(part, sizeof part, "cols=%d", p);
        const para_node *matmul = sum->in[p]->producer;
        assert_string_equal(matmul->part, part);
        assert_int_equal(matmul->origin, node_of(g, "y")->id);
        assert_int_equal(matmul->in[1]->shape.dim[0].begin, 2 * p);
        assert_string_equal(matmul->in[1]->base, "w");
    }
    assert_string_equal(sum->part, "");
    assert_ptr_equal(node_of(cut, "z")->in[0], sum->out[0]);
    para_graph_free(cut);
    para_graph_free(g);
}

/* A parallel axis makes tiles all the way, with nothing between them. */
static void parallel_parts_never_meet(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[rows=4,cols=2]; b:param[cols=2]; y = add(x, b); z = gelu(y); output(z)");
    para_graph *cut = split_of(g, "rows=2");
    assert_int_equal(cut->n_nodes, 4);
    assert_null(para_graph_find(cut, "z"));
    assert_ptr_equal(node_of(cut, "z[rows=1]")->in[0]->producer, node_of(cut, "y[rows=1]"));
    assert_ptr_equal(node_of(cut, "y[rows=0]")->in[1], node_of(cut, "y[rows=1]")->in[1]);
    assert_true(tensor(cut, "z[rows=0]")->is_output && tensor(cut, "z[rows=1]")->is_output);
    para_graph_free(cut);
    para_graph_free(g);
}

/* Earlier tiles are one larger where the count doesn't divide, and together they are the whole. */
static void uneven_extents_are_covered(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[rows=7]; y = gelu(x)");
    static const int64_t extent[8][7] = {{0}, {7}, {4, 3}, {3, 2, 2}, {2, 2, 2, 1}};
    for (int parts = 1; parts <= 4; parts++) {
        char list[16], name[16];
        int64_t begin = 0;
        snprintf(list, sizeof list, "rows=%d", parts);
        para_graph *cut = split_of(g, list);
        for (int p = 0; p < parts; p++) {
            snprintf(name, sizeof name, "y[rows=%d]", p);
            const struct para_extent *e = &tensor(cut, name)->shape.dim[0];
            assert_int_equal(e->extent, extent[parts][p]);
            assert_int_equal(e->begin, begin);
            assert_int_equal(e->whole, 7);
            begin += e->extent;
        }
        assert_int_equal(begin, 7);
        para_graph_free(cut);
    }
    para_graph_free(g);
}

/* A norm needs its axis whole: tiles are gathered once for two norms, and a whole is cut once for two readers; the
 * value left whole says why. */
static void tiles_and_wholes_are_made_once(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[rows=2,cols=4]; c:param[cols=4]; a = gelu(x); n = layernorm(a, c, c, 0.1);"
                             "m = layernorm(a, c, c, 0.2); p = add(n, c); q = mul(n, c); r = gelu(p)");
    para_graph *cut = split_of(g, "cols=2");
    assert_int_equal(count_op(cut, "layernorm"), 2);
    assert_int_equal(count_op(cut, "gather"), 2);
    assert_int_equal(count_op(cut, "tile"), 2);
    assert_int_equal(count_op(cut, "gelu"), 4);
    const para_node *gather = node_of(cut, "a.gather");
    assert_ptr_equal(node_of(cut, "n")->in[0], gather->out[0]);
    assert_ptr_equal(node_of(cut, "m")->in[0], gather->out[0]);
    assert_ptr_equal(gather->in[1], tensor(cut, "a[cols=1]"));
    assert_ptr_equal(node_of(cut, "p[cols=1]")->in[0], node_of(cut, "q[cols=1]")->in[0]);
    assert_string_equal(tensor(cut, "n")->why_whole, "cols: a norm's statistics need the whole axis");
    assert_null(tensor(cut, "a[cols=0]")->why_whole);
    para_graph_free(cut);
    para_graph_free(g);
}

/* Two axes: a product in four parts, whose sums over the one stay apart by the other, in either order. */
static void two_axes_multiply(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[rows=4,cols=6]; w:param[cols=6,deep=3]; y = matmul(x, w, \"cols\")");
    for (int turn = 0; turn < 2; turn++) {
        para_graph *cut = split_of(g, turn ? "cols=2,rows=2" : "rows=2,cols=2");
        assert_int_equal(count_op(cut, "matmul"), 4);
        assert_int_equal(count_op(cut, "sum"), 2);
        assert_int_equal(cut->n_nodes, 6);
        const para_node *sum = node_of(cut, "y[rows=1]");
        assert_int_equal(sum->n_in, 2);
        for (int p = 0; p < 2; p++) {
            const para_tensor *x = sum->in[p]->producer->in[0];
            assert_int_equal(x->shape.dim[0].begin, 2);
            assert_int_equal(x->shape.dim[1].begin, 3 * p);
            assert_string_equal(x->base, "x");
        }
        assert_string_equal(cut->splits, turn ? "cols=2,rows=2" : "rows=2,cols=2");
        para_graph_free(cut);
    }
    para_graph_free(g);
}

/* An update stays in place: each part overwrites its own tile. */
static void updates_are_cut_in_place(void **state)
{
    (void)state;
    para_graph *g = graph_of("w:param[rows=4]; d:input[rows=4]; lr:input[]; w' = sgd(w, d, lr, lr, 0)");
    para_graph *cut = split_of(g, "rows=2");
    assert_int_equal(count_op(cut, "sgd"), 2);
    assert_ptr_equal(tensor(cut, "w'[rows=1]")->overwrites, tensor(cut, "w[rows=1]"));
    assert_int_equal(tensor(cut, "w'[rows=0]")->storage, tensor(cut, "w[rows=0]")->id);
    para_graph_free(cut);
    para_graph_free(g);
}

static void assert_refused(const para_graph *g, const char *axis, int parts, int code, const char *text)
{
    para_error err = {0};
    para_graph *cut = NULL;
    assert_int_equal(para_graph_split(&cut, g, axis, parts, &err), code);
    assert_null(cut);
    assert_int_equal(err.code, code);
    assert_graph(g, strstr(err.message, text) != NULL, "the message \"%s\" says \"%s\"", err.message, text);
}

static void bad_splits_are_refused(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:input[rows=4,cols=6]; y = gelu(x)");
    assert_refused(g, "head", 2, PARA_EAXIS, "no axis is called \"head\"; this graph has rows, cols");
    assert_refused(g, "row", 2, PARA_EAXIS, "no axis is called \"row\"");
    assert_refused(g, "rows", 0, PARA_ERANGE, "rows=0: expected 1 to 4 parts");
    assert_refused(g, "rows", 5, PARA_ERANGE, "expected 1 to 4 parts");
    para_graph *cut = split_of(g, "rows=4");
    assert_refused(cut, "rows", 2, PARA_EAXIS, "has been split before (rows=4)");
    para_graph *once = split_of(g, "rows=1,cols=2");
    assert_refused(once, "rows", 1, PARA_EAXIS, "has been split before (rows=1,cols=2)");
    assert_refused(once, "cols", 3, PARA_EAXIS, "has been split before");
    para_graph_free(once);
    para_graph_free(cut);
    para_graph_free(g);
    g = graph_open("x:input[rows=4]");
    assert_refused(g, "rows", 2, PARA_EINVAL, "not sealed");
    para_graph_free(g);
}

static int like_first(const para_node *n, struct para_shape out[], para_error *err)
{
    (void)err;
    return para_infer_like(n, 0, out);
}

static enum para_role always_reduce(const para_node *n, const char *axis, int output, const char **why)
{
    (void)n, (void)axis, (void)output, (void)why;
    return PARA_REDUCE;
}

static enum para_role always_whole(const para_node *n, const char *axis, int output, const char **why)
{
    (void)n, (void)axis, (void)output;
    *why = "it says so";
    return PARA_WHOLE;
}

/* A value that two splits leave whole keeps both reasons, also when the graph between them is gone. */
static void reasons_add_up(void **state)
{
    (void)state;
    const struct para_op stubborn = {
        .name = "stubborn", .types = "f32 -> f32", .infer = like_first, .role = always_whole};
    para_error err = {0};
    para_graph *g = graph_open("x:input[rows=4,cols=2,deep=2]");
    para_name(para_apply(&stubborn, g, PARA_IN(g->tensors[0]), NULL), "y");
    must(para_graph_seal(g, &err), err);
    para_graph *cut = split_of(g, "cols=2,rows=3,deep=2");
    assert_string_equal(tensor(cut, "y")->why_whole, "cols: it says so; rows: it says so; deep: it says so");
    para_graph_free(cut);
    para_graph_free(g);
}

static int count_tiles(const para_graph *g, const char *base)
{
    int count = 0;
    for (int i = 0; i < g->n_tensors; i++)
        count += strcmp(g->tensors[i]->base, base) == 0;
    return count;
}

/* A weight in blocks is cut where the borders of all parts are borders of blocks; else it and its product stay whole,
 * and the weight says why. */
static void check_blocks(const char *text, const char *list, int tiles, int products)
{
    para_graph *g = graph_of(text), *cut = split_of(g, list);
    assert_graph(cut, count_tiles(cut, "w") == tiles, "%s: %d tiles", list, count_tiles(cut, "w"));
    assert_graph(cut, count_op(cut, "matmul") == products, "%s: %d products", list, count_op(cut, "matmul"));
    for (int i = 0; i < cut->n_tensors; i++) {
        const para_tensor *t = cut->tensors[i];
        struct para_shape blocks;
        assert_graph(cut, para_shape_in_blocks(&t->shape, &blocks), "\"%s\" cuts a block", t->name);
        if (strcmp(t->name, "w") == 0)
            assert_non_null(strstr(t->why_whole, ": a border of its parts lies within a block"));
    }
    para_graph_free(cut);
    para_graph_free(g);
}

static void blocks_are_not_cut(void **state)
{
    (void)state;
    const char *heads = "x:input[t=3,h=12,d=48]; w:q8_0[n=5,h=12,d=48]; y = matmul(x, w, \"h d\")";
    check_blocks(heads, "h=2", 2, 2);
    check_blocks(heads, "h=3", 3, 3);
    check_blocks(heads, "h=4", 1, 1); /* 3 heads are 144 elements */
    check_blocks(heads, "h=5", 1, 1);
    check_blocks(heads, "h=12", 1, 1);
    check_blocks(heads, "d=2", 1, 1);
    check_blocks(heads, "n=3,h=3", 9, 9);
    check_blocks(heads, "h=2,d=3", 2, 2);
    const char *rows = "x:input[t=3,k=224]; w:q4_0[n=5,k=224]; y = matmul(x, w, \"k\")";
    check_blocks(rows, "k=7", 7, 7);
    check_blocks(rows, "k=2", 1, 1);
    check_blocks(rows, "k=3", 1, 1);
    check_blocks(rows, "n=5", 5, 5);
    check_blocks("x:input[t=3,h=2,d=64]; w:q8_0[n=5,h=2,d=64]; y = matmul(x, w, \"h d\")", "h=2,d=2", 4, 4);
}

static void assert_op_refused(const struct para_op *op, const char *text)
{
    para_error err = {0};
    para_graph *g = graph_open("w:param[rows=4]");
    para_apply(op, g, PARA_IN(g->tensors[0]), NULL);
    must(para_graph_seal(g, &err), err);
    assert_refused(g, "rows", 2, PARA_EINVAL, text);
    para_graph_free(g);
}

/* What an op's row says is checked: an update can't be repeated per part, and a parallel output has the axis. */
static void contradictory_ops_are_refused(void **state)
{
    (void)state;
    const struct para_op repeated = {
        .name = "repeated", .types = "f32 -> f32", .infer = like_first, .role = always_reduce, .updates = {1}};
    const struct para_op parallel = {.name = "parallel", .types = "f32 -> f32", .infer = para_infer_scalar};
    assert_op_refused(&repeated, "repeated updates \"w\" in place, which would be done once per part");
    assert_op_refused(&parallel, "says that \"rows\" is parallel, and output 0 lacks it");
}

/* --- random graphs --- */

static void set_inputs(const para_graph *g, para_session *s, uint64_t seed)
{
    for (int i = 0; i < g->n_tensors; i++) {
        const para_tensor *t = g->tensors[i];
        if (t->kind != PARA_INPUT)
            continue;
        float *x = must_alloc(para_shape_bytes(&t->shape));
        fill_uniform(x, para_shape_elements(&t->shape), seed, (uint64_t)i, -1.0, 1.0);
        set_value(s, t->name, x, para_shape_bytes(&t->shape));
        free(x);
    }
}

/* Whether a equals b within 1e-5 of b's norm, or of 0.1 per element where b is smaller: the terms of its sums are
 * about 1, and where they cancel (by formula, in the gradient of a sum over a softmax), rounding is all there is. */
static bool is_close(const float *a, const float *b, int64_t n)
{
    double least = 0.1 * sqrt((double)n), norm = norm_of(b, n);
    return relative_error(a, b, n) * norm <= 1e-5 * (norm > least ? norm : least) && isfinite(norm);
}

/* Outputs, parameters and states of the split graph after two runs, against the graph as it was. */
static void compare_values(const para_graph *g, const para_graph *cut, para_session *whole, para_session *parts,
                           int number)
{
    for (int i = 0; i < g->n_tensors; i++) {
        const para_tensor *t = g->tensors[i];
        if (t->producer && !t->is_output)
            continue;
        int64_t n = para_shape_elements(&t->shape);
        float *a = get_floats(parts, t->name, n), *b = get_floats(whole, t->name, n);
        if (t->shape.dtype == PARA_I32)
            assert_memory_equal(a, b, para_shape_bytes(&t->shape));
        else
            assert_graph(cut, is_close(a, b, n), "graph %d split %s: \"%s\", relative error %g", number, cut->splits,
                         t->name, relative_error(a, b, n));
        free(a);
        free(b);
    }
}

static void random_list(struct dice *d, const para_graph *g, char list[64])
{
    static const char *const axes[] = {"rows", "cols", "deep"};
    size_t used = 0;
    list[0] = 0;
    for (int i = 0, first = roll(d, 3); i < 3; i++) {
        const char *axis = axes[(first + i) % 3];
        int64_t whole = 1;
        for (int t = 0; t < g->n_tensors; t++) {
            int k = para_shape_find(&g->tensors[t]->shape, axis);
            whole = k >= 0 ? g->tensors[t]->shape.dim[k].whole : whole;
        }
        if (i == 0 || roll(d, 2))
            used += (size_t)snprintf(list + used, 64 - used, "%s%s=%d", used ? "," : "", axis, 1 + roll(d, (int)whole));
    }
}

static void splits_change_no_result(void **state)
{
    (void)state;
    for (int number = 0; number < GRAPHS; number++) {
        struct dice d = {.seed = 9000 + (uint64_t)number};
        int features = RANDOM_WHOLES | (number % 2 ? RANDOM_TRAINING : RANDOM_UPDATES);
        char list[64];
        para_graph *g = random_graph(&d, 3 + number % 12, features);
        random_list(&d, g, list);
        para_graph *cut = split_of(g, list);
        para_session *whole = serial_session(g, false), *parts = serial_session(cut, false);
        set_inputs(g, whole, (uint64_t)number);
        set_inputs(g, parts, (uint64_t)number);
        for (int run = 0; run < 2; run++) {
            run_once(whole);
            run_once(parts);
        }
        compare_values(g, cut, whole, parts, number);
        para_session_free(whole);
        para_session_free(parts);
        para_graph_free(cut);
        para_graph_free(g);
    }
}

/* Caches cut along their positions would be gathered, and the copy updated in its place; all the same where an earlier
 * reader has had it gathered. */
static void kept_values_are_not_updated_in_copies(void **state)
{
    (void)state;
    static const char *const reader[] = {"", "r = select(s, i, \"s\"); w = select(u, i, \"s\");"};
    static const char *const message[] = {"cache_append updates \"s\" in place and can't be cut",
                                          "y (cache_append): overwrites \"s.gather\", a copy of what \"s\" keeps"};
    for (int k = 0; k < 2; k++) {
        char text[320];
        snprintf(text, sizeof text,
                 "s:state[b=2,s=8,h=2,d=3]; u:state[b=2,s=8,h=2,d=3]; x:input[b=2,t=3,h=2,d=3]; i:count[b=2]; %s"
                 "y = cache_append(s, u, x, x, i)",
                 reader[k]);
        para_graph *g = graph_of(text), *cut = NULL;
        para_error err = {0};
        assert_int_equal(para_graph_split(&cut, g, "s", 2, &err), PARA_EINVAL);
        assert_null(cut);
        assert_graph(g, strstr(err.message, message[k]) != NULL, "the message is \"%s\"", err.message);
        para_graph_free(g);
    }
}

/* Initial values are drawn by place in the whole: a split begins with the same ones, bit for bit. */
static void initial_values_know_no_split(void **state)
{
    (void)state;
    para_graph *g = graph_of("w:param[rows=5,cols=7]; y = gelu(w)"), *cut = split_of(g, "cols=3,rows=2");
    para_session *whole = serial_session(g, false), *parts = serial_session(cut, false);
    float *a = get_floats(whole, "w", 35), *b = get_floats(parts, "w", 35);
    assert_memory_equal(a, b, 35 * sizeof *a);
    assert_true(norm_of(a, 35) > 1.0);
    free(a);
    free(b);
    para_session_free(whole);
    para_session_free(parts);
    para_graph_free(cut);
    para_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(partial_sums_stand_in_part_order),
        cmocka_unit_test(parallel_parts_never_meet),
        cmocka_unit_test(uneven_extents_are_covered),
        cmocka_unit_test(tiles_and_wholes_are_made_once),
        cmocka_unit_test(two_axes_multiply),
        cmocka_unit_test(updates_are_cut_in_place),
        cmocka_unit_test(bad_splits_are_refused),
        cmocka_unit_test(contradictory_ops_are_refused),
        cmocka_unit_test(reasons_add_up),
        cmocka_unit_test(blocks_are_not_cut),
        cmocka_unit_test(splits_change_no_result),
        cmocka_unit_test(initial_values_know_no_split),
        cmocka_unit_test(kept_values_are_not_updated_in_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
