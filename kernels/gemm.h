/* Matrix products in float32, on the calling thread. */
#ifndef PARA_KERNELS_GEMM_H
#define PARA_KERNELS_GEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An operand: element (i, j) lies at i * row + j * col, and row or col is 1. */
struct para_gemm_operand {
    const float *at;
    int64_t row, col;
};

/* c (M,N) = a (M,K) b (K,N), or, with `add`, c += a b; rows of c lie c_row elements apart. */
struct para_gemm {
    int64_t m, n, k;
    struct para_gemm_operand a, b;
    float *c;
    int64_t c_row;
    bool add;
};

/* Bytes of scratch that a product of this size needs. */
size_t para_gemm_scratch(int64_t m, int64_t n, int64_t k);

/* How many versions of the kernel this machine can run, one per instruction set; the last is the fastest. */
int para_gemm_versions(void);

/* Whether that one was tuned on processors like this one. The version that runs anywhere was not. */
bool para_gemm_is_tuned(void);

/* Compute it with the fastest version, or with one of them; `scratch` is aligned to 64.
 *
 * An element of c is the sum, in order, of sums in order over blocks of PARA_GEMM_DEPTH of k. So it depends on its row
 * of a and its column of b alone: not on M, N, the strides, the place in c, or the thread. Whether a product and its
 * sum are rounded once or twice depends on the instruction set. */
void para_gemm(const struct para_gemm *g, void *scratch);
void para_gemm_version(int version, const struct para_gemm *g, void *scratch);

enum { PARA_GEMM_DEPTH = 256 };

#endif
