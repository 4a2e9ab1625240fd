/* Open addressing with linear probing; at most half full. */
#include "view/pairs.h"

#include <limits.h>
#include <stdint.h>
#include <stdlib.h>

static struct para_pair *find(struct para_pair *slots, int capacity, int a, int b)
{
    uint64_t h = ((uint64_t)(unsigned)a << 32 | (unsigned)b) * 0x9e3779b97f4a7c15u;
    int i = (int)((h >> 32) & (uint64_t)(capacity - 1));
    while (slots[i].used && (slots[i].a != a || slots[i].b != b))
        i = (i + 1) & (capacity - 1);
    return &slots[i];
}

static int grow(struct para_pairs *map)
{
    int capacity = map->capacity ? 2 * map->capacity : 64;
    struct para_pair *slots = map->capacity > INT_MAX / 2 ? NULL : calloc((size_t)capacity, sizeof *slots);
    if (!slots)
        return -1;
    for (int i = 0; i < map->capacity; i++)
        if (map->slots[i].used)
            *find(slots, capacity, map->slots[i].a, map->slots[i].b) = map->slots[i];
    free(map->slots);
    map->slots = slots;
    map->capacity = capacity;
    return 0;
}

int para_pairs_at(struct para_pairs *map, int a, int b, int fresh, int **out)
{
    if (map->count >= map->capacity / 2 && grow(map) < 0)
        return -1;
    struct para_pair *slot = find(map->slots, map->capacity, a, b);
    *out = &slot->value;
    if (slot->used)
        return 0;
    *slot = (struct para_pair){a, b, fresh, 1};
    map->count++;
    return 1;
}
