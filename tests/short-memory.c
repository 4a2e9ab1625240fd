#include "tests/short-memory.h"

#include <stdbool.h>
#include <stddef.h>

int allocations_left = -1;
int blocks;

static bool runs_out(void)
{
    bool out = allocations_left == 0;
    allocations_left -= allocations_left > 0;
    return out;
}

static void *counted(void *memory)
{
    blocks += memory != NULL;
    return memory;
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void __real_free(void *memory);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
void __wrap_free(void *memory);

void *__wrap_malloc(size_t bytes)
{
    return runs_out() ? NULL : counted(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t bytes)
{
    return runs_out() ? NULL : counted(__real_calloc(count, bytes));
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    if (runs_out())
        return NULL;
    return memory ? __real_realloc(memory, bytes) : counted(__real_realloc(NULL, bytes));
}

void __wrap_free(void *memory)
{
    blocks -= memory != NULL;
    __real_free(memory);
}
