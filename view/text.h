/* Text as it is drawn: names that may hold any bytes become visible characters of known width. */
#ifndef PARA_VIEW_TEXT_H
#define PARA_VIEW_TEXT_H

#include "base/arena.h"

/* Well-formed UTF-8 for a name of any bytes: controls, marks that turn the direction of writing and what may not stand
 * in XML become visible signs, bytes that are no UTF-8 U+FFFD; a text with letters written from right to left is put
 * between U+2068 and U+2069, so that it moves nothing beside it. NULL when memory runs out. */
char *para_text_visible(struct para_arena *arena, const char *name);

/* Advance of a visible text in pixels at a font size, rounded up. What isn't ASCII counts as one em. */
int para_text_width(const char *text, int size);

/* The visible text itself if it is no wider than `width`, else its beginning and its end around "...": the character.
 * NULL when memory runs out. */
const char *para_text_fit(struct para_arena *arena, const char *text, int size, int width);

#endif
