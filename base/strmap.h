/* A map from strings to pointers. Keys are not copied: they must outlive the map. */
#ifndef PARA_BASE_STRMAP_H
#define PARA_BASE_STRMAP_H

#include <stddef.h>

struct para_strmap {
    struct para_strmap_slot *slots;
    size_t count, capacity;
};

/* Return the value of a key, or NULL. */
void *para_strmap_get(const struct para_strmap *map, const char *key);

/* Set a key's value (not NULL). Returns 0, or -1 when memory runs out. */
int para_strmap_set(struct para_strmap *map, const char *key, void *value);

void para_strmap_free(struct para_strmap *map);

#endif
