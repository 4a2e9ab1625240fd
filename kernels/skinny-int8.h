/* Products of a few rows with a matrix of int8, on processors that multiply bytes and add up to words (AVX-512 VNNI).
 *
 * A part of a row of x is scaled to whole numbers of 24 bits, which are three digits of 8: sums of their products with
 * bytes are whole numbers too, so that they are exact in any order. A scaled element is off by at most 2^-24 of the
 * part's largest one. A part with NaN or infinity gives NaN. */
#ifndef PARA_KERNELS_SKINNY_INT8_H
#define PARA_KERNELS_SKINNY_INT8_H

#include "kernels/skinny.h"

/* Leave them out, as on another processor: for tests alone. */
extern bool para_skinny_int8_off;

/* para_skinny_rows() and para_skinny_transposed() for a matrix of int8; false, and nothing is done, where this build or
 * processor hasn't got them. */
bool para_skinny_int8_rows(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                           int64_t ldy);
bool para_skinny_int8_transposed(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                                 int64_t ldy);

#endif
