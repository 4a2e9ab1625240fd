/* What the page's script reads of a comparison. */
#ifndef PARA_VIEW_PAGE_COMPARE_H
#define PARA_VIEW_PAGE_COMPARE_H

#include "view/columns.h"
#include "view/union.h"

/* A value that a graph begins with, as the comparison has it. */
struct para_source_change {
    enum para_sign sign;
    const char *name, *value; /* "parameter f32 (rows 4)" */
    const char *text;         /* the same, or, where they differ, both: "parameter f32 (rows 4) -> ..." */
};

/* What all workers, all nodes of a scope or all of an op took in each run. */
struct para_compared_times {
    const char *name;
    const double *ns;
};

enum para_compared { PARA_COMPARED_WORKERS, PARA_COMPARED_SCOPES, PARA_COMPARED_OPS, PARA_COMPARED };

struct para_compared_list {
    const struct para_compared_times *rows;
    int count;
};

struct para_page_comparison {
    const struct para_source_change *sources;
    int n_sources;
    int runs_a, runs_b; /* how many runs of either graph were measured; 0 and 0: the graphs alone are compared */
    double **ns;        /* by run, the first graph's first, and by node of the union */
    struct para_compared_list lists[PARA_COMPARED]; /* of runs */
    const char *caution;                            /* of runs: what is to be known before they are believed; or "" */
    bool changed_only;                              /* what the page shows at first */
};

/* Write ,"compare":{...}: the sign of each node and how it differs, of each read whether one graph alone has it, and
 * what nodes took in each run. */
void para_page_compare(const struct para_page_comparison *compare, const struct para_union *u, struct para_columns *c);

#endif
