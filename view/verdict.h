/* What bounds a run. */
#ifndef PARA_VIEW_VERDICT_H
#define PARA_VIEW_VERDICT_H

#include "view/timeline.h"

/* Add to a timeline that has its gaps and its longest chain where the workers' time went, and the summary. Returns 0,
 * or -1 when memory runs out. */
int para_verdict_add(struct para_timeline *t);

#endif
