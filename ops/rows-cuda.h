/* Rows that stand at positions of their own, on a GPU. */
#ifndef PARA_OPS_ROWS_CUDA_H
#define PARA_OPS_ROWS_CUDA_H

#include "ops/cuda.h"

extern "C" {
#include "ops/cache.h"
}

/* As the two structs of ops/rows.h. */
struct para_rows_cuda {
    const int32_t *position, *prefix, *row;
    int64_t longest, kept, first, count, whole; /* the caches' rows: of the tile, and all */
    unsigned long long *fault;

    __device__ int64_t prefix_of(int64_t b) const
    {
        return prefix ? prefix[b] : 0;
    }

    /* Which row of the caches' tile row b has. */
    __device__ int64_t row_of(int64_t b) const
    {
        return row ? row[b] - first : b;
    }

    __device__ bool is_taken(int64_t b) const
    {
        for (int64_t other = 0; other < b; other++)
            if (position[other] != -1 && row[other] == row[b])
                return true;
        return false;
    }

    /* Of a row that isn't empty: what is wrong with it, or PARA_ROWS_FAULTS. */
    __device__ int fault_of(int64_t b) const
    {
        int64_t at = position[b], before = prefix_of(b);
        if (before < 0 || before > longest)
            return PARA_BAD_PREFIX;
        if (at < before || at >= before + kept)
            return PARA_BAD_POSITION;
        if (row && (row[b] < 0 || row[b] >= whole))
            return PARA_BAD_ROW;
        return PARA_ROWS_FAULTS;
    }

    __device__ void say(int64_t b, int wrong) const
    {
        const int32_t *values[PARA_ROWS_FAULTS] = {position, prefix, row, row};
        if (wrong == PARA_ROWS_FAULTS && row && is_taken(b))
            wrong = PARA_ROW_TWICE;
        if (wrong != PARA_ROWS_FAULTS)
            para_fault(fault, PARA_ROWS_FAULTS * b + wrong, values[wrong][b]);
    }

    /* The row's position, or -1: it is empty, another tile's, or wrong, which the one thread that is to say so says. */
    __device__ int64_t position_of(int64_t b, bool says) const
    {
        if (position[b] == -1)
            return -1;
        int wrong = fault_of(b);
        if (says)
            say(b, wrong);
        int64_t at = row_of(b);
        return wrong != PARA_ROWS_FAULTS || at < 0 || at >= count ? -1 : position[b];
    }
};

static inline struct para_rows_cuda para_rows_on_gpu(struct para_rows rows, struct para_rows_bounds bounds,
                                                     unsigned long long *fault)
{
    return {rows.position,        rows.prefix,         rows.row, bounds.longest, bounds.kept, bounds.caches.begin,
            bounds.caches.extent, bounds.caches.whole, fault};
}

#endif
