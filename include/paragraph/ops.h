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

/** @defgroup ops-products Embeddings, products, norms, attention
 * @{ */

/** y (ids's axes, rest of table) = table[ids]. `axis` (e.g. "vocab") is the first of table, which may be of any type
 * that parameters have; of one in blocks each row is whole blocks. `ids` is int32; an id outside of the whole table
 * makes the run fail, naming the node. */
PARA_API para_tensor *para_embedding(para_graph *g, para_tensor *table, para_tensor *ids, const char *axis);

/** Contract the axes named in `contract` ("heads head_dim"): y (shared, rest of a, rest of b).
 * Other axes that both have are batch axes and come first. b may be bfloat16 or int8, weights that are converted to
 * float32 as they are read, or q8_0 or q4_0, whose last axes then are those contracted and whole blocks; sums are
 * float32. One batched GEMM. By q8_0 and q4_0 up to 16 rows of a are multiplied as whole numbers of 16 bits with a
 * scale for each block: an element of a is off by at most 2^-16 of its block's largest.
 *
 * Where a's contracted axes lie last in it, rows, of the axes that a alone has, give the same bits whatever rows are
 * computed beside them: among up to 16; and among more, if b is of fewer bits or para_matmul_provider() says "own". */
PARA_API para_tensor *para_matmul(para_graph *g, para_tensor *a, para_tensor *b, const char *contract);

/** *out = who computes products of more than 16 rows in float32: "own", Paragraph's kernels, where these are tuned for
 * the processor (AVX-512 or AVX2), else "openblas". With either a graph split one way gives the same bits in every run,
 * with any number of workers, as long as nobody else changes OpenBLAS's number of threads, which is set to 1 for each
 * worker. "own" is taken too where OpenBLAS was built without threads, for then it may not be called by several.
 *
 * The environment's PARA_GEMM, "own" or "openblas", chooses instead, for comparisons and tests. It is read once, at the
 * latest by the first session. Returns PARA_ENAME for another value, PARA_EDEVICE for an OpenBLAS without threads; then
 * sessions fail alike. The string is static. */
PARA_API int para_matmul_provider(const char **out, para_error *err);

/** y (*) = gamma (axis) * (x - mean) / sqrt(var + eps) + beta (axis), statistics over gamma's one axis, x's last.
 * Ba, Kiros and Hinton, 2016. */
PARA_API para_tensor *para_layernorm(para_graph *g, para_tensor *x, para_tensor *gamma, para_tensor *beta, double eps);

/** y (*) = gamma (axis) * x / sqrt(mean of x^2 + eps), the mean over gamma's one axis, x's last.
 * Zhang and Sennrich, 2019. */
PARA_API para_tensor *para_rmsnorm(para_graph *g, para_tensor *x, para_tensor *gamma, double eps);

/** How para_rope() slows its angles down for texts longer than a model was first trained for. */
typedef enum para_rope_scaling {
    PARA_ROPE_NONE,   /**< not at all */
    PARA_ROPE_LINEAR, /**< all by `factor`; Chen et al., 2023 */
    PARA_ROPE_LLAMA3, /**< pairs that turn less than `slow` times in `original` positions by `factor`, those that turn
                           more than `fast` times not, between them by their turns; Grattafiori et al., 2024 */
    PARA_ROPE_YARN    /**< the same, between them by their numbers; Peng et al., 2023 */
} para_rope_scaling;

/** The angles of para_rope(). */
typedef struct para_rope_options {
    double theta;     /**< pair i of R/2 turns by theta^(-2i/R) a position; more than 1 */
    int64_t rotated;  /**< R, how many elements of a head are turned, the first ones: even; 0: all of them */
    bool interleaved; /**< a pair is elements 2i and 2i + 1, as in Su et al.; else i and i + R/2, as Hugging Face has it
                       */
    para_rope_scaling scaling; /**< what follows is read where it asks for it */
    double factor;             /**< 1 or more */
    int64_t original;          /**< positions that the model was first trained for */
    double slow;               /**< turns in `original` positions; less than fast */
    double fast;               /**< more turns */
    double amplitude;          /**< what turned elements are multiplied by; more than 0 */
} para_rope_options;

/** Return theta 10000, all of a head, in halves, without scaling; factor 1, slow 1, fast 32, amplitude 1. */
PARA_API para_rope_options para_rope_default(void);

/** Check options for heads of a width. Returns 0, PARA_ERANGE or PARA_EINVAL; err says which number and what was
 * expected. */
PARA_API int para_rope_check(const para_rope_options *options, int64_t width, para_error *err);

/** Rotary embedding: y = x with pairs of elements of its last axis turned by angles that grow with the position; dot
 * products of two such then depend on their distance. `positions` is int32 with some of x's other axes, as
 * para_arange() and para_arange_from() make it. Su et al., 2021. PARA_ERANGE, PARA_EINVAL: options out of what is said,
 * or more than 512 elements to turn. */
PARA_API para_tensor *para_rope(para_graph *g, para_tensor *x, para_tensor *positions,
                                const para_rope_options *options);

/** o = softmax(q k^T / sqrt(head_dim)) v for q (batch, seq, heads, head_dim), k and v (batch, keys, heads, head_dim);
 * o is like q. q may have an axis more, (batch, seq, heads, queries, head_dim): then the queries of a position and head
 * all read that head's keys and values (grouped-query attention; Ainslie et al., 2023). Dimensions are taken by
 * position, names are free; keys may have the name of seq. With `causal`, position i sees keys 0 to i.
 * No seq x keys matrix is stored: keys are read in blocks with an online softmax (Milakov and Gimelshein, 2018; Dao et
 * al., 2022). PARA_ESHAPE: another rank, or batch, heads or head_dim named otherwise in k or v. */
PARA_API para_tensor *para_attention(para_graph *g, para_tensor *q, para_tensor *k, para_tensor *v, bool causal);

/** The same, causal, where position i sees the last `window` keys of 0 to i alone; 0: all of them. Beltagy et al.,
 * 2020. PARA_ERANGE: a window less than 0. */
PARA_API para_tensor *para_attention_window(para_graph *g, para_tensor *q, para_tensor *k, para_tensor *v,
                                            int64_t window);

/** The same for q, k and v stacked along an axis, qkv (batch, seq, qkv, heads, head_dim), qkv of extent 3, as one
 * product leaves them: they are read in place. o is (batch, seq, heads, head_dim). */
PARA_API para_tensor *para_attention_stacked(para_graph *g, para_tensor *qkv, bool causal);

/** Where the rows of a batch stand in their texts, and in caches: int32 (batch), known at the run. A value out of what
 * is said makes the run fail, naming node and row. */
typedef struct para_cache_rows {
    para_tensor *position; /**< of each row's first token: what is kept of its text before; -1: an empty row, which is
                                skipped */
    para_tensor *prefix;   /**< how many tokens before stand in a prefix, not in the caches, which begin there; NULL:
                                there is none */
    para_tensor *row;      /**< which row of the caches it has, another for each; the caches are then (rows, ...), and
                                none, one or some of them may have a row of the batch. NULL: row b has row b */
} para_cache_rows;

/** Write k and v (batch, seq, ...), alike, into the states *keys and *values (batch, cache, ...), or (rows, cache,
 * ...), in place, from position - prefix on in each row; an empty row's caches stay as they are. What would stand past
 * a cache's end is dropped. Where batch is 1 caches may lack it. *keys and *values become the new versions, or NULL on
 * failure. */
PARA_API void para_cache_append(para_graph *g, para_tensor **keys, para_tensor **values, para_tensor *k, para_tensor *v,
                                const para_cache_rows *rows);

/** Like para_attention(), causal: each row's queries stand at its position and on, and see what is kept of up to there,
 * themselves included. Positions before `prefix` are read from the keys and values of the prefix (prefix, heads,
 * head_dim), which all rows read and none writes, NULL without; later ones from `keys` and `values` (batch, cache,
 * heads, head_dim), or (rows, ...), where they begin; all rows read one where they lack that axis. An empty row's o
 * is 0. With a `window` more than 0 queries see the last so many positions of these alone. Bits are the same with all
 * in one cache. Has no gradient. */
PARA_API para_tensor *para_attention_cached(para_graph *g, para_tensor *q, para_tensor *keys, para_tensor *values,
                                            para_tensor *prefix_keys, para_tensor *prefix_values,
                                            const para_cache_rows *rows, int64_t window);

/** @} */

/** @defgroup ops-elements Element by element, and over axes
 * @{ */

/** y = x * Phi(x) by its tanh form, x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))). Hendrycks and Gimpel, 2016. */
PARA_API para_tensor *para_gelu(para_graph *g, para_tensor *x);
/** y = x/2 (1 + erf(x / sqrt 2)): the exact form. */
PARA_API para_tensor *para_gelu_erf(para_graph *g, para_tensor *x);

/** y = silu(gate) * up for two alike, with silu(x) = x / (1 + exp(-x)). Shazeer, 2020. */
PARA_API para_tensor *para_swiglu(para_graph *g, para_tensor *gate, para_tensor *up);

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
/** int32 index along the axis, which the result lacks, of the largest element, of equal ones the first; -1 where that
 * is no finite number, or one is NaN. It has no gradient. */
PARA_API para_tensor *para_argmax(para_graph *g, para_tensor *x, const char *axis);
/** Let each row's text go on by the token that was made for it: tokens (batch, 1) become ids (batch), position (batch)
 * one more, and recent (batch, some) loses its first and ends with ids, all int32, in place, so that a next run finds
 * them, inputs or states, as this one leaves them. A row with position or id -1 is empty from then on. Returns what
 * recent is then, as a value of its own. It has no gradient. */
PARA_API para_tensor *para_go_on(para_graph *g, para_tensor *tokens, para_tensor *position, para_tensor *recent,
                                 para_tensor *ids);

/** @} */

/** @defgroup ops-shapes Shapes, types, ranges
 * @{ */

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
/** Put x[0], x[1] and x[2], of one shape, side by side along a new axis, number `position` of the result's. */
PARA_API para_tensor *para_stack(para_graph *g, para_tensor *const x[3], const char *axis, int position);
/** Take x apart along `axis`, of extent 3: out[k] = x at k, which lacks the axis; all NULL on failure. */
PARA_API void para_unstack(para_graph *g, para_tensor *x, const char *axis, para_tensor *out[3]);
/** Convert elements: f32 to and from f16, bf16 (round to nearest even) and i32 (towards zero). */
PARA_API para_tensor *para_cast(para_graph *g, para_tensor *x, para_dtype dtype);

/** int32 0, 1, ..., extent - 1 along one axis. */
PARA_API para_tensor *para_arange(para_graph *g, const char *axis, int64_t extent);
/** int32 start, start + 1, ... along a last axis, but at most limit - 1; `start` is int32, a scalar or with axes, which
 * come first, known at the run. Where it is -1, for an empty row, all are 0. */
PARA_API para_tensor *para_arange_from(para_graph *g, para_tensor *start, const char *axis, int64_t extent,
                                       int64_t limit);
/** y = x at `index` of `axis`, which y lacks; `index` is int32, known at the run: a scalar, or of x's first axes, some
 * or all of those before `axis`, an index each. -1 gives zeros. An index outside of the axis makes the run fail, naming
 * the node. */
PARA_API para_tensor *para_select(para_graph *g, para_tensor *x, para_tensor *index, const char *axis);
/** Every element is `value`. */
PARA_API para_tensor *para_fill(para_graph *g, const para_dim *dims, double value);

/** @} */

#ifdef __cplusplus
}
#endif
#endif
