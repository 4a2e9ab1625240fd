/** @file
 * What tells two graphs, or the runs of two graphs, from each other. */
#ifndef PARAGRAPH_COMPARE_H
#define PARAGRAPH_COMPARE_H

#include <paragraph/profile.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup compare Comparing
 * @{ */

/** How a comparison is written; flags, to be added up. */
enum {
    PARA_COMPARE_CHANGED = 1, /**< what differs alone; of a page, at first */
    PARA_COMPARE_JSON = 2,    /**< an object per line, for programs */
    PARA_COMPARE_HTML = 4     /**< a page, as of para_graph_dump_html(), of the nodes of both */
};

/** Compare two sealed graphs and write what differs to `out`: all nodes in one order, with a sign before each.
 *
 * Nodes are matched by scope, name and part; what is left by op, scope and origin, several on either side, as splits
 * make them. `-` is a node of `a` alone, `+` of `b` alone, `~` one that differs, with how; a space one that doesn't.
 * A page draws `b`, and what `a` alone has where it stood there. *same becomes whether nothing differs. Returns 0;
 * PARA_EIO if `out` can't be written, PARA_ENOMEM. */
PARA_API int para_graph_compare(const para_graph *a, const para_graph *b, int flags, FILE *out, bool *same,
                                para_error *err);

/** Compare two sets of runs and write to `out`, per worker's account, per scope and op, and per node, what the runs of
 * either set took on average, the difference, and the spread of several runs, from the least to the most.
 *
 * The runs of a set are of one graph; those of the two may differ, and then nodes are matched as above. `-`, `+` and
 * `~` are as above, where a node's time differs if no run of either set lies within what the other's took. Of one run
 * each nothing tells how far runs are apart, and no time differs. *same becomes whether all are of one graph
 * and the wall times of the sets overlap. Returns 0; PARA_EINVAL for an empty set or runs of several graphs in one;
 * PARA_EIO, PARA_ENOMEM. */
PARA_API int para_profile_compare(const para_profile *const a[], int n_a, const para_profile *const b[], int n_b,
                                  int flags, FILE *out, bool *same, para_error *err);

/** @} */

#ifdef __cplusplus
}
#endif
#endif
