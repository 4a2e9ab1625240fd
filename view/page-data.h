/* What the page's script reads: a graph, its outline, why each node waits for which, and times at nominal rates. */
#ifndef PARA_VIEW_PAGE_DATA_H
#define PARA_VIEW_PAGE_DATA_H

#include "view/page.h"

/* Write one JSON object; view/page/data.js reads it. Returns 0, or what the analysis of dependencies returns. */
int para_page_data(const struct para_page *page, FILE *out, para_error *err);

#endif
