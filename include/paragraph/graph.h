/** @file
 * Graphs: values with named axes, made by ops, in one explicit DAG.
 *
 * A graph is open while it is built and const once sealed. Builder calls return a tensor, or NULL with the
 * error kept in the graph; NULL inputs pass through, so a chain of calls is checked once, at para_graph_seal().
 * Tensors belong to their graph and live as long as it does. A graph is not for several threads while it is
 * open; a sealed one is read only and may be shared.
 *
 * The order of passes: lora, backward, optimizer, precision, split, spread or stage, accumulate, fuse or replicate,
 * recompute, plan.
 * Backward and optimizer append to an open graph, which lora gives; the others take a sealed one. */
#ifndef PARAGRAPH_GRAPH_H
#define PARAGRAPH_GRAPH_H

#include <paragraph/types.h>

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup build Building a graph
 * @{ */

/** Values and the nodes that make them. */
typedef struct para_graph para_graph;
/** A value of a graph, or a tile of one, with its shape. */
typedef struct para_tensor para_tensor;
/** One op applied to tensors of a graph. */
typedef struct para_node para_node;

enum { PARA_MAX_RANK = 6, PARA_MAX_AXIS_NAME = 31 };

/** A dimension as the caller writes it: the axis's name and its extent (elements, at least 1).
 *
 * A name stands once in a tensor, and has one extent in a graph. */
typedef struct para_dim {
    const char *axis; /**< name, up to PARA_MAX_AXIS_NAME bytes */
    int64_t extent;   /**< elements, at least 1 */
} para_dim;

/** Write a list of dimensions: `PARA_DIMS({"batch", B}, {"seq", T})`; `PARA_SCALAR` is the empty one. */
#define PARA_DIMS(...) ((const para_dim[]){__VA_ARGS__, {NULL, 0}})
/** The dimensions of a scalar: none. */
#define PARA_SCALAR ((const para_dim[]){{NULL, 0}})

/** What a tensor is to its graph. */
typedef enum para_kind {
    PARA_INPUT,        /**< set by the user before the first run, and again where it changes */
    PARA_PARAMETER,    /**< trained; kept between runs */
    PARA_STATE,        /**< kept between runs and updated in place: moments, step numbers */
    PARA_INTERMEDIATE, /**< made by a node */
    PARA_COPY          /**< a parameter in bfloat16, written by whoever writes the parameter; kept between runs */
} para_kind;

/** How a parameter or a state begins. Draws are counter-based: they depend on the seed, the tensor's number
 * and the element's index in the whole tensor, not on splits or threads. */
typedef enum para_init_kind { PARA_INIT_FILL, PARA_INIT_NORMAL, PARA_INIT_UNIFORM } para_init_kind;

/** An initial value. */
typedef struct para_init {
    para_init_kind kind; /**< which of them */
    double mean;         /**< the value of a fill, the mean of a normal, the middle of a uniform */
    double spread;       /**< standard deviation, or half the width of a uniform */
} para_init;

/** Make an empty, open graph. Returns NULL when memory runs out. Free it with para_graph_free(). */
PARA_API para_graph *para_graph_new(void);

/** Free a graph and all its tensors; NULL is welcome. */
PARA_API void para_graph_free(para_graph *g);

/** Add an input. It must be set before the first run, by para_session_set(), and keeps its value between runs. */
PARA_API para_tensor *para_input(para_graph *g, const char *name, para_dtype dtype, const para_dim *dims);

/** Add a parameter, float32, with its initial value. The name, with the open scopes before it, must be new. */
PARA_API para_tensor *para_param(para_graph *g, const char *name, const para_dim *dims, para_init init);

/** Add a parameter of type float32, bfloat16, int8, q8_0 or q4_0; its initial values are rounded to the nearest of the
 * type, int8 to -127 to 127. Values of fewer bits save memory and time where weights are read, not trained:
 * para_embedding() takes such tables and para_matmul() such second operands. para_session_set_weight() fills them from
 * float32. */
PARA_API para_tensor *para_param_as(para_graph *g, const char *name, para_dtype dtype, const para_dim *dims,
                                    para_init init);

/** Add a state value (kept between runs, updated in place) with its initial value. */
PARA_API para_tensor *para_state(para_graph *g, const char *name, para_dtype dtype, const para_dim *dims,
                                 para_init init);

/** Open a scope: names made until the matching para_scope_pop() begin with "name.". `format` as in printf. */
PARA_API void para_scope_push(para_graph *g, const char *format, ...) PARA_PRINTF(2, 3);
/** Close the scope opened last. */
PARA_API void para_scope_pop(para_graph *g);

/** Name the node that made `t` and return `t`. The scopes open now are put before the name; the node itself stays
 * in the scope in which it was made. */
PARA_API para_tensor *para_name(para_tensor *t, const char *name);

/** Mark `t` as an output: its value is kept when the run ends, and para_session_get() reads it until the next run. The
 * graph must be open; it may have its gradients and its optimizer already. */
PARA_API para_tensor *para_output(para_tensor *t);

/** Find a tensor of an open graph by its full name, to go on building with it; NULL if there is none, or the graph is
 * sealed. */
PARA_API para_tensor *para_graph_value(para_graph *g, const char *name);

/** Keep an error in the graph, as a failed builder call does (the first one stays); for builders of models. */
PARA_API void para_graph_fail(para_graph *g, const para_error *err);

/** Append reverse-mode gradients of the scalar float32 `loss` for every parameter it depends on.
 *
 * Gradient nodes inherit the scope and the axis names of the node they come from. After it, para_grad() finds
 * the gradients. Returns 0; PARA_ESHAPE if `loss` is not a float32 scalar; PARA_ESUPPORT, naming the node, for
 * an op without a gradient on the way, or for a parameter that isn't float32; PARA_EINVAL if the graph is sealed or has
 * its gradients already. It comes before the optimizer and before para_graph_seal(). A failure is kept in an open
 * graph, as a builder call's is: para_graph_seal() refuses it, and it is good for para_graph_free() alone. */
PARA_API int para_graph_backward(para_graph *g, para_tensor *loss, para_error *err);

/** Return the gradient of a parameter, or of any tensor on the way, after para_graph_backward(); else NULL. A copy
 * made by placing keeps them. A split graph has none: the gradients are in its nodes, but look them up, and mark
 * those to be read as outputs, before the split. */
PARA_API para_tensor *para_grad(const para_graph *g, const para_tensor *t);

/** Check the graph and close it. Returns the first error kept by a builder call, if any; PARA_EINVAL if a scope is
 * still open or a node updates a value that it also reads; what para_graph_verify() finds. */
PARA_API int para_graph_seal(para_graph *g, para_error *err);

/** Check every rule that a legal graph keeps, as sealing does. Returns 0, or what is wrong: PARA_EINVAL, PARA_ESHAPE,
 * PARA_EAXIS, PARA_ERANGE; or PARA_ENOMEM. */
PARA_API int para_graph_verify(const para_graph *g, para_error *err);

/** @} */

/** @defgroup passes Passes from graph to graph
 * @{ */

/** Compute in bfloat16.
 *
 * Activations and their gradients become bfloat16; sums, statistics, the loss and the gradients of parameters stay
 * float32, as do parameters and the optimizer's states: what a checkpoint holds, and para_session_get() gives, doesn't
 * change. Nodes read a parameter in a copy of bfloat16, PARA_COPY, which is written whenever the parameter is: by
 * initial values, by para_session_set() and by updates. Outputs and inputs keep their types. An op that knows float32
 * alone gets casts.
 *
 * It comes after backward and optimizer and before splits. `dtype` is PARA_BF16, or PARA_F32, which copies the graph.
 * `g` is read only and must be sealed; *out is sealed and the caller frees it. Returns 0; PARA_EINVAL for another type,
 * or if `g` is split; PARA_ESUPPORT if an op that updates a parameter can't write such a copy; PARA_ENOMEM. On failure
 * *out is untouched. Source: Micikevicius et al., "Mixed precision training", 2018. */
PARA_API int para_graph_precision(para_graph **out, const para_graph *g, para_dtype dtype, para_error *err);

/** Repeat forward nodes in the backward part, so that less is kept from the one to the other.
 *
 * `scopes` says which: those in scopes that begin with its words, where a star is any one word, "layer.*"; NULL: all.
 * Nodes in one such scope ("layer.3") are a unit: what other units make, and it reads, is kept; what it makes itself
 * and the backward part reads is made again, right before it is first needed there. A node is repeated only if it
 * costs at most `flops_per_byte` FLOPs per byte of its results, and if nothing else of its unit must be kept for it:
 * with infinity whole units are repeated, with 8 norms, activations, dropout and sums, but no products.
 *
 * Repeated nodes draw and compute the same bits: results are those of `g`, bit by bit. They don't begin before the
 * backward pass has come to where they stand (PARA_AFTER). It comes late in the order of passes (above), so
 * that others' choices don't depend on it. `g` is read only and must be sealed; *out is sealed and the caller frees it.
 * Returns 0; PARA_EINVAL if `g` has no backward part; PARA_ENAME if no forward node is in such a scope; PARA_ERANGE if
 * flops_per_byte is negative; PARA_ENOMEM. On failure *out is untouched.
 * Source: Chen et al., "Training deep nets with sublinear memory cost", 2016. */
PARA_API int para_graph_recompute(para_graph **out, const para_graph *g, const char *scopes, double flops_per_byte,
                                  para_error *err);

/** Split every dimension named `axis` of `g` into `parts` tiles.
 *
 * Nodes that loop over the axis are repeated per part; where an op reduces over it, its partial results are
 * combined in part order, so the result does not depend on the schedule. Where `parts` doesn't divide the
 * extent, later tiles are one smaller. A node that can't be split is run whole on gathered tiles; its reason
 * stands in the dump. `g` is read only and must be sealed; *out is sealed and the caller frees it.
 * Returns 0; PARA_EAXIS if no dimension has that name or the axis has been split before, be it in one part;
 * PARA_ERANGE if parts < 1 or exceeds the extent;
 * PARA_ENOMEM. On failure *out is untouched and err says which node and why.
 * Source: the named-axis partitioning of GSPMD (Xu et al., 2021), section 3. */
PARA_API int para_graph_split(para_graph **out, const para_graph *g, const char *axis, int parts, para_error *err);

/** Split by a list such as "batch=2,heads=2"; an empty list or NULL copies the graph; "auto" tiles by a
 * static rule (doc/design.md, tiling), which looks at the graph and never at the machine; "auto:CORES" does so for that
 * many cores instead of four.
 * `g` must be sealed; *out is sealed and the caller frees it. Returns what para_graph_split() does; PARA_EINVAL for a
 * list of another form. If `chosen` isn't NULL, up to `chosen_bytes` bytes are written to it: the list in full, after
 * "auto". */
PARA_API int para_graph_split_list(para_graph **out, const para_graph *g, const char *list, char *chosen,
                                   size_t chosen_bytes, para_error *err);

/** Worker groups are numbered 0 to PARA_MAX_PLACES - 1: more than any one machine has workers. */
enum { PARA_MAX_PLACES = 4096 };

/** Give each node a worker group, 0 to `stages` - 1, so that contiguous runs of scopes ("layer.3") are
 * balanced by cost. Gradient and optimizer nodes go with the scope they inherit; nodes outside of any scope go to the
 * last group. `g` must be sealed; *out is a sealed copy, which the caller frees. Returns PARA_ERANGE, listing them, if
 * stages < 1 or more than there are scopes, or than PARA_MAX_PLACES. */
PARA_API int para_graph_stage(para_graph **out, const para_graph *g, int stages, para_error *err);

/** Spread the parts of splits over devices, each of which has a memory of its own.
 *
 * `axes` names split axes and on how many devices D their parts go, "batch=2", or "heads,ff,vocab=2"; without a number
 * it is as many as the first axis has parts. Where the graph has been placed in stages, each stage has D devices of its
 * own: a node of stage s on device d gets worker group s D + d. Of what it was on before, its stage (no group counts as
 * stage 0), and the graph, all decisions follow; what the machine has doesn't matter, so that the same graph computes
 * the same bits on any number of devices.
 *
 * - Part p of P, and what it makes, is on device floor(p D / P); a node that is a part of several of the axes goes by
 *   the first of them.
 * - What updates a parameter that isn't split is on the parameter's owner: parameters are shared out over a stage's
 *   devices by the bytes of themselves and their optimizer states. Each device has as much, within the largest.
 * - Another node whose result is read on several devices, such as the sum of partial results, is repeated on each
 *   where, at nominal rates, computing it there takes less time than bringing the result there. Repeated nodes take the
 *   same operands in the same order, and have the same bits.
 * - The rest go where least must be brought for them: as a rule to the device that makes most of their operands.
 *
 * In the order of passes (above) it comes after splits and stages, and before accumulation. It changes no result. `g`
 * is read only and must be sealed; *out is sealed and the caller frees it. Returns 0; PARA_EINVAL if `g` is open, has
 * been spread before, or `axes` has another form; PARA_EAXIS, naming those there are, if no dimension has such a name,
 * or if it isn't split; PARA_ERANGE for 0 devices, more than an axis has parts, or more than PARA_MAX_PLACES in all;
 * PARA_ENOMEM. On failure *out is untouched. Source: Rajbhandari et al., "ZeRO: memory optimizations toward training
 * trillion parameter models", 2020, of which owners are the first stage. */
PARA_API int para_graph_spread(para_graph **out, const para_graph *g, const char *axes, para_error *err);

/** Let sums accumulate in place: where a term's op can add to an earlier term (a matrix product with beta = 1, the
 * gradient of an embedding), the term is added there when it is made, in program order, and neither memory nor traffic
 * goes into adding it later. Terms that the next node waits for, and terms of different worker groups, stay apart, so
 * that no chain by itself makes the longest path longer. Sums may round differently, and the same on each run.
 *
 * In the order of passes (above) it comes after splits and placing: the ops it makes can't be split over what they sum
 * up. `g` must be sealed; *out is sealed and the caller frees it. Returns 0, PARA_EINVAL if `g` is open, PARA_ENOMEM.
 */
PARA_API int para_graph_accumulate(para_graph **out, const para_graph *g, para_error *err);

/** Let one node stand for several that an op computes in one pass over memory: a product with its bias and what
 * follows, the gradients of a weight and its bias, the loss of a head with its gradients. It is for GPUs; for CPUs such
 * ops have plain kernels alone. Sums are rounded less often than apart. Values that lie between aren't made any more,
 * but for outputs, which stay.
 *
 * In the order of passes (above) it comes after accumulation: fused nodes can't be split along all axes. `g` must be
 * sealed; *out is sealed and the caller frees it. Returns 0, PARA_EINVAL if `g` is open, PARA_ENOMEM. */
PARA_API int para_graph_fuse(para_graph **out, const para_graph *g, para_error *err);

/** Replicate whole nodes between parts, such as the sum of partial results and a norm of few rows, once for each part
 * that reads their results, so that what a part does from one sum to the next needn't wait for the others. Nodes
 * between two sums are repeated where, at nominal rates, all of them together take less time than a task costs. Copies
 * take the same operands in the same order, and have the same bits.
 *
 * In the order of passes (above) it comes last. A graph with a backward part, of which a task takes far longer than a
 * wait, one that is placed, and one that isn't split are copied as they are. `g` must be sealed; *out is sealed and the
 * caller frees it. Returns 0, PARA_EINVAL if `g` is open, PARA_ENOMEM. */
PARA_API int para_graph_replicate(para_graph **out, const para_graph *g, para_error *err);

/** How a graph is to be computed: what para_graph_arrange() tells the passes. All 0: in float32, whole. */
typedef struct para_arrangement {
    para_dtype precision; /**< as para_graph_precision() takes it */
    const char *split;    /**< as para_graph_split_list() takes it; NULL: none */
    int workers;          /**< that "auto" cuts for; 0: its static rule */
    int stages;           /**< as para_graph_stage() takes it; 1 or less: not placed */
    const char *spread;   /**< as para_graph_spread() takes it; NULL: not spread */
    bool as_written;      /**< sums stay as they are, and don't accumulate */
    bool fuse;            /**< para_graph_fuse() */
} para_arrangement;

/** Go through the passes that choose how a graph is computed, in their order: precision, split, stage, spread,
 * accumulate, and fuse or, where nodes aren't fused, replicate. `g` is read only and must be sealed; *out is sealed and
 * the caller frees it. `chosen`, if not NULL, takes up to `chosen_bytes` bytes of the splits, as
 * para_graph_split_list() writes them. Returns what these passes do; on failure *out is untouched. */
PARA_API int para_graph_arrange(para_graph **out, const para_graph *g, const para_arrangement *how, char *chosen,
                                size_t chosen_bytes, para_error *err);

/** Place nodes on worker group `group`: those in the scope `what` ("layer.3"; "" is all), or, where it has an equals
 * sign, those of that part ("heads=1"). `g` must be sealed; *out is a sealed copy, which the caller frees. With as many
 * workers as groups or more, a group is a run of neighbouring workers; with fewer, groups take them in turn. Returns
 * PARA_ENAME if no node is meant, PARA_ERANGE if `group` is not 0 to PARA_MAX_PLACES - 1. */
PARA_API int para_graph_place(para_graph **out, const para_graph *g, const char *what, int group, para_error *err);

/** @} */

/** @defgroup read Reading a graph
 * @{ */

/** Walk nodes in program order, which is a topological order: first, then next until NULL. */
PARA_API const para_node *para_graph_first(const para_graph *g);
/** Return the node after `n` in program order; NULL after the last. */
PARA_API const para_node *para_node_next(const para_node *n);
/** Return the number of nodes; their ids are 0 to it - 1. */
PARA_API int para_graph_node_count(const para_graph *g);
/** Return the node of an id, NULL if there is none. */
PARA_API const para_node *para_graph_node(const para_graph *g, int id);
/** Return the number of tensors; their ids are 0 to it - 1. */
PARA_API int para_graph_tensor_count(const para_graph *g);
/** Return the tensor of an id, NULL if there is none. */
PARA_API const para_tensor *para_graph_tensor(const para_graph *g, int id);

/** Return the splits made so far, in order, "batch=2,heads=2", or ""; it lives as long as the graph. */
PARA_API const char *para_graph_splits(const para_graph *g);

/** Return how parts were spread over devices, "batch=2", or ""; it lives as long as the graph. */
PARA_API const char *para_graph_spreading(const para_graph *g);

/** Find a tensor by its full name, for example "layer.0.attn.qkv.weight"; NULL if there is none. In a split
 * graph, tiles have names of their own: "wte[vocab=0]". */
PARA_API const para_tensor *para_graph_find(const para_graph *g, const char *name);

/** Return the id of a node: its index in program order, from 0 on. */
PARA_API int para_node_id(const para_node *n);
/** Return the full name, scopes included; it lives as long as the graph. */
PARA_API const char *para_node_name(const para_node *n);
/** Return the name of the op, "matmul"; a constant string. */
PARA_API const char *para_node_op(const para_node *n);
/** Return the scope that the node was made in, or takes from the node it is the gradient of: "layer.3", or ""
 * outside of any; it lives as long as the graph. */
PARA_API const char *para_node_scope(const para_node *n);
/** Return the part coordinates of a node made by splits, "batch=0,ff=1", or "". */
PARA_API const char *para_node_part(const para_node *n);
/** Return the id of the node of the graph as written from which splits made this one; its own id if none. */
PARA_API int para_node_origin(const para_node *n);
/** Tell whether the node comes after the forward pass: a gradient's, one that is repeated for gradients, the
 * optimizer's. */
PARA_API bool para_node_backward(const para_node *n);
/** Return the worker group of a node, -1 if it has none. */
PARA_API int para_node_place(const para_node *n);
/** Return the floating point operations of one run of the node. */
PARA_API double para_node_flops(const para_node *n);
/** Return the bytes that one run of the node reads and writes. */
PARA_API double para_node_bytes(const para_node *n);
/** Return the number of operands. */
PARA_API int para_node_inputs(const para_node *n);
/** Return the number of results. */
PARA_API int para_node_outputs(const para_node *n);
/** Return operand number `i`; NULL if there is none. */
PARA_API const para_tensor *para_node_input(const para_node *n, int i);
/** Return result number `i`; NULL if there is none. */
PARA_API const para_tensor *para_node_output(const para_node *n, int i);

/** Return the id of a tensor: its index among the graph's tensors, from 0 on. */
PARA_API int para_tensor_id(const para_tensor *t);
/** Return the full name, scopes included; it lives as long as the graph. */
PARA_API const char *para_tensor_name(const para_tensor *t);
/** Return the name of the whole value that `t` is a tile of; its own name if it is no tile. */
PARA_API const char *para_tensor_base(const para_tensor *t);
/** Return what the tensor is to its graph. */
PARA_API para_kind para_tensor_kind(const para_tensor *t);
/** Tell whether the tensor is a parameter that isn't trained, as para_graph_lora() leaves those of a model. */
PARA_API bool para_tensor_frozen(const para_tensor *t);
/** Return the type of its elements. */
PARA_API para_dtype para_tensor_dtype(const para_tensor *t);
/** Return the number of dimensions. */
PARA_API int para_tensor_rank(const para_tensor *t);
/** Return dimension `i` (the axis's name lives as long as the graph); extents are the tile's. Of a dimension that the
 * tensor lacks, this and the next two give NULL and 0. */
PARA_API para_dim para_tensor_dim(const para_tensor *t, int i);
/** Return the whole extent of dimension `i`, of which the tile has a part. */
PARA_API int64_t para_tensor_whole(const para_tensor *t, int i);
/** Return where the tile begins within the whole extent of dimension `i`. */
PARA_API int64_t para_tensor_begin(const para_tensor *t, int i);
/** Return the number of elements, the tile's. */
PARA_API int64_t para_tensor_elements(const para_tensor *t);
/** Return the bytes of all elements, the tile's. */
PARA_API size_t para_tensor_bytes(const para_tensor *t);
/** Return the node that makes the value; NULL for inputs, and for parameters and states as they begin. */
PARA_API const para_node *para_tensor_producer(const para_tensor *t);

/** @} */

/** @defgroup dump Dumps and graph files
 * @{ */

/** Write the graph for reading: a line per value and node, with shapes, parts, and, for every value that a
 * split had to leave whole, the reason. Scopes below depth `fold` are folded to one line, and so are
 * their parameters and states; 0 folds nothing. Returns 0, PARA_ERANGE for a negative `fold`, or PARA_ENOMEM. PARA_EIO
 * if `out` can't be written, here and below. */
PARA_API int para_graph_dump_text(const para_graph *g, FILE *out, int fold, para_error *err);

/** Write the graph as Graphviz DOT, one cluster per scope, nodes outlined by worker group where they are placed; an
 * edge has a label where the shape changes. `fold` as above. */
PARA_API int para_graph_dump_dot(const para_graph *g, FILE *out, int fold, para_error *err);

/** Write the graph as a drawing, SVG in one file of its own: scopes in each other, data from above to below, forward,
 * backward and updating nodes apart, in light or dark as the reader's system is; pointing at a box tells its values.
 * `fold` 0 draws every node. Any other folds scopes of that depth and what lies below them, the parts that splits made
 * of one node ("gelu x64"), and, of scopes that are equal but for a number, all but the first ("layer x12"). Names may
 * hold any bytes: those that are no visible text are drawn as signs. Errors as above. */
PARA_API int para_graph_dump_svg(const para_graph *g, FILE *out, int fold, para_error *err);

/** Write the graph as a page for a browser, HTML in one file of its own that asks for nothing else: the drawing, in
 * which scopes are folded and unfolded; search; and of each node its values, its cost at nominal rates and what it
 * waits for. Without scripts it shows the folded drawing. Names as above; the same graph gives the same bytes. Returns
 * 0, PARA_EINVAL if para_deps_new() refuses the graph, or PARA_ENOMEM. */
PARA_API int para_graph_dump_html(const para_graph *g, FILE *out, para_error *err);

/** Write the graph as JSON, all of it, in a stable order: load then dump gives the same bytes. Returns 0,
 * PARA_EINVAL for a name that isn't UTF-8, or PARA_ENOMEM. */
PARA_API int para_graph_dump_json(const para_graph *g, FILE *out, para_error *err);

/** Read a graph that para_graph_dump_json() wrote; *out is sealed and the caller frees it. `name` is put
 * before messages. Returns PARA_EFORMAT, naming the entry and what was expected; PARA_ESUPPORT without jansson. */
PARA_API int para_graph_load_json(para_graph **out, FILE *in, const char *name, para_error *err);

/** The room that para_graph_digest() takes. */
enum { PARA_DIGEST_TEXT = 65 };
/** Write what tells a sealed graph from all others: SHA-256 of the bytes that para_graph_dump_json() writes, as 64
 * hexadecimal digits. Fails as that does. */
PARA_API int para_graph_digest(const para_graph *g, char digest[PARA_DIGEST_TEXT], para_error *err);

/** @} */

/** @defgroup deps Dependencies
 * @{ */

/** Why one node must wait for another. */
typedef enum para_edge_kind {
    PARA_RAW,  /**< it reads what the other wrote */
    PARA_WAR,  /**< it overwrites what the other reads */
    PARA_WAW,  /**< it overwrites what the other wrote */
    PARA_AFTER /**< the graph asks for it, as recomputation does, which must not begin early */
} para_edge_kind;

/** An edge of the dependency graph: `to` waits for `from`. */
typedef struct para_edge {
    int from;            /**< node id of the predecessor */
    para_edge_kind kind; /**< the strongest kind, RAW first, where several hold */
    int tensor;          /**< id of the tensor that is read or overwritten: the reason; of PARA_AFTER the first that
                              `from` makes */
} para_edge;

/** The dependencies of a graph's nodes, after transitive reduction. */
typedef struct para_deps para_deps;

/** Analyze values and storage. `buffers` gives each tensor's buffer number where several share one (-1: a buffer of
 * its own); NULL takes the graph's own storage, where an update shares its old version's. Every edge is a
 * real conflict, and none follows from others but in graphs of some ten thousand nodes that stand in no order to most
 * others, where the search for a path gives up in time. Memory grows with the graph, by about a KiB a node. Returns
 * PARA_EINVAL if a node would read a value after it was overwritten, or if buffers can't be shared so: two values that
 * are there before the run, a node's result with its operand, a new version without its old one. Free with
 * para_deps_free(). */
PARA_API int para_deps_new(para_deps **out, const para_graph *g, const int *buffers, para_error *err);
/** Free dependencies; NULL is welcome. */
PARA_API void para_deps_free(para_deps *d);

/** Return the edges into a node, in ascending order of `from`, and their number. */
PARA_API const para_edge *para_deps_of(const para_deps *d, int node, int *count);
/** Return the node's level: 0 without predecessors, else one more than its deepest predecessor's. */
PARA_API int para_deps_level(const para_deps *d, int node);
/** Tell whether `to` must wait, directly or not, for `from`. One thread at a time may ask about a `d`. */
PARA_API bool para_deps_reaches(const para_deps *d, int from, int to);
/** Return the number of edges. */
PARA_API int para_deps_edge_count(const para_deps *d);

/** What the DAG allows, given a cost per node (in any unit; NULL: one each). */
typedef struct para_parallelism {
    double work;          /**< sum of all costs */
    double critical;      /**< cost of the longest path */
    double average_width; /**< work / critical */
    int peak_width;       /**< most nodes running at once when each starts as early as it can */
    int path_length;      /**< nodes on the longest path */
} para_parallelism;

/** Measure the DAG. `path`, if not NULL, takes the ids of the longest path's nodes in order (node-count
 * entries are enough). */
PARA_API int para_deps_measure(const para_deps *d, const double *cost, para_parallelism *out, int *path,
                               para_error *err);

/** @} */

#ifdef __cplusplus
}
#endif
#endif
