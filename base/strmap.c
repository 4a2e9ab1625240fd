/* Open addressing with linear probing; at most half full. */
#include "base/strmap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct para_strmap_slot {
    const char *key;
    void *value;
};

/* FNV-1a, 64 bits. */
static uint64_t hash(const char *key)
{
    uint64_t h = 14695981039346656037u;
    for (; *key; key++)
        h = (h ^ (unsigned char)*key) * 1099511628211u;
    return h;
}

static struct para_strmap_slot *find(struct para_strmap_slot *slots, size_t capacity, const char *key)
{
    size_t i = hash(key) & (capacity - 1);
    while (slots[i].key && strcmp(slots[i].key, key) != 0)
        i = (i + 1) & (capacity - 1);
    return &slots[i];
}

void *para_strmap_get(const struct para_strmap *map, const char *key)
{
    return map->capacity ? find(map->slots, map->capacity, key)->value : NULL;
}

static int grow(struct para_strmap *map)
{
    size_t capacity = map->capacity ? 2 * map->capacity : 64;
    struct para_strmap_slot *slots = calloc(capacity, sizeof *slots);
    if (!slots)
        return -1;
    for (size_t i = 0; i < map->capacity; i++)
        if (map->slots[i].key)
            *find(slots, capacity, map->slots[i].key) = map->slots[i];
    free(map->slots);
    map->slots = slots;
    map->capacity = capacity;
    return 0;
}

int para_strmap_set(struct para_strmap *map, const char *key, void *value)
{
    if (2 * (map->count + 1) > map->capacity && grow(map) < 0)
        return -1;
    struct para_strmap_slot *slot = find(map->slots, map->capacity, key);
    if (!slot->key)
        map->count++;
    slot->key = key;
    slot->value = value;
    return 0;
}

void para_strmap_free(struct para_strmap *map)
{
    free(map->slots);
    *map = (struct para_strmap){0};
}
