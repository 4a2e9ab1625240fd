/* Rewriting: what all passes from one sealed graph to the next have in common.
 *
 * A pass reads `from`, writes `to`, and knows of each old value and node what it has become. Whatever a node has beside
 * its op and operands (scope, part, origin, place, ...) and a value beside its shape (kind, origin, initial value, ...)
 * is taken over here and nowhere else. A pass that changes nothing is
 *
 *     struct para_rewrite pass;
 *     PARA_TRY(para_rewrite_begin(&pass, g, err, "copy"));
 *     return para_rewrite_finish(&pass, para_rewrite_copy_all(&pass), out, err);
 *
 * and others differ from it in the middle. Errors are kept in `to`, as a builder's are, and finish() reports them with
 * the pass's name before them. So makers return NULL once something has failed, take NULL for an operand or a name, and
 * a step that fails may return any negative number.
 *
 * The order of passes: lora, backward, optimizer, precision, split, spread or stage, accumulate, fuse or replicate,
 * recompute, plan. */
#ifndef PARA_GRAPH_REWRITE_H
#define PARA_GRAPH_REWRITE_H

#include "base/arena.h"
#include "graph/ir.h"

struct para_op;

struct para_rewrite {
    const para_graph *from;
    para_graph *to;
    para_tensor **value;    /* by old tensor id: what stands for it in `to`; NULL: nothing, or nothing yet */
    para_node **node;       /* by old node id: the same */
    bool drops_gradients;   /* para_grad() finds none in `to`; set by the pass */
    bool stays_open;        /* `to` is handed out open, for backward to append to; set by the pass */
    struct para_arena work; /* until the pass ends */
    const char *title;      /* "split batch=2" */
    int sources;            /* old tensors up to this id have been looked at for sources to copy */
};

/* Begin a pass, which the format names together with what it was asked for: "split batch=2". Returns 0; PARA_EINVAL if
 * the graph is open; PARA_ENOMEM. After a failure there is nothing to finish. */
int para_rewrite_begin(struct para_rewrite *r, const para_graph *from, para_error *err, const char *format, ...)
    PARA_PRINTF(4, 5);
/* End a pass whose steps returned `status`: if that is 0, take the gradients along, seal the new graph and hand it out;
 * else release it and report what was kept in it, or, if nothing was, that memory ran out. */
int para_rewrite_finish(struct para_rewrite *r, int status, para_graph **out, para_error *err);

/* Return zeroed working memory, released when the pass ends; NULL with the error kept. */
void *para_rewrite_alloc(struct para_rewrite *r, int count, size_t bytes);

/* --- copying: `value` and `node` note the copies --- */

/* Copy the inputs, parameters and states that stand before a node's results, NULL: all, but for those already copied.
 * Returns 0 or PARA_ENOMEM. */
int para_rewrite_sources(struct para_rewrite *r, const para_node *before);
/* Copy a node with its results and what it waits for, as one of op `op` on these operands; `in` NULL: on what stands
 * for its own. */
para_node *para_rewrite_copy_node(struct para_rewrite *r, const para_node *old, const struct para_op *op,
                                  para_tensor *const in[], int n_in);
/* Copy all, with the same ids. Returns 0 or PARA_ENOMEM. */
int para_rewrite_copy_all(struct para_rewrite *r);

/* --- making: the pass itself notes what stands for what --- */

/* Add a node like an old one, which then has the old one's scope, part, origin and place, but no results yet and
 * nothing to wait for. */
para_node *para_rewrite_add_node(struct para_rewrite *r, const para_node *old, const struct para_op *op,
                                 const char *name, para_tensor *const in[], int n_in, const union para_attr attr[]);
/* Let n wait for what stands for the nodes that `old` waits for. Returns 0 or PARA_ENOMEM. */
int para_rewrite_add_after(struct para_rewrite *r, para_node *n, const para_node *old);
/* Add a value that is the old one, or a tile of it: of its kind, origin and base, with its initial value, an output if
 * it is one. `producer` is NULL for what no node makes. */
para_tensor *para_rewrite_add_value(struct para_rewrite *r, const para_tensor *old, para_node *producer,
                                    const char *name, const struct para_shape *shape);
/* Add a value that is on the way to an old one or from it (a gathered whole, a partial result, a value made again), of
 * which it has the origin alone. */
para_tensor *para_rewrite_add_between(const para_tensor *old, para_node *producer, const char *name,
                                      const struct para_shape *shape);

#endif
