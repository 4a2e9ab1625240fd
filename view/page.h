/* A graph, a run of one, or two that are compared, as an interactive page.
 *
 * The page is one file that asks for nothing: view/page/ has its style, its elements and its script, which the build
 * turns into the arrays below. */
#ifndef PARA_VIEW_PAGE_H
#define PARA_VIEW_PAGE_H

#include "view/outline.h"
#include "view/page-compare.h"
#include "view/timeline.h"

#include <stdio.h>

struct para_page {
    const struct para_outline *outline;
    const struct para_timeline *run;            /* of its graph, with the waits of the plan that ran; or NULL */
    const struct para_page_comparison *compare; /* of a joined outline; else NULL */
};

/* Write the page of two graphs that are compared. Returns 0, PARA_ENOMEM, or what the analysis of dependencies returns.
 */
int para_page_write_joined(const struct para_union *u, const struct para_page_comparison *compare, FILE *out,
                           para_error *err);

/* Lines, each with its newline; NULL ends them. */
extern const char *const para_page_style[], *const para_page_body[], *const para_page_script[];
/* What the script has beside: where two sides are compared, and where there is a run. */
extern const char *const para_page_comparison[], *const para_page_run_script[];

#endif
