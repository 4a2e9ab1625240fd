/* Products of few rows on a GPU, as generation makes them: they take the time of reading the weights, which are read
 * once for eight rows, in their own type, eight neighbours a thread. A row's sums have the same order whatever rows are
 * beside it. */
#include "ops/product-cuda.h"

enum { EIGHT = 8, MOST_ROWS = 16, WARPS = PARA_THREADS / PARA_WARP };

/* y (R,C) = or += x (R,K) w: w is (K,C), or (C,K); strides are elements. */
struct few {
    const void *x, *w;
    void *y;
    int64_t rows, columns, inner;
    int64_t x_ld, w_ld, y_row, y_column;
    bool add, by_column; /* w's columns lie innermost */
};

/* --- eight neighbours of any type --- */

template <class T> static __device__ void read(float to[EIGHT], const T *at)
{
    para_pack<T> p[EIGHT / para_pack<T>::COUNT];
#pragma unroll
    for (int i = 0; i < EIGHT; i += para_pack<T>::COUNT)
        p[i / para_pack<T>::COUNT] = para_load(at + i);
#pragma unroll
    for (int i = 0; i < EIGHT; i++)
        to[i] = (float)p[i / para_pack<T>::COUNT].of[i % para_pack<T>::COUNT];
}

struct alignas(EIGHT) eight_bytes {
    int8_t of[EIGHT];
};

template <> __device__ inline void read<int8_t>(float to[EIGHT], const int8_t *at)
{
    eight_bytes all = *(const eight_bytes *)at;
#pragma unroll
    for (int i = 0; i < EIGHT; i++)
        to[i] = (float)all.of[i];
}

/* --- w (K,C): a block has two eights of columns, a thread every so manieth k --- */

enum { EIGHTS = 2, LANES = PARA_THREADS / EIGHTS };

template <class Y> static __device__ void put(const struct few &f, int64_t row, int64_t column, float sum)
{
    Y *y = (Y *)f.y + row * f.y_row + column * f.y_column;
    *y = para_round<Y>(f.add ? (float)*y + sum : sum);
}

template <int ROWS, class X, class W, class Y>
static __global__ void __launch_bounds__(PARA_THREADS) by_column(struct few f, int64_t first)
{
    __shared__ float of_warp[WARPS][EIGHTS][ROWS * EIGHT];
    int eight = threadIdx.x % EIGHTS, lane = threadIdx.x / EIGHTS, warp = threadIdx.x / PARA_WARP;
    int64_t column = (blockIdx.x * (int64_t)EIGHTS + eight) * EIGHT;
    const W *w = (const W *)f.w + column;
    const X *x = (const X *)f.x + first * f.x_ld;
    float sum[ROWS][EIGHT] = {};
    if (column < f.columns)
#pragma unroll 4
        for (int64_t k = lane; k < f.inner; k += LANES) {
            float weights[EIGHT];
            read<W>(weights, w + k * f.w_ld);
#pragma unroll
            for (int r = 0; r < ROWS; r++)
#pragma unroll
                for (int i = 0; i < EIGHT; i++)
                    sum[r][i] += (float)x[r * f.x_ld + k] * weights[i];
        }
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int i = 0; i < EIGHT; i++) {
            for (int step = EIGHTS; step < PARA_WARP; step *= 2)
                sum[r][i] += __shfl_xor_sync(~0u, sum[r][i], step);
            if (threadIdx.x % PARA_WARP < EIGHTS)
                of_warp[warp][eight][r * EIGHT + i] = sum[r][i];
        }
    __syncthreads();
    for (int e = threadIdx.x; e < EIGHTS * ROWS * EIGHT; e += PARA_THREADS) {
        int of = e / (ROWS * EIGHT), row = e / EIGHT % ROWS;
        int64_t at = (blockIdx.x * (int64_t)EIGHTS + of) * EIGHT + e % EIGHT;
        float all = 0;
        for (int i = 0; i < WARPS; i++)
            all += of_warp[i][of][e % (ROWS * EIGHT)];
        if (at < f.columns)
            put<Y>(f, first + row, at, all);
    }
}

/* --- w (C,K): a warp has a column --- */

template <int ROWS, class X, class W, class Y>
static __global__ void __launch_bounds__(PARA_THREADS) by_row(struct few f, int64_t first)
{
    int lane = threadIdx.x % PARA_WARP;
    int64_t column = blockIdx.x * (int64_t)WARPS + threadIdx.x / PARA_WARP;
    const X *x = (const X *)f.x + first * f.x_ld;
    float sum[ROWS] = {};
    if (column < f.columns)
#pragma unroll 2
        for (int64_t k = lane * EIGHT; k < f.inner; k += PARA_WARP * EIGHT) {
            float weights[EIGHT], own[EIGHT];
            read<W>(weights, (const W *)f.w + column * f.w_ld + k);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                read<X>(own, x + r * f.x_ld + k);
#pragma unroll
                for (int i = 0; i < EIGHT; i++)
                    sum[r] += own[i] * weights[i];
            }
        }
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        sum[r] = para_warp_fold(sum[r], para_plus());
        if (lane == 0 && column < f.columns)
            put<Y>(f, first + r, column, sum[r]);
    }
}

/* --- launching --- */

template <int ROWS, class X, class W, class Y>
static void launch(const struct para_call *c, const struct few &f, int64_t first)
{
    int64_t of_block = f.by_column ? EIGHTS * EIGHT : WARPS;
    unsigned blocks = (unsigned)((f.columns + of_block - 1) / of_block);
    if (f.by_column)
        by_column<ROWS, X, W, Y><<<blocks, PARA_THREADS, 0, c->cuda->stream>>>(f, first);
    else
        by_row<ROWS, X, W, Y><<<blocks, PARA_THREADS, 0, c->cuda->stream>>>(f, first);
}

template <class X, class W, class Y> static int run(const struct para_call *c, const struct few &f)
{
    for (int64_t first = 0, left = f.rows; left > 0;) {
        int64_t count = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        if (count == 8)
            launch<8, X, W, Y>(c, f, first);
        else if (count == 4)
            launch<4, X, W, Y>(c, f, first);
        else if (count == 2)
            launch<2, X, W, Y>(c, f, first);
        else
            launch<1, X, W, Y>(c, f, first);
        first += count;
        left -= count;
    }
    return para_launched(c);
}

/* The strides of a product of few rows; false where it isn't one, or has none that these kernels walk. */
static bool describe(struct few *f, const para_node *n)
{
    struct para_product p;
    para_product_plan(&p, n);
    const struct para_group *g = p.group;
    int64_t x_inner = para_group_stride(&g[PARA_INNER], PARA_A), w_inner = para_group_stride(&g[PARA_INNER], PARA_B);
    int64_t w_column = para_group_stride(&g[PARA_COLS], PARA_B);
    f->rows = g[PARA_ROWS].total;
    f->columns = g[PARA_COLS].total;
    f->inner = g[PARA_INNER].total;
    f->x_ld = para_group_stride(&g[PARA_ROWS], PARA_A);
    f->y_row = para_group_stride(&g[PARA_ROWS], PARA_Y);
    f->y_column = para_group_stride(&g[PARA_COLS], PARA_Y);
    f->by_column = w_column == 1;
    f->w_ld = f->by_column ? w_inner : w_column;
    int64_t length = f->by_column ? f->columns : f->inner;
    bool walks = x_inner == 1 && (w_column == 1 || w_inner == 1) && f->x_ld >= 0 && f->y_row >= 0 && f->y_column >= 0;
    return walks && g[PARA_BATCH].total == 1 && f->rows <= MOST_ROWS && f->x_ld % EIGHT == 0 && f->w_ld > 0 &&
           f->w_ld % EIGHT == 0 && length % EIGHT == 0;
}

bool para_has_few_rows(const para_node *n)
{
    struct few f;
    return describe(&f, n);
}

int para_few_rows_cuda(const struct para_call *c, void *y, bool add)
{
    struct few f = {};
    describe(&f, c->node);
    f.x = c->in[PARA_A];
    f.w = c->in[PARA_B];
    f.y = y;
    f.add = add;
    bool narrow = c->node->out[0]->shape.dtype == PARA_BF16;
    para_dtype x = c->node->in[PARA_A]->shape.dtype, w = c->node->in[PARA_B]->shape.dtype;
    if (x == PARA_BF16)
        return narrow ? run<para_half, para_half, para_half>(c, f) : run<para_half, para_half, float>(c, f);
    return w == PARA_BF16 ? run<float, para_half, float>(c, f)
           : w == PARA_I8 ? run<float, int8_t, float>(c, f)
                          : run<float, float, float>(c, f);
}
