/* What stands on the boxes of an outline. */
#ifndef PARA_VIEW_LABEL_H
#define PARA_VIEW_LABEL_H

#include "view/outline.h"

enum { PARA_NAME_SIZE = 13, PARA_DETAIL_SIZE = 11, PARA_LABEL_WIDTH = 250 };

/* Give boxes that have their wires names and details. Returns 0, or -1 when memory runs out. */
int para_labels_add(struct para_outline *o);

/* A node's name without its scope. */
const char *para_short_name(const para_node *n);
/* Whether names are the same but for the parts that splits put into them, "y[batch=0].gather". */
bool para_same_stem(const char *a, const char *b);
/* A node's part, of the axes that its operands have: what a split inserted is noted with all of the part that needed
 * it. NULL when memory runs out. */
const char *para_part_text(struct para_arena *arena, const para_node *n);

#endif
