/* A graph drawn as SVG: para_graph_dump_svg() in <paragraph/graph.h>. */
#ifndef PARA_VIEW_SVG_H
#define PARA_VIEW_SVG_H

#include "view/layout.h"

#include <stdio.h>

/* Say which boxes of an outline are open when scopes are folded to a depth: all of them with 0; else scopes above that
 * depth, and of equal ones the first,
 * and runs of neighbours as what they are in. `open` has n_boxes elements. */
void para_svg_open(const struct para_outline *o, int fold, bool *open);

/* Draw an outline, its scopes folded to a depth, its wires alone. Returns 0 or PARA_ENOMEM. */
int para_svg_draw(const struct para_outline *o, int fold, FILE *out, para_error *err);

/* What its style element holds. */
extern const char *const para_svg_style;

/* Write text as it is, but for what XML would read as its own. */
void para_svg_escape(FILE *out, const char *text);

#endif
