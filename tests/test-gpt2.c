/* The GPT-2 builder: its parameters, names and beginnings, and its function against one written out in loops. */
#include "models/family.h"
#include "runtime/plan.h"
#include "tests/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const para_gpt2 small = {
    .layers = 2, .heads = 2, .embd = 8, .ff = 20, .vocab = 11, .context = 7, .norm_eps = 1e-5};
enum { BATCH = 2, SEQ = 5 };

static para_graph *sealed(const para_gpt2 *model, int64_t batch, int64_t seq, bool training)
{
    para_error err = {0};
    para_graph *g = para_graph_new();
    para_gpt2_build(g, model, batch, seq, training);
    must(para_graph_seal(g, &err), err);
    must(para_graph_verify(g, &err), err);
    return g;
}

static bool is_parameter(const para_tensor *t)
{
    return para_tensor_kind(t) == PARA_PARAMETER && !para_tensor_producer(t);
}

static para_gpt2 preset(const char *name)
{
    para_model *model;
    para_error err = {0};
    must(para_model_preset(&model, name, &err), err);
    para_gpt2 config = *para_model_as_gpt2(model);
    para_model_free(model);
    must(para_gpt2_check(&config, &err), err);
    return config;
}

static int64_t parameters_of(const char *name)
{
    para_gpt2 model = preset(name);
    para_graph *g = sealed(&model, 1, 2, false);
    int64_t total = 0;
    for (int i = 0; i < para_graph_tensor_count(g); i++)
        if (is_parameter(para_graph_tensor(g, i)))
            total += para_tensor_elements(para_graph_tensor(g, i));
    para_graph_free(g);
    return total;
}

/* The counts of the published models; "tiny" by hand: 256 x 128 + 64 x 128 + 4 (12 x 128^2 + 13 x 128) + 256. */
static void presets_have_the_published_sizes(void **state)
{
    (void)state;
    assert_int_equal(parameters_of("gpt2-124m"), 124439808);
    assert_int_equal(parameters_of("gpt2-355m"), 354823168);
    assert_int_equal(parameters_of("gpt2-774m"), 774030080);
    assert_int_equal(parameters_of("gpt2-xl"), 1557611200);
    assert_int_equal(parameters_of("tiny"), 834304);
}

/* Priorities are in microseconds, which an int holds for 35 minutes: of a run of many hours they still never rise
 * along an edge. */
static void long_plans_keep_their_order(void **state)
{
    (void)state;
    para_gpt2 model = preset("gpt2-355m");
    para_error err = {0};
    para_plan *p;
    para_graph *g = sealed(&model, 4096, 1024, true);
    must(para_plan_new(&p, g, 2, &err), err);
    assert_true(p->priority[0] > 0);
    for (int i = 0; i < para_graph_node_count(g); i++) {
        int count;
        const para_edge *edges = para_deps_of(p->deps, i, &count);
        for (int e = 0; e < count; e++)
            assert_true(p->priority[edges[e].from] >= p->priority[i]);
    }
    para_plan_free(p);
    para_graph_free(g);
}

static void assert_bad(para_gpt2 model, const char *text)
{
    para_error err = {0};
    assert_int_equal(para_gpt2_check(&model, &err), PARA_ERANGE);
    if (!strstr(err.message, text))
        fail_msg("the message \"%s\" doesn't say \"%s\"", err.message, text);
    para_graph *g = para_graph_new();
    para_model_graph built = para_gpt2_build(g, &model, 1, 1, true);
    assert_null(built.loss);
    para_error sealing = {0};
    assert_int_equal(para_graph_seal(g, &sealing), PARA_ERANGE);
    assert_string_equal(sealing.message, err.message);
    para_graph_free(g);
}

static para_gpt2 with(size_t offset, int64_t value)
{
    para_gpt2 model = small;
    memcpy((char *)&model + offset, &value, sizeof value);
    return model;
}

static para_gpt2 with_real(size_t offset, double value)
{
    para_gpt2 model = small;
    memcpy((char *)&model + offset, &value, sizeof value);
    return model;
}

static void bad_models_are_refused(void **state)
{
    (void)state;
    assert_bad(with(offsetof(para_gpt2, layers), 0), "layers is 0");
    assert_bad(with(offsetof(para_gpt2, heads), -1), "heads is -1");
    assert_bad(with(offsetof(para_gpt2, heads), 0), "heads is 0");
    assert_bad(with(offsetof(para_gpt2, heads), 3), "embd is 8, expected a multiple of heads, 3");
    assert_bad(with(offsetof(para_gpt2, embd), 0), "embd is 0");
    assert_bad(with(offsetof(para_gpt2, ff), INT64_MIN), "ff is -9223372036854775808");
    assert_bad(with(offsetof(para_gpt2, vocab), 0), "vocab is 0");
    assert_bad(with(offsetof(para_gpt2, context), INT64_MAX), "context is 9223372036854775807");
    para_gpt2 huge = with(offsetof(para_gpt2, embd), 2000000000);
    assert_bad(huge, "too large to count");
    assert_bad(with_real(offsetof(para_gpt2, dropout), 1), "dropout is 1");
    assert_bad(with_real(offsetof(para_gpt2, dropout), -0.1), "dropout is -0.1");
    assert_bad(with_real(offsetof(para_gpt2, dropout), NAN), "dropout is");
    assert_bad(with_real(offsetof(para_gpt2, norm_eps), 0), "norm_eps is 0");
}

static void assert_bad_windows(int64_t batch, int64_t seq, const char *message)
{
    para_error err = {0};
    para_graph *g = para_graph_new();
    para_gpt2_build(g, &small, batch, seq, false);
    assert_int_equal(para_graph_seal(g, &err), PARA_ERANGE);
    assert_string_equal(err.message, message);
    para_graph_free(g);
}

static void bad_windows_are_refused(void **state)
{
    (void)state;
    assert_bad_windows(0, 4, "gpt2: batch is 0, expected at least 1");
    assert_bad_windows(1, 8, "gpt2: seq is 8, expected 1 to the context's 7");
    assert_bad_windows(1, 0, "gpt2: seq is 0, expected 1 to the context's 7");
}

static void assert_parameter(const para_graph *g, const char *name, const char *file_name, const char *axes)
{
    const para_tensor *t = para_graph_find(g, name);
    assert_graph(g, t && is_parameter(t), "parameter \"%s\"", name);
    char found[256] = "", buffer[128];
    for (int i = 0; i < para_tensor_rank(t); i++)
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s %lld", i ? ", " : "",
                 para_tensor_dim(t, i).axis, (long long)para_tensor_dim(t, i).extent);
    assert_string_equal(found, axes);
    assert_non_null(para_family_name(&para_family_gpt2, PARA_FOLDER, name, buffer, sizeof buffer));
    assert_string_equal(buffer, file_name);
}

static void parameters_have_their_axes_and_names(void **state)
{
    (void)state;
    para_graph *g = sealed(&small, BATCH, SEQ, true);
    assert_parameter(g, "wte", "transformer.wte.weight", "vocab 11, embd 8");
    assert_parameter(g, "wpe", "transformer.wpe.weight", "context 7, embd 8");
    assert_parameter(g, "layer.0.ln_1.weight", "transformer.h.0.ln_1.weight", "embd 8");
    assert_parameter(g, "layer.0.ln_1.bias", "transformer.h.0.ln_1.bias", "embd 8");
    assert_parameter(g, "layer.1.attn.qkv.weight", "transformer.h.1.attn.c_attn.weight",
                     "embd 8, qkv 3, heads 2, head_dim 4");
    assert_parameter(g, "layer.1.attn.qkv.bias", "transformer.h.1.attn.c_attn.bias", "qkv 3, heads 2, head_dim 4");
    assert_parameter(g, "layer.1.attn.proj.weight", "transformer.h.1.attn.c_proj.weight",
                     "heads 2, head_dim 4, embd 8");
    assert_parameter(g, "layer.1.attn.proj.bias", "transformer.h.1.attn.c_proj.bias", "embd 8");
    assert_parameter(g, "layer.1.ln_2.weight", "transformer.h.1.ln_2.weight", "embd 8");
    assert_parameter(g, "layer.1.mlp.fc.weight", "transformer.h.1.mlp.c_fc.weight", "embd 8, ff 20");
    assert_parameter(g, "layer.1.mlp.fc.bias", "transformer.h.1.mlp.c_fc.bias", "ff 20");
    assert_parameter(g, "layer.1.mlp.proj.weight", "transformer.h.1.mlp.c_proj.weight", "ff 20, embd 8");
    assert_parameter(g, "layer.1.mlp.proj.bias", "transformer.h.1.mlp.c_proj.bias", "embd 8");
    assert_parameter(g, "ln_f.weight", "transformer.ln_f.weight", "embd 8");
    assert_parameter(g, "ln_f.bias", "transformer.ln_f.bias", "embd 8");
    int count = 0;
    for (int i = 0; i < para_graph_tensor_count(g); i++)
        count += is_parameter(para_graph_tensor(g, i));
    assert_int_equal(count, 2 + 2 * 12 + 2);
    para_graph_free(g);
}

static void other_names_have_no_place_in_files(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "wte.weight",
                                        "layer.",
                                        "layer.x.ln_1.weight",
                                        "layer.1ln_1.weight",
                                        "layer.1.ln_1",
                                        "layer.1.ln_3.weight",
                                        "layer.1.attn.qkv.weight.m",
                                        "layer.-1.ln_1.bias",
                                        "layer.1..weight",
                                        "ln_f",
                                        "optimizer.step"};
    char buffer[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_null(para_family_name(&para_family_gpt2, PARA_FOLDER, names[i], buffer, sizeof buffer));
    assert_null(para_family_name(&para_family_gpt2, PARA_FOLDER, "layer.0.ln_1.weight", buffer, 27));
    assert_non_null(para_family_name(&para_family_gpt2, PARA_FOLDER, "layer.0.ln_1.weight", buffer, 28));
}

static int count_ops(const para_graph *g, const char *op)
{
    int count = 0;
    for (const para_node *n = para_graph_first(g); n; n = para_node_next(n))
        count += strcmp(para_node_op(n), op) == 0;
    return count;
}

static void dropout_is_for_training(void **state)
{
    (void)state;
    para_gpt2 model = small;
    model.dropout = model.embd_dropout = 0.1;
    para_graph *training = sealed(&model, BATCH, SEQ, true), *other = sealed(&model, BATCH, SEQ, false);
    para_graph *none = sealed(&small, BATCH, SEQ, true);
    assert_int_equal(count_ops(training, "dropout"), 1 + 2 * small.layers);
    assert_int_equal(count_ops(other, "dropout"), 0);
    assert_int_equal(count_ops(none, "dropout"), 0);
    assert_null(para_graph_find(none, "optimizer.step"));
    para_graph_free(training);
    para_graph_free(other);
    para_graph_free(none);
}

static void every_parameter_has_a_gradient(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = para_graph_new();
    para_model_graph built = para_gpt2_build(g, &small, BATCH, SEQ, true);
    int before = para_graph_tensor_count(g);
    must(para_graph_backward(g, built.loss, &err), err);
    must(para_graph_seal(g, &err), err);
    for (int i = 0; i < before; i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (is_parameter(t))
            assert_graph(g, para_grad(g, t) != NULL, "the gradient of \"%s\"", para_tensor_name(t));
    }
    para_graph_free(g);
}

/* What a person names: nodes of layers stand in the scopes that stages are made of. */
static void values_have_their_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "tokens",           "targets",           "logits",       "loss",           "layer.0.attn.qkv",
        "layer.1.attn",     "layer.1.attn.proj", "layer.1.ln_2", "layer.0.mlp.fc", "layer.0.mlp.gelu",
        "layer.0.mlp.proj", "head.ln_f"};
    para_error err = {0};
    para_graph *g = para_graph_new();
    para_model_graph built = para_gpt2_build(g, &small, BATCH, SEQ, true);
    must(para_graph_seal(g, &err), err);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_graph(g, para_graph_find(g, names[i]) != NULL, "the value \"%s\"", names[i]);
    assert_ptr_equal(para_graph_find(g, "loss"), built.loss);
    assert_ptr_equal(para_graph_find(g, "logits"), built.logits);
    assert_int_equal(para_tensor_rank(built.loss), 0);
    para_graph_free(g);
}

/* Mean and standard deviation of a value's elements. */
static void moments_of(para_session *s, const para_graph *g, const char *name, double *mean, double *spread)
{
    int64_t n = elements_of(g, name);
    float *x = get_floats(s, name, n);
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    for (int64_t i = 0; i < n; i++)
        square += (x[i] - sum / (double)n) * (x[i] - sum / (double)n);
    *mean = sum / (double)n;
    *spread = sqrt(square / (double)n);
    free(x);
}

static void parameters_begin_as_gpt2_does(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double mean, spread;
    } expected[] = {
        {"wte", 0, 0.02},
        {"wpe", 0, 0.02},
        {"layer.0.attn.qkv.weight", 0, 0.02},
        {"layer.3.mlp.fc.weight", 0, 0.02},
        {"layer.0.attn.proj.weight", 0, 0.0070710678}, /* 0.02 / sqrt(8) */
        {"layer.3.mlp.proj.weight", 0, 0.0070710678},
        {"layer.0.attn.qkv.bias", 0, 0},
        {"layer.3.mlp.proj.bias", 0, 0},
        {"layer.2.ln_1.weight", 1, 0},
        {"ln_f.weight", 1, 0},
        {"ln_f.bias", 0, 0},
    };
    para_gpt2 model = preset("tiny");
    para_graph *g = sealed(&model, 1, 1, false);
    para_session *s = serial_session(g, false);
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        double mean, spread, n = (double)elements_of(g, expected[i].name);
        moments_of(s, g, expected[i].name, &mean, &spread);
        if (fabs(mean - expected[i].mean) > 5 * expected[i].spread / sqrt(n) ||
            fabs(spread - expected[i].spread) > 5 * expected[i].spread / sqrt(2 * n))
            fail_msg("%s begins with mean %g and deviation %g", expected[i].name, mean, spread);
    }
    para_session_free(s);
    para_graph_free(g);
}

/* --- GPT-2 in loops, double precision, one window at a time: Radford et al., 2019, with no code in common --- */

struct plain {
    para_session *s;
    const para_graph *g;
    int layer;
};

static float *weight(const struct plain *p, const char *name)
{
    char full[64];
    if (p->layer >= 0)
        snprintf(full, sizeof full, "layer.%d.%s", p->layer, name);
    else
        snprintf(full, sizeof full, "%s", name);
    return get_floats(p->s, full, elements_of(p->g, full));
}

/* y (T, n) = norm of x (T, C) */
static void plain_norm(const struct plain *p, const char *gamma_name, const char *beta_name, const double *x, double *y)
{
    int C = (int)small.embd;
    float *gamma = weight(p, gamma_name), *beta = weight(p, beta_name);
    for (int t = 0; t < SEQ; t++) {
        double mean = 0, var = 0;
        for (int c = 0; c < C; c++)
            mean += x[t * C + c] / C;
        for (int c = 0; c < C; c++)
            var += (x[t * C + c] - mean) * (x[t * C + c] - mean) / C;
        for (int c = 0; c < C; c++)
            y[t * C + c] = gamma[c] * (x[t * C + c] - mean) / sqrt(var + small.norm_eps) + beta[c];
    }
    free(gamma);
    free(beta);
}

/* y (T, m) = x (T, n) w (n, m) + b (m) */
static void plain_linear(const struct plain *p, const char *w_name, const char *b_name, const double *x, int n, int m,
                         double *y)
{
    float *w = weight(p, w_name), *b = weight(p, b_name);
    for (int t = 0; t < SEQ; t++)
        for (int j = 0; j < m; j++) {
            y[t * m + j] = b[j];
            for (int i = 0; i < n; i++)
                y[t * m + j] += x[t * n + i] * w[i * m + j];
        }
    free(w);
    free(b);
}

/* o (T, C): row t of head h is the mean of v up to t, weighted by softmax(q k / sqrt(C / H)). */
static void plain_attention(const double *qkv, double *o)
{
    int C = (int)small.embd, D = C / (int)small.heads;
    memset(o, 0, sizeof *o * SEQ * (size_t)C);
    for (int h = 0; h < small.heads; h++)
        for (int t = 0; t < SEQ; t++) {
            double e[SEQ], total = 0;
            for (int k = 0; k <= t; k++) {
                double dot = 0;
                for (int d = 0; d < D; d++)
                    dot += qkv[t * 3 * C + h * D + d] * qkv[k * 3 * C + C + h * D + d];
                total += e[k] = exp(dot / sqrt(D));
            }
            for (int k = 0; k <= t; k++)
                for (int d = 0; d < D; d++)
                    o[t * C + h * D + d] += e[k] / total * qkv[k * 3 * C + 2 * C + h * D + d];
        }
}

/* x (T, C) goes through one layer in place. */
static void plain_layer(const struct plain *p, double *x)
{
    enum { WIDE = 64 };
    int C = (int)small.embd, F = (int)small.ff;
    double y[SEQ * WIDE], z[SEQ * WIDE];
    plain_norm(p, "ln_1.weight", "ln_1.bias", x, y);
    plain_linear(p, "attn.qkv.weight", "attn.qkv.bias", y, C, 3 * C, z);
    plain_attention(z, y);
    plain_linear(p, "attn.proj.weight", "attn.proj.bias", y, C, C, z);
    for (int i = 0; i < SEQ * C; i++)
        x[i] += z[i];
    plain_norm(p, "ln_2.weight", "ln_2.bias", x, y);
    plain_linear(p, "mlp.fc.weight", "mlp.fc.bias", y, C, F, z);
    for (int i = 0; i < SEQ * F; i++)
        z[i] *= 0.5 * (1 + tanh(sqrt(2 / M_PI) * (z[i] + 0.044715 * z[i] * z[i] * z[i])));
    plain_linear(p, "mlp.proj.weight", "mlp.proj.bias", z, F, C, y);
    for (int i = 0; i < SEQ * C; i++)
        x[i] += y[i];
}

/* logits (T, V) of one window */
static void plain_gpt2(para_session *s, const para_graph *g, const int32_t *tokens, float *logits)
{
    enum { WIDE = 64 };
    struct plain p = {s, g, -1};
    int C = (int)small.embd, V = (int)small.vocab;
    double x[SEQ * WIDE], y[SEQ * WIDE];
    float *wte = weight(&p, "wte"), *wpe = weight(&p, "wpe");
    for (int t = 0; t < SEQ; t++)
        for (int c = 0; c < C; c++)
            x[t * C + c] = (double)wte[tokens[t] * C + c] + wpe[t * C + c];
    for (p.layer = 0; p.layer < small.layers; p.layer++)
        plain_layer(&p, x);
    p.layer = -1;
    plain_norm(&p, "ln_f.weight", "ln_f.bias", x, y);
    for (int t = 0; t < SEQ; t++)
        for (int v = 0; v < V; v++) {
            double dot = 0;
            for (int c = 0; c < C; c++)
                dot += y[t * C + c] * wte[v * C + c];
            logits[t * V + v] = (float)dot;
        }
    free(wte);
    free(wpe);
}

/* Give every parameter other values than its first ones, so that biases and norms count. */
static void perturb(para_session *s, const para_graph *g)
{
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (!is_parameter(t))
            continue;
        int64_t n = para_tensor_elements(t);
        float *x = must_alloc((size_t)n * sizeof *x);
        fill_uniform(x, n, 3, (uint64_t)i, -0.5, 0.5);
        set_value(s, para_tensor_name(t), x, (size_t)n * sizeof *x);
        free(x);
    }
}

static void logits_and_loss_are_those_of_plain_loops(void **state)
{
    (void)state;
    int V = (int)small.vocab;
    para_error err = {0};
    para_graph *g = para_graph_new();
    para_model_graph built = para_gpt2_build(g, &small, BATCH, SEQ, true);
    para_output(built.logits);
    must(para_graph_seal(g, &err), err);
    para_session *s = serial_session(g, false);
    perturb(s, g);
    int32_t tokens[BATCH * SEQ], targets[BATCH * SEQ];
    fill_ids(tokens, BATCH * SEQ, 4, 0, (int32_t)small.vocab);
    fill_ids(targets, BATCH * SEQ, 4, 1, (int32_t)small.vocab);
    targets[3] = targets[8] = -100;
    set_value(s, "tokens", tokens, sizeof tokens);
    set_value(s, "targets", targets, sizeof targets);
    run_once(s);

    float expected[BATCH * SEQ * 16];
    for (int b = 0; b < BATCH; b++)
        plain_gpt2(s, g, tokens + b * SEQ, expected + b * SEQ * V);
    float *logits = get_floats(s, "logits", BATCH * SEQ * V), *loss = get_floats(s, "loss", 1);
    assert_close(NULL, "logits", logits, expected, BATCH * SEQ * V, 1e-5);
    double sum = 0;
    for (int i = 0; i < BATCH * SEQ; i++) {
        double total = 0;
        for (int v = 0; v < V; v++)
            total += exp(expected[i * V + v]);
        sum += targets[i] < 0 ? 0 : log(total) - expected[i * V + targets[i]];
    }
    float mean = (float)(sum / (BATCH * SEQ - 2));
    assert_close(NULL, "loss", loss, &mean, 1, 1e-5);
    free(logits);
    free(loss);
    para_session_free(s);
    para_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_have_the_published_sizes),
        cmocka_unit_test(long_plans_keep_their_order),
        cmocka_unit_test(bad_models_are_refused),
        cmocka_unit_test(bad_windows_are_refused),
        cmocka_unit_test(parameters_have_their_axes_and_names),
        cmocka_unit_test(other_names_have_no_place_in_files),
        cmocka_unit_test(dropout_is_for_training),
        cmocka_unit_test(every_parameter_has_a_gradient),
        cmocka_unit_test(values_have_their_names),
        cmocka_unit_test(parameters_begin_as_gpt2_does),
        cmocka_unit_test(logits_and_loss_are_those_of_plain_loops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
