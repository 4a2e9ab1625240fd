/* Growing arrays. */
#ifndef PARA_BASE_GROW_H
#define PARA_BASE_GROW_H

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Make room for `wanted` elements of `bytes` bytes: `array` points at the array's pointer, which may move. Room at
 * least doubles. Returns 0, or -1 with all as it was when memory runs out. */
static inline int para_reserve(void *array, int64_t wanted, int64_t *room, size_t bytes)
{
    if (wanted <= *room)
        return 0;
    int64_t doubled = *room < 4 ? 8 : *room < INT64_MAX / 2 ? 2 * *room : INT64_MAX;
    int64_t more = wanted > doubled ? wanted : doubled;
    if ((uint64_t)more > SIZE_MAX / bytes)
        return -1;
    void *memory; /* copied, since the pointer itself is of another type */
    memcpy(&memory, array, sizeof memory);
    memory = realloc(memory, (size_t)more * bytes);
    if (!memory)
        return -1;
    memcpy(array, &memory, sizeof memory);
    *room = more;
    return 0;
}

/* The same for one more element after `count`, of an array that an int counts. */
static inline int para_grow(void *array, int count, int *capacity, size_t bytes)
{
    int64_t room = *capacity;
    if (count < *capacity)
        return 0;
    if (*capacity > INT_MAX / 2 || para_reserve(array, (int64_t)count + 1, &room, bytes) < 0)
        return -1;
    *capacity = (int)room;
    return 0;
}

#endif
