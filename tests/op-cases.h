/* The cases of the conformance table: tests/ops/NAME.cases, a file beside each ops/NAME.c.
 *
 *   case gelu, far out                          a graph whose value y is looked at
 *     graph p:param[n=1031]; x = scale(p, 9); y = gelu(x)      may be repeated: lines are joined
 *     shape n 1031                              y's axes and extents; none for a scalar
 *     whole c                                   axes along which the node that makes y can't be cut
 *     in-place k                                axes whose split is refused, as it would repeat an update in place
 *     bound 7                                   int32 inputs are 0 to 6
 *     no-gradient                               y depends on no parameter, or its op has no gradient
 *     no-finite                                 y is too steep for finite differences; the rest is still compared
 *     spread                                    parameters are distinct, 1/4 apart: the largest stays the largest
 *     fused                                     in bfloat16 some of its nodes become one
 *     fused-alone                               as it is some of its nodes become one
 *     steep                                     bfloat16's rounding of parameters changes more than its own part of y
 *     ignore-some                               every third id is -100
 *     trained                                   the graph ends with an optimizer: parameters and states are compared
 *
 *   refused gelu, of another form               a call that must be refused
 *     graph x:param[n=4]; y = gelu(x, "relu")
 *     error PARA_EINVAL
 *     says relu                                 what the message must have; may be repeated
 *
 * Lines that begin with '#' are comments. */
#ifndef PARA_TESTS_OP_CASES_H
#define PARA_TESTS_OP_CASES_H

#include <paragraph.h>

enum op_case_flags {
    NO_GRADIENT = 1,
    NO_FINITE = 2,
    SPREAD = 4,
    IGNORE_SOME = 8,
    TRAINED = 16,
    STEEP = 32,
    FUSED = 64,
    FUSED_ALONE = 128
};

enum { MAX_SAYS = 4 };

struct op_case {
    const char *name;
    char *text;
    const char *shape, *whole, *in_place; /* NULL: none */
    int flags;
    int32_t bound;
    const char *error; /* of a call that must be refused: the name of its code */
    const char *says[MAX_SAYS];
};

/* All cases, read once; a mistake in a file fails the test that asks first. */
const struct op_case *op_cases(int *count);

/* The graph of a case that isn't refused, open: y is an output, and if it has a gradient, so are the gradients of
 * sum(weights * y) with an input "weights" like y. */
para_graph *op_case_graph(const struct op_case *c);

#endif
