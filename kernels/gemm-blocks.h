/* Products of many rows with weights in blocks (Q8_0, Q4_0), as whole numbers, on processors that multiply pairs of 16
 * bits and add them up to words (AVX-512 VNNI).
 *
 * x is rounded as kernels/skinny-blocks.h says, and blocks are added in their order: an element of y depends on its row
 * of x and its row of w alone. */
#ifndef PARA_KERNELS_GEMM_BLOCKS_H
#define PARA_KERNELS_GEMM_BLOCKS_H

#include "kernels/skinny.h"

#include <stdbool.h>

/* Whether this build and processor have them. */
bool para_gemm_blocks_known(void);

/* Bytes of scratch for m rows of k elements. */
size_t para_gemm_blocks_scratch(int64_t m, int64_t k);

/* y (M,N) = or, with `add`, += x (M,K) by w^T (N,K), M more than PARA_SKINNY_ROWS; rows of w are whole blocks, K and ld
 * elements long; scratch is aligned to 64. */
void para_gemm_blocks(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                      int64_t ldy, bool add, void *scratch);

#endif
