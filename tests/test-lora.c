/* Low-rank adapters: what they add, what is frozen and takes nothing, splits of any kind, and clear refusals.
 * tests/test-adapter.c has their files. */
#include "tests/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/op.h"

enum { RANK = 4 };
static const para_lora usual = {.rank = RANK, .alpha = 6};

/* Heads of two keys' with norms, biases and a window: Qwen3's kind. */
static const para_llama few = {.layers = 2,
                               .heads = 4,
                               .kv_heads = 2,
                               .head_dim = 6,
                               .embd = 20,
                               .ff = 28,
                               .vocab = 31,
                               .context = TRAIN_CONTEXT,
                               .norm_eps = 1e-5,
                               .rope = {.theta = 500, .factor = 1, .slow = 1, .fast = 32, .amplitude = 1},
                               .window = 5,
                               .qk_norm = true,
                               .qkv_bias = true,
                               .proj_bias = true};

static para_model *model_of(bool llama)
{
    para_error err = {0};
    para_model *model;
    if (llama)
        must(para_model_from_llama(&model, &few, &err), err);
    else
        must(para_model_from_gpt2(&model, &train_model, &err), err);
    return model;
}

static para_graph *plain_graph(const para_model *model)
{
    para_error err = {0};
    para_graph *g = para_graph_new();
    para_model_build(g, model, TRAIN_BATCH, TRAIN_SEQ, true);
    must(para_graph_seal(g, &err), err);
    return g;
}

/* The model with adapters, whose gradients are outputs, and AdamW. */
static para_graph *adapter_graph(const para_model *model, const para_lora *how)
{
    para_error err = {0};
    para_adamw_options adamw = para_adamw_default();
    adamw.weight_decay = 0.1, adamw.clip = 1;
    para_graph *plain = plain_graph(model), *g = NULL;
    must(para_model_lora(&g, plain, model, how, &err), err);
    must(para_graph_backward(g, para_graph_value(g, "loss"), &err), err);
    int count = para_graph_tensor_count(g);
    for (int i = 0; i < count; i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (is_weight(t) && !para_tensor_frozen(t))
            assert_non_null(para_output(para_grad(g, t)));
    }
    must(para_graph_adamw(g, &adamw, &err), err);
    must(para_graph_seal(g, &err), err);
    para_graph_free(plain);
    return g;
}

/* --- what is made --- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), most = strlen(end);
    return length >= most && strcmp(text + length - most, end) == 0;
}

static bool is_of_adapter(const char *name)
{
    return strstr(name, ".lora_A.weight") || strstr(name, ".lora_B.weight");
}

/* Four products a layer of GPT-2, seven of Llama: two matrices each, which alone have gradients and moments. */
static void only_adapters_have_gradients_and_moments(void **state)
{
    (void)state;
    for (int llama = 0; llama < 2; llama++) {
        para_model *model = model_of(llama);
        para_graph *g = adapter_graph(model, &usual);
        int adapters = 0, states = 0, expected = 2 * (llama ? 7 * 2 : 4 * 4);
        for (int i = 0; i < para_graph_tensor_count(g); i++) {
            const para_tensor *t = para_graph_tensor(g, i);
            bool own = is_of_adapter(para_tensor_base(t));
            if (para_tensor_kind(t) == PARA_STATE && !para_tensor_producer(t)) {
                assert_graph(g, own || strcmp(t->name, PARA_STEP) == 0, "\"%s\" is a state", t->name);
                states++;
            }
            if (!is_weight(t))
                continue;
            adapters += own;
            assert_int_equal(para_tensor_frozen(t), !own);
            assert_graph(g, (para_grad(g, t) != NULL) == own, "\"%s\"", t->name);
        }
        assert_int_equal(adapters, expected);
        assert_int_equal(states, 2 * expected + 1);
        para_graph_free(g);
        para_model_free(model);
    }
}

static void assert_dims(const para_graph *g, const char *name, const char *dims)
{
    const para_tensor *t = para_graph_find(g, name);
    char text[PARA_SHAPE_TEXT];
    assert_graph(g, t != NULL, "looking for \"%s\"", name);
    assert_string_equal(para_shape_text(&t->shape, text), dims);
}

static void matrices_have_the_axes_of_the_product(void **state)
{
    (void)state;
    para_model *gpt2 = model_of(false), *llama = model_of(true);
    para_graph *g = adapter_graph(gpt2, &usual), *h = adapter_graph(llama, &usual);
    assert_dims(g, "layer.1.attn.qkv.lora_A.weight", "f32 (lora 4, embd 32)");
    assert_dims(g, "layer.1.attn.qkv.lora_B.weight", "f32 (qkv 3, heads 4, head_dim 8, lora 4)");
    assert_dims(g, "layer.1.attn.proj.lora_A.weight", "f32 (lora 4, heads 4, head_dim 8)");
    assert_dims(g, "layer.1.attn.proj.lora_B.weight", "f32 (embd 32, lora 4)");
    assert_dims(h, "layer.0.attn.q.lora_B.weight", "f32 (heads 2, queries 2, head_dim 6, lora 4)");
    assert_dims(h, "layer.0.attn.proj.lora_A.weight", "f32 (lora 4, heads 2, queries 2, head_dim 6)");
    assert_null(para_graph_find(g, "wte.lora_A.weight"));
    assert_null(para_graph_find(h, "lm_head.lora_A.weight"));
    para_graph_free(g);
    para_graph_free(h);
    para_model_free(gpt2);
    para_model_free(llama);
}

static int count_adapters(const para_model *model, const char *targets)
{
    para_error err = {0};
    para_lora how = usual;
    para_graph *plain = plain_graph(model), *g = NULL;
    int count = 0;
    how.targets = targets;
    must(para_model_lora(&g, plain, model, &how, &err), err);
    for (int i = 0; i < para_graph_tensor_count(g); i++)
        count += is_weight(para_graph_tensor(g, i)) && ends_with(para_graph_tensor(g, i)->name, ".lora_A.weight");
    para_graph_free(plain);
    para_graph_free(g);
    return count;
}

static void targets_are_those_of_files(void **state)
{
    (void)state;
    para_model *gpt2 = model_of(false), *llama = model_of(true);
    assert_int_equal(count_adapters(gpt2, "c_attn"), 4);
    assert_int_equal(count_adapters(gpt2, "c_attn,c_proj"), 12);
    assert_int_equal(count_adapters(gpt2, "attn.c_proj,c_attn,attn.c_attn"), 8);
    assert_int_equal(count_adapters(gpt2, "h.2.mlp.c_fc"), 1);
    assert_int_equal(count_adapters(gpt2, "transformer.h.2.mlp.c_fc"), 1);
    assert_int_equal(count_adapters(llama, "q_proj,v_proj"), 4);
    assert_int_equal(count_adapters(llama, "q_proj,lm_head"), 3);
    assert_int_equal(count_adapters(llama, "all-linear"), 14);
    para_model_free(gpt2);
    para_model_free(llama);
}

/* --- what is computed --- */

static void set_plain(para_session *to, para_session *from, const para_graph *plain, const char *name)
{
    int64_t n = elements_of(plain, name);
    float *x = get_floats(from, name, n);
    set_value(to, name, x, (size_t)n * sizeof *x);
    free(x);
}

/* Give a session of the plain graph the weights of one with adapters. */
static void copy_weights(para_session *to, para_session *from, const para_graph *plain)
{
    for (int i = 0; i < para_graph_tensor_count(plain); i++)
        if (is_weight(para_graph_tensor(plain, i)))
            set_plain(to, from, plain, para_tensor_name(para_graph_tensor(plain, i)));
}

/* B begins as zeros, so nothing is added. */
static void nothing_changes_at_first(void **state)
{
    (void)state;
    for (int llama = 0; llama < 2; llama++) {
        para_model *model = model_of(llama);
        para_graph *plain = plain_graph(model), *g = adapter_graph(model, &usual);
        para_session *s = training_session(plain, plain, NULL, false), *t = serial_session(g, false);
        copy_weights(t, s, plain);
        assert_float_equal(training_step(s, plain, 0), training_step(t, g, 0), 0);
        int64_t n = elements_of(g, "layer.0.attn.proj.lora_A.weight");
        para_session *u = serial_session(g, false);
        float *a = get_floats(u, "layer.0.attn.proj.lora_A.weight", n), most = 0;
        for (int64_t e = 0; e < n; e++)
            most = fmaxf(most, fabsf(a[e]));
        double bound = sqrt((double)RANK / (double)n);
        assert_true(most <= bound && most > 0.8 * bound);
        free(a);
        para_session_free(s);
        para_session_free(t);
        para_session_free(u);
        para_graph_free(plain);
        para_graph_free(g);
        para_model_free(model);
    }
}

/* w (out, in) or (in, out) += scale B A, axis by axis, in double. */
static void merge(para_session *to, para_session *from, const para_graph *plain, const para_graph *g, const char *stem,
                  double scale)
{
    char weight[120], a_name[120], b_name[120];
    snprintf(weight, sizeof weight, "%s.weight", stem);
    snprintf(a_name, sizeof a_name, "%s.lora_A.weight", stem);
    snprintf(b_name, sizeof b_name, "%s.lora_B.weight", stem);
    const para_tensor *wt = para_graph_find(plain, weight), *at = para_graph_find(g, a_name);
    int64_t n = elements_of(plain, weight), in = elements_of(g, a_name) / RANK, out = n / in;
    float *w = get_floats(from, weight, n), *a = get_floats(from, a_name, in * RANK),
          *b = get_floats(from, b_name, out * RANK);
    bool in_first = strcmp(wt->shape.dim[0].axis, at->shape.dim[1].axis) == 0;
    for (int64_t o = 0; o < out; o++)
        for (int64_t i = 0; i < in; i++) {
            double sum = 0;
            for (int k = 0; k < RANK; k++)
                sum += (double)b[o * RANK + k] * a[k * in + i];
            float *at_w = &w[in_first ? i * out + o : o * in + i];
            *at_w = (float)(*at_w + scale * sum);
        }
    set_value(to, weight, w, (size_t)n * sizeof *w);
    free(w);
    free(a);
    free(b);
}

/* The model with W + s B A in place of W has the same loss. */
static void adapters_are_what_is_added_to_weights(void **state)
{
    (void)state;
    for (int c = 0; c < 4; c++) {
        para_lora how = usual;
        how.rslora = c & 2;
        para_model *model = model_of(c & 1);
        para_graph *plain = plain_graph(model), *g = adapter_graph(model, &how);
        para_session *t = training_session(g, g, NULL, false), *s = serial_session(plain, false);
        copy_weights(s, t, plain);
        double scale = how.rslora ? 6 / sqrt(RANK) : 6.0 / RANK;
        assert_true(fabs(para_lora_scale(&how) - scale) < 1e-12);
        for (int i = 0; i < para_graph_tensor_count(g); i++) {
            const para_tensor *p = para_graph_tensor(g, i);
            char stem[80];
            if (!is_weight(p) || !ends_with(p->name, ".lora_A.weight"))
                continue;
            snprintf(stem, sizeof stem, "%.*s", (int)(strlen(p->name) - strlen(".lora_A.weight")), p->name);
            merge(s, t, plain, g, stem, scale);
        }
        float merged = training_step(s, plain, 0), apart = training_step(t, g, 0);
        assert_float_equal(merged, apart, 1e-5 * fabsf(apart));
        para_session_free(s);
        para_session_free(t);
        para_graph_free(plain);
        para_graph_free(g);
        para_model_free(model);
    }
}

/* --- splits --- */

static const struct plan_case more_cases[] = {
    {"lora=2", 0, NULL}, {"lora=4,batch=2,ff=2", 2, NULL}, {"heads=2,ff=2,lora=2", 0, "heads,ff"}, {"embd=2", 0, NULL},
    {NULL, 0, NULL},
};
static const struct plan_case llama_cases[] = {
    {"batch=2,heads=2", 0, NULL},
    {"queries=2,lora=2", 0, NULL},
    {"ff=2,vocab=2", 2, NULL},
    {"seq=2", 0, NULL},
    {"auto", 0, NULL},
    {NULL, 0, NULL},
};

static void assert_same_training(const para_model *model, const struct plan_case *c, para_machine *m)
{
    para_graph *g = adapter_graph(model, &usual), *cut = accumulated_graph(g, c);
    para_session *whole = training_session(g, g, NULL, false), *s = training_session(g, cut, m, false);
    for (int step = 0; step < 5; step++) {
        float expected = training_step(whole, g, step), loss = training_step(s, g, step);
        assert_graph(NULL, fabsf(loss - expected) <= 1e-5f * fabsf(expected), "%s, step %d: %g, expected %g", c->split,
                     step, (double)loss, (double)expected);
    }
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (!is_weight(t) || (para_tensor_frozen(t) && strstr(t->name, "bias")))
            continue;
        int64_t n = para_tensor_elements(t);
        float *expected = get_floats(whole, t->name, n), *found = get_floats(s, t->name, n);
        assert_close(NULL, t->name, found, expected, n, para_tensor_frozen(t) ? 0 : 1e-4);
        free(expected);
        free(found);
    }
    para_session_free(whole);
    para_session_free(s);
    para_graph_free(g);
    para_graph_free(cut);
}

static void splits_change_nothing(void **state)
{
    (void)state;
    para_machine *m = machine_of(2);
    para_model *gpt2 = model_of(false), *llama = model_of(true);
    for (const struct plan_case *c = plan_cases; c->split; c++)
        assert_same_training(gpt2, c, m);
    for (const struct plan_case *c = more_cases; c->split; c++)
        assert_same_training(gpt2, c, m);
    for (const struct plan_case *c = llama_cases; c->split; c++)
        assert_same_training(llama, c, m);
    para_model_free(gpt2);
    para_model_free(llama);
    para_machine_close(m);
}

/* The rule cuts what it cuts without adapters: not their own axis, which is short. */
static void the_rule_leaves_the_rank_whole(void **state)
{
    (void)state;
    para_error err = {0};
    para_model *model;
    char chosen[200];
    must(para_model_preset(&model, "gpt2-124m", &err), err);
    para_graph *plain = para_graph_new(), *g = NULL, *cut = NULL;
    para_model_build(plain, model, 4, 64, true);
    must(para_graph_seal(plain, &err), err);
    para_lora how = {.rank = 64, .alpha = 64};
    must(para_model_lora(&g, plain, model, &how, &err), err);
    must(para_graph_backward(g, para_graph_value(g, "loss"), &err), err);
    must(para_graph_adamw(g, NULL, &err), err);
    must(para_graph_seal(g, &err), err);
    must(para_graph_split_list(&cut, g, "auto:2", chosen, sizeof chosen, &err), err);
    assert_true(chosen[0]);
    assert_null(strstr(chosen, "lora"));
    para_graph_free(cut);
    para_graph_free(g);
    para_graph_free(plain);
    para_model_free(model);
}

/* The references agree with the kernels. */
static void the_serial_interpreter_agrees(void **state)
{
    (void)state;
    for (int llama = 0; llama < 2; llama++) {
        para_model *model = model_of(llama);
        para_graph *g = adapter_graph(model, &usual);
        para_session *s = serial_session(g, false), *r = serial_session(g, true);
        for (int step = 0; step < 2; step++) {
            float expected = training_step(r, g, step), loss = training_step(s, g, step);
            assert_float_equal(loss, expected, 1e-5 * fabsf(expected));
        }
        para_session_free(s);
        para_session_free(r);
        para_graph_free(g);
        para_model_free(model);
    }
}

/* --- memory --- */

static para_plan_summary summary_of(const para_graph *g)
{
    para_error err = {0};
    para_plan *plan;
    must(para_plan_new(&plan, g, 2, &err), err);
    para_plan_summary s = para_plan_summarize(plan);
    para_plan_free(plan);
    return s;
}

static size_t weight_bytes(const para_graph *g, bool frozen)
{
    size_t bytes = 0;
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        bytes += is_weight(t) && para_tensor_frozen(t) == frozen ? para_tensor_bytes(t) : 0;
    }
    return bytes;
}

/* Frozen matrices have no master copy beside the one that is read in bfloat16; norms, which are read as float32, stay
 * that. */
static void frozen_weights_are_kept_once(void **state)
{
    (void)state;
    for (int llama = 0; llama < 2; llama++) {
        para_error err = {0};
        para_model *model = model_of(llama);
        para_graph *g = adapter_graph(model, &usual), *half = NULL;
        size_t base = weight_bytes(g, true), adapters = weight_bytes(g, false);
        para_plan_summary full = summary_of(g);
        assert_int_equal(full.parameter_bytes, base + adapters);
        assert_int_equal(full.state_bytes, 2 * adapters + sizeof(int32_t));
        must(para_graph_precision(&half, g, PARA_BF16, &err), err);
        for (int i = 0; i < para_graph_tensor_count(half); i++) {
            const para_tensor *t = para_graph_tensor(half, i);
            if (para_tensor_kind(t) == PARA_COPY)
                assert_graph(half, is_of_adapter(t->copies), "\"%s\" has a copy", t->copies);
            if (is_weight(t) && para_tensor_frozen(t) && para_tensor_rank(t) > 1 && ends_with(t->name, "weight"))
                assert_int_equal(para_tensor_dtype(t), PARA_BF16);
        }
        assert_int_equal(para_tensor_dtype(para_graph_find(half, llama ? "norm.weight" : "ln_f.weight")), PARA_F32);
        assert_true(summary_of(half).parameter_bytes <= base * 6 / 10 + 2 * adapters);
        para_graph_free(half);
        para_graph_free(g);
        para_model_free(model);
    }
}

/* In bfloat16 losses are near. */
static void half_precision_is_near(void **state)
{
    (void)state;
    para_error err = {0};
    para_model *model = model_of(false);
    para_graph *g = adapter_graph(model, &usual), *half = NULL;
    must(para_graph_precision(&half, g, PARA_BF16, &err), err);
    para_session *s = training_session(g, g, NULL, false), *t = serial_session(half, false);
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *p = para_graph_tensor(g, i);
        if (!is_weight(p))
            continue;
        int64_t n = para_tensor_elements(p);
        float *x = get_floats(s, p->name, n);
        must(para_session_set_weight(t, p->name, x, n, &err), err);
        free(x);
    }
    for (int step = 0; step < 3; step++)
        assert_float_equal(training_step(t, g, step), training_step(s, g, step), 2e-2);
    para_session_free(s);
    para_session_free(t);
    para_graph_free(half);
    para_graph_free(g);
    para_model_free(model);
}

/* --- what is refused --- */

static void assert_refused(const para_graph *g, const para_lora *how, int code, const char *says)
{
    para_error err = {0};
    para_graph *out = NULL;
    para_model *model = model_of(false);
    int status = para_model_lora(&out, g, model, how, &err);
    if (status != code || !strstr(err.message, says))
        fail_msg("%d, \"%s\", expected %d and \"%s\"", status, err.message, code, says);
    para_model_free(model);
}

static void bad_adapters_are_refused(void **state)
{
    (void)state;
    para_model *model = model_of(false);
    para_graph *g = plain_graph(model), *adapted = adapter_graph(model, &usual), *cut = NULL;
    para_error err = {0};
    assert_refused(g, &(para_lora){.rank = 0, .alpha = 1}, PARA_ERANGE, "rank is 0, expected 1 or more");
    assert_refused(g, &(para_lora){.rank = 2, .alpha = 0}, PARA_ERANGE, "alpha is 0, expected more than 0");
    assert_refused(g, &(para_lora){.rank = 2, .alpha = NAN}, PARA_ERANGE, "alpha is");
    assert_refused(g, &(para_lora){.rank = 2, .alpha = 1, .targets = "c_attn,q_proj"}, PARA_ENAME,
                   "gpt2 has no target \"q_proj\"; there are c_attn, c_proj, c_fc");
    assert_refused(g, &(para_lora){.rank = 2, .alpha = 1, .targets = ""}, PARA_ENAME, "no target \"\"");
    assert_refused(g, &(para_lora){.rank = 2, .alpha = 1, .targets = "wte"}, PARA_ENAME, "no target \"wte\"");
    assert_refused(adapted, &usual, PARA_EINVAL, "the graph has its gradients already");
    must(para_graph_split(&cut, g, "batch", 2, &err), err);
    assert_refused(cut, &usual, PARA_EINVAL, "the graph is split (batch=2)");
    para_graph *out = NULL;
    assert_int_equal(para_graph_lora(&out, g, &(para_lora){.rank = 2, .alpha = 1, .targets = "attn.k"}, &err),
                     PARA_ENAME);
    assert_non_null(strstr(err.message, "no product has the target \"attn.k\"; there are layer.0.attn.qkv"));
    para_graph_free(cut);
    para_graph_free(adapted);
    para_graph_free(g);
    para_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_adapters_have_gradients_and_moments),
        cmocka_unit_test(matrices_have_the_axes_of_the_product),
        cmocka_unit_test(targets_are_those_of_files),
        cmocka_unit_test(nothing_changes_at_first),
        cmocka_unit_test(adapters_are_what_is_added_to_weights),
        cmocka_unit_test(splits_change_nothing),
        cmocka_unit_test(the_rule_leaves_the_rank_whole),
        cmocka_unit_test(the_serial_interpreter_agrees),
        cmocka_unit_test(frozen_weights_are_kept_once),
        cmocka_unit_test(half_precision_is_near),
        cmocka_unit_test(bad_adapters_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
