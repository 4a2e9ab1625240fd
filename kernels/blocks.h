/* Products with weights in blocks (Q8_0, Q4_0), as whole numbers.
 *
 * Each run of x by a block of w is rounded to whole numbers of 16 bits with a scale, so that an element is off by at
 * most 2^-16 of its run's largest one; sums within a block are then exact. What is smaller than 2^-112 counts as 0. A
 * run with NaN or infinity gives NaN. An element of y depends on its row of x and its row of w alone: on a processor, a
 * row's results don't depend on the rows beside it, nor on how many they are. */
#ifndef PARA_KERNELS_BLOCKS_H
#define PARA_KERNELS_BLOCKS_H

#include "kernels/skinny.h"

#include <stdbool.h>

/* Whether this processor multiplies more than PARA_SKINNY_ROWS rows faster so than as float32. */
bool para_blocks_many(void);

/* Bytes of scratch for m rows of k elements, a multiple of 64. */
size_t para_blocks_scratch(int64_t m, int64_t k);

/* y (M,N) = or, with `add`, += x (M,K) by w^T (N,K), whose rows are whole blocks, K and ld elements long; scratch is
 * aligned to 64. */
void para_blocks_multiply(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                          int64_t ldy, bool add, void *scratch);

/* How many versions this processor can run, one per instruction set, the last the fastest; and one of them. */
int para_blocks_versions(void);
void para_blocks_version(int version, const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx,
                         float *y, int64_t ldy, bool add, void *scratch);

/* As whole numbers elements are at most so large, and at most of so small ones are 0. */
enum { PARA_BLOCKS_LARGEST = 32767 };
#define PARA_BLOCKS_LEAST 0x1p-112f

#endif
