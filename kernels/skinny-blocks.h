/* Products of a few rows with weights in blocks (Q8_0, Q4_0), read once, as whole numbers.
 *
 * Each run of x by a block of w is rounded to whole numbers of 16 bits with a scale, so that an element is off by at
 * most 2^-16 of its run's largest one; sums within a block are then exact. What is smaller than 2^-112 counts as 0. A
 * run with NaN or infinity gives NaN. Blocks are added in their order: a row's results don't depend on the rows beside
 * it. */
#ifndef PARA_KERNELS_SKINNY_BLOCKS_H
#define PARA_KERNELS_SKINNY_BLOCKS_H

#include "kernels/skinny.h"

/* Bytes of scratch for m rows of k elements, a multiple of 64. */
size_t para_skinny_blocks_scratch(int64_t m, int64_t k);

/* y (M,N) = x (M,K) by w^T (N,K), whose rows are whole blocks, K and ld elements long; scratch is aligned to 64. */
void para_skinny_blocks(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                        int64_t ldy, void *scratch);

/* x of so many blocks as whole numbers, which times their block's scale are x, and what Q4_0's zero adds to a sum of
 * their products. */
void para_round_blocks(int64_t blocks, const float *x, int16_t *whole, float *scale, float *zero);

/* How many versions this processor can run, one per instruction set, the last the fastest; and one of them. */
int para_skinny_blocks_versions(void);
void para_skinny_blocks_version(int version, const struct para_weights_matrix *w, int64_t m, const float *x,
                                int64_t ldx, float *y, int64_t ldy, void *scratch);

#endif
