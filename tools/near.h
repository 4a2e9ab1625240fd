/* "Did you mean": the known word that is nearest to one that isn't known. */
#ifndef TOOLS_NEAR_H
#define TOOLS_NEAR_H

#include <stddef.h>

struct near {
    const char *word, *best; /* best NULL: none is near */
    size_t length, distance; /* of `word`, which needs no end; of `best` */
};

struct near near_begin(const char *word, size_t length);
/* Consider a known word. */
void near_try(struct near *n, const char *known);

#endif
