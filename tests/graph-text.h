/* Graphs from one line of text, so that a test shows its graph at a glance:
 *
 *   x:input[batch=2,rows=4]; w:param[rows=4,cols=3]; a = scale(w, 2); y = matmul(x, a, "rows"); output(y)
 *
 * name:kind[dims]      kind is param, bf16 or i8 (parameters of these types), input, ids (an int32 input), state or
 *                      count (an int32 state); a bare extent N in dims is N of an axis called "nN"; [] is a scalar.
 * Parameters begin as standard normals. name = call(args)    builder calls of <paragraph/ops.h> without "para_":
 * tensors first, then strings and numbers; dims are a string, "heads=2,head_dim=3". dropout(x, step, p) with step a
 * count, or step(). Any other name is looked up in the table of ops and applied to the tensors, its attributes
 *                      following in the table's order: w' = sgd(w, g, 0.1).
 * As an argument, name:1 is output number 1 of the node that makes name.
 * output(x); backward(loss); train_adamw(lr, decay, clip); train_sgd(lr, momentum, decay, clip);
 * push("layer.0"); pop()
 *
 * A mistake in the text fails the test; an error of a builder call is kept in the graph. */
#ifndef PARA_TESTS_GRAPH_TEXT_H
#define PARA_TESTS_GRAPH_TEXT_H

#include "tests/support.h"

/* The graph, still open. */
para_graph *graph_open(const char *text);
/* The same, adding to an open graph; it sees the names already there. Returns the last tensor made, NULL if the
 * last call failed. */
para_tensor *graph_append(para_graph *g, const char *text);
/* The graph, sealed without error. */
para_graph *graph_of(const char *text);
/* The node that makes tensor `name`, or the test fails. */
const para_node *node_of(const para_graph *g, const char *name);

#endif
