/* The wires of an outline, and the ranks of its boxes. */
#ifndef PARA_VIEW_WIRES_H
#define PARA_VIEW_WIRES_H

#include "view/outline.h"

/* Give an outline that has its boxes wires and ranks. Returns 0, or -1 when memory runs out. */
int para_wires_add(struct para_outline *o);

#endif
