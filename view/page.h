/* A graph as an interactive page: para_graph_dump_html() in <paragraph/graph.h>.
 *
 * The page is one file that asks for nothing: view/page/ has its style, its elements and its script, which the build
 * turns into the arrays below. */
#ifndef PARA_VIEW_PAGE_H
#define PARA_VIEW_PAGE_H

/* Lines, each with its newline; NULL ends them. */
extern const char *const para_page_style[], *const para_page_body[], *const para_page_script[];

#endif
