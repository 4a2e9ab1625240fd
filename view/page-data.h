/* What the page's script reads: a graph, its outline, why each node waits for which, and times at nominal rates. */
#ifndef PARA_VIEW_PAGE_DATA_H
#define PARA_VIEW_PAGE_DATA_H

#include "view/outline.h"
#include "view/timeline.h"

#include <stdio.h>

/* Write one JSON object; view/page/data.js reads it. `run` is what was measured of the graph, with the waits of the
 * plan that ran; NULL: nothing was. Returns 0, or what the analysis of dependencies returns. */
int para_page_data(const struct para_outline *o, const struct para_timeline *run, FILE *out, para_error *err);

#endif
