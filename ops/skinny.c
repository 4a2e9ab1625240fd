#include "ops/skinny.h"

#include "base/simd.h"

enum { COLUMNS = 4096, DEPTH = 8, GROUP = 4 };

/* y (N) += the sum over DEPTH rows of w of x w, in the order of the rows; N is at most COLUMNS. */
PARA_SIMD static void add_rows(int64_t n, const float *restrict x, const float *restrict w, int64_t ldw,
                               float *restrict y)
{
    const float *w1 = w + ldw, *w2 = w1 + ldw, *w3 = w2 + ldw, *w4 = w3 + ldw, *w5 = w4 + ldw, *w6 = w5 + ldw,
                *w7 = w6 + ldw;
#pragma omp simd
    for (int64_t e = 0; e < n; e++) {
        float sum = y[e];
        sum += x[0] * w[e];
        sum += x[1] * w1[e];
        sum += x[2] * w2[e];
        sum += x[3] * w3[e];
        sum += x[4] * w4[e];
        sum += x[5] * w5[e];
        sum += x[6] * w6[e];
        sum += x[7] * w7[e];
        y[e] = sum;
    }
}

/* y (N) += x w (N) */
PARA_SIMD static void add_row(int64_t n, float x, const float *restrict w, float *restrict y)
{
#pragma omp simd
    for (int64_t e = 0; e < n; e++)
        y[e] += x * w[e];
}

void para_skinny_product(int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w, int64_t ldw,
                         float *y, int64_t ldy)
{
    for (int64_t i = 0; i < m; i++)
        memset(y + i * ldy, 0, (size_t)n * sizeof *y);
    para_skinny_add_product(m, n, k, x, ldx, w, ldw, y, ldy);
}

void para_skinny_add_product(int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w, int64_t ldw,
                             float *y, int64_t ldy)
{
    for (int64_t first = 0; first < n; first += COLUMNS) {
        int64_t columns = n - first < COLUMNS ? n - first : COLUMNS, j = 0;
        for (; j + DEPTH <= k; j += DEPTH)
            for (int64_t i = 0; i < m; i++)
                add_rows(columns, x + i * ldx + j, w + j * ldw + first, ldw, y + i * ldy + first);
        for (; j < k; j++)
            for (int64_t i = 0; i < m; i++)
                add_row(columns, x[i * ldx + j], w + j * ldw + first, y + i * ldy + first);
    }
}

/* sum[g] = the dot product of x (K) and w[g] (K) */
PARA_SIMD static void dot_group(int64_t k, const float *restrict x, const float *const w[GROUP], float sum[GROUP])
{
    const float *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
    float s0 = 0, s1 = 0, s2 = 0, s3 = 0;
#pragma omp simd reduction(+ : s0, s1, s2, s3)
    for (int64_t e = 0; e < k; e++) {
        s0 += x[e] * w0[e];
        s1 += x[e] * w1[e];
        s2 += x[e] * w2[e];
        s3 += x[e] * w3[e];
    }
    sum[0] = s0;
    sum[1] = s1;
    sum[2] = s2;
    sum[3] = s3;
}

/* Rows of w are taken in groups; a group that is not full repeats its last row, so that all are summed alike. */
void para_skinny_product_transposed(int64_t m, int64_t n, int64_t k, const float *x, int64_t ldx, const float *w,
                                    int64_t ldw, float *y, int64_t ldy)
{
    for (int64_t j = 0; j < n; j += GROUP) {
        int64_t rows = n - j < GROUP ? n - j : GROUP;
        const float *group[GROUP];
        float sum[GROUP];
        for (int64_t g = 0; g < GROUP; g++)
            group[g] = w + (j + (g < rows ? g : rows - 1)) * ldw;
        for (int64_t i = 0; i < m; i++) {
            dot_group(k, x + i * ldx, group, sum);
            memcpy(y + i * ldy + j, sum, (size_t)rows * sizeof *sum);
        }
    }
}
