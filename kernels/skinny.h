/* Products with few rows, as in making one token at a time: the weights are read once, at memory speed.
 *
 * An element of y comes from the same operations in the same order whatever M is, so that a row's results don't depend
 * on the rows beside it. */
#ifndef PARA_KERNELS_SKINNY_H
#define PARA_KERNELS_SKINNY_H

#include <paragraph/types.h>

/* Up to so many rows these kernels are taken. */
enum { PARA_SKINNY_ROWS = 16 };

/* A matrix w (K,N) or w^T (N,K) of float32, bfloat16 or int8, its rows ld elements apart. */
struct para_weights_matrix {
    para_dtype dtype;
    int64_t n, k, ld;
    const void *data;
};

/* y (M,N) = x (M,K) w (K,N), rows of x and y ldx and ldy elements apart, M up to PARA_SKINNY_ROWS. */
void para_skinny_rows(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                      int64_t ldy);
/* The same with w^T (N,K). */
void para_skinny_transposed(const struct para_weights_matrix *w, int64_t m, const float *x, int64_t ldx, float *y,
                            int64_t ldy);

/* y (M,N) += x (M,K) w (K,N) of float32, rows of w ldw elements apart. */
void para_skinny_add_product(int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w, int64_t ldw,
                             float *y, int64_t ldy);

/* y (M,N) = x (M,K) w (N,K)^T of float32. */
void para_skinny_product_transposed(int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w,
                                    int64_t ldw, float *y, int64_t ldy);

#endif
