/* Tiles of AMX: eight registers of up to 16 rows of 64 bytes. Their instructions are written out here: gcc 12 moves
 * stores of a configuration behind the intrinsic that loads it. */
#ifndef PARA_KERNELS_AMX_H
#define PARA_KERNELS_AMX_H

#include <stdbool.h>
#include <stdint.h>

enum { PARA_TILE_ROWS = 16, PARA_TILE_BYTES = 64, PARA_TILES = 8 };

/* Whether the processor has tiles and their products of bytes and bfloat16, and the system lets this process use them;
 * it is asked once. */
bool para_amx_known(void);

#ifdef __x86_64__

/* Rows, and bytes of a row, of each tile. */
struct para_tiles {
    uint8_t palette, start, none[14];
    uint16_t bytes[16];
    uint8_t rows[16];
};

/* On this thread, until para_tiles_end(); palette is 1. */
static inline void para_tiles_begin(const struct para_tiles *t)
{
    __asm__ volatile("ldtilecfg %0" : : "m"(*t) : "memory");
}

static inline void para_tiles_end(void)
{
    __asm__ volatile("tilerelease" : : : "memory");
}

#endif
#endif
