/* What the page's script reads of a measured run. */
#ifndef PARA_VIEW_PAGE_RUN_H
#define PARA_VIEW_PAGE_RUN_H

#include "view/columns.h"
#include "view/timeline.h"

/* Write ,"run":{...}: the workers, when and where each node ran, gaps with their causes, the measured critical path,
 * and how many tasks were ready. Returns 0 or PARA_ENOMEM. */
int para_page_run(const struct para_timeline *t, struct para_columns *c, para_error *err);

#endif
