/** @file
 * Ops: one builder call each. Shapes are written as lists of axes; `*` stands for any others.
 *
 * Every call adds nodes to the graph of its operands, takes NULL operands as an earlier failure, and returns
 * NULL with the error kept in the graph when shapes don't fit. Lists of axes are words in one string:
 * "heads head_dim". Unless said otherwise, values are float32. */
#ifndef PARAGRAPH_OPS_H
#define PARAGRAPH_OPS_H

#include <paragraph/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/** y (ids's axes, rest of table) = table[ids]. `axis` (e.g. "vocab") is the first of table, which is float32, bfloat16 or
 * int8, `ids` is int32; an id outside of the whole table makes the run fail, naming the node. */
PARA_API para_tensor *para_embedding(para_graph *g, para_tensor *table, para_tensor *ids, const char *axis);

/** Contract the axes named in `contract` ("heads head_dim"): y (shared, rest of a, rest of b).
 * Other axes that both have are batch axes and come first. b may be bfloat16 or int8, weights that are converted to
 * float32 as they are read; sums are float32. One batched GEMM. */
PARA_API para_tensor *para_matmul(para_graph *g, para_tensor *a, para_tensor *b, const char *contract);

/** y (*) = gamma (axis) * (x - mean) / sqrt(var + eps) + beta (axis), statistics over gamma's one axis, x's last.
 * Ba, Kiros and Hinton, 2016. */
PARA_API para_tensor *para_layernorm(para_graph *g, para_tensor *x, para_tensor *gamma, para_tensor *beta, double eps);

/** o (batch, seq, heads, head_dim) = softmax(q k^T / sqrt(head_dim)) v, for qkv (batch, seq, qkv, heads,
 * head_dim), whose axis of extent 3 holds q, k and v. Dimensions are taken by position, names are free.
 * With `causal`, position i sees positions up to i. No seq x seq matrix is stored: keys are read in blocks
 * with an online softmax (Milakov and Gimelshein, 2018; Dao et al., 2022). */
PARA_API para_tensor *para_attention(para_graph *g, para_tensor *qkv, bool causal);

/** Write the keys and values of `qkv` (batch, seq, qkv, heads, head_dim) into the state `cache` (batch, cache, kv,
 * heads, head_dim; kv of extent 2) at positions `position` (int32 scalar) and on, in place; positions past its end are
 * dropped. Returns the cache's new version. */
PARA_API para_tensor *para_cache_append(para_graph *g, para_tensor *cache, para_tensor *qkv, para_tensor *position);

/** o (batch, seq, heads, head_dim) like para_attention(), causal, for queries that stand at `position` and on, keys
 * and values read from `cache`. */
PARA_API para_tensor *para_attention_cached(para_graph *g, para_tensor *qkv, para_tensor *cache, para_tensor *position);

/** y = x * Phi(x) by its tanh form, x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Hendrycks and Gimpel, 2016. */
PARA_API para_tensor *para_gelu(para_graph *g, para_tensor *x);
/** y = x/2 (1 + erf(x / sqrt 2)): the exact form. */
PARA_API para_tensor *para_gelu_erf(para_graph *g, para_tensor *x);

/** y = a + b, where b's axes are any of a's, none or all, in any order and from any places: b is repeated along those
 * that it lacks. Axes go by name, so a bias may have a's first axis as well as its last. */
PARA_API para_tensor *para_add(para_graph *g, para_tensor *a, para_tensor *b);
/** y = a * b, element by element; axes as in para_add(). */
PARA_API para_tensor *para_mul(para_graph *g, para_tensor *a, para_tensor *b);
/** y = factor * x. */
PARA_API para_tensor *para_scale(para_graph *g, para_tensor *x, double factor);
/** y = x[0] + ... + x[count - 1], all of one shape, added in that order. */
PARA_API para_tensor *para_sum(para_graph *g, para_tensor *const x[], int count);

/** y = x * mask / (1 - p), where mask is 0 with probability p. Each element's draw depends on `step` (an int32
 * scalar, usually the step number), the node and its index in the whole tensor (Philox), on nothing else.
 * p = 0 returns x itself. Srivastava et al., 2014. */
PARA_API para_tensor *para_dropout(para_graph *g, para_tensor *x, para_tensor *step, double p);

/** y = log sum exp(x) over `axis`, which y lacks. */
PARA_API para_tensor *para_logsumexp(para_graph *g, para_tensor *x, const char *axis);
/** y = exp(x) / sum exp(x) over `axis`. */
PARA_API para_tensor *para_softmax(para_graph *g, para_tensor *x, const char *axis);
/** Scalar: the mean, over the positions whose target isn't `ignore`, of -log softmax(logits)[target].
 * `logits` (*, axis), with axis last, `targets` int32 (*), 0 to the extent of axis - 1, or `ignore`. The mean is over
 * the counted targets of the whole batch, 0 if there are none. `ignore` may be any int; to count every target, take one
 * that is no target, such as -1. Any other target makes the run fail, naming the node. */
PARA_API para_tensor *para_cross_entropy(para_graph *g, para_tensor *logits, para_tensor *targets, const char *axis,
                                         int ignore);

/** Sums over the axes listed; "" means all. */
PARA_API para_tensor *para_reduce_sum(para_graph *g, para_tensor *x, const char *axes);
/** Means over the axes listed; "" means all. */
PARA_API para_tensor *para_reduce_mean(para_graph *g, para_tensor *x, const char *axes);
/** Largest values over the axes listed; "" means all. */
PARA_API para_tensor *para_reduce_max(para_graph *g, para_tensor *x, const char *axes);

/** Merge adjacent axes, outer first, into one: "heads head_dim" -> "embd". */
PARA_API para_tensor *para_merge(para_graph *g, para_tensor *x, const char *axes, const char *merged);
/** Take one axis apart into adjacent ones, outer first; extents must multiply to its extent. */
PARA_API para_tensor *para_unmerge(para_graph *g, para_tensor *x, const char *axis, const para_dim *dims);
/** Call axis `from` by the new name `to`; the data stays. */
PARA_API para_tensor *para_rename(para_graph *g, para_tensor *x, const char *from, const char *to);
/** Reorder: `order` lists all axes of x, outermost first. */
PARA_API para_tensor *para_permute(para_graph *g, para_tensor *x, const char *order);
/** Take elements start to start + count - 1 of `axis`; the result's axis is called `as`. */
PARA_API para_tensor *para_slice(para_graph *g, para_tensor *x, const char *axis, int64_t start, int64_t count,
                                 const char *as);
/** Put x[0], x[1], ... one after another along their axis number `position` (its names may differ; the others
 * must agree); the result's axis is called `as`. */
PARA_API para_tensor *para_concat(para_graph *g, para_tensor *const x[], int count, int position, const char *as);
/** Convert elements: f32 to and from f16, bf16 (round to nearest even) and i32 (towards zero). */
PARA_API para_tensor *para_cast(para_graph *g, para_tensor *x, para_dtype dtype);

/** int32 0, 1, ..., extent - 1 along one axis. */
PARA_API para_tensor *para_arange(para_graph *g, const char *axis, int64_t extent);
/** int32 start, start + 1, ... along one axis, but at most limit - 1; `start` is an int32 scalar known at the run. */
PARA_API para_tensor *para_arange_from(para_graph *g, para_tensor *start, const char *axis, int64_t extent,
                                       int64_t limit);
/** y = x at position `index` of `axis`, which y lacks; `index` is an int32 scalar known at the run. An index outside
 * of the axis makes the run fail, naming the node. */
PARA_API para_tensor *para_select(para_graph *g, para_tensor *x, para_tensor *index, const char *axis);
/** Every element is `value`. */
PARA_API para_tensor *para_fill(para_graph *g, const para_dim *dims, double value);

#ifdef __cplusplus
}
#endif
#endif
