/* Products with weights in blocks (kernels/blocks.h) on processors that multiply bytes or pairs of 16 bits and add up
 * to words (AVX-512 VNNI). A sum begins with y or 0 and takes blocks in their order, a block's whole sum times both
 * scales in one rounding: as with kernels/blocks-amx.h. */
#ifndef PARA_KERNELS_BLOCKS_VNNI_H
#define PARA_KERNELS_BLOCKS_VNNI_H

#include "kernels/skinny.h"

#include <stdbool.h>

/* Whether this build and processor have them. */
bool para_blocks_vnni_known(void);

/* As para_blocks_scratch() and para_blocks_multiply(). */
size_t para_blocks_vnni_scratch(int64_t m, int64_t k);
void para_blocks_vnni(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                      int64_t ldy, bool add, void *scratch);

/* What both do with x and w, where these are known. */

/* x of so many blocks as whole numbers, which times their block's scale are x. */
void para_blocks_vnni_round(int64_t blocks, const float *x, int16_t *whole, float *scale);

/* Scales of so many blocks of 16 rows, (blocks, 16), `step` floats apart. */
void para_blocks_vnni_scales(para_dtype dtype, const char *const row[16], int64_t blocks, float *to, int64_t step);

#endif
