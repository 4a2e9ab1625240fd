/* The kernels of kernels/gemm.c for one instruction set, by kernels/vectors.h: tiles of ROWS rows and two vectors. */
#include "kernels/vectors.h"

#if V == 16
#define ROWS 14
#elif V == 8
#define ROWS 6
#else
#define ROWS 4
#endif
#define COLS (2 * V)

/* c (rows, COLS) = or += a (depth, rows)^T b (depth, COLS), both dense, with rows a constant */
TARGET static inline ALWAYS_INLINE void NAME(tile)(const int rows, const struct tile *t)
{
    const float *a = t->a, *b = t->b;
    NAME(vec) sum[ROWS][2];
    UNROLL
    for (int i = 0; i < rows; i++)
        sum[i][0] = sum[i][1] = (NAME(vec)){0};
    for (int64_t k = 0; k < t->depth; k++, a += rows, b += COLS) {
        __builtin_prefetch(a + AHEAD, 0, 3);
        if (k % STEP == 0) {
            int64_t step = k / STEP;
            if (step < rows) {
                __builtin_prefetch(t->c + step * t->c_row, 1, 3);
                __builtin_prefetch(t->c + step * t->c_row + COLS - 1, 1, 3);
            }
            if (step < t->next.count) {
                __builtin_prefetch(t->next.at + step * t->next.stride, 0, 2);
                __builtin_prefetch(t->next.at + step * t->next.stride + LINES / 2, 0, 2);
            }
        }
        NAME(vec) low = *(const NAME(vec) *)b, high = *(const NAME(vec) *)(b + V);
        UNROLL
        for (int i = 0; i < rows; i++) {
            sum[i][0] += a[i] * low;
            sum[i][1] += a[i] * high;
        }
    }
    float *c = t->c;
    UNROLL
    for (int i = 0; i < rows; i++, c += t->c_row) {
        NAME(loose) *to = (NAME(loose) *)c;
        if (t->add) {
            sum[i][0] += to[0];
            sum[i][1] += to[1];
        }
        to[0] = sum[i][0];
        to[1] = sum[i][1];
    }
}

TARGET static void NAME(run_tile)(int rows, const struct tile *t)
{
    switch (rows) {
#define CASE(r)                                                                                                        \
    case r:                                                                                                            \
        NAME(tile)(r, t);                                                                                              \
        break;
        CASE(1)
        CASE(2)
        CASE(3)
        CASE(4)
#if ROWS > 4
        CASE(5)
        CASE(6)
#endif
#if ROWS > 6
        CASE(7)
        CASE(8)
        CASE(9)
        CASE(10)
        CASE(11)
        CASE(12)
        CASE(13)
        CASE(14)
#endif
#undef CASE
    }
}

/* to (depth, width) = from (depth, count), count at most V, of rows with `within` elements and more: the columns from
 * count on become anything, and as much as a vector past the end is written. */
TARGET static void NAME(copy)(int64_t depth, int count, int width, int64_t within, const float *from, int64_t step,
                              float *to)
{
    for (int64_t k = 0; k < depth; k++, from += step, to += width) {
        if (within >= V)
            *(NAME(loose) *)to = *(const NAME(loose) *)from;
        else
            for (int e = 0; e < count; e++)
                to[e] = from[e];
    }
}

/* The same of from (count, depth), transposed. */
TARGET static void NAME(copy_transposed)(int64_t depth, int count, int width, const float *from, int64_t step,
                                         float *to)
{
    int64_t k = 0;
    for (; k + V <= depth; k += V, to += V * width) {
        NAME(vec) v[V];
        UNROLL
        for (int i = 0; i < V; i++)
            v[i] = *(const NAME(loose) *)(from + (i < count ? i : count - 1) * step + k);
        NAME(flip)(v);
        UNROLL
        for (int i = 0; i < V; i++)
            *(NAME(loose) *)(to + i * width) = v[i];
    }
    for (; k < depth; k++, to += width)
        for (int e = 0; e < count; e++)
            to[e] = from[e * step + k];
}

static const struct kernels NAME(kernels) = {ROWS, V, NAME(run_tile), NAME(copy), NAME(copy_transposed)};

#undef ROWS
#undef COLS
