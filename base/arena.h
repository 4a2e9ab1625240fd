/* An arena: many small allocations of one lifetime, freed together. Memory is zeroed and aligned for any type. */
#ifndef PARA_BASE_ARENA_H
#define PARA_BASE_ARENA_H

#include <paragraph/types.h>

#include <stdarg.h>

struct para_arena_block;

struct para_arena {
    struct para_arena_block *blocks; /* newest first */
};

/* Return zeroed memory, or NULL. */
void *para_arena_alloc(struct para_arena *arena, size_t bytes);

/* Return a copy of a string, or NULL. */
char *para_arena_string(struct para_arena *arena, const char *string);

/* Return what printf would write, however long, or NULL. */
char *para_arena_format(struct para_arena *arena, const char *format, ...) PARA_PRINTF(2, 3);
char *para_arena_vformat(struct para_arena *arena, const char *format, va_list args) PARA_PRINTF(2, 0);

void para_arena_free(struct para_arena *arena);

#endif
