/* Paragraph against PyTorch: the files of tests/golden, whose numbers were computed in float64.
 *
 * Losses are held to 1e-6 absolutely, everything else to ||a - b|| <= tolerance ||b|| for each tensor. A bias
 * added to keys moves all scores of a row alike, so its true gradient is zero, and what float32 leaves of it is
 * noise, which AdamW follows: that third of the qkv bias is held to 1e-6 of the value bias's gradient, and its
 * trained values are left out. */
#include "models/family.h"
#include "tests/graph-text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <paragraph/data.h>

enum { LAYERS = 2, HEADS = 2, EMBD = 32, CONTEXT = 16, VOCAB = 67, BATCH = 3, SEQ = 16, STEPS = 10, NAME = 160 };
static const double LOSS_TOLERANCE = 1e-6, TOLERANCE = 1e-4, KEY_BIAS = 1e-6, OP_TOLERANCE = 5e-6;

static para_safetensors *open_golden(const char *name)
{
    char *path = test_file(name);
    para_safetensors *file = NULL;
    para_error err = {0};
    must(para_safetensors_open(&file, path, &err), err);
    free(path);
    return file;
}

static para_entry entry_of(const para_safetensors *file, const char *format, ...) PARA_PRINTF(2, 3);
static para_entry entry_of(const para_safetensors *file, const char *format, ...)
{
    char name[NAME];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    int i = para_safetensors_find(file, name);
    if (i < 0)
        fail_msg("the golden file has no tensor \"%s\"", name);
    return para_safetensors_entry(file, i);
}

static int64_t elements(const para_entry *e)
{
    return (int64_t)(e->bytes / para_dtype_bytes(e->dtype));
}

/* Compare elements from .. from + n - 1 with a golden tensor; a golden zero would let zeros pass, so it fails. */
static void check(const para_graph *g, const para_entry *golden, const float *x, int64_t from, int64_t n,
                  double tolerance)
{
    const float *truth = (const float *)golden->data + from;
    assert_true(golden->dtype == PARA_F32 && from + n <= elements(golden));
    if (!(norm_of(truth, n) > 0.0))
        fail_msg("golden \"%s\" is zero and proves nothing", golden->name);
    assert_close(g, golden->name, x + from, truth, n, tolerance);
}

struct training {
    para_safetensors *file;
    para_graph *g;
    para_session *s;
    para_model_graph model;
};

static bool is_weight(const para_tensor *t)
{
    return para_tensor_kind(t) == PARA_PARAMETER && !para_tensor_producer(t);
}

static const char *file_name(const para_tensor *t, char buffer[NAME])
{
    if (!para_family_name(&para_family_gpt2, PARA_FOLDER, para_tensor_name(t), buffer, NAME))
        fail_msg("parameter \"%s\" has no name in Hugging Face files", para_tensor_name(t));
    return buffer;
}

static void build_training(struct training *t)
{
    const para_gpt2 model = {.layers = LAYERS,
                             .heads = HEADS,
                             .embd = EMBD,
                             .ff = 4 * EMBD,
                             .vocab = VOCAB,
                             .context = CONTEXT,
                             .norm_eps = 1e-5};
    para_adamw_options o = para_adamw_default();
    o.schedule = (para_schedule){PARA_SCHEDULE_COSINE, 3e-3, 3e-4, 3, STEPS};
    o.beta1 = 0.9, o.beta2 = 0.99, o.weight_decay = 0.1, o.clip = 1.0;
    para_error err = {0};
    t->g = para_graph_new();
    assert_non_null(t->g);
    t->model = para_gpt2_build(t->g, &model, BATCH, SEQ, true);
    para_output(t->model.logits);
    must(para_graph_backward(t->g, t->model.loss, &err), err);
    for (int i = 0; i < para_graph_tensor_count(t->g); i++)
        if (is_weight(para_graph_tensor(t->g, i)))
            para_output(para_grad(t->g, para_graph_tensor(t->g, i)));
    must(para_graph_adamw(t->g, &o, &err), err);
    must(para_graph_seal(t->g, &err), err);
}

static void load_weights(struct training *t)
{
    char buffer[NAME];
    int count = 0;
    for (int i = 0; i < para_graph_tensor_count(t->g); i++) {
        const para_tensor *w = para_graph_tensor(t->g, i);
        if (!is_weight(w))
            continue;
        para_entry e = entry_of(t->file, "init.%s", file_name(w, buffer));
        set_value(t->s, para_tensor_name(w), e.data, e.bytes);
        count++;
    }
    assert_int_equal(count, 2 + LAYERS * 12 + 2);
}

static void begin(struct training *t, bool reference)
{
    memset(t, 0, sizeof *t);
    t->file = open_golden("golden/gpt2-small.safetensors");
    build_training(t);
    t->s = serial_session(t->g, reference);
    load_weights(t);
}

static void end(struct training *t)
{
    para_session_free(t->s);
    para_graph_free(t->g);
    para_safetensors_close(t->file);
}

static float get_scalar(para_session *s, const char *name)
{
    float x;
    para_error err = {0};
    must(para_session_get(s, name, &x, sizeof x, &err), err);
    return x;
}

static void check_scalar(const para_safetensors *file, const char *golden, int i, float x, double tolerance)
{
    double truth = ((const float *)entry_of(file, "%s", golden).data)[i];
    if (!(fabs(x - truth) <= tolerance && truth > 0.0))
        fail_msg("step %d: %.9g, golden %s %.9g", i, (double)x, golden, truth);
}

static void run_step(struct training *t, int step)
{
    para_entry tokens = entry_of(t->file, "tokens"), targets = entry_of(t->file, "targets");
    const size_t bytes = BATCH * SEQ * sizeof(int32_t);
    assert_int_equal(tokens.bytes, STEPS * bytes);
    assert_int_equal(targets.bytes, STEPS * bytes);
    set_value(t->s, "tokens", (const char *)tokens.data + (size_t)step * bytes, bytes);
    set_value(t->s, "targets", (const char *)targets.data + (size_t)step * bytes, bytes);
    run_once(t->s);
}

/* The qkv bias is (q, k, v) of EMBD each: all but k, whose gradient is zero but for rounding. */
static void check_qkv_bias(const struct training *t, const para_entry *golden, const float *x, bool is_gradient)
{
    assert_int_equal(elements(golden), 3 * EMBD);
    check(t->g, golden, x, 0, EMBD, TOLERANCE);
    check(t->g, golden, x, 2 * EMBD, EMBD, TOLERANCE);
    if (is_gradient)
        assert_graph(NULL, norm_of(x + EMBD, EMBD) <= KEY_BIAS * norm_of(x + 2 * EMBD, EMBD), "%s: key bias %.3g",
                     golden->name, norm_of(x + EMBD, EMBD));
}

/* Compare all weights, or all gradients, with "final." or "grad." tensors. */
static void check_weights(const struct training *t, const char *prefix)
{
    bool is_gradient = strcmp(prefix, "grad.") == 0;
    for (int i = 0; i < para_graph_tensor_count(t->g); i++) {
        const para_tensor *w = para_graph_tensor(t->g, i);
        if (!is_weight(w))
            continue;
        char buffer[NAME];
        para_entry golden = entry_of(t->file, "%s%s", prefix, file_name(w, buffer));
        const para_tensor *value = is_gradient ? para_grad(t->g, w) : w;
        float *x = get_floats(t->s, para_tensor_name(value), elements(&golden));
        if (strstr(golden.name, "c_attn.bias"))
            check_qkv_bias(t, &golden, x, is_gradient);
        else
            check(NULL, &golden, x, 0, elements(&golden), TOLERANCE);
        free(x);
    }
}

static void first_step(bool reference)
{
    struct training t;
    begin(&t, reference);
    run_step(&t, 0);
    check_scalar(t.file, "losses", 0, get_scalar(t.s, "loss"), LOSS_TOLERANCE);
    para_entry golden = entry_of(t.file, "logits");
    float *logits = get_floats(t.s, para_tensor_name(t.model.logits), elements(&golden));
    check(NULL, &golden, logits, 0, elements(&golden), TOLERANCE);
    free(logits);
    check_weights(&t, "grad.");
    end(&t);
}

static void ten_steps(bool reference)
{
    struct training t;
    begin(&t, reference);
    for (int i = 0; i < STEPS; i++) {
        run_step(&t, i);
        check_scalar(t.file, "losses", i, get_scalar(t.s, "loss"), LOSS_TOLERANCE);
        check_scalar(t.file, "rates", i, get_scalar(t.s, PARA_LR), 1e-9);
        check_scalar(t.file, "grad_norms", i, get_scalar(t.s, PARA_GRAD_NORM), 1e-4);
    }
    check_weights(&t, "final.");
    end(&t);
}

static void gpt2_first_step(void **state)
{
    (void)state;
    first_step(false);
}

static void gpt2_first_step_by_reference(void **state)
{
    (void)state;
    first_step(true);
}

static void gpt2_ten_steps(void **state)
{
    (void)state;
    ten_steps(false);
}

static void gpt2_ten_steps_by_reference(void **state)
{
    (void)state;
    ten_steps(true);
}

/* One op: its parameters get golden values "<name>.<parameter>"; y and the gradients of sum(dy * y) are compared. */
struct op_case {
    const char *name, *text;
};

static const struct op_case op_cases[] = {
    {"gelu_tanh", "x:param[5,7]; dy:input[5,7]; y = gelu(x)"},
    {"gelu_erf", "x:param[5,7]; dy:input[5,7]; y = gelu_erf(x)"},
    {"layernorm",
     "x:param[3,5,7]; gamma:param[7]; beta:param[7]; dy:input[3,5,7]; y = layernorm(x, gamma, beta, 1e-5)"},
    {"attention_causal", "qkv:param[b=2,t=9,qkv=3,h=2,d=5]; dy:input[b=2,t=9,h=2,d=5]; y = attention_stacked(qkv, 1)"},
    {"attention_full", "qkv:param[b=2,t=9,qkv=3,h=2,d=5]; dy:input[b=2,t=9,h=2,d=5]; y = attention_stacked(qkv, 0)"},
    {"attention_long_causal",
     "qkv:param[b=1,t=150,qkv=3,h=1,d=4]; dy:input[b=1,t=150,h=1,d=4]; y = attention_stacked(qkv, 1)"},
    {"attention_long_full",
     "qkv:param[b=1,t=150,qkv=3,h=1,d=4]; dy:input[b=1,t=150,h=1,d=4]; y = attention_stacked(qkv, 0)"},
    {"softmax", "x:param[4,9]; dy:input[4,9]; y = softmax(x, \"n9\")"},
    {"logsumexp", "x:param[4,9]; dy:input[4]; y = logsumexp(x, \"n9\")"},
    {"cross_entropy", "x:param[2,5,11]; targets:ids[2,5]; dy:input[]; y = cross_entropy(x, targets, \"n11\", -100)"},
};

static void set_golden(const para_safetensors *file, const struct op_case *c, const para_graph *g, para_session *s)
{
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (!is_weight(t) && para_tensor_kind(t) != PARA_INPUT)
            continue;
        para_entry e = entry_of(file, "%s.%s", c->name, para_tensor_name(t));
        set_value(s, para_tensor_name(t), e.data, e.bytes);
    }
}

static void check_op(const para_safetensors *file, const struct op_case *c, bool reference)
{
    para_graph *g = graph_open(c->text);
    graph_append(g, "output(y); weighted = mul(y, dy); loss = reduce_sum(weighted, \"\"); backward(loss)");
    for (int i = 0; i < para_graph_tensor_count(g); i++)
        para_output(para_grad(g, para_graph_tensor(g, i)));
    para_error err = {0};
    must(para_graph_seal(g, &err), err);
    para_session *s = serial_session(g, reference);
    set_golden(file, c, g, s);
    run_once(s);
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        bool is_y = strcmp(para_tensor_name(t), "y") == 0;
        if (!is_y && !is_weight(t))
            continue;
        para_entry golden = entry_of(file, "%s.%s%s", c->name, is_y ? "" : "d", para_tensor_name(t));
        float *x = get_floats(s, para_tensor_name(is_y ? t : para_grad(g, t)), elements(&golden));
        check(g, &golden, x, 0, elements(&golden), OP_TOLERANCE);
        free(x);
    }
    para_session_free(s);
    para_graph_free(g);
}

static void ops_match(void **state)
{
    (void)state;
    para_safetensors *file = open_golden("golden/ops.safetensors");
    for (size_t i = 0; i < sizeof op_cases / sizeof op_cases[0]; i++) {
        check_op(file, &op_cases[i], false);
        check_op(file, &op_cases[i], true);
    }
    para_safetensors_close(file);
}

static void set_step_gradient(const para_safetensors *file, para_session *s, char parameter, int step)
{
    para_entry e = entry_of(file, "adamw.g%c%d", parameter, step);
    set_value(s, (const char[]){'g', parameter, 0}, e.data, e.bytes);
}

static void check_step_weight(const para_safetensors *file, para_session *s, char parameter, int step)
{
    para_entry e = entry_of(file, "adamw.%c%d", parameter, step);
    float *x = get_floats(s, (const char[]){parameter, 0}, elements(&e));
    check(NULL, &e, x, 0, elements(&e), OP_TOLERANCE);
    free(x);
}

/* The gradients are inputs: of sum(w gw) + sum(b gb) they are gw and gb. Decay acts on w, of two axes, alone. */
static void adamw_matches(void **state)
{
    (void)state;
    para_safetensors *file = open_golden("golden/ops.safetensors");
    para_graph *g = graph_open("w:param[3,4]; b:param[4]; gw:input[3,4]; gb:input[4];"
                               "u = mul(w, gw); v = mul(b, gb); su = reduce_sum(u, \"\"); sv = reduce_sum(v, \"\");"
                               "loss = add(su, sv); backward(loss)");
    para_adamw_options o = para_adamw_default();
    o.schedule.lr = 0.01, o.beta2 = 0.95, o.weight_decay = 0.1;
    para_error err = {0};
    must(para_graph_adamw(g, &o, &err), err);
    must(para_graph_seal(g, &err), err);
    para_session *s = serial_session(g, false);
    para_entry w = entry_of(file, "adamw.w"), b = entry_of(file, "adamw.b");
    set_value(s, "w", w.data, w.bytes);
    set_value(s, "b", b.data, b.bytes);
    for (int step = 0; step < 3; step++) {
        set_step_gradient(file, s, 'w', step);
        set_step_gradient(file, s, 'b', step);
        run_once(s);
        check_step_weight(file, s, 'w', step);
        check_step_weight(file, s, 'b', step);
    }
    para_session_free(s);
    para_graph_free(g);
    para_safetensors_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ops_match),       cmocka_unit_test(adamw_matches),
        cmocka_unit_test(gpt2_first_step), cmocka_unit_test(gpt2_first_step_by_reference),
        cmocka_unit_test(gpt2_ten_steps),  cmocka_unit_test(gpt2_ten_steps_by_reference),
    };
    return cmocka_run_group_tests_name("golden", tests, NULL, NULL);
}
