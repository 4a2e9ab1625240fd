#include "base/arena.h"

#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 64 * 1024 };

struct para_arena_block {
    struct para_arena_block *next;
    size_t used, size;
    alignas(max_align_t) unsigned char bytes[];
};

static struct para_arena_block *add_block(struct para_arena *arena, size_t bytes)
{
    size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    struct para_arena_block *block = calloc(1, sizeof *block + size);
    if (!block)
        return NULL;
    block->size = size;
    block->next = arena->blocks;
    arena->blocks = block;
    return block;
}

void *para_arena_alloc(struct para_arena *arena, size_t bytes)
{
    const size_t align = alignof(max_align_t);
    if (bytes > (size_t)-1 / 2)
        return NULL;
    bytes = (bytes + align - 1) / align * align;
    struct para_arena_block *block = arena->blocks;
    if (!block || block->size - block->used < bytes)
        block = add_block(arena, bytes);
    if (!block)
        return NULL;
    void *memory = block->bytes + block->used;
    block->used += bytes;
    return memory;
}

char *para_arena_string(struct para_arena *arena, const char *string)
{
    size_t bytes = strlen(string) + 1;
    char *copy = para_arena_alloc(arena, bytes);
    if (copy)
        memcpy(copy, string, bytes);
    return copy;
}

char *para_arena_vformat(struct para_arena *arena, const char *format, va_list args)
{
    char first[256]; /* most texts are shorter, and so are written once */
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(first, sizeof first, format, args);
    char *text = length < 0 ? NULL : para_arena_alloc(arena, (size_t)length + 1);
    if (text && (size_t)length < sizeof first)
        memcpy(text, first, (size_t)length + 1);
    else if (text)
        vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

char *para_arena_format(struct para_arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = para_arena_vformat(arena, format, args);
    va_end(args);
    return text;
}

void para_arena_free(struct para_arena *arena)
{
    while (arena->blocks) {
        struct para_arena_block *next = arena->blocks->next;
        free(arena->blocks);
        arena->blocks = next;
    }
}
