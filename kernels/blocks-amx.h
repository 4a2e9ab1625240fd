/* Products of two rows and more with weights in blocks (kernels/blocks.h) on processors that multiply tiles of bytes
 * (AMX), with the bits of kernels/blocks-vnni.h. */
#ifndef PARA_KERNELS_BLOCKS_AMX_H
#define PARA_KERNELS_BLOCKS_AMX_H

#include "kernels/skinny.h"

#include <stdbool.h>

/* Whether this build, processor and system have them. */
bool para_blocks_amx_known(void);

/* As para_blocks_scratch() and para_blocks_multiply(). */
size_t para_blocks_amx_scratch(int64_t m, int64_t k);
void para_blocks_amx(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y, int64_t ldy,
                     bool add, void *scratch);

#endif
