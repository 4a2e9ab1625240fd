/* The rows of the conformance table, which tests/test-ops.c runs. */
#ifndef PARA_TESTS_OP_CASES_H
#define PARA_TESTS_OP_CASES_H

#include <stdint.h>

enum op_case_flags {
    NO_GRADIENT = 1, /* y depends on no parameter, or its op has no gradient */
    NO_FINITE = 2,   /* y has steps or is too steep for finite differences; kernels and splits are still compared */
    SPREAD = 4,      /* parameters get distinct values 1/4 apart, so that the largest stays the largest */
    IGNORE_SOME = 8, /* every third id is -100 */
    TRAINED = 16     /* the text ends with an optimizer: parameters and states are compared after three runs */
};

/* A graph whose value y is looked at: its axes and extents as "m 5, n 7", and its nodes under splits. */
struct op_case {
    const char *name, *text, *shape;
    const char *whole; /* axes along which the node that makes y can't be cut, as words; NULL: none */
    const char *refused; /* axes whose split must be refused, as words; NULL: none */
    int flags;
    int32_t bound; /* of int32 inputs: 0 to bound - 1 */
};

/* A call that must be refused: the code, and what the message must say. */
struct bad_case {
    const char *name, *text;
    int code;
    const char *says[3];
};

/* An op that no row makes by itself, and where it comes from. */
struct through_case {
    const char *op, *through;
};

extern const struct op_case op_cases[];
extern const int op_case_count;
extern const struct bad_case bad_cases[];
extern const int bad_case_count;
extern const struct through_case through_cases[];
extern const int through_case_count;

#endif
