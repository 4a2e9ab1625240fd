/* GPT-2 as a graph: Radford et al., "Language models are unsupervised multitask learners", 2019. */
#include <paragraph/models.h>
#include <paragraph/ops.h>
#include <paragraph/optim.h>

#include "base/checked.h"
#include "base/dtype.h"
#include "base/fail.h"
#include "models/builder.h"
#include "models/family.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_LAYERS = 4096 }; /* more would take minutes to build, and say that something is wrong */

static const double INITIAL_SPREAD = 0.02;

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
    const struct para_builder_size sizes[] = {{"layers", model->layers},
                                              {"heads", model->heads},
                                              {"embd", model->embd},
                                              {"ff", model->ff},
                                              {"vocab", model->vocab},
                                              {"context", model->context},
                                              {0}};
    const struct para_builder_size contracted[] = {{"embd", model->embd}, {"ff", model->ff}, {0}};
    PARA_TRY(para_builder_check_sizes("gpt2", sizes, err));
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
    if (!(model->embd_dropout >= 0 && model->embd_dropout < 1))
        return para_fail(err, PARA_ERANGE, "gpt2: embd_dropout is %g, expected at least 0 and less than 1",
                         model->embd_dropout);
    if (!(model->attn_dropout >= 0 && model->attn_dropout < 1))
        return para_fail(err, PARA_ERANGE, "gpt2: attn_dropout is %g, expected at least 0 and less than 1",
                         model->attn_dropout);
    if (!(model->norm_eps > 0 && model->norm_eps < 1))
        return para_fail(err, PARA_ERANGE, "gpt2: norm_eps is %g, expected more than 0 and less than 1",
                         model->norm_eps);
    return para_builder_check_weights("gpt2", model->weights, contracted, err);
}

struct build {
    struct para_builder in;
    const para_gpt2 *m;
    int64_t head_dim;
    para_tensor *step; /* draws dropout; NULL: none */
};

static para_tensor *param(const struct build *b, const char *name, const char *kind, const para_dim *dims, double mean,
                          double spread)
{
    return para_builder_param(&b->in, name, kind, dims, mean, spread);
}

/* `dims` with the first `contracted` of them last. */
static const para_dim *turned(const para_dim *dims, int contracted, para_dim to[PARA_MAX_RANK + 1])
{
    int rank = 0;
    while (dims[rank].axis)
        rank++;
    for (int d = 0; d < rank; d++)
        to[d] = dims[(d + contracted) % rank];
    to[rank] = (para_dim){0};
    return to;
}

/* y = x w + b; w has `dims`, of which the first `contracted` are those of x named in `contract`; in blocks it has these
 * last. */
static para_tensor *linear(const struct build *b, para_tensor *x, const char *name, const char *contract,
                           int contracted, const para_dim *dims, double spread)
{
    para_dim room[PARA_MAX_RANK + 1];
    const para_dim *laid = para_dtype_blocks(b->m->weights) ? turned(dims, contracted, room) : dims;
    para_tensor *scale, *w = para_builder_matrix(&b->in, name, ".weight", laid, dims + contracted, spread, &scale);
    para_tensor *bias = param(b, name, ".bias", dims + contracted, 0, 0);
    char product[64];
    snprintf(product, sizeof product, "%s.matmul", name);
    para_tensor *y = para_builder_scaled(&b->in, para_name(para_matmul(b->in.g, x, w, contract), product), scale);
    return para_name(para_add(b->in.g, y, bias), name);
}

static para_tensor *norm(const struct build *b, para_tensor *x, const char *name)
{
    const para_dim *dims = PARA_DIMS({"embd", b->m->embd});
    para_tensor *gamma = param(b, name, ".weight", dims, 1, 0), *beta = param(b, name, ".bias", dims, 0, 0);
    return para_name(para_layernorm(b->in.g, x, gamma, beta, b->m->norm_eps), name);
}

static para_tensor *dropout(const struct build *b, para_tensor *x, double probability)
{
    return b->step ? para_dropout(b->in.g, x, b->step, probability) : x;
}

/* The residual branches add up over the layers: their last projections begin smaller by sqrt(2 layers). */
static double residual_spread(const struct build *b)
{
    return INITIAL_SPREAD / sqrt(2.0 * (double)b->m->layers);
}

/* Attention over what caches hold of earlier runs and what this one adds to them. */
static para_tensor *attend_cached(const struct build *b, para_tensor *qkv)
{
    para_tensor *part[3];
    para_unstack(b->in.g, qkv, "qkv", part);
    para_name(part[0], "attn.unstack");
    return para_builder_attend(&b->in, part[0], part[1], part[2], 0);
}

static para_tensor *attention(const struct build *b, para_tensor *x)
{
    const para_dim *qkv =
        PARA_DIMS({"embd", b->m->embd}, {"qkv", 3}, {"heads", b->m->heads}, {"head_dim", b->head_dim});
    const para_dim *proj = PARA_DIMS({"heads", b->m->heads}, {"head_dim", b->head_dim}, {"embd", b->m->embd});
    para_tensor *y = linear(b, x, "attn.qkv", "embd", 1, qkv, INITIAL_SPREAD);
    y = para_name(b->in.caches ? attend_cached(b, y) : para_attention_stacked(b->in.g, y, true), "attn");
    return dropout(b, linear(b, y, "attn.proj", "heads head_dim", 2, proj, residual_spread(b)), b->m->dropout);
}

static para_tensor *mlp(const struct build *b, para_tensor *x)
{
    const para_dim *fc = PARA_DIMS({"embd", b->m->embd}, {"ff", b->m->ff});
    const para_dim *proj = PARA_DIMS({"ff", b->m->ff}, {"embd", b->m->embd});
    para_tensor *y = linear(b, x, "mlp.fc", "embd", 1, fc, INITIAL_SPREAD);
    y = b->m->gelu_erf ? para_gelu_erf(b->in.g, y) : para_gelu(b->in.g, y);
    return dropout(b, linear(b, para_name(y, "mlp.gelu"), "mlp.proj", "ff", 1, proj, residual_spread(b)),
                   b->m->dropout);
}

static para_tensor *layer(const struct build *b, para_tensor *x)
{
    x = para_name(para_add(b->in.g, x, attention(b, norm(b, x, "ln_1"))), "attn.residual");
    return para_name(para_add(b->in.g, x, mlp(b, norm(b, x, "ln_2"))), "mlp.residual");
}

/* The table of tokens, which embedding and head share. */
struct table {
    para_tensor *wte, *scale;
};

static para_tensor *embed(const struct build *b, para_tensor *tokens, const struct table *t, para_tensor *wpe,
                          int64_t seq)
{
    para_tensor *token = para_builder_embed(&b->in, t->wte, t->scale, tokens);
    para_tensor *positions = para_builder_positions(&b->in, seq, b->m->context);
    para_tensor *position = para_embedding(b->in.g, wpe, positions, "context");
    return dropout(b, para_add(b->in.g, para_name(token, "token"), para_name(position, "position")),
                   b->m->embd_dropout);
}

static int check_build(const para_gpt2 *m, int64_t batch, int64_t seq, bool training, para_error *err)
{
    PARA_TRY(para_gpt2_check(m, err));
    if (training && m->attn_dropout > 0)
        return para_fail(err, PARA_ESUPPORT,
                         "gpt2: attn_dropout (attn_pdrop) is %g, expected 0: attention weights can't be dropped in"
                         " training; give the dropout to train with (--dropout) to leave them whole",
                         m->attn_dropout);
    return para_builder_check_windows("gpt2", batch, seq, m->context, err);
}

/* From tokens to what the head reads. */
static para_tensor *body(struct build *b, para_tensor *tokens, int64_t seq, struct table *t)
{
    const para_gpt2 *m = b->m;
    t->wte = para_builder_matrix(&b->in, "wte", "", PARA_DIMS({"vocab", m->vocab}, {"embd", m->embd}),
                                 PARA_DIMS({"vocab", m->vocab}), INITIAL_SPREAD, &t->scale);
    para_tensor *wpe = param(b, "wpe", "", PARA_DIMS({"context", m->context}, {"embd", m->embd}), 0, INITIAL_SPREAD);
    para_scope_push(b->in.g, "embed");
    para_tensor *x = embed(b, tokens, t, wpe, seq);
    para_scope_pop(b->in.g);
    for (int i = 0; i < m->layers; i++) {
        para_scope_push(b->in.g, "layer.%d", i);
        x = layer(b, x);
        para_scope_pop(b->in.g);
    }
    const para_dim *width = PARA_DIMS({"embd", m->embd});
    para_tensor *gamma = param(b, "ln_f", ".weight", width, 1, 0), *beta = param(b, "ln_f", ".bias", width, 0, 0);
    para_scope_push(b->in.g, "head");
    x = para_name(para_layernorm(b->in.g, x, gamma, beta, m->norm_eps), "ln_f");
    para_scope_pop(b->in.g);
    return x;
}

static para_tensor *head(const struct build *b, para_tensor *x, const struct table *t)
{
    return para_builder_scaled(&b->in, para_matmul(b->in.g, x, t->wte, "embd"), t->scale);
}

static struct build begin(para_graph *g, const para_gpt2 *model)
{
    return (struct build){
        .in = {.g = g, .weights = model->weights}, .m = model, .head_dim = model->embd / model->heads};
}

para_model_graph para_gpt2_build(para_graph *g, const para_gpt2 *model, int64_t batch, int64_t seq, bool training)
{
    para_model_graph out = {0};
    para_error err;
    struct table table;
    if (check_build(model, batch, seq, training, &err) < 0) {
        para_graph_fail(g, &err);
        return out;
    }
    struct build b = begin(g, model);
    const para_dim *dims = PARA_DIMS({"batch", batch}, {"seq", seq});
    out.tokens = para_input(g, "tokens", PARA_I32, dims);
    if (training) {
        out.targets = para_input(g, "targets", PARA_I32, dims);
        b.step = model->dropout > 0 || model->embd_dropout > 0 ? para_step(g) : NULL;
    }
    para_tensor *x = body(&b, out.tokens, seq, &table);
    para_scope_push(g, "head");
    para_builder_end(&b.in, &out, head(&b, x, &table));
    return out;
}

static int check_caches(const para_gpt2 *m, const para_caches *caches, para_error *err)
{
    PARA_TRY(para_builder_check_caches("gpt2", caches, m->context, err));
    return check_build(m, caches->batch, caches->seq, false, err);
}

para_model_graph para_gpt2_build_cached(para_graph *g, const para_gpt2 *model, const para_caches *caches)
{
    para_model_graph out = {0};
    para_error err;
    struct table table;
    if (check_caches(model, caches, &err) < 0) {
        para_graph_fail(g, &err);
        return out;
    }
    struct build b = begin(g, model);
    out.tokens = para_input(g, "tokens", PARA_I32, PARA_DIMS({"batch", caches->batch}, {"seq", caches->seq}));
    para_tensor *last = para_builder_begin_cached(&b.in, caches);
    para_tensor *x = body(&b, out.tokens, caches->seq, &table);
    para_scope_push(g, "head");
    para_builder_end(&b.in, &out, head(&b, para_select(g, x, last, "seq"), &table));
    return out;
}

/* --- as a family --- */

static const struct para_preset presets[] = {
    {"tiny",
     &(const para_gpt2){
         .layers = 4, .heads = 4, .embd = 128, .ff = 512, .vocab = 256, .context = 64, .norm_eps = 1e-5}},
    {"gpt2-124m",
     &(const para_gpt2){
         .layers = 12, .heads = 12, .embd = 768, .ff = 3072, .vocab = 50257, .context = 1024, .norm_eps = 1e-5}},
    {"gpt2-355m",
     &(const para_gpt2){
         .layers = 24, .heads = 16, .embd = 1024, .ff = 4096, .vocab = 50257, .context = 1024, .norm_eps = 1e-5}},
    {"gpt2-774m",
     &(const para_gpt2){
         .layers = 36, .heads = 20, .embd = 1280, .ff = 5120, .vocab = 50257, .context = 1024, .norm_eps = 1e-5}},
    {"gpt2-xl",
     &(const para_gpt2){
         .layers = 48, .heads = 25, .embd = 1600, .ff = 6400, .vocab = 50257, .context = 1024, .norm_eps = 1e-5}},
    {0},
};

/* Three names of the tanh form differ in the order of their products. */
static const struct para_word activations[] = {
    {"gelu_new", false}, {"gelu", true}, {"gelu_pytorch_tanh", false}, {"gelu_fast", false}, {0}};

enum { ENGLISH_VOCAB = 50257 };

/* The published vocabulary's <|endoftext|>; of others it isn't known here, and transformers would put 50256. */
static const char *end_of_text(const void *config)
{
    const para_gpt2 *m = config;
    return m->vocab == ENGLISH_VOCAB ? "50256" : "null";
}

#define ABSENT_DROPOUT 0.1 /* as transformers has it */
#define AT(field) offsetof(para_gpt2, field)

/* transformers' GPT2Config. reorder_and_upcast_attn changes the order of roundings in half precision alone, so both of
 * its values are good. */
static const struct para_field fields[] = {
    {PARA_FIELD_TOLD, "architectures", .json = "[\"GPT2LMHeadModel\"]"},
    {PARA_FIELD_FIXED, "model_type", .json = "\"gpt2\""},
    {PARA_FIELD_SIZE, "n_layer", "num_hidden_layers", "layers", .offset = AT(layers), .gguf = "block_count"},
    {PARA_FIELD_SIZE, "n_head", "num_attention_heads", "heads", .offset = AT(heads), .gguf = "attention.head_count"},
    {PARA_FIELD_SIZE, "n_embd", "hidden_size", "embd", .offset = AT(embd), .gguf = "embedding_length"},
    {PARA_FIELD_SIZE, "n_inner", NULL, "ff", .offset = AT(ff), .optional = true, .gguf = "feed_forward_length"},
    {PARA_FIELD_SIZE, "vocab_size", NULL, "vocab", .offset = AT(vocab), .gguf = "#token_embd.weight"},
    {PARA_FIELD_SIZE, "n_positions", "max_position_embeddings", "context", .offset = AT(context),
     .gguf = "context_length"},
    {PARA_FIELD_WORD, "activation_function", .offset = AT(gelu_erf), .words = activations},
    {PARA_FIELD_REAL, "layer_norm_epsilon", .offset = AT(norm_eps), .absent = 1e-5,
     .gguf = "attention.layer_norm_epsilon"},
    {PARA_FIELD_REAL, "embd_pdrop", .offset = AT(embd_dropout), .absent = ABSENT_DROPOUT},
    {PARA_FIELD_REAL, "resid_pdrop", .offset = AT(dropout), .absent = ABSENT_DROPOUT},
    {PARA_FIELD_REAL, "attn_pdrop", .offset = AT(attn_dropout), .absent = ABSENT_DROPOUT},
    {PARA_FIELD_TOLD, "initializer_range", .json = "0.02"},
    {PARA_FIELD_TOLD, "bos_token_id", .tell = end_of_text},
    {PARA_FIELD_TOLD, "eos_token_id", .tell = end_of_text},
    {PARA_FIELD_TOLD, "torch_dtype", .json = "\"float32\""},
    {PARA_FIELD_FIXED, "tie_word_embeddings", .json = "true"},
    {PARA_FIELD_FIXED, "scale_attn_weights", .json = "true"},
    {PARA_FIELD_FIXED, "scale_attn_by_inverse_layer_idx", .json = "false"},
    {PARA_FIELD_FIXED, "add_cross_attention", .json = "false"},
    {PARA_FIELD_FIXED, "is_encoder_decoder", .json = "false"},
    {PARA_FIELD_EMPTY, .name = "auto_map"},
    {PARA_FIELD_EMPTY, .name = "pruned_heads"},
    {PARA_FIELD_EMPTY, .name = "quantization_config"},
    {0},
};

static void complete(void *config)
{
    para_gpt2 *m = config;
    m->ff = m->ff ? m->ff : 4 * m->embd; /* as transformers has it */
}

/* GPT2LMHeadModel's. */
static const struct para_name names[] = {
    {"wte", "transformer.wte.weight", .gguf = "token_embd.weight"},
    {"wpe", "transformer.wpe.weight", .gguf = "position_embd.weight"},
    {"layer.*.ln_1.weight", "transformer.h.*.ln_1.weight", .gguf = "blk.*.attn_norm.weight"},
    {"layer.*.ln_1.bias", "transformer.h.*.ln_1.bias", .gguf = "blk.*.attn_norm.bias"},
    {"layer.*.attn.qkv.weight", "transformer.h.*.attn.c_attn.weight", "embd 3*heads*head_dim",
     .gguf = "blk.*.attn_qkv.weight", .gguf_layout = "3*heads*head_dim embd"},
    {"layer.*.attn.qkv.bias", "transformer.h.*.attn.c_attn.bias", "3*heads*head_dim", .gguf = "blk.*.attn_qkv.bias"},
    {"layer.*.attn.proj.weight", "transformer.h.*.attn.c_proj.weight", "heads*head_dim embd",
     .gguf = "blk.*.attn_output.weight", .gguf_layout = "embd heads*head_dim"},
    {"layer.*.attn.proj.bias", "transformer.h.*.attn.c_proj.bias", .gguf = "blk.*.attn_output.bias"},
    {"layer.*.ln_2.weight", "transformer.h.*.ln_2.weight", .gguf = "blk.*.ffn_norm.weight"},
    {"layer.*.ln_2.bias", "transformer.h.*.ln_2.bias", .gguf = "blk.*.ffn_norm.bias"},
    {"layer.*.mlp.fc.weight", "transformer.h.*.mlp.c_fc.weight", "embd ff", .gguf = "blk.*.ffn_up.weight",
     .gguf_layout = "ff embd"},
    {"layer.*.mlp.fc.bias", "transformer.h.*.mlp.c_fc.bias", .gguf = "blk.*.ffn_up.bias"},
    {"layer.*.mlp.proj.weight", "transformer.h.*.mlp.c_proj.weight", "ff embd", .gguf = "blk.*.ffn_down.weight",
     .gguf_layout = "embd ff"},
    {"layer.*.mlp.proj.bias", "transformer.h.*.mlp.c_proj.bias", .gguf = "blk.*.ffn_down.bias"},
    {"ln_f.weight", "transformer.ln_f.weight", .gguf = "output_norm.weight"},
    {"ln_f.bias", "transformer.ln_f.bias", .gguf = "output_norm.bias"},
    {0},
};

/* Causal masks, which older files keep as tensors, and the head, which is tied to wte. */
static const struct para_extra extras[] = {
    {"*.attn.bias", NULL}, {"*.attn.masked_bias", NULL}, {"lm_head.weight", "transformer.wte.weight"}, {0}};

static const struct para_evidence evidence[] = {{"transformer.wte.weight", "vocab_size", "n_embd"},
                                                {"transformer.wpe.weight", "n_positions", "n_embd"},
                                                {"transformer.h.*.mlp.c_fc.weight", "n_embd", "n_inner"},
                                                {0}};

/* A copy of the token table as the head. */
static const struct para_extra gguf_extras[] = {{"output.weight", "token_embd.weight"}, {0}};

static const struct para_evidence gguf_evidence[] = {{"token_embd.weight", "vocab_size", "n_embd"},
                                                     {"position_embd.weight", "n_positions", "n_embd"},
                                                     {"blk.*.ffn_up.weight", "n_inner", "n_embd"},
                                                     {0}};

static int check(const void *config, para_error *err)
{
    return para_gpt2_check(config, err);
}

static void set_dropout(void *config, double probability)
{
    para_gpt2 *m = config;
    m->dropout = m->embd_dropout = probability;
    m->attn_dropout = 0;
}

/* Beside matrices there are the position table, biases (3 + 1 + 1 widths and ff a layer) and norms (4 widths a layer, 2
 * at last). */
static para_model_sizes measure(const void *config)
{
    const para_gpt2 *m = config;
    para_model_sizes s = {.layers = m->layers,
                          .heads = m->heads,
                          .kv_heads = m->heads,
                          .head_dim = m->embd / m->heads,
                          .embd = m->embd,
                          .ff = m->ff,
                          .vocab = m->vocab,
                          .context = m->context};
    s.layer_parameters = m->layers * (4 * m->embd * m->embd + 2 * m->embd * m->ff);
    s.head_parameters = m->vocab * m->embd;
    s.parameters =
        s.layer_parameters + s.head_parameters + m->context * m->embd + m->layers * (9 * m->embd + m->ff) + 2 * m->embd;
    return s;
}

static para_model_graph build_any(para_graph *g, const void *config, int64_t batch, int64_t seq, bool training)
{
    return para_gpt2_build(g, config, batch, seq, training);
}

static para_model_graph build_any_cached(para_graph *g, const void *config, const para_caches *caches)
{
    return para_gpt2_build_cached(g, config, caches);
}

const struct para_family para_family_gpt2 = {
    .name = "gpt2",
    .config_bytes = sizeof(para_gpt2),
    .weights = AT(weights),
    .presets = presets,
    .fields = fields,
    .complete = complete,
    .names = names,
    .forms = {{"transformer.", extras, evidence}, {NULL, gguf_extras, gguf_evidence}},
    .architecture = "gpt2",
    .check = check,
    .set_dropout = set_dropout,
    .measure = measure,
    .build = build_any,
    .build_cached = build_any_cached,
};

int para_model_from_gpt2(para_model **out, const para_gpt2 *config, para_error *err)
{
    return para_model_new(out, &para_family_gpt2, config, err);
}

const para_gpt2 *para_model_as_gpt2(const para_model *model)
{
    return model->family == &para_family_gpt2 ? (const void *)model->config : NULL;
}
