/* Measured time on an outline. */
#ifndef PARA_VIEW_HEAT_H
#define PARA_VIEW_HEAT_H

#include "graph/profile.h"
#include "view/outline.h"

/* Return the time in kernels of all nodes in each box, nanoseconds by box, of an outline of the profile's graph; it is
 * the outline's. Their details become what they took, and how much of all that is. NULL when memory runs out. */
int64_t *para_heat_add(struct para_outline *o, const para_profile *p);

#endif
