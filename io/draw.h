/* Which of many a row of a step is: drawn from (seed, step, row), or in order, going round. */
#ifndef PARA_IO_DRAW_H
#define PARA_IO_DRAW_H

#include "base/philox.h"

#include <stdint.h>

/* Keeps these draws apart from those of initial values and dropout under the same seed. */
#define PARA_ROWS_KEY UINT64_C(0x77696e646f777321)

/* A 64-bit draw x is scaled, floor(x count / 2^64), which favours none by more than count / 2^64. */
static inline int64_t para_row_drawn(uint64_t seed, int64_t step, int64_t row, int64_t count)
{
    struct para_philox p = para_philox(seed ^ PARA_ROWS_KEY, (uint64_t)step, (uint64_t)row);
    uint64_t draw = (uint64_t)p.word[1] << 32 | p.word[0];
    return (int64_t)((unsigned __int128)draw * (uint64_t)count >> 64);
}

static inline int64_t para_row_in_order(int64_t step, int64_t batch, int64_t row, int64_t count)
{
    unsigned __int128 number = (unsigned __int128)step * (uint64_t)batch + (uint64_t)row;
    return (int64_t)(number % (uint64_t)count);
}

#endif
