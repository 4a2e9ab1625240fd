/* What nodes wait for without reading it, between the boxes of a drawing: no wire runs there. */
#ifndef PARA_VIEW_WAITS_H
#define PARA_VIEW_WAITS_H

#include "graph/profile.h"
#include "view/layout.h"

/* From the box that a node is shown in, or as, to another's. */
struct para_shown_wait {
    int from, to;
    int count;            /* how many waits it stands for */
    struct para_wait why; /* the first */
};

/* List the waits between boxes that are shown, a pair of boxes once: those of the plan with which a profile ran, or,
 * `p` being NULL, of the graph's dependencies. The caller frees *out. Returns how many there are, or what the analysis
 * of dependencies returns. */
int para_shown_waits(struct para_shown_wait **out, const struct para_layout *l, const para_profile *p, para_error *err);

#endif
