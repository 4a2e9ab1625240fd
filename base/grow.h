/* Growing arrays. */
#ifndef PARA_BASE_GROW_H
#define PARA_BASE_GROW_H

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* Make room for one more element of `bytes` bytes after `count`: `array` points at the array's pointer, which may move.
 * Returns 0, or -1 with all as it was when memory runs out. */
static inline int para_grow(void *array, int count, int *capacity, size_t bytes)
{
    if (count < *capacity)
        return 0;
    if (*capacity > INT_MAX / 2)
        return -1;
    int wanted = *capacity ? 2 * *capacity : 8;
    void *memory; /* copied, since the pointer itself is of another type */
    memcpy(&memory, array, sizeof memory);
    memory = realloc(memory, (size_t)wanted * bytes);
    if (!memory)
        return -1;
    memcpy(array, &memory, sizeof memory);
    *capacity = wanted;
    return 0;
}

#endif
