/* Products with few rows, as in making one token at a time: the weights are read once, at memory speed. */
#ifndef PARA_OPS_SKINNY_H
#define PARA_OPS_SKINNY_H

#include <stdint.h>

/* Up to so many rows these kernels are taken. */
enum { PARA_SKINNY_ROWS = 16 };

/* y (M,N) = x (M,K) w (K,N), rows of x, w and y ldx, ldw and ldy elements apart. An element of y comes from the same
 * operations in the same order whatever M is, so that a row's results don't depend on the rows beside it. */
void para_skinny_product(int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w, int64_t ldw,
                         float *y, int64_t ldy);

/* y (M,N) += x (M,K) w (K,N) */
void para_skinny_add_product(int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w, int64_t ldw,
                             float *y, int64_t ldy);

/* y (M,N) = x (M,K) w (N,K)^T, with the same promise. */
void para_skinny_product_transposed(int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w,
                                    int64_t ldw, float *y, int64_t ldy);

#endif
