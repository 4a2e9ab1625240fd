/* GPT-2 as a graph: Radford et al., "Language models are unsupervised multitask learners", 2019. */
#include <paragraph/models.h>
#include <paragraph/ops.h>
#include <paragraph/optim.h>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/fail.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_LAYERS = 4096 }; /* more would take minutes to build, and say that something is wrong */

static const double INITIAL_SPREAD = 0.02;

int para_gpt2_preset(para_gpt2 *out, const char *name, para_error *err)
{
    static const struct {
        const char *name;
        para_gpt2 model;
    } presets[] = {
        {"tiny", {.layers = 4, .heads = 4, .embd = 128, .ff = 512, .vocab = 256, .context = 64, .norm_eps = 1e-5}},
        {"gpt2-124m",
         {.layers = 12, .heads = 12, .embd = 768, .ff = 3072, .vocab = 50257, .context = 1024, .norm_eps = 1e-5}},
        {"gpt2-355m",
         {.layers = 24, .heads = 16, .embd = 1024, .ff = 4096, .vocab = 50257, .context = 1024, .norm_eps = 1e-5}},
    };
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++)
        if (strcmp(presets[i].name, name) == 0) {
            *out = presets[i].model;
            return 0;
        }
    return para_fail(err, PARA_ENAME, "no preset is called \"%s\"; there are tiny, gpt2-124m, gpt2-355m", name);
}

/* Whether the bytes of all parameters can be counted. Their number is about layers x embd (4 embd + 2 ff) +
 * embd (vocab + context); each of the four products has room for 64 bytes, which leaves enough for their sum. */
static bool sizes_fit(const para_gpt2 *m)
{
    int64_t width, square, feed, tables;
    return para_mul_i64(m->embd, 64, &width) && para_mul_i64(width, m->embd, &square) &&
           para_mul_i64(square, m->layers, &square) && para_mul_i64(width, m->ff, &feed) &&
           para_mul_i64(feed, m->layers, &feed) && para_mul_i64(width, m->vocab, &tables) &&
           para_mul_i64(width, m->context, &tables);
}

int para_gpt2_check(const para_gpt2 *model, para_error *err)
{
    const struct {
        const char *name;
        int64_t value;
    } sizes[] = {{"layers", model->layers}, {"heads", model->heads}, {"embd", model->embd},
                 {"ff", model->ff},         {"vocab", model->vocab}, {"context", model->context}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        if (sizes[i].value < 1 || sizes[i].value > INT32_MAX)
            return para_fail(err, PARA_ERANGE, "gpt2: %s is %lld, expected 1 to %d", sizes[i].name,
                             (long long)sizes[i].value, INT32_MAX);
    if (model->layers > MOST_LAYERS)
        return para_fail(err, PARA_ERANGE, "gpt2: layers is %lld, expected 1 to %d", (long long)model->layers,
                         MOST_LAYERS);
    if (model->embd % model->heads != 0)
        return para_fail(err, PARA_ERANGE, "gpt2: embd is %lld, expected a multiple of heads, %lld",
                         (long long)model->embd, (long long)model->heads);
    if (!sizes_fit(model))
        return para_fail(err, PARA_ERANGE,
                         "gpt2: the parameters of %lld layers, embd %lld, ff %lld, vocab %lld are too"
                         " large to count",
                         (long long)model->layers, (long long)model->embd, (long long)model->ff,
                         (long long)model->vocab);
    if (!(model->dropout >= 0 && model->dropout < 1))
        return para_fail(err, PARA_ERANGE, "gpt2: dropout is %g, expected at least 0 and less than 1", model->dropout);
    if (!(model->attn_dropout >= 0 && model->attn_dropout < 1))
        return para_fail(err, PARA_ERANGE, "gpt2: attn_dropout is %g, expected at least 0 and less than 1",
                         model->attn_dropout);
    if (!(model->norm_eps > 0 && model->norm_eps < 1))
        return para_fail(err, PARA_ERANGE, "gpt2: norm_eps is %g, expected more than 0 and less than 1",
                         model->norm_eps);
    if (!para_dtype_weighs(model->weights))
        return para_fail(err, PARA_EINVAL, "gpt2: weights are %s, expected f32, bf16 or i8",
                         para_dtype_name(model->weights));
    return 0;
}

struct build {
    para_graph *g;
    const para_gpt2 *m;
    int64_t head_dim;
    para_tensor *step;     /* draws dropout; NULL: none */
    para_tensor *position; /* of the first token in the caches; NULL: without caches */
    int64_t batch;
};

static para_tensor *param(const struct build *b, const char *name, const char *kind, const para_dim *dims, double mean,
                          double spread)
{
    char full[64];
    snprintf(full, sizeof full, "%s%s", name, kind);
    para_init init = {spread > 0 ? PARA_INIT_NORMAL : PARA_INIT_FILL, mean, spread};
    return para_param(b->g, full, dims, init);
}

/* A matrix that products read, and, of int8, its scales, float32 (scaled), else NULL. Drawn int8 values are a quarter of
 * their range wide. */
static para_tensor *matrix(const struct build *b, const char *name, const char *kind, const para_dim *dims,
                           const para_dim *scaled, double spread, para_tensor **scale)
{
    char full[64], of[64];
    double steps = b->m->weights == PARA_I8 ? 32 / spread : 1;
    snprintf(full, sizeof full, "%s%s", name, kind);
    snprintf(of, sizeof of, "%s%s.scale", name, kind);
    para_init init = {PARA_INIT_NORMAL, 0, spread * steps}, step = {PARA_INIT_FILL, 1 / steps, 0};
    *scale = b->m->weights == PARA_I8 ? para_param(b->g, of, scaled, step) : NULL;
    return para_param_as(b->g, full, b->m->weights, dims, init);
}

/* x times scales, if there are any. */
static para_tensor *scaled_by(const struct build *b, para_tensor *x, para_tensor *scale)
{
    return scale ? para_mul(b->g, x, scale) : x;
}

/* y = x w + b; w has `dims`, of which the first `contracted` are those of x named in `contract`. */
static para_tensor *linear(const struct build *b, para_tensor *x, const char *name, const char *contract,
                           int contracted, const para_dim *dims, double spread)
{
    para_tensor *scale, *w = matrix(b, name, ".weight", dims, dims + contracted, spread, &scale);
    para_tensor *bias = param(b, name, ".bias", dims + contracted, 0, 0);
    char product[64];
    snprintf(product, sizeof product, "%s.matmul", name);
    para_tensor *y = scaled_by(b, para_name(para_matmul(b->g, x, w, contract), product), scale);
    return para_name(para_add(b->g, y, bias), name);
}

static para_tensor *norm(const struct build *b, para_tensor *x, const char *name)
{
    const para_dim *dims = PARA_DIMS({"embd", b->m->embd});
    para_tensor *gamma = param(b, name, ".weight", dims, 1, 0), *beta = param(b, name, ".bias", dims, 0, 0);
    return para_name(para_layernorm(b->g, x, gamma, beta, b->m->norm_eps), name);
}

static para_tensor *dropout(const struct build *b, para_tensor *x)
{
    return b->step ? para_dropout(b->g, x, b->step, b->m->dropout) : x;
}

/* The residual branches add up over the layers: their last projections begin smaller by sqrt(2 layers). */
static double residual_spread(const struct build *b)
{
    return INITIAL_SPREAD / sqrt(2.0 * (double)b->m->layers);
}

/* Attention over what the cache holds of earlier runs and what this one adds to it. */
static para_tensor *attend_cached(const struct build *b, para_tensor *qkv)
{
    const para_dim *dims = PARA_DIMS({"batch", b->batch}, {"cache", b->m->context}, {"kv", 2}, {"heads", b->m->heads},
                                     {"head_dim", b->head_dim});
    para_tensor *cache = para_state(b->g, "attn.cache", PARA_F32, dims, (para_init){PARA_INIT_FILL, 0, 0});
    cache = para_name(para_cache_append(b->g, cache, qkv, b->position), "attn.append");
    return para_attention_cached(b->g, qkv, cache, b->position);
}

static para_tensor *attention(const struct build *b, para_tensor *x)
{
    const para_dim *qkv =
        PARA_DIMS({"embd", b->m->embd}, {"qkv", 3}, {"heads", b->m->heads}, {"head_dim", b->head_dim});
    const para_dim *proj = PARA_DIMS({"heads", b->m->heads}, {"head_dim", b->head_dim}, {"embd", b->m->embd});
    para_tensor *y = linear(b, x, "attn.qkv", "embd", 1, qkv, INITIAL_SPREAD);
    y = para_name(b->position ? attend_cached(b, y) : para_attention(b->g, y, true), "attn");
    return dropout(b, linear(b, y, "attn.proj", "heads head_dim", 2, proj, residual_spread(b)));
}

static para_tensor *mlp(const struct build *b, para_tensor *x)
{
    const para_dim *fc = PARA_DIMS({"embd", b->m->embd}, {"ff", b->m->ff});
    const para_dim *proj = PARA_DIMS({"ff", b->m->ff}, {"embd", b->m->embd});
    para_tensor *y = linear(b, x, "mlp.fc", "embd", 1, fc, INITIAL_SPREAD);
    y = b->m->gelu_erf ? para_gelu_erf(b->g, y) : para_gelu(b->g, y);
    return dropout(b, linear(b, para_name(y, "mlp.gelu"), "mlp.proj", "ff", 1, proj, residual_spread(b)));
}

static para_tensor *layer(const struct build *b, para_tensor *x)
{
    x = para_name(para_add(b->g, x, attention(b, norm(b, x, "ln_1"))), "attn.residual");
    return para_name(para_add(b->g, x, mlp(b, norm(b, x, "ln_2"))), "mlp.residual");
}

/* The table of tokens, which embedding and head share. */
struct table {
    para_tensor *wte, *scale;
};

static para_tensor *embed(const struct build *b, para_tensor *tokens, const struct table *t, para_tensor *wpe,
                          int64_t seq)
{
    para_tensor *token = para_embedding(b->g, t->wte, tokens, "vocab");
    if (t->scale)
        token = para_mul(b->g, token, para_embedding(b->g, t->scale, tokens, "vocab"));
    para_tensor *places =
        b->position ? para_arange_from(b->g, b->position, "seq", seq, b->m->context) : para_arange(b->g, "seq", seq);
    para_tensor *position = para_embedding(b->g, wpe, places, "context");
    return dropout(b, para_add(b->g, para_name(token, "token"), para_name(position, "position")));
}

static int check_build(const para_gpt2 *m, int64_t batch, int64_t seq, bool training, para_error *err)
{
    PARA_TRY(para_gpt2_check(m, err));
    if (training && m->attn_dropout > 0)
        return para_fail(err, PARA_ESUPPORT,
                         "gpt2: attn_dropout (attn_pdrop) is %g, expected 0: attention weights can't be dropped in"
                         " training; give the dropout to train with (--dropout) to leave them whole",
                         m->attn_dropout);
    if (batch < 1)
        return para_fail(err, PARA_ERANGE, "gpt2: batch is %lld, expected at least 1", (long long)batch);
    if (seq < 1 || seq > m->context)
        return para_fail(err, PARA_ERANGE, "gpt2: seq is %lld, expected 1 to the context's %lld", (long long)seq,
                         (long long)m->context);
    return 0;
}

/* From tokens to what the head reads. */
static para_tensor *body(struct build *b, para_tensor *tokens, int64_t seq, struct table *t)
{
    const para_gpt2 *m = b->m;
    t->wte = matrix(b, "wte", "", PARA_DIMS({"vocab", m->vocab}, {"embd", m->embd}), PARA_DIMS({"vocab", m->vocab}),
                    INITIAL_SPREAD, &t->scale);
    para_tensor *wpe = param(b, "wpe", "", PARA_DIMS({"context", m->context}, {"embd", m->embd}), 0, INITIAL_SPREAD);
    para_scope_push(b->g, "embed");
    para_tensor *x = embed(b, tokens, t, wpe, seq);
    para_scope_pop(b->g);
    for (int i = 0; i < m->layers; i++) {
        para_scope_push(b->g, "layer.%d", i);
        x = layer(b, x);
        para_scope_pop(b->g);
    }
    const para_dim *width = PARA_DIMS({"embd", m->embd});
    para_tensor *gamma = param(b, "ln_f", ".weight", width, 1, 0), *beta = param(b, "ln_f", ".bias", width, 0, 0);
    para_scope_push(b->g, "head");
    x = para_name(para_layernorm(b->g, x, gamma, beta, m->norm_eps), "ln_f");
    para_scope_pop(b->g);
    return x;
}

static para_tensor *head(const struct build *b, para_tensor *x, const struct table *t)
{
    return scaled_by(b, para_matmul(b->g, x, t->wte, "embd"), t->scale);
}

static struct build begin(para_graph *g, const para_gpt2 *model, int64_t batch)
{
    return (struct build){.g = g, .m = model, .head_dim = model->embd / model->heads, .batch = batch};
}

para_gpt2_graph para_gpt2_build(para_graph *g, const para_gpt2 *model, int64_t batch, int64_t seq, bool training)
{
    para_gpt2_graph out = {0};
    para_error err;
    struct table table;
    if (check_build(model, batch, seq, training, &err) < 0) {
        para_graph_fail(g, &err);
        return out;
    }
    struct build b = begin(g, model, batch);
    const para_dim *places = PARA_DIMS({"batch", batch}, {"seq", seq});
    out.tokens = para_input(g, "tokens", PARA_I32, places);
    if (training) {
        out.targets = para_input(g, "targets", PARA_I32, places);
        b.step = model->dropout > 0 ? para_step(g) : NULL;
    }
    para_tensor *x = body(&b, out.tokens, seq, &table);
    para_scope_push(g, "head");
    out.logits = head(&b, x, &table);
    out.loss = training ? para_cross_entropy(g, out.logits, out.targets, "vocab", -100) : NULL;
    para_scope_pop(g);

    /* Named outside of the scope, which puts its name before others. */
    para_name(out.logits, "logits");
    if (training)
        para_output(para_name(out.loss, "loss"));
    else
        para_output(out.logits);
    return out;
}

para_gpt2_graph para_gpt2_build_cached(para_graph *g, const para_gpt2 *model, int64_t batch, int64_t seq)
{
    para_gpt2_graph out = {0};
    para_error err;
    struct table table;
    if (check_build(model, batch, seq, false, &err) < 0) {
        para_graph_fail(g, &err);
        return out;
    }
    struct build b = begin(g, model, batch);
    out.tokens = para_input(g, "tokens", PARA_I32, PARA_DIMS({"batch", batch}, {"seq", seq}));
    b.position = para_input(g, "position", PARA_I32, PARA_SCALAR);
    para_tensor *last = para_input(g, "last", PARA_I32, PARA_SCALAR);
    para_tensor *x = body(&b, out.tokens, seq, &table);
    para_scope_push(g, "head");
    out.logits = head(&b, para_select(g, x, last, "seq"), &table);
    para_scope_pop(g);
    para_output(para_name(out.logits, "logits"));
    return out;
}
