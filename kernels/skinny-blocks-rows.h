/* Some rows of x by a row of weights in blocks, for one instruction set: included with V, floats of a vector, TARGET
 * and NAME defined, and with NAME(vec)                                    a vector NAME(pair) the numbers of a block as
 * they are multiplied NAME(load)(dtype, block)                     them; those of Q4_0 with their zero
 *   NAME(products)(pair, x)                      their products with x's, added up to V sums
 *   NAME(halves)(h), NAME(all)(f), NAME(sum)(v)  V halves as floats, V times one float, a vector's sum */

/* `count` blocks from x's number b on are added to sum. */
TARGET PARA_INLINE void NAME(chunk)(para_dtype dtype, int rows, const char *w, int64_t count, const struct pieces *x,
                                    int64_t row, int64_t b, NAME(vec) sum[TOGETHER])
{
    const size_t bytes = para_dtype_bytes(dtype);
    const int64_t stride = x->blocks * PARA_BLOCK;
    const int16_t *whole = x->whole + row * stride + b * PARA_BLOCK;
    uint16_t half[CHUNK] = {0};
    _Alignas(64) float scale[TOGETHER][CHUNK];
    for (int64_t c = 0; c < count; c++)
        memcpy(&half[c], w + (size_t)c * bytes, sizeof half[c]);
    for (int64_t c = 0; c < count; c += V) {
        NAME(vec) of_w = NAME(halves)(half + c);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            int64_t at = (row + i) * x->padded + b + c;
            NAME(vec) of_both = of_w * *(const NAME(vec) *)(const void *)(x->scale + at);
            memcpy(&scale[i][c], &of_both, sizeof of_both);
            if (dtype == PARA_Q4_0)
                sum[i] += of_both * *(const NAME(vec) *)(const void *)(x->zero + at);
        }
    }
    int64_t c = 0;
    for (; c + 2 <= count; c += 2, w += 2 * bytes, whole += 2 * PARA_BLOCK) {
        if (row == 0)
            __builtin_prefetch(w + AHEAD);
        NAME(pair) first = NAME(load)(dtype, w), second = NAME(load)(dtype, w + bytes);
#pragma GCC unroll 8
        for (int i = 0; i < rows; i++) {
            const int16_t *of_x = whole + i * stride;
            sum[i] += NAME(products)(first, of_x) * NAME(all)(scale[i][c]) +
                      NAME(products)(second, of_x + PARA_BLOCK) * NAME(all)(scale[i][c + 1]);
        }
    }
    if (c == count)
        return;
    NAME(pair) last = NAME(load)(dtype, w);
#pragma GCC unroll 8
    for (int i = 0; i < rows; i++)
        sum[i] += NAME(products)(last, whole + i * stride) * NAME(all)(scale[i][c]);
}

TARGET PARA_INLINE void NAME(rows)(para_dtype dtype, int rows, const char *w, const struct pieces *x, int64_t row,
                                   float *y, int64_t ldy)
{
    NAME(vec) sum[TOGETHER];
    for (int i = 0; i < rows; i++)
        sum[i] = NAME(all)(0);
    for (int64_t b = 0; b < x->blocks; b += CHUNK) {
        int64_t count = x->blocks - b < CHUNK ? x->blocks - b : CHUNK;
        NAME(chunk)(dtype, rows, w + para_dtype_span(dtype, b * PARA_BLOCK), count, x, row, b, sum);
    }
    for (int i = 0; i < rows; i++)
        y[i * ldy] = NAME(sum)(sum[i]);
}

TARGET PARA_INLINE void NAME(some)(para_dtype dtype, int rows, const char *w, const struct pieces *x, int64_t row,
                                   float *y, int64_t ldy)
{
    if (rows == 8)
        NAME(rows)(dtype, 8, w, x, row, y, ldy);
    else if (rows == 4)
        NAME(rows)(dtype, 4, w, x, row, y, ldy);
    else if (rows == 2)
        NAME(rows)(dtype, 2, w, x, row, y, ldy);
    else
        NAME(rows)(dtype, 1, w, x, row, y, ldy);
}

TARGET static void NAME(dot)(para_dtype dtype, int rows, const char *w, const struct pieces *x, int64_t row, float *y,
                             int64_t ldy)
{
    if (dtype == PARA_Q8_0)
        NAME(some)(PARA_Q8_0, rows, w, x, row, y, ldy);
    else
        NAME(some)(PARA_Q4_0, rows, w, x, row, y, ldy);
}

#undef V
#undef TARGET
#undef NAME
