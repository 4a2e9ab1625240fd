/** @file
 * Models as graph builders. They use nothing but the public calls; an own model is written the same way. */
#ifndef PARAGRAPH_MODELS_H
#define PARAGRAPH_MODELS_H

#include <paragraph/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/** GPT-2 (Radford et al., 2019): pre-norm decoder, learned positions, gelu, tied head. */
typedef struct para_gpt2 {
    int64_t layers;  /**< number of layers */
    int64_t heads;   /**< attention heads; they divide embd */
    int64_t embd;    /**< width */
    int64_t ff;      /**< width of the feed-forward part */
    int64_t vocab;   /**< number of token ids */
    int64_t context; /**< longest sequence */
    double dropout;  /**< of embeddings and of both residual branches, while training; 0: none */
    double norm_eps; /**< added to the variance in norms */
    double attn_dropout; /**< of attention weights, which a file may ask for; para_gpt2_build() trains with 0 alone */
    bool gelu_erf;       /**< gelu by its definition, with erf, in place of the tanh form */
    para_dtype weights;  /**< of the matrices: PARA_F32, or, to read rather than train them, PARA_BF16 or PARA_I8 */
} para_gpt2;

/** Fill *out from a preset: "tiny" (4 layers, 4 heads, 128 wide, context 64, 256 bytes), "gpt2-124m",
 * "gpt2-355m". Returns PARA_ENAME, listing the presets, for others. */
PARA_API int para_gpt2_preset(para_gpt2 *out, const char *name, para_error *err);

/** Check every number: positive, embd a multiple of heads, sizes that multiply without overflow. */
PARA_API int para_gpt2_check(const para_gpt2 *model, para_error *err);

/** What para_gpt2_build() made; targets and loss are NULL without `training`. */
typedef struct para_gpt2_graph {
    para_tensor *tokens;  /**< input "tokens", int32 (batch, seq) */
    para_tensor *targets; /**< input "targets", int32 (batch, seq); -100 is not counted */
    para_tensor *logits;  /**< "logits" (batch, seq, vocab); an output without `training` */
    para_tensor *loss;    /**< output "loss", scalar */
} para_gpt2_graph;

/** Build the model in an open graph for `batch` windows of `seq` tokens (at most the context).
 *
 * Scopes are "embed", "layer.N" and "head". Parameters and their axes: wte (vocab, embd), wpe (context, embd),
 * layer.N.attn.qkv.weight (embd, qkv, heads, head_dim) and .bias, layer.N.attn.proj.weight (heads, head_dim,
 * embd), layer.N.mlp.fc.weight (embd, ff), layer.N.mlp.proj.weight (ff, embd), the norms' weight and bias; they
 * begin as GPT-2's do: normal 0.02, residual projections 0.02 / sqrt(2 layers), biases 0, norms 1.
 *
 * With weights other than float32 the matrices wte and *.weight of attn and mlp are of that type, all else stays float32,
 * and para_graph_backward() refuses the graph. Of int8 each has a parameter NAME.scale beside it, a scale for each of its
 * columns (all axes but those that products contract; for wte: vocab), which products and embeddings are multiplied by;
 * para_session_set_weight() quantizes.
 * Errors are kept in the graph. */
PARA_API para_gpt2_graph para_gpt2_build(para_graph *g, const para_gpt2 *model, int64_t batch, int64_t seq, bool training);

/** Build the model for making text: `seq` new tokens per run, the keys and values of earlier ones kept in caches.
 *
 * Inputs are "tokens", int32 (batch, seq), "position", int32 scalar: how many tokens the caches hold, and "last", int32
 * scalar: which of the seq tokens the logits are wanted of. The output "logits" is (batch, vocab). Caches are states
 * "layer.N.attn.cache" (batch, cache, kv, heads, head_dim), as long as the context. A block may be longer than what is
 * left of a prompt: what stands after `last` in the caches is overwritten by the next run at its place. */
PARA_API para_gpt2_graph para_gpt2_build_cached(para_graph *g, const para_gpt2 *model, int64_t batch, int64_t seq);

/** Return the name that a parameter of para_gpt2_build() has in Hugging Face files ("transformer.h.0.attn.
 * c_attn.weight"), written to `buffer`; NULL if `name` is none. */
PARA_API const char *para_gpt2_file_name(const char *name, char *buffer, size_t buffer_bytes);

#ifdef __cplusplus
}
#endif
#endif
