/* Precision: what is bfloat16 and what stays float32, copies of parameters that are always those of the parameters,
 * losses near float32's, splits, resuming in the other precision, and clear refusals. */
#include "tests/dumps.h"
#include "tests/graph-text.h"
#include "tests/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/op.h"

static const double LOSS_NEAR = 1e-2, SPLIT_NEAR = 1e-2; /* bfloat16 has steps of 2^-8 */

static para_graph *in_half(const para_graph *g)
{
    para_error err = {0};
    para_graph *out = NULL;
    must(para_graph_precision(&out, g, PARA_BF16, &err), err);
    must(para_graph_verify(out, &err), err);
    return out;
}

/* The small model with an optimizer, and the same in bfloat16. */
struct pair {
    para_graph *full, *half;
};

static struct pair pair_of(bool adamw)
{
    para_graph *g = training_graph(&train_model, TRAIN_BATCH, TRAIN_SEQ, adamw);
    return (struct pair){g, in_half(g)};
}

static void free_pair(struct pair *p)
{
    para_graph_free(p->full);
    para_graph_free(p->half);
}

/* --- types --- */

static void assert_type(const para_graph *g, const char *name, para_dtype dtype)
{
    const para_tensor *t = para_graph_find(g, name);
    assert_graph(g, t && t->shape.dtype == dtype, "\"%s\", expected %s", name, para_dtype_name(dtype));
}

/* A step of GPT-2 needs no cast; its gradients of parameters, which are outputs here, are made as float32. */
static void a_step_needs_no_cast(void **state)
{
    (void)state;
    struct pair p = pair_of(true);
    for (int i = 0; i < p.half->n_nodes; i++)
        assert_graph(p.half, strcmp(p.half->nodes[i]->op->name, "cast") != 0, "%s", p.half->nodes[i]->name);
    assert_int_equal(p.half->n_nodes, p.full->n_nodes);
    for (int i = 0; i < p.full->n_tensors; i++) {
        const para_tensor *t = p.full->tensors[i];
        if (!t->producer || t->is_output)
            assert_type(p.half, t->name, t->shape.dtype);
    }
    assert_type(p.half, "layer.1.attn", PARA_BF16);
    assert_type(p.half, "layer.1.attn:1", PARA_F32); /* lse */
    assert_type(p.half, "logits", PARA_BF16);
    assert_type(p.half, "loss.grad.cross_entropy_backward", PARA_BF16);
    free_pair(&p);
}

/* Norms read parameters as they are; what products and sums read has a copy, and an update writes it. */
static void parameters_have_copies_where_they_are_read_in_half(void **state)
{
    (void)state;
    struct pair p = pair_of(true);
    int copies = 0;
    for (int i = 0; i < p.half->n_tensors; i++) {
        const para_tensor *t = p.half->tensors[i];
        if (t->kind != PARA_COPY)
            continue;
        copies++;
        const para_tensor *of = para_graph_find(p.half, t->copies);
        assert_non_null(of);
        assert_ptr_equal(t->overwritten_by->producer, of->overwritten_by->producer);
    }
    assert_int_equal(copies, 2 + 4 * 8); /* two tables; of each layer four matrices and four biases */
    assert_null(para_graph_find(p.half, "ln_f.weight.bf16"));
    free_pair(&p);
}

/* Outputs stay float32: where the op gives bfloat16 a cast follows, where it can give float32 there is none. */
static void outputs_stay_float32(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:param[m=4,k=3]; w:param[k=3,n=5]; a = matmul(x, w, \"k\"); b = gelu(x);"
                             "c = rename(b, \"k\", \"k2\"); output(a); output(b)");
    para_graph *half = in_half(g);
    assert_type(half, "a", PARA_F32);
    assert_string_equal(node_of(half, "a")->op->name, "matmul");
    assert_type(half, "b", PARA_F32);
    assert_string_equal(node_of(half, "b")->op->name, "cast");
    assert_string_equal(node_of(half, "b.bf16")->op->name, "gelu");
    assert_type(half, "c", PARA_BF16);
    para_graph_free(half);
    para_graph_free(g);
}

/* float32 operands of an op that knows nothing else come by casts, one for all who read. */
static void casts_stand_where_they_must(void **state)
{
    (void)state;
    para_graph *g = graph_of("x:param[m=4,n=5]; a = gelu(x); b = reduce_max(a, \"n\"); c = reduce_max(a, \"m\");"
                             "i:input[m=4]; d = add(a, i); output(b); output(c)");
    para_graph *half = in_half(g);
    assert_ptr_equal(node_of(half, "b")->in[0], node_of(half, "c")->in[0]);
    assert_string_equal(node_of(half, "b")->in[0]->producer->op->name, "cast");
    assert_type(half, "d", PARA_BF16);
    assert_string_equal(node_of(half, "d")->in[1]->producer->op->name, "cast");
    para_graph_free(half);
    para_graph_free(g);
}

static void float32_copies_the_graph(void **state)
{
    (void)state;
    struct pair p = pair_of(false);
    para_graph *same = NULL;
    para_error err = {0};
    must(para_graph_precision(&same, p.full, PARA_F32, &err), err);
    char *a = dump(p.full, JSON, 0), *b = dump(same, JSON, 0);
    assert_string_equal(a, b);
    free(a);
    free(b);
    para_graph_free(same);
    free_pair(&p);
}

/* --- files --- */

#if defined(PARA_HAVE_IO) && PARA_HAVE_IO
static void copies_are_in_graph_files(void **state)
{
    (void)state;
    struct pair p = pair_of(true);
    char *json = dump(p.half, JSON, 0), *text = dump(p.half, TEXT, 0), *dot = dump(p.half, DOT, 0), *again;
    para_graph *loaded = NULL;
    para_error err = {0};
    must(load(&loaded, json, strlen(json), &err), err);
    again = dump(loaded, JSON, 0);
    assert_string_equal(json, again);
    assert_has(json, "\"copies\":\"wte\"");
    assert_has(text, "copies of parameters");
    assert_has(dot, "wte.bf16");
    free(json), free(text), free(dot), free(again);
    para_graph_free(loaded);
    free_pair(&p);
}
#endif

/* --- what verify refuses --- */

static para_tensor *tensor(para_graph *g, const char *name)
{
    return g->tensors[para_graph_find(g, name)->id];
}

static void name_no_parameter(para_graph *g)
{
    tensor(g, "w.bf16")->copies = "v";
}

static void be_float32(para_graph *g)
{
    tensor(g, "w.bf16")->shape.dtype = PARA_F32;
}

static void copy_another(para_graph *g)
{
    tensor(g, "u.bf16")->copies = "w";
}

static void copies_that_lag_are_refused(void **state)
{
    (void)state;
    static const struct {
        void (*damage)(para_graph *g);
        const char *message;
    } cases[] = {
        {name_no_parameter, "\"w.bf16\" is a copy of \"v\", and no f32 parameter has that name"},
        {be_float32, "\"w.bf16\" is f32, expected a copy of a parameter to be bf16"},
        {copy_another, "overwrites only one of \"w\" and its copy \"u.bf16\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        para_graph *g = graph_of("w:param[k=3]; u:param[k=3]; x:input[m=4,k=3]; y = add(x, w); z = add(y, u);"
                                 "l = reduce_sum(z, \"\"); backward(l); train_sgd(0.1, 0, 0, 0)"),
                   *half = in_half(g);
        para_error err = {0};
        cases[i].damage(half);
        assert_true(para_graph_verify(half, &err) < 0);
        assert_has(err.message, cases[i].message);
        para_graph_free(half);
        para_graph_free(g);
    }
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct pair p = pair_of(true);
    para_graph *split = NULL, *out = NULL;
    para_error err = {0};
    must(para_graph_split(&split, p.full, "batch", 2, &err), err);
    assert_int_equal(para_graph_precision(&out, split, PARA_BF16, &err), PARA_EINVAL);
    assert_has(err.message, "precision bf16: the graph is split (batch=2)");
    assert_int_equal(para_graph_precision(&out, p.full, PARA_F16, &err), PARA_EINVAL);
    assert_has(err.message, "precision f16, expected f32 or bf16");
    assert_null(out);
    para_graph_free(split);
    free_pair(&p);
}

/* A parameter that attention's caches append to, which no one would train. */
static void updates_that_write_no_copy_are_refused(void **state)
{
    (void)state;
    para_graph *g = graph_open("w:param[batch=2,cache=4,heads=1,d=2]; v:param[batch=2,cache=4,heads=1,d=2];"
                               "k:input[batch=2,seq=1,heads=1,d=2]; p:ids[batch=2]; y = gelu(w);"
                               "n = cache_append(w, v, k, k, p); output(y)"),
               *out = NULL;
    para_error err = {0};
    must(para_graph_seal(g, &err), err);
    assert_int_equal(para_graph_precision(&out, g, PARA_BF16, &err), PARA_ESUPPORT);
    assert_has(err.message, "op cache_append can't write bfloat16 copies");
    para_graph_free(g);
}

/* --- numbers --- */

static void check_losses(const struct pair *p, const struct plan_case *c, para_machine *m, const float expected[],
                         double near, float got[])
{
    para_graph *cut = accumulated_graph(p->half, c);
    para_session *s = training_session(p->full, cut, m, false);
    for (int step = 0; step < TRAIN_STEPS; step++) {
        got[step] = training_step(s, p->full, step);
        if (expected && !(fabs((double)got[step] - expected[step]) <= near * fabs((double)expected[step])))
            fail_msg("split \"%s\", stages %d, step %d: loss %.6g, expected %.6g", c->split, c->stages, step,
                     (double)got[step], (double)expected[step]);
    }
    para_session_free(s);
    para_graph_free(cut);
}

static void losses_are_near_those_of_float32(void **state)
{
    (void)state;
    for (int adamw = 0; adamw < 2; adamw++) {
        struct pair p = pair_of(adamw);
        para_session *s = training_session(p.full, p.full, NULL, false);
        float expected[TRAIN_STEPS], got[TRAIN_STEPS];
        for (int step = 0; step < TRAIN_STEPS; step++)
            expected[step] = training_step(s, p.full, step);
        para_session_free(s);
        check_losses(&p, &(struct plan_case){"", 0, NULL}, NULL, expected, LOSS_NEAR, got);
        assert_true(got[TRAIN_STEPS - 1] != expected[TRAIN_STEPS - 1]); /* it isn't float32 */
        free_pair(&p);
    }
}

/* Splits round partial sums; one split gives the same bits each time. */
static void splits_are_near_the_whole_and_repeat(void **state)
{
    (void)state;
    struct pair p = pair_of(true);
    para_machine *m = machine_of(2);
    float whole[TRAIN_STEPS], got[2][TRAIN_STEPS];
    check_losses(&p, &(struct plan_case){"", 0, NULL}, NULL, NULL, 0, whole);
    for (const struct plan_case *c = plan_cases; c->split; c++) {
        check_losses(&p, c, m, whole, SPLIT_NEAR, got[0]);
        check_losses(&p, c, NULL, whole, SPLIT_NEAR, got[1]);
        assert_memory_equal(got[0], got[1], sizeof got[0]);
    }
    para_machine_close(m);
    free_pair(&p);
}

/* A session whose parameters are set to those of another, which its updates have written, goes on with the same bits:
 * copies that are set are copies that updates write. */
static void copies_follow_their_parameters(void **state)
{
    (void)state;
    for (int split = 0; split < 2; split++) {
        struct pair p = pair_of(split);
        para_graph *cut = accumulated_graph(p.half, &(struct plan_case){split ? "heads=2,vocab=3" : "", 0, NULL});
        para_session *a = training_session(p.full, cut, NULL, false), *b = training_session(p.full, cut, NULL, false);
        for (int step = 0; step < 3; step++)
            training_step(a, p.full, step);
        for (int i = 0; i < p.full->n_tensors; i++) {
            const para_tensor *t = p.full->tensors[i];
            if (t->producer || t->kind == PARA_INPUT)
                continue;
            float *x = get_floats(a, t->name, para_tensor_elements(t));
            set_value(b, t->name, x, para_tensor_bytes(t));
            free(x);
        }
        for (int step = 3; step < 6; step++)
            assert_true(training_step(a, p.full, step) == training_step(b, p.full, step));
        para_session_free(a);
        para_session_free(b);
        para_graph_free(cut);
        free_pair(&p);
    }
}

/* Initial values: the copies are those of the parameters' draws. */
static void copies_begin_as_their_parameters(void **state)
{
    (void)state;
    struct pair p = pair_of(true);
    para_session *drawn = serial_session(p.half, false), *set = serial_session(p.half, false),
                 *source = serial_session(p.full, false);
    for (int i = 0; i < p.full->n_tensors; i++) {
        const para_tensor *t = p.full->tensors[i];
        if (!is_weight(t))
            continue;
        float *x = get_floats(source, t->name, para_tensor_elements(t));
        set_value(set, t->name, x, para_tensor_bytes(t));
        free(x);
    }
    assert_true(training_step(drawn, p.full, 0) == training_step(set, p.full, 0));
    para_session_free(drawn);
    para_session_free(set);
    para_session_free(source);
    free_pair(&p);
}

static void check_caches(para_graph *g)
{
    para_error err = {0};
    must(para_graph_seal(g, &err), err);
    para_graph *half = in_half(g);
    assert_type(half, "layer.2.attn.keys", PARA_BF16);
    assert_type(half, "layer.2.attn.append", PARA_BF16);
    for (int i = 0; i < half->n_nodes; i++)
        assert_graph(half, strcmp(half->nodes[i]->op->name, "cast") != 0, "%s", half->nodes[i]->name);
    const para_graph *const graphs[] = {g, half};
    int64_t n = elements_of(g, "logits");
    float *logits[2];
    for (int k = 0; k < 2; k++) {
        para_session *s = serial_session(graphs[k], false);
        for (int32_t at = 0; at < 9; at += 3) {
            const int32_t tokens[6] = {at, 5, 60, 7, at + 20, 9}, position[2] = {at, at}, last[2] = {2, 2};
            set_value(s, "tokens", tokens, sizeof tokens);
            set_value(s, "position", position, sizeof position);
            if (para_graph_find(g, "last"))
                set_value(s, "last", last, sizeof last);
            run_once(s);
        }
        logits[k] = get_floats(s, "logits", n);
        para_session_free(s);
    }
    assert_close(half, "logits", logits[1], logits[0], n, 2e-2);
    free(logits[0]);
    free(logits[1]);
    para_graph_free(half);
    para_graph_free(g);
}

/* Caches of keys and values are bfloat16, and what is read from them is near what float32 ones give, in each family. */
static void caches_are_half(void **state)
{
    (void)state;
    const para_caches caches = {.batch = 2, .seq = 3, .cache = 9};
    const para_llama llama = {.layers = 3,
                              .heads = 4,
                              .kv_heads = 2,
                              .head_dim = 8,
                              .embd = 32,
                              .ff = 48,
                              .vocab = 67,
                              .context = 16,
                              .norm_eps = 1e-5,
                              .rope = para_rope_default(),
                              .qkv_bias = true};
    para_graph *g = para_graph_new();
    assert_non_null(para_gpt2_build_cached(g, &train_model, &caches).logits);
    check_caches(g);
    g = para_graph_new();
    assert_non_null(para_llama_build_cached(g, &llama, &caches).logits);
    check_caches(g);
}

/* --- who sees copies --- */

static void sessions_hide_copies_and_share_them(void **state)
{
    (void)state;
    struct pair p = pair_of(true);
    para_session *full = serial_session(p.full, false), *half = serial_session(p.half, false), *s = NULL;
    para_error err = {0};
    uint16_t copy[2 * 67 * 32];
    assert_int_equal(para_session_get(half, "wte.bf16", copy, 67 * 32 * 2, &err), PARA_ENAME);
    assert_int_equal(para_session_set(half, "wte.bf16", copy, 67 * 32 * 2, &err), PARA_ENAME);
    para_session_options options = para_session_default();
    options.share = full;
    assert_int_equal(para_session_new(&s, p.half, NULL, &options, &err), PARA_ESHAPE);
    assert_has(err.message, "has no bfloat16 copy of it");
    options.share = half;
    must(para_session_new(&s, p.half, NULL, &options, &err), err);
    float loss = training_step(half, p.full, 0), next = training_step(s, p.full, 0);
    assert_true(next < loss); /* the same windows, after a step */
    para_session_free(s);
    must(para_session_new(&s, p.full, NULL, &options, &err), err);
    para_session_free(s);
    para_session_free(half);
    para_session_free(full);
    free_pair(&p);
}

/* --- fusing --- */

/* What is fused computes what it stands for, in either type, whole and in parts: nodes that know bfloat16 alone stand
 * for none of float32. */
static void check_fused(const para_graph *full, const para_graph *g, const char *split, double tolerance)
{
    para_graph *cut = NULL, *fused = NULL;
    para_error err = {0};
    must(para_graph_split_list(&cut, g, split, NULL, 0, &err), err);
    must(para_graph_fuse(&fused, cut, &err), err);
    assert_true(fused->n_nodes < cut->n_nodes);
    para_session *apart = training_session(full, cut, NULL, false),
                 *together = training_session(full, fused, NULL, false);
    for (int i = 0; i < 3; i++) {
        double expected = training_step(apart, full, i), found = training_step(together, full, i);
        assert_graph(fused, fabs(found - expected) <= tolerance * expected, "step %d has loss %g, expected %g", i,
                     found, expected);
    }
    para_session_free(apart);
    para_session_free(together);
    para_graph_free(cut);
    para_graph_free(fused);
}

static void fused_steps_are_those_they_stand_for(void **state)
{
    (void)state;
    struct pair p = pair_of(true);
    for (int parts = 0; parts < 2; parts++) {
        check_fused(p.full, p.full, parts ? "batch=2,ff=2" : "", 1e-5);
        check_fused(p.full, p.half, parts ? "batch=2,ff=2" : "", 2e-2);
    }
    free_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_needs_no_cast),
        cmocka_unit_test(parameters_have_copies_where_they_are_read_in_half),
        cmocka_unit_test(outputs_stay_float32),
        cmocka_unit_test(casts_stand_where_they_must),
        cmocka_unit_test(float32_copies_the_graph),
#if defined(PARA_HAVE_IO) && PARA_HAVE_IO
        cmocka_unit_test(copies_are_in_graph_files),
#endif
        cmocka_unit_test(copies_that_lag_are_refused),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(updates_that_write_no_copy_are_refused),
        cmocka_unit_test(losses_are_near_those_of_float32),
        cmocka_unit_test(splits_are_near_the_whole_and_repeat),
        cmocka_unit_test(copies_follow_their_parameters),
        cmocka_unit_test(copies_begin_as_their_parameters),
        cmocka_unit_test(caches_are_half),
        cmocka_unit_test(sessions_hide_copies_and_share_them),
        cmocka_unit_test(fused_steps_are_those_they_stand_for),
    };
    return cmocka_run_group_tests_name("precision", tests, NULL, NULL);
}
