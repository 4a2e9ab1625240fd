/* Products of a few rows with weights in blocks (kernels/skinny-blocks.h), on processors that multiply bytes and add up
 * to words (AVX-512 VNNI). */
#ifndef PARA_KERNELS_SKINNY_LINES_H
#define PARA_KERNELS_SKINNY_LINES_H

#include "kernels/skinny.h"

#include <stdbool.h>

/* Whether this build and processor have them. */
bool para_skinny_lines_known(void);

/* As para_skinny_blocks_scratch() and para_skinny_blocks(). */
size_t para_skinny_lines_scratch(int64_t m, int64_t k);
void para_skinny_lines(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                       int64_t ldy, void *scratch);

#endif
