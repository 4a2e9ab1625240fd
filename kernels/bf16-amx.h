/* Products of many rows with weights of bfloat16 or int8, on processors that multiply tiles of bfloat16 (AMX).
 *
 * x is three bfloat16, which added up are x, and int8 becomes bfloat16, so products are those of the values themselves;
 * sums are float32, over parts of K that are added in order. An element of y depends on its row of x and its column of
 * w alone. */
#ifndef PARA_KERNELS_BF16_AMX_H
#define PARA_KERNELS_BF16_AMX_H

#include "kernels/skinny.h"

#include <stdbool.h>

/* Whether this build, processor and system have them. */
bool para_bf16_amx_known(void);

/* Bytes of scratch for m rows of k elements, a multiple of 64. */
size_t para_bf16_amx_scratch(int64_t m, int64_t k);

/* y (M,N) = or, with `add`, += x (M,K) by w (K,N) or, where it lies transposed, w^T (N,K); scratch is aligned to 64. */
void para_bf16_amx(const struct para_weights_matrix *w, bool transposed, int64_t m, const float *x, int64_t ldx,
                   float *y, int64_t ldy, bool add, void *scratch);

#endif
