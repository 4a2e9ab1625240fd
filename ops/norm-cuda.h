/* Norms on a GPU. Rows that a warp's registers hold go through one each: read once, statistics and result from there.
 * In the backward pass a warp takes rows one after another and adds up the gradients of its own columns; blocks add up
 * their warps', and a second kernel the blocks', in an order that the shape alone decides. */
#ifndef PARA_OPS_NORM_CUDA_H
#define PARA_OPS_NORM_CUDA_H

#include "ops/cuda.h"

extern "C" {
#include "ops/norm.h"
}

enum { PARA_NORM_BLOCKS = 256, PARA_NORM_WARPS = PARA_THREADS / PARA_WARP, PARA_NORM_FLOATS = 64 };

/* Packs of a row that each thread of a warp holds; 0: too many, or the row ends within one. */
template <class T> static int para_norm_packs(const para_node *n)
{
    int64_t width = para_norm_dim(n)->extent, count = para_pack<T>::COUNT, lane = count * PARA_WARP;
    return width % count || width > PARA_NORM_FLOATS * PARA_WARP ? 0 : (int)((width + lane - 1) / lane);
}

static inline int64_t para_norm_blocks(const para_node *n)
{
    int64_t rows = para_norm_rows(n);
    return rows < PARA_NORM_BLOCKS ? rows : PARA_NORM_BLOCKS;
}

static inline size_t para_norm_scratch(const para_node *n, int parameters)
{
    return (size_t)(para_norm_blocks(n) * para_norm_dim(n)->extent * parameters) * sizeof(float);
}

/* What a warp holds of a row: PACKS packs a thread, 0 behind the row's end. */
template <class T, int PACKS> struct para_row {
    static const int COUNT = para_pack<T>::COUNT;
    float of[PACKS * COUNT];

    /* Where this thread's pack number p begins. */
    static __device__ int64_t begin(int p)
    {
        return (int64_t)COUNT * (p * PARA_WARP + threadIdx.x % PARA_WARP);
    }

    __device__ void load(const T *x, int64_t width)
    {
#pragma unroll
        for (int p = 0; p < PACKS; p++) {
            bool within = begin(p) < width;
            para_pack<T> pack = para_load(x + (within ? begin(p) : 0));
#pragma unroll
            for (int k = 0; k < COUNT; k++)
                of[p * COUNT + k] = within ? (float)pack.of[k] : 0.0f;
        }
    }

    __device__ void store(T *y, int64_t width) const
    {
#pragma unroll
        for (int p = 0; p < PACKS; p++) {
            para_pack<T> pack;
#pragma unroll
            for (int k = 0; k < COUNT; k++)
                pack.of[k] = para_round<T>(of[p * COUNT + k]);
            if (begin(p) < width)
                para_store(y + begin(p), pack);
        }
    }

    /* f(element of this thread, the parameter that goes with it) for each, or anything behind the row's end. */
    template <class F> __device__ void with(const float *parameter, int64_t width, F f) const
    {
        const int FLOATS = para_pack<float>::COUNT;
#pragma unroll
        for (int i = 0; i < PACKS * COUNT; i += FLOATS) {
            int64_t at = begin(i / COUNT) + i % COUNT;
            para_pack<float> own = para_load(parameter + (at < width ? at : 0));
#pragma unroll
            for (int k = 0; k < FLOATS; k++)
                f(i + k, own.of[k]);
        }
    }

    /* f(element of this thread, its column) for each. */
    template <class F> __device__ void each(int64_t width, F f) const
    {
#pragma unroll
        for (int p = 0; p < PACKS; p++)
#pragma unroll
            for (int k = 0; k < COUNT; k++)
                if (begin(p) < width)
                    f(p * COUNT + k, begin(p) + k);
    }
};

/* d[k] (C) = the sum over blocks of partial (blocks, parameters, C): a block for some columns of a parameter, whose
 * rows of threads take runs of blocks. */
enum { PARA_NORM_COLUMNS = 32, PARA_NORM_RUNS = 8 };
static __global__ void para_norm_sum(int64_t blocks, int64_t width, int parameters, const float *partial, float *first,
                                     float *second)
{
    __shared__ double run[PARA_NORM_RUNS][PARA_NORM_COLUMNS];
    int64_t e = blockIdx.x * (int64_t)PARA_NORM_COLUMNS + threadIdx.x;
    double sum = 0;
    const float *own = partial + blockIdx.y * width + e;
    if (e < width)
        for (int64_t b = threadIdx.y * blocks / PARA_NORM_RUNS; b < (threadIdx.y + 1) * blocks / PARA_NORM_RUNS; b++)
            sum += own[b * parameters * width];
    run[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || e >= width)
        return;
    for (int r = 1; r < PARA_NORM_RUNS; r++)
        sum += run[r][threadIdx.x];
    (blockIdx.y ? second : first)[e] = (float)sum;
}

static inline int para_norm_add_up(const struct para_call *c, int parameters, const float *partial)
{
    int64_t width = para_norm_dim(c->node)->extent;
    dim3 blocks((unsigned)((width + PARA_NORM_COLUMNS - 1) / PARA_NORM_COLUMNS), (unsigned)parameters);
    para_norm_sum<<<blocks, dim3(PARA_NORM_COLUMNS, PARA_NORM_RUNS), 0, c->cuda->stream>>>(
        para_norm_blocks(c->node), width, parameters, partial, (float *)c->out[1],
        parameters > 1 ? (float *)c->out[2] : NULL);
    return para_launched(c);
}

/* What both passes read and write. mean and dbeta are NULL for norms without. */
template <class T> struct para_norm {
    int64_t rows, width;
    float eps;
    const T *x, *dy;
    const T *added; /* to x before, or to dx after; NULL: nothing */
    const float *gamma, *beta;
    float *mean, *rstd;
    T *y, *sum; /* y is dx backward; sum is x with what is added */
    float *partial;
};

/* Rows so short that registers hold those of several blocks. */
template <class T, int PACKS> static constexpr bool para_norm_is_short()
{
    return PACKS * para_pack<T>::COUNT <= 24;
}

/* y, mean and rstd; CENTERED: about the mean, which is layernorm, else rmsnorm */
template <bool CENTERED, int PACKS, class T>
static __global__ void __launch_bounds__(PARA_THREADS, para_norm_is_short<T, PACKS>() ? 3 : 1)
    para_norm_forward(struct para_norm<T> n)
{
    int64_t r = blockIdx.x * (int64_t)PARA_NORM_WARPS + threadIdx.x / PARA_WARP, line = 32 * threadIdx.x;
    if (line < n.width) {
        para_fetch(n.gamma + line);
        para_fetch((CENTERED ? n.beta : n.gamma) + line);
    }
    para_wait_before();
    if (r >= n.rows)
        return;
    struct para_row<T, PACKS> x;
    x.load(n.x + r * n.width, n.width);
    if (n.added) {
        struct para_row<T, PACKS> d;
        d.load(n.added + r * n.width, n.width);
        x.each(n.width, [&](int i, int64_t) { x.of[i] = (float)para_round<T>(x.of[i] + d.of[i]); });
        x.store(n.sum + r * n.width, n.width);
    }
    float sum = 0, squares = 0, center = 0;
    if (CENTERED) {
        x.each(n.width, [&](int i, int64_t) { sum += x.of[i]; });
        center = para_warp_fold(sum, para_plus()) / (float)n.width;
    }
    x.each(n.width, [&](int i, int64_t) { squares += (x.of[i] - center) * (x.of[i] - center); });
    float scale = 1.0f / sqrtf(para_warp_fold(squares, para_plus()) / (float)n.width + n.eps);
    x.with(n.gamma, n.width, [&](int i, float gamma) { x.of[i] = gamma * ((x.of[i] - center) * scale); });
    if (CENTERED)
        x.with(n.beta, n.width, [&](int i, float beta) { x.of[i] += beta; });
    x.store(n.y + r * n.width, n.width);
    if (threadIdx.x % PARA_WARP)
        return;
    if (CENTERED)
        n.mean[r] = center;
    n.rstd[r] = scale;
}

/* dx, and the block's part of dgamma and dbeta, into which its warps add one after another */
template <bool CENTERED, int PACKS, class T>
static __global__ void __launch_bounds__(PARA_THREADS, para_norm_is_short<T, PACKS>() ? 2 : 1)
    para_norm_backward(struct para_norm<T> n)
{
    const int FLOATS = PACKS * para_pack<T>::COUNT, PARAMETERS = CENTERED ? 2 : 1;
    extern __shared__ float norm_sums[]; /* (parameters, width) */
    int warp = threadIdx.x / PARA_WARP;
    int64_t begin = blockIdx.x * n.rows / gridDim.x, end = (blockIdx.x + 1) * n.rows / gridDim.x;
    float dgamma[FLOATS] = {}, dbeta[FLOATS] = {};
    struct para_row<T, PACKS> x, dy;
    for (int64_t r = begin + warp; r < end; r += PARA_NORM_WARPS) {
        x.load(n.x + r * n.width, n.width);
        dy.load(n.dy + r * n.width, n.width);
        float center = CENTERED ? n.mean[r] : 0, scale = n.rstd[r], sum_g = 0, sum_gh = 0;
        x.with(n.gamma, n.width, [&](int i, float gamma) {
            float h = (x.of[i] - center) * scale, g = dy.of[i] * gamma;
            dgamma[i] += dy.of[i] * h;
            dbeta[i] += dy.of[i];
            sum_g += g;
            sum_gh += g * h;
            x.of[i] = h;
            dy.of[i] = g;
        });
        float mean_g = CENTERED ? para_warp_fold(sum_g, para_plus()) / (float)n.width : 0;
        float mean_gh = para_warp_fold(sum_gh, para_plus()) / (float)n.width;
        x.each(n.width, [&](int i, int64_t) { x.of[i] = scale * (dy.of[i] - mean_g - x.of[i] * mean_gh); });
        if (n.added) {
            dy.load(n.added + r * n.width, n.width);
            x.each(n.width, [&](int i, int64_t) { x.of[i] += dy.of[i]; });
        }
        x.store(n.y + r * n.width, n.width);
    }
    for (int w = 0; w < PARA_NORM_WARPS; w++) {
        __syncthreads();
        if (warp == w)
            x.each(n.width, [&](int i, int64_t e) {
                norm_sums[e] = dgamma[i] + (w ? norm_sums[e] : 0.0f);
                if (CENTERED)
                    norm_sums[n.width + e] = dbeta[i] + (w ? norm_sums[n.width + e] : 0.0f);
            });
    }
    __syncthreads();
    for (int64_t e = threadIdx.x; e < PARAMETERS * n.width; e += PARA_THREADS)
        n.partial[blockIdx.x * PARAMETERS * n.width + e] = norm_sums[e];
}

/* The same where a row doesn't fit: a block for each row, or for some. */
template <bool CENTERED, class T> static int para_norm_forward_wide(const struct para_call *c, struct para_norm<T> n)
{
    return para_rows(c, n.rows, [=] __device__(int64_t r) {
        const T *x = n.x + r * n.width;
        T *y = n.y + r * n.width;
        float sum = 0, squares = 0, center = 0;
        if (n.added) { /* each thread reads again what it writes here */
            for (int64_t e = threadIdx.x; e < n.width; e += PARA_THREADS)
                n.sum[r * n.width + e] = para_round<T>((float)x[e] + (float)n.added[r * n.width + e]);
            x = n.sum + r * n.width;
        }
        for (int64_t e = threadIdx.x; CENTERED && e < n.width; e += PARA_THREADS)
            sum += (float)x[e];
        if (CENTERED)
            center = para_block_sum(sum) / (float)n.width;
        for (int64_t e = threadIdx.x; e < n.width; e += PARA_THREADS)
            squares += ((float)x[e] - center) * ((float)x[e] - center);
        float scale = 1.0f / sqrtf(para_block_sum(squares) / (float)n.width + n.eps);
        for (int64_t e = threadIdx.x; e < n.width; e += PARA_THREADS)
            y[e] = para_round<T>(n.gamma[e] * (((float)x[e] - center) * scale) + (CENTERED ? n.beta[e] : 0.0f));
        if (threadIdx.x == 0) {
            if (CENTERED)
                n.mean[r] = center;
            n.rstd[r] = scale;
        }
    });
}

template <bool CENTERED, class T> static int para_norm_backward_wide(const struct para_call *c, struct para_norm<T> n)
{
    const int PARAMETERS = CENTERED ? 2 : 1;
    int64_t blocks = para_norm_blocks(c->node);
    return para_rows(c, blocks, [=] __device__(int64_t b) {
        float *dgamma = n.partial + PARAMETERS * b * n.width, *dbeta = dgamma + n.width;
        for (int64_t e = threadIdx.x; e < PARAMETERS * n.width; e += PARA_THREADS)
            dgamma[e] = 0;
        __syncthreads();
        for (int64_t r = b * n.rows / blocks; r < (b + 1) * n.rows / blocks; r++) {
            const T *x = n.x + r * n.width, *dy = n.dy + r * n.width;
            T *dx = n.y + r * n.width;
            float center = CENTERED ? n.mean[r] : 0, scale = n.rstd[r], sum_g = 0, sum_gh = 0;
            for (int64_t e = threadIdx.x; e < n.width; e += PARA_THREADS) {
                float h = ((float)x[e] - center) * scale, g = (float)dy[e] * n.gamma[e];
                sum_g += g;
                sum_gh += g * h;
                dgamma[e] += (float)dy[e] * h;
                if (CENTERED)
                    dbeta[e] += (float)dy[e];
            }
            float mean_g = CENTERED ? para_block_sum(sum_g) / (float)n.width : 0;
            float mean_gh = para_block_sum(sum_gh) / (float)n.width;
            for (int64_t e = threadIdx.x; e < n.width; e += PARA_THREADS) {
                float h = ((float)x[e] - center) * scale;
                float slope = scale * ((float)dy[e] * n.gamma[e] - mean_g - h * mean_gh);
                dx[e] = para_round<T>(slope + (n.added ? (float)n.added[r * n.width + e] : 0.0f));
            }
        }
    });
}

/* --- launching, by how many packs a thread holds --- */

template <bool CENTERED, class T, int PACKS>
static int para_norm_launch(const struct para_call *c, struct para_norm<T> n, bool backward)
{
    if (backward) {
        size_t shared = (size_t)n.width * (CENTERED ? 2 : 1) * sizeof(float);
        para_norm_backward<CENTERED, PACKS>
            <<<(unsigned)para_norm_blocks(c->node), PARA_THREADS, shared, c->cuda->stream>>>(n);
    } else {
        unsigned blocks = (unsigned)((n.rows + PARA_NORM_WARPS - 1) / PARA_NORM_WARPS);
        return para_launch_early(c, para_norm_forward<CENTERED, PACKS, T>, dim3(blocks), PARA_THREADS, 0, 1, n);
    }
    return para_launched(c);
}

template <bool CENTERED, class T>
static int para_norm_run(const struct para_call *c, struct para_norm<T> n, bool backward)
{
    const int UNIT = 8 / para_pack<T>::COUNT; /* packs of eight elements */
    n.rows = para_norm_rows(c->node);
    n.width = para_norm_dim(c->node)->extent;
    int packs = para_norm_packs<T>(c->node);
    if (packs == 0)
        return backward ? para_norm_backward_wide<CENTERED>(c, n) : para_norm_forward_wide<CENTERED>(c, n);
    return packs <= UNIT       ? para_norm_launch<CENTERED, T, UNIT>(c, n, backward)
           : packs <= 2 * UNIT ? para_norm_launch<CENTERED, T, 2 * UNIT>(c, n, backward)
           : packs <= 3 * UNIT ? para_norm_launch<CENTERED, T, 3 * UNIT>(c, n, backward)
           : packs <= 4 * UNIT ? para_norm_launch<CENTERED, T, 4 * UNIT>(c, n, backward)
           : packs <= 6 * UNIT ? para_norm_launch<CENTERED, T, 6 * UNIT>(c, n, backward)
                               : para_norm_launch<CENTERED, T, 8 * UNIT>(c, n, backward);
}

#endif
