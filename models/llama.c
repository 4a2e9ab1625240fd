/* Llama and its kin as graphs: Touvron et al., "LLaMA: open and efficient foundation language models", 2023; Qwen2 and
 * Qwen3 (Yang et al., 2024 and 2025), Mistral (Jiang et al., 2023). They differ in biases, norms of q and k, windows,
 * and in what their files say; each is a row at the end. */
#include <paragraph/models.h>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/fail.h"
#include "models/builder.h"
#include "models/family.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_LAYERS = 4096 }; /* more would take minutes to build, and say that something is wrong */

static const double INITIAL_SPREAD = 0.02;

/* --- what is wrong with a model --- */

/* Whether the bytes of all parameters can be counted: of each of these products there are fewer than ten, which have
 * room for 64 bytes each. */
static bool sizes_fit(const para_llama *m)
{
    int64_t width, heads, feed, tables;
    return para_mul_i64(m->embd, 640, &width) && para_mul_i64(width, m->heads, &heads) &&
           para_mul_i64(heads, m->head_dim, &heads) && para_mul_i64(heads, m->layers, &heads) &&
           para_mul_i64(width, m->ff, &feed) && para_mul_i64(feed, m->layers, &feed) &&
           para_mul_i64(width, m->vocab, &tables);
}

static int check_sizes(const para_llama *m, para_error *err)
{
    const struct para_builder_size sizes[] = {
        {"layers", m->layers},     {"heads", m->heads},     {"kv_heads", m->kv_heads},
        {"head_dim", m->head_dim}, {"embd", m->embd},       {"ff", m->ff},
        {"vocab", m->vocab},       {"context", m->context}, {0}};
    PARA_TRY(para_builder_check_sizes("llama", sizes, err));
    if (m->layers > MOST_LAYERS)
        return para_fail(err, PARA_ERANGE, "llama: layers is %lld, expected 1 to %d", (long long)m->layers,
                         MOST_LAYERS);
    if (m->heads % m->kv_heads != 0)
        return para_fail(err, PARA_ERANGE, "llama: heads is %lld, expected a multiple of kv_heads, %lld",
                         (long long)m->heads, (long long)m->kv_heads);
    if (!sizes_fit(m))
        return para_fail(err, PARA_ERANGE,
                         "llama: the parameters of %lld layers, embd %lld, %lld heads of %lld, ff %lld, vocab %lld are"
                         " too large to count",
                         (long long)m->layers, (long long)m->embd, (long long)m->heads, (long long)m->head_dim,
                         (long long)m->ff, (long long)m->vocab);
    return 0;
}

static int check_window(const para_llama *m, para_error *err)
{
    if (m->window < 0 || m->window > INT32_MAX)
        return para_fail(err, PARA_ERANGE, "llama: window is %lld, expected 0 to %d", (long long)m->window, INT32_MAX);
    int64_t most = m->window ? m->layers - 1 : 0;
    if (m->full_layers < 0 || m->full_layers > most)
        return para_fail(err, PARA_ERANGE, "llama: full_layers is %lld, expected 0 to %lld", (long long)m->full_layers,
                         (long long)most);
    return 0;
}

int para_llama_check(const para_llama *m, para_error *err)
{
    para_error why;
    PARA_TRY(check_sizes(m, err));
    PARA_TRY(check_window(m, err));
    if (!(m->norm_eps > 0 && m->norm_eps < 1))
        return para_fail(err, PARA_ERANGE, "llama: norm_eps is %g, expected more than 0 and less than 1", m->norm_eps);
    if (!(m->attn_dropout >= 0 && m->attn_dropout < 1))
        return para_fail(err, PARA_ERANGE, "llama: attn_dropout is %g, expected at least 0 and less than 1",
                         m->attn_dropout);
    int status = para_rope_check(&m->rope, m->head_dim, &why);
    if (status < 0)
        return para_fail(err, status, "llama: rope: %s", why.message);
    const struct para_builder_size contracted[] = {
        {"embd", m->embd}, {"ff", m->ff}, {"heads x head_dim", m->heads * m->head_dim}, {0}};
    return para_builder_check_weights("llama", m->weights, contracted, err);
}

/* --- graphs --- */

struct build {
    struct para_builder in;
    const para_llama *m;
    para_tensor *positions;
};

/* The axes of a product's result, then those that it contracts. */
static void join(const para_dim *out, const para_dim *in, para_dim dims[PARA_MAX_RANK + 1], char contract[64])
{
    int rank = 0, used = 0;
    contract[0] = '\0';
    for (; out->axis; out++)
        dims[rank++] = *out;
    for (; in->axis; in++) {
        used += snprintf(contract + used, (size_t)(64 - used), "%s%s", used ? " " : "", in->axis);
        dims[rank++] = *in;
    }
    dims[rank] = (para_dim){0};
}

/* y (out) = x (in) w (out, in)^T + b (out), or without b */
static para_tensor *linear(const struct build *b, para_tensor *x, const char *name, const para_dim *out,
                           const para_dim *in, double spread, bool biased)
{
    para_dim dims[PARA_MAX_RANK + 1];
    char contract[64], product[64];
    join(out, in, dims, contract);
    para_tensor *scale, *w = para_builder_matrix(&b->in, name, ".weight", dims, out, spread, &scale);
    para_tensor *bias = biased ? para_builder_param(&b->in, name, ".bias", out, 0, 0) : NULL;
    snprintf(product, sizeof product, "%s%s", name, biased || scale ? ".matmul" : "");
    para_tensor *y = para_builder_scaled(&b->in, para_name(para_matmul(b->in.g, x, w, contract), product), scale);
    return para_name(biased ? para_add(b->in.g, y, bias) : y, name);
}

/* Over x's last axis, which has this name and extent. */
static para_tensor *norm(const struct build *b, para_tensor *x, const char *name, const char *axis, int64_t extent)
{
    para_tensor *gamma = para_builder_param(&b->in, name, ".weight", PARA_DIMS({axis, extent}), 1, 0);
    return para_name(para_rmsnorm(b->in.g, x, gamma, b->m->norm_eps), name);
}

/* The residual branches add up over the layers: their last projections begin smaller by sqrt(2 layers). */
static double residual_spread(const struct build *b)
{
    return INITIAL_SPREAD / sqrt(2.0 * (double)b->m->layers);
}

/* q or k, normed or not, turned by its positions. */
static para_tensor *turned(const struct build *b, para_tensor *x, const char *norm_name, const char *name)
{
    if (b->m->qk_norm)
        x = norm(b, x, norm_name, "head_dim", b->m->head_dim);
    return para_name(para_rope(b->in.g, x, b->positions, &b->m->rope), name);
}

static para_tensor *attention(const struct build *b, para_tensor *x, int64_t window)
{
    const para_llama *m = b->m;
    const para_dim *embd = PARA_DIMS({"embd", m->embd});
    const para_dim *q_dims =
        PARA_DIMS({"heads", m->kv_heads}, {"queries", m->heads / m->kv_heads}, {"head_dim", m->head_dim});
    const para_dim *kv_dims = PARA_DIMS({"heads", m->kv_heads}, {"head_dim", m->head_dim});
    para_tensor *q = linear(b, x, "attn.q", q_dims, embd, INITIAL_SPREAD, m->qkv_bias);
    para_tensor *k = linear(b, x, "attn.k", kv_dims, embd, INITIAL_SPREAD, m->qkv_bias);
    para_tensor *v = linear(b, x, "attn.v", kv_dims, embd, INITIAL_SPREAD, m->qkv_bias);
    q = turned(b, q, "attn.q_norm", "attn.q.rope");
    k = turned(b, k, "attn.k_norm", "attn.k.rope");
    para_tensor *y =
        b->in.caches ? para_builder_attend(&b->in, q, k, v, window) : para_attention_window(b->in.g, q, k, v, window);
    return linear(b, para_name(y, "attn"), "attn.proj", embd, q_dims, residual_spread(b), m->proj_bias);
}

static para_tensor *mlp(const struct build *b, para_tensor *x)
{
    const para_llama *m = b->m;
    const para_dim *embd = PARA_DIMS({"embd", m->embd}), *ff = PARA_DIMS({"ff", m->ff});
    para_tensor *gate = linear(b, x, "mlp.gate", ff, embd, INITIAL_SPREAD, m->mlp_bias);
    para_tensor *up = linear(b, x, "mlp.up", ff, embd, INITIAL_SPREAD, m->mlp_bias);
    para_tensor *y = para_name(para_swiglu(b->in.g, gate, up), "mlp.swiglu");
    return linear(b, y, "mlp.down", embd, ff, residual_spread(b), m->mlp_bias);
}

static para_tensor *layer(const struct build *b, para_tensor *x, int64_t window)
{
    int64_t embd = b->m->embd;
    para_tensor *y = attention(b, norm(b, x, "attn.norm", "embd", embd), window);
    x = para_name(para_add(b->in.g, x, y), "attn.residual");
    y = mlp(b, norm(b, x, "mlp.norm", "embd", embd));
    return para_name(para_add(b->in.g, x, y), "mlp.residual");
}

/* The table of tokens and the head's matrix, the same where they are tied. */
struct tables {
    para_tensor *wte, *wte_scale, *head, *head_scale;
};

static struct tables make_tables(const struct build *b)
{
    struct tables t;
    const para_dim *dims = PARA_DIMS({"vocab", b->m->vocab}, {"embd", b->m->embd});
    const para_dim *scaled = PARA_DIMS({"vocab", b->m->vocab});
    t.head = t.wte = para_builder_matrix(&b->in, "wte", "", dims, scaled, INITIAL_SPREAD, &t.wte_scale);
    t.head_scale = t.wte_scale;
    if (!b->m->tied)
        t.head = para_builder_matrix(&b->in, "lm_head", ".weight", dims, scaled, INITIAL_SPREAD, &t.head_scale);
    return t;
}

/* From tokens to what the head reads. */
static para_tensor *body(struct build *b, para_tensor *tokens, int64_t seq, struct tables *t)
{
    const para_llama *m = b->m;
    *t = make_tables(b);
    para_scope_push(b->in.g, "embed");
    para_tensor *x = para_name(para_builder_embed(&b->in, t->wte, t->wte_scale, tokens), "token");
    b->positions = para_name(para_builder_positions(&b->in, seq, m->context), "positions");
    para_scope_pop(b->in.g);
    for (int i = 0; i < m->layers; i++) {
        para_scope_push(b->in.g, "layer.%d", i);
        x = layer(b, x, i < m->full_layers ? 0 : m->window);
        para_scope_pop(b->in.g);
    }
    para_tensor *gamma = para_builder_param(&b->in, "norm", ".weight", PARA_DIMS({"embd", m->embd}), 1, 0);
    para_scope_push(b->in.g, "head");
    x = para_name(para_rmsnorm(b->in.g, x, gamma, m->norm_eps), "norm");
    para_scope_pop(b->in.g);
    return x;
}

static para_tensor *head(const struct build *b, para_tensor *x, const struct tables *t)
{
    return para_builder_scaled(&b->in, para_matmul(b->in.g, x, t->head, "embd"), t->head_scale);
}

static int check_build(const para_llama *m, int64_t batch, int64_t seq, bool training, para_error *err)
{
    PARA_TRY(para_llama_check(m, err));
    if (training && m->attn_dropout > 0)
        return para_fail(err, PARA_ESUPPORT,
                         "llama: attn_dropout (attention_dropout) is %g, expected 0: attention weights can't be"
                         " dropped in training; give the dropout to train with (--dropout 0) to leave them whole",
                         m->attn_dropout);
    return para_builder_check_windows("llama", batch, seq, m->context, err);
}

para_model_graph para_llama_build(para_graph *g, const para_llama *model, int64_t batch, int64_t seq, bool training)
{
    para_model_graph out = {0};
    para_error err;
    struct tables tables;
    if (check_build(model, batch, seq, training, &err) < 0) {
        para_graph_fail(g, &err);
        return out;
    }
    struct build b = {.in = {.g = g, .weights = model->weights}, .m = model};
    const para_dim *dims = PARA_DIMS({"batch", batch}, {"seq", seq});
    out.tokens = para_input(g, "tokens", PARA_I32, dims);
    if (training)
        out.targets = para_input(g, "targets", PARA_I32, dims);
    para_tensor *x = body(&b, out.tokens, seq, &tables);
    para_scope_push(g, "head");
    para_builder_end(&b.in, &out, head(&b, x, &tables));
    return out;
}

static int check_caches(const para_llama *m, const para_caches *caches, para_error *err)
{
    PARA_TRY(para_builder_check_caches("llama", caches, m->context, err));
    return check_build(m, caches->batch, caches->seq, false, err);
}

para_model_graph para_llama_build_cached(para_graph *g, const para_llama *model, const para_caches *caches)
{
    para_model_graph out = {0};
    para_error err;
    struct tables tables;
    if (check_caches(model, caches, &err) < 0) {
        para_graph_fail(g, &err);
        return out;
    }
    struct build b = {.in = {.g = g, .weights = model->weights}, .m = model};
    out.tokens = para_input(g, "tokens", PARA_I32, PARA_DIMS({"batch", caches->batch}, {"seq", caches->seq}));
    para_tensor *last = para_builder_begin_cached(&b.in, caches);
    para_tensor *x = body(&b, out.tokens, caches->seq, &tables);
    para_scope_push(g, "head");
    para_builder_end(&b.in, &out, head(&b, para_select(g, x, last, "seq"), &tables));
    return out;
}

/* --- as families --- */

/* A configuration: the model, and what files of Qwen say in a field of its own. */
struct config {
    para_llama m;
    bool windowed; /* has a window */
};

#define ROPE(base) .rope = {.theta = (base), .factor = 1, .slow = 1, .fast = 32, .amplitude = 1}
#define PRESET(...)                                                                                                    \
    &(const struct config)                                                                                             \
    {                                                                                                                  \
        .m = { __VA_ARGS__ }                                                                                           \
    }

/* The sizes of llama2.c's models of stories (Karpathy, 2023), and of published ones. */
static const struct para_preset llama_presets[] = {
    {"llama-15m", PRESET(.layers = 6, .heads = 6, .kv_heads = 6, .head_dim = 48, .embd = 288, .ff = 768, .vocab = 32000,
                         .context = 256, .norm_eps = 1e-5, ROPE(10000), .tied = true)},
    {"llama-110m", PRESET(.layers = 12, .heads = 12, .kv_heads = 12, .head_dim = 64, .embd = 768, .ff = 2048,
                          .vocab = 32000, .context = 1024, .norm_eps = 1e-5, ROPE(10000), .tied = true)},
    {"llama2-7b", PRESET(.layers = 32, .heads = 32, .kv_heads = 32, .head_dim = 128, .embd = 4096, .ff = 11008,
                         .vocab = 32000, .context = 4096, .norm_eps = 1e-5, ROPE(10000))},
    {"llama3.2-1b", PRESET(.layers = 16, .heads = 32, .kv_heads = 8, .head_dim = 64, .embd = 2048, .ff = 8192,
                           .vocab = 128256, .context = 131072, .norm_eps = 1e-5,
                           .rope = {.theta = 500000,
                                    .scaling = PARA_ROPE_LLAMA3,
                                    .factor = 32,
                                    .original = 8192,
                                    .slow = 1,
                                    .fast = 4,
                                    .amplitude = 1},
                           .tied = true)},
    {0},
};

static const struct para_preset qwen2_presets[] = {
    {"qwen2.5-0.5b",
     PRESET(.layers = 24, .heads = 14, .kv_heads = 2, .head_dim = 64, .embd = 896, .ff = 4864, .vocab = 151936,
            .context = 32768, .norm_eps = 1e-6, ROPE(1000000), .tied = true, .qkv_bias = true)},
    {0},
};

static const struct para_preset no_presets[] = {{0}};

/* Vocabularies that are known by their number: Llama 2's, which Mistral 7B's is as large as, Llama 3's, Qwen's. */
static const struct {
    int64_t vocab;
    const char *begin, *end;
} marks[] = {{32000, "1", "2"}, {128256, "128000", "128001"}, {151936, "null", "151643"}};
enum { MARKS = sizeof marks / sizeof marks[0] };

static const char *begin_of_text(const void *config)
{
    for (int i = 0; i < MARKS; i++)
        if (marks[i].vocab == ((const para_llama *)config)->vocab)
            return marks[i].begin;
    return "null";
}

static const char *end_of_text(const void *config)
{
    for (int i = 0; i < MARKS; i++)
        if (marks[i].vocab == ((const para_llama *)config)->vocab)
            return marks[i].end;
    return "null";
}

#define AT(field) offsetof(struct config, m.field)

#define ROW(...)                                                                                                       \
    {                                                                                                                  \
        __VA_ARGS__                                                                                                    \
    }

/* What all of transformers' configurations of these families have, in two parts, between which are their own. */
#define FIELDS(architecture, type)                                                                                     \
    ROW(PARA_FIELD_TOLD, "architectures", .json = "[\"" architecture "\"]"),                                           \
        ROW(PARA_FIELD_FIXED, "model_type", .json = "\"" type "\""),                                                   \
        ROW(PARA_FIELD_SIZE, "num_hidden_layers", NULL, "layers", .offset = AT(layers), .gguf = "block_count"),        \
        ROW(PARA_FIELD_SIZE, "num_attention_heads", NULL, "heads", "", .offset = AT(heads),                            \
            .gguf = "attention.head_count"),                                                                           \
        ROW(PARA_FIELD_SIZE, "num_key_value_heads", NULL, "kv_heads", "heads", .offset = AT(kv_heads),                 \
            .optional = true, .gguf = "attention.head_count_kv"),                                                      \
        ROW(PARA_FIELD_SIZE, "head_dim", NULL, "head_dim", .offset = AT(head_dim), .optional = true,                   \
            .gguf = "attention.key_length"),                                                                           \
        ROW(PARA_FIELD_SIZE, "hidden_size", NULL, "embd", .offset = AT(embd), .gguf = "embedding_length"),             \
        ROW(PARA_FIELD_SIZE, "intermediate_size", NULL, "ff", .offset = AT(ff), .gguf = "feed_forward_length"),        \
        ROW(PARA_FIELD_SIZE, "vocab_size", NULL, "vocab", .offset = AT(vocab), .gguf = "#token_embd.weight"),          \
        ROW(PARA_FIELD_SIZE, "max_position_embeddings", NULL, "context", .offset = AT(context),                        \
            .gguf = "context_length"),                                                                                 \
        ROW(PARA_FIELD_FIXED, "hidden_act", .json = "\"silu\""),                                                       \
        ROW(PARA_FIELD_REAL, "rms_norm_eps", .offset = AT(norm_eps), .absent = 1e-6,                                   \
            .gguf = "attention.layer_norm_rms_epsilon"),                                                               \
        ROW(PARA_FIELD_ROPE, "rope_parameters", .offset = AT(rope)),                                                   \
        ROW(PARA_FIELD_BOOL, "tie_word_embeddings", .offset = AT(tied), .gguf = "!output.weight"),                     \
        ROW(PARA_FIELD_REAL, "attention_dropout", .offset = AT(attn_dropout))

#define MORE_FIELDS                                                                                                    \
    ROW(PARA_FIELD_TOLD, "initializer_range", .json = "0.02"),                                                         \
        ROW(PARA_FIELD_TOLD, "bos_token_id", .tell = begin_of_text),                                                   \
        ROW(PARA_FIELD_TOLD, "eos_token_id", .tell = end_of_text),                                                     \
        ROW(PARA_FIELD_TOLD, "torch_dtype", .json = "\"float32\""), ROW(PARA_FIELD_EMPTY, .name = "auto_map"),         \
        ROW(PARA_FIELD_EMPTY, .name = "pruned_heads"), ROW(PARA_FIELD_EMPTY, .name = "quantization_config"), ROW(0)

#define WINDOW_FIELDS                                                                                                  \
    ROW(PARA_FIELD_BOOL, "use_sliding_window", .offset = offsetof(struct config, windowed)),                           \
        ROW(PARA_FIELD_SIZE, "sliding_window", .offset = AT(window), .optional = true, .absent = 4096),                \
        ROW(PARA_FIELD_COUNT, "max_window_layers", .offset = AT(full_layers), .optional = true, .absent = 28),         \
        ROW(PARA_FIELD_LAYERS, "layer_types", .offset = AT(full_layers))

/* attention_bias is one of all four projections. */
static const struct para_field llama_fields[] = {
    FIELDS("LlamaForCausalLM", "llama"),
    {PARA_FIELD_BOOL, "attention_bias", .offset = AT(qkv_bias), .gguf = "blk.0.attn_q.bias"},
    {PARA_FIELD_BOOL, "mlp_bias", .offset = AT(mlp_bias), .gguf = "blk.0.ffn_up.bias"},
    MORE_FIELDS,
};

static const struct para_field mistral_fields[] = {
    FIELDS("MistralForCausalLM", "mistral"),
    {PARA_FIELD_SIZE, "sliding_window", .offset = AT(window), .optional = true, .absent = 4096},
    MORE_FIELDS,
};

static const struct para_field qwen2_fields[] = {
    FIELDS("Qwen2ForCausalLM", "qwen2"),
    WINDOW_FIELDS,
    MORE_FIELDS,
};

static const struct para_field qwen3_fields[] = {
    FIELDS("Qwen3ForCausalLM", "qwen3"),
    {PARA_FIELD_BOOL, "attention_bias", .offset = AT(qkv_bias), .gguf = "blk.0.attn_q.bias"},
    WINDOW_FIELDS,
    MORE_FIELDS,
};

/* Absent numbers as transformers has them. */
static void complete_heads(para_llama *m, int64_t head_dim)
{
    m->kv_heads = m->kv_heads ? m->kv_heads : m->heads;
    if (!m->head_dim)
        m->head_dim = head_dim ? head_dim : m->embd / m->heads;
}

/* A window that no layer has is none. */
static void complete_window(struct config *c)
{
    para_llama *m = &c->m;
    if (!c->windowed || m->full_layers >= m->layers)
        m->window = 0;
    if (!m->window)
        m->full_layers = 0;
    c->windowed = m->window > 0;
}

static void complete_llama(void *config)
{
    para_llama *m = config;
    complete_heads(m, 0);
    m->proj_bias = m->qkv_bias;
}

static void complete_mistral(void *config)
{
    complete_heads(config, 0);
}

static void complete_qwen2(void *config)
{
    struct config *c = config;
    complete_heads(&c->m, 0);
    complete_window(c);
    c->m.qkv_bias = true;
}

static void complete_qwen3(void *config)
{
    struct config *c = config;
    complete_heads(&c->m, 128);
    complete_window(c);
    c->m.qk_norm = true;
    c->m.proj_bias = c->m.qkv_bias;
}

/* Those of transformers' models; matrices are (out, in). */
static const struct para_name names[] = {
    {"wte", "model.embed_tokens.weight", .gguf = "token_embd.weight"},
    {"lm_head.weight", "lm_head.weight", .gguf = "output.weight"},
    {"norm.weight", "model.norm.weight", .gguf = "output_norm.weight"},
    {"layer.*.attn.norm.weight", "model.layers.*.input_layernorm.weight", .gguf = "blk.*.attn_norm.weight"},
    {"layer.*.attn.q.weight", "model.layers.*.self_attn.q_proj.weight", "heads*queries*head_dim embd",
     .gguf = "blk.*.attn_q.weight", .turned = true},
    {"layer.*.attn.q.bias", "model.layers.*.self_attn.q_proj.bias", "heads*queries*head_dim",
     .gguf = "blk.*.attn_q.bias", .turned = true},
    {"layer.*.attn.k.weight", "model.layers.*.self_attn.k_proj.weight", "heads*head_dim embd",
     .gguf = "blk.*.attn_k.weight", .turned = true},
    {"layer.*.attn.k.bias", "model.layers.*.self_attn.k_proj.bias", "heads*head_dim", .gguf = "blk.*.attn_k.bias",
     .turned = true},
    {"layer.*.attn.v.weight", "model.layers.*.self_attn.v_proj.weight", "heads*head_dim embd",
     .gguf = "blk.*.attn_v.weight"},
    {"layer.*.attn.v.bias", "model.layers.*.self_attn.v_proj.bias", "heads*head_dim", .gguf = "blk.*.attn_v.bias"},
    {"layer.*.attn.q_norm.weight", "model.layers.*.self_attn.q_norm.weight", .gguf = "blk.*.attn_q_norm.weight"},
    {"layer.*.attn.k_norm.weight", "model.layers.*.self_attn.k_norm.weight", .gguf = "blk.*.attn_k_norm.weight"},
    {"layer.*.attn.proj.weight", "model.layers.*.self_attn.o_proj.weight", "embd heads*queries*head_dim",
     .gguf = "blk.*.attn_output.weight"},
    {"layer.*.attn.proj.bias", "model.layers.*.self_attn.o_proj.bias", .gguf = "blk.*.attn_output.bias"},
    {"layer.*.mlp.norm.weight", "model.layers.*.post_attention_layernorm.weight", .gguf = "blk.*.ffn_norm.weight"},
    {"layer.*.mlp.gate.weight", "model.layers.*.mlp.gate_proj.weight", .gguf = "blk.*.ffn_gate.weight"},
    {"layer.*.mlp.gate.bias", "model.layers.*.mlp.gate_proj.bias", .gguf = "blk.*.ffn_gate.bias"},
    {"layer.*.mlp.up.weight", "model.layers.*.mlp.up_proj.weight", .gguf = "blk.*.ffn_up.weight"},
    {"layer.*.mlp.up.bias", "model.layers.*.mlp.up_proj.bias", .gguf = "blk.*.ffn_up.bias"},
    {"layer.*.mlp.down.weight", "model.layers.*.mlp.down_proj.weight", .gguf = "blk.*.ffn_down.weight"},
    {"layer.*.mlp.down.bias", "model.layers.*.mlp.down_proj.bias", .gguf = "blk.*.ffn_down.bias"},
    {0},
};

/* Frequencies, which older files keep as tensors, and the head, where it is tied to the table. */
static const struct para_extra extras[] = {
    {"*.rotary_emb.inv_freq", NULL}, {"lm_head.weight", "model.embed_tokens.weight"}, {0}};

static const struct para_evidence evidence[] = {
    {"model.embed_tokens.weight", "vocab_size", "hidden_size"},
    {"model.layers.*.mlp.gate_proj.weight", "intermediate_size", "hidden_size"},
    {0}};

/* Factors of frequencies, of which the configuration is made (io/gguf-rope.h), and a copy of the table as the head. */
static const struct para_extra gguf_extras[] = {
    {"rope_freqs.weight", NULL}, {"output.weight", "token_embd.weight"}, {0}};

static const struct para_evidence gguf_evidence[] = {{"token_embd.weight", "vocab_size", "hidden_size"},
                                                     {"blk.*.ffn_up.weight", "intermediate_size", "hidden_size"},
                                                     {0}};

/* Fail unless files of the family can say this. */
static int need_sayable(const char *family, bool sayable, const char *expected, para_error *err)
{
    return sayable ? 0 : para_fail(err, PARA_EINVAL, "%s: expected %s", family, expected);
}

static int check_llama(const void *config, para_error *err)
{
    const para_llama *m = config;
    PARA_TRY(para_llama_check(m, err));
    return need_sayable("llama", !m->qk_norm && !m->window && m->qkv_bias == m->proj_bias,
                        "no norms of q and k, no window, and biases of q, k, v and the projection, or of none", err);
}

static int check_mistral(const void *config, para_error *err)
{
    const para_llama *m = config;
    PARA_TRY(para_llama_check(m, err));
    return need_sayable("mistral", !m->qk_norm && !m->qkv_bias && !m->proj_bias && !m->mlp_bias && m->full_layers == 0,
                        "no norms of q and k, no biases, and a window of all layers or none", err);
}

static int check_qwen2(const void *config, para_error *err)
{
    const para_llama *m = config;
    PARA_TRY(para_llama_check(m, err));
    return need_sayable("qwen2", !m->qk_norm && m->qkv_bias && !m->proj_bias && !m->mlp_bias,
                        "no norms of q and k, and biases of q, k and v alone", err);
}

static int check_qwen3(const void *config, para_error *err)
{
    const para_llama *m = config;
    PARA_TRY(para_llama_check(m, err));
    return need_sayable("qwen3", m->qk_norm && m->qkv_bias == m->proj_bias && !m->mlp_bias,
                        "norms of q and k, and biases of q, k, v and the projection, or none", err);
}

static void set_dropout(void *config, double probability)
{
    para_llama *m = config;
    m->attn_dropout = probability; /* more than 0 is refused when it is trained */
}

static int64_t count_biases(const para_llama *m)
{
    int64_t q = m->heads * m->head_dim, kv = m->kv_heads * m->head_dim;
    return (m->qkv_bias ? q + 2 * kv : 0) + (m->proj_bias ? m->embd : 0) + (m->mlp_bias ? 2 * m->ff + m->embd : 0);
}

static para_model_sizes measure(const void *config)
{
    const para_llama *m = config;
    para_model_sizes s = {.layers = m->layers,
                          .heads = m->heads,
                          .kv_heads = m->kv_heads,
                          .head_dim = m->head_dim,
                          .embd = m->embd,
                          .ff = m->ff,
                          .vocab = m->vocab,
                          .context = m->context};
    int64_t norms = 2 * m->embd + (m->qk_norm ? 2 * m->head_dim : 0);
    s.layer_parameters = m->layers * (2 * m->embd * (m->heads + m->kv_heads) * m->head_dim + 3 * m->embd * m->ff);
    s.head_parameters = m->vocab * m->embd;
    s.parameters =
        s.layer_parameters + (m->tied ? 1 : 2) * s.head_parameters + m->layers * (norms + count_biases(m)) + m->embd;
    return s;
}

static para_model_graph build_any(para_graph *g, const void *config, int64_t batch, int64_t seq, bool training)
{
    return para_llama_build(g, config, batch, seq, training);
}

static para_model_graph build_any_cached(para_graph *g, const void *config, const para_caches *caches)
{
    return para_llama_build_cached(g, config, caches);
}

#define FAMILY(type)                                                                                                   \
    .name = #type, .config_bytes = sizeof(struct config), .weights = AT(weights), .fields = type##_fields,             \
    .complete = complete_##type, .names = names,                                                                       \
    .forms = {{"model.", extras, evidence}, {NULL, gguf_extras, gguf_evidence}}, .check = check_##type,                \
    .set_dropout = set_dropout, .measure = measure, .build = build_any, .build_cached = build_any_cached

const struct para_family para_family_llama = {FAMILY(llama), .presets = llama_presets, .architecture = "llama",
                                              .paired = true};
const struct para_family para_family_mistral = {FAMILY(mistral), .presets = no_presets, .architecture = "llama",
                                                .paired = true};
const struct para_family para_family_qwen2 = {FAMILY(qwen2), .presets = qwen2_presets, .architecture = "qwen2"};
const struct para_family para_family_qwen3 = {FAMILY(qwen3), .presets = no_presets, .architecture = "qwen3"};

int para_model_from_llama(para_model **out, const para_llama *m, para_error *err)
{
    const struct config config = {*m, m->window > 0};
    const struct para_family *family = m->qk_norm                     ? &para_family_qwen3
                                       : m->qkv_bias && !m->proj_bias ? &para_family_qwen2
                                       : m->window > 0                ? &para_family_mistral
                                                                      : &para_family_llama;
    return para_model_new(out, family, &config, err);
}

const para_llama *para_model_as_llama(const para_model *model)
{
    return model->family->build == build_any ? (const void *)model->config : NULL;
}
