/** @file
 * Models as graph builders, by family. Builders use nothing but the public calls; an own model is written the same way.
 */
#ifndef PARAGRAPH_MODELS_H
#define PARAGRAPH_MODELS_H

#include <paragraph/graph.h>
#include <paragraph/ops.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup models Models of any family
 * @{ */

/** A model: a family, such as GPT-2, and its configuration, the numbers that tell one model of it from another. It
 * holds no weights. A model is changed by one thread at a time. */
typedef struct para_model para_model;

/** Make a model from a preset: "tiny" (a GPT-2 of 4 layers, 4 heads, 128 wide, context 64, 256 bytes), "gpt2-124m",
 * "gpt2-355m", "gpt2-774m", "gpt2-xl", "llama-15m", "llama-110m", "llama2-7b", "llama3.2-1b", "qwen2.5-0.5b".
 * para_model_open() reads one from a folder. Returns 0; PARA_ENAME, listing the presets, for others; PARA_ENOMEM. The
 * caller frees *out. */
PARA_API int para_model_preset(para_model **out, const char *name, para_error *err);
/** Make a copy, to be freed. Returns 0 or PARA_ENOMEM. */
PARA_API int para_model_copy(para_model **out, const para_model *model, para_error *err);
/** Free a model; NULL is welcome. */
PARA_API void para_model_free(para_model *model);

/** Return the family's name: "gpt2", "llama", "mistral", "qwen2", "qwen3". */
PARA_API const char *para_model_family(const para_model *model);

/** A model in numbers that mean the same in every family. */
typedef struct para_model_sizes {
    int64_t layers;           /**< number of layers */
    int64_t heads;            /**< attention heads: of queries */
    int64_t kv_heads;         /**< of keys and values */
    int64_t head_dim;         /**< width of a head */
    int64_t embd;             /**< width */
    int64_t ff;               /**< width of the feed-forward part */
    int64_t vocab;            /**< number of token ids */
    int64_t context;          /**< longest sequence */
    int64_t layer_parameters; /**< parameters of the matrices of all layers */
    int64_t head_parameters;  /**< of the matrix that makes the logits, be it tied to the token table or not */
    int64_t parameters;       /**< all, each once */
} para_model_sizes;

/** Return the sizes of a model that passes para_model_check(). */
PARA_API para_model_sizes para_model_measure(const para_model *model);

/** Set one size that the family's configuration has, by its name in para_model_sizes: of GPT-2 layers, heads, embd, ff,
 * vocab or context, of Llama and its kin kv_heads and head_dim, too. Whether it suits the others, para_model_check()
 * tells. Returns 0, or PARA_ENAME, listing the family's, for other names. */
PARA_API int para_model_set_size(para_model *model, const char *name, int64_t value, para_error *err);
/** Set the probability of dropout in training, at least 0 and less than 1; attention weights are left whole. Returns 0,
 * or PARA_ESUPPORT for more than 0 if the family has no dropout. */
PARA_API int para_model_set_dropout(para_model *model, double probability, para_error *err);
/** Set the type of the matrices: PARA_F32, or, to read rather than train them, PARA_BF16, PARA_I8, PARA_Q8_0 or
 * PARA_Q4_0. */
PARA_API void para_model_set_weights(para_model *model, para_dtype type);

/** Check every number, as building and saving do. Returns 0, PARA_ERANGE or PARA_EINVAL; err says which number and what
 * was expected. */
PARA_API int para_model_check(const para_model *model, para_error *err);

/** What building a model made; targets and loss are NULL without `training`. */
typedef struct para_model_graph {
    para_tensor *tokens;  /**< input "tokens", int32 (batch, seq) */
    para_tensor *targets; /**< input "targets", int32 (batch, seq); -100 is not counted */
    para_tensor *logits;  /**< "logits" (batch, seq, vocab); an output without `training` */
    para_tensor *loss;    /**< output "loss", scalar */
    para_tensor *ids;     /**< output "ids", int32 (batch), the likeliest token after each row, -1 if its largest logit
                               is no finite number; NULL without `likeliest` of para_caches */
    para_tensor *made;    /**< output "made", int32 (batch, recent), the latest ids of each row; with it input "recent"
                               alike. NULL without `recent` of para_caches */
} para_model_graph;

/** Build a model in an open graph for `batch` windows of `seq` tokens (at most the context). Scopes are "embed",
 * "layer.N" and "head"; parameters are named as the family's builder says: para_gpt2_build(). Errors are kept in the
 * graph. */
PARA_API para_model_graph para_model_build(para_graph *g, const para_model *model, int64_t batch, int64_t seq,
                                           bool training);
/** What a graph that makes text keeps of each row's tokens between runs, and how many it takes. */
typedef struct para_caches {
    int64_t batch;  /**< rows, each a text */
    int64_t seq;    /**< new tokens of each row, a run */
    int64_t cache;  /**< how many tokens each row's own caches hold; 0: its one row is read into the prefix */
    int64_t prefix; /**< how many tokens caches hold that all rows read, the beginning of all texts; 0: none */
    int64_t rows;   /**< how many rows the own caches have, of which each of the batch is told one; 0: as the batch */
    bool likeliest; /**< tell each row's likeliest token beside its logits */
    int64_t recent; /**< go on by that token, for a run behind this one, and tell of how many the latest; 0: none. For
                         likeliest and a seq of 1 */
} para_caches;

/** Build a model for making text: new tokens in, the keys and values of earlier ones kept in caches, as
 * para_gpt2_build_cached() describes it. Errors are kept in the graph. */
PARA_API para_model_graph para_model_build_cached(para_graph *g, const para_model *model, const para_caches *caches);

/** @} */

/** @defgroup gpt2 GPT-2
 * @{ */

/** GPT-2 (Radford et al., 2019): pre-norm decoder, learned positions, gelu, tied head. */
typedef struct para_gpt2 {
    int64_t layers;      /**< number of layers */
    int64_t heads;       /**< attention heads; they divide embd */
    int64_t embd;        /**< width */
    int64_t ff;          /**< width of the feed-forward part */
    int64_t vocab;       /**< number of token ids */
    int64_t context;     /**< longest sequence */
    double dropout;      /**< of both residual branches, while training; 0: none */
    double embd_dropout; /**< of embeddings, while training; 0: none */
    double norm_eps;     /**< added to the variance in norms */
    double attn_dropout; /**< of attention weights, which a file may ask for; para_gpt2_build() trains with 0 alone */
    bool gelu_erf;       /**< gelu by its definition, with erf, in place of the tanh form */
    para_dtype weights; /**< of the matrices: PARA_F32, or, to read rather than train them, another that weights have */
} para_gpt2;

/** Check every number: positive, embd a multiple of heads, sizes that multiply without overflow. Returns 0, PARA_ERANGE
 * or PARA_EINVAL, naming the number. */
PARA_API int para_gpt2_check(const para_gpt2 *model, para_error *err);

/** Build the model in an open graph for `batch` windows of `seq` tokens (at most the context).
 *
 * Scopes are "embed", "layer.N" and "head". Parameters and their axes: wte (vocab, embd), wpe (context, embd),
 * layer.N.attn.qkv.weight (embd, qkv, heads, head_dim) and .bias, layer.N.attn.proj.weight (heads, head_dim,
 * embd), layer.N.mlp.fc.weight (embd, ff), layer.N.mlp.proj.weight (ff, embd), the norms' weight and bias; they
 * begin as GPT-2's do: normal 0.02, residual projections 0.02 / sqrt(2 layers), biases 0, norms 1.
 *
 * With weights other than float32 the matrices wte and *.weight of attn and mlp are of that type, all else stays
 * float32, and para_graph_backward() refuses the graph. Of int8 each has a parameter NAME.scale beside it, a scale for
 * each of its columns (all axes but those that products contract; for wte: vocab), which products and embeddings are
 * multiplied by; of q8_0 and q4_0 they have the axes that products contract last, embd or ff, which must be multiples
 * of 32: attn.qkv.weight (qkv, heads, head_dim, embd), attn.proj.weight (embd, heads, head_dim), mlp.fc.weight (ff,
 * embd), mlp.proj.weight (embd, ff). para_session_set_weight() quantizes. Errors are kept in the graph. */
PARA_API para_model_graph para_gpt2_build(para_graph *g, const para_gpt2 *model, int64_t batch, int64_t seq,
                                          bool training);

/** Build the model for making text: new tokens in, the keys and values of earlier ones kept in caches, none longer than
 * the context.
 *
 * Inputs are int32: "tokens" (batch, seq); "position" (batch): where each row's first token stands in its text, which
 * is how many tokens are kept of it, or -1 for an empty row, which reads and writes nothing; "last" (batch): of which
 * of the seq tokens each row's logits are wanted, -1 for none. The output "logits" is (batch, vocab), 0 where none are
 * wanted. A block may be longer than what is left of a prompt: what stands after `last` in the caches is overwritten by
 * the next run at its place.
 *
 * Rows' own caches are states "layer.N.attn.keys" and "layer.N.attn.values" (batch, cache, heads, head_dim). Those of a
 * prefix are "layer.N.attn.prefix.keys" and ".values" (prefix, heads, head_dim): one graph without own caches reads a
 * text into them, and graphs with both, in sessions that share that one's memory, continue it in each row. Those have
 * the input "prefix" (batch), how many tokens of the prefix each row continues; its own caches begin there.
 *
 * With `rows` own caches are (rows, cache, heads, head_dim), and the input "row" (batch) says which of them each row of
 * the batch has: so a graph of one row reads a prompt into any row of those that a graph of many goes on with.
 * Errors are kept in the graph: PARA_ERANGE for sizes that don't fit the model or each other. */
PARA_API para_model_graph para_gpt2_build_cached(para_graph *g, const para_gpt2 *model, const para_caches *caches);

/** Make a model of this family with a copy of a configuration; the caller frees *out. Returns 0 or PARA_ENOMEM. */
PARA_API int para_model_from_gpt2(para_model **out, const para_gpt2 *config, para_error *err);
/** Return a model's configuration, which lives as long as the model; NULL if it is of another family. */
PARA_API const para_gpt2 *para_model_as_gpt2(const para_model *model);

/** @} */

/** @defgroup llama Llama, Mistral, Qwen2, Qwen3
 * @{ */

/** Llama (Touvron et al., 2023) and its kin: pre-norm decoder with RMSNorm, rotary embeddings, grouped-query attention,
 * SwiGLU. Files of Mistral have a window; of Qwen2 biases of q, k and v; of Qwen3 norms of q and k. */
typedef struct para_llama {
    int64_t layers;         /**< number of layers */
    int64_t heads;          /**< attention heads: of queries */
    int64_t kv_heads;       /**< of keys and values; they divide heads: as many queries read each */
    int64_t head_dim;       /**< width of a head, even */
    int64_t embd;           /**< width */
    int64_t ff;             /**< width of the feed-forward part */
    int64_t vocab;          /**< number of token ids */
    int64_t context;        /**< longest sequence */
    double norm_eps;        /**< added to the mean square in norms */
    para_rope_options rope; /**< rotary embeddings of q and k */
    int64_t window;         /**< how many of the last positions a layer sees; 0: all */
    int64_t full_layers;    /**< how many of the first layers see all in spite of a window */
    bool tied;              /**< the head's matrix is the table of tokens */
    bool qkv_bias;          /**< q, k and v have biases */
    bool proj_bias;         /**< attention's projection has one */
    bool mlp_bias;          /**< the feed-forward part has them */
    bool qk_norm;           /**< heads of q and k are normed before they are turned */
    double attn_dropout;    /**< of attention weights, which a file may ask for; trained with 0 alone */
    para_dtype weights; /**< of the matrices: PARA_F32, or, to read rather than train them, another that weights have */
} para_llama;

/** Check every number: positive, heads a multiple of kv_heads, what rope says, sizes that multiply without overflow.
 * Returns 0, PARA_ERANGE or PARA_EINVAL, naming the number. */
PARA_API int para_llama_check(const para_llama *model, para_error *err);

/** Build the model in an open graph for `batch` windows of `seq` tokens (at most the context).
 *
 * Scopes are "embed", "layer.N" and "head". Parameters and their axes: wte (vocab, embd), layer.N.attn.norm.weight
 * (embd), attn.q.weight (heads, queries, head_dim, embd), where heads are those of keys and queries those of each,
 * attn.k.weight and attn.v.weight (heads, head_dim, embd), attn.q_norm.weight and attn.k_norm.weight (head_dim),
 * attn.proj.weight (embd, heads, queries, head_dim), mlp.norm.weight (embd), mlp.gate.weight and mlp.up.weight (ff,
 * embd), mlp.down.weight (embd, ff), norm.weight (embd), lm_head.weight (vocab, embd) if it isn't tied, and biases of
 * each product's axes. They begin normal 0.02, the last projections 0.02 / sqrt(2 layers), biases 0, norms 1.
 *
 * With weights other than float32 the matrices wte, lm_head.weight and *.weight of products are of that type, all else
 * stays float32, and para_graph_backward() refuses the graph. Of int8 each has a parameter NAME.scale beside it, a
 * scale for each of its columns (all axes but those that products contract, the last); of q8_0 and q4_0 embd, ff and
 * heads x head_dim must be multiples of 32. Errors are kept in the graph. */
PARA_API para_model_graph para_llama_build(para_graph *g, const para_llama *model, int64_t batch, int64_t seq,
                                           bool training);

/** Build the model for making text, as para_gpt2_build_cached() describes it; caches hold keys that are turned already.
 * Errors are kept in the graph. */
PARA_API para_model_graph para_llama_build_cached(para_graph *g, const para_llama *model, const para_caches *caches);

/** Make a model with a copy of a configuration, of the family whose files can say it: qwen3 with norms of q and k, else
 * qwen2 with biases of q, k and v alone, else mistral with a window, else llama; para_model_check() tells if none can.
 * The caller frees *out. Returns 0 or PARA_ENOMEM. */
PARA_API int para_model_from_llama(para_model **out, const para_llama *config, para_error *err);
/** Return a model's configuration, which lives as long as the model; NULL if it is of none of these families. */
PARA_API const para_llama *para_model_as_llama(const para_model *model);

/** @} */

#ifdef __cplusplus
}
#endif
#endif
