/* Products of few rows on a GPU, as generation makes them: they take the time of reading the weights, which are read
 * once for eight rows, in their own type, eight neighbours a thread. A row's sums have the same order whatever rows are
 * beside it. What stands beside a product is computed with it: each block norms the rows that it reads, and a bias,
 * gelu and the residual stream meet the sum before it is written. Kernels begin early: weights are on their way, into
 * registers, while those before still compute what they are to be multiplied by. */
#include "ops/gelu-cuda.h"
#include "ops/product-cuda.h"

extern "C" {
#include "ops/few-rows.h"

#include "graph/pattern.h"
}

enum {
    EIGHT = 8,
    EIGHTS = 2, /* of columns that a block has where these lie innermost */
    THREADS = 256,
    MANY_THREADS = 512,
    LONG = 1024,              /* a sum of more elements is made by many threads */
    BLOCKS = 528,             /* at most, where sums lie innermost: four on each multiprocessor of an H100 */
    SHARED_BY_ROW = 40 << 10, /* bytes of rows that a block has, at most */
    SHARED_BY_COLUMN = 96 << 10,
    SHARED_BESIDE = 12 << 10 /* what else it has there */
};

/* A product, and what is beside it: NULL where it isn't. */
struct few {
    struct para_few f;
    const void *x, *w;
    void *y;
    const float *gamma, *beta, *bias, *residual;
    const int32_t *index;      /* by row: -1: it is 0 */
    unsigned long long *fault; /* for another than 0 or -1 */
    float eps;
    bool add, gelu, ready; /* ready: the weights are, before the kernels before have ended */
};

template <class W> struct alignas(sizeof(W) == 1 ? 8 : 16) eight {
    W of[EIGHT];
};

template <class W> static __device__ eight<W> read(const void *at)
{
    return *(const eight<W> *)at;
}

/* --- norms --- */

static __device__ float add_up(float4 v)
{
    return v.x + v.y + v.z + v.w;
}

static __device__ float4 squared(float4 v, float center)
{
    float4 d = {v.x - center, v.y - center, v.z - center, v.w - center};
    return {d.x * d.x, d.y * d.y, d.z * d.z, d.w * d.w};
}

/* Whether a row is 0 instead, by its index; the first block's first thread says that of another than 0 or -1. */
static __device__ bool is_empty(const struct few &p, int64_t row)
{
    int32_t index = p.index ? p.index[row] : 0;
    if (index != 0 && index != -1 && blockIdx.x == 0 && threadIdx.x == 0)
        para_fault(p.fault, row, index);
    return index != 0;
}

/* What a norm makes of rows: each has a mean and the inverse of a spread, or is 0. */
template <int ROWS> struct measured {
    float center[ROWS], scale[ROWS];
    bool empty[ROWS];

    __device__ float normed(int r, float x, float gamma, float beta) const
    {
        return empty[r] ? 0.0f : gamma * ((x - center[r]) * scale[r]) + beta;
    }
};

/* f(x[e] to x[e + 3]) added up over a row, by a warp; all of up to 1024 elements are on their way at once */
template <class F> static __device__ float add_up_row(const float *x, int64_t inner, F f)
{
    const int AT_ONCE = 8;
    float sum = 0;
    for (int64_t from = 4 * (threadIdx.x % PARA_WARP); from < inner; from += AT_ONCE * 4 * PARA_WARP) {
        float4 v[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            int64_t e = from + i * 4 * PARA_WARP;
            v[i] = *(const float4 *)(x + (e < inner ? e : from));
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++)
            sum += from + i * 4 * PARA_WARP < inner ? f(v[i]) : 0.0f;
    }
    return para_warp_fold(sum, para_plus());
}

/* Measure rows from number `first` on, a warp each; the block's threads call it together. */
template <int ROWS> static __device__ void measure_rows(const struct few &p, int64_t first, struct measured<ROWS> *m)
{
    __shared__ float2 of_row[ROWS];
    int warp = threadIdx.x / PARA_WARP;
    int64_t inner = p.f.inner;
    if (warp < ROWS) {
        const float *x = (const float *)p.x + (first + warp) * p.f.x_ld;
        float center = add_up_row(x, inner, [](float4 v) { return add_up(v); }) / (float)inner;
        float squares = add_up_row(x, inner, [=](float4 v) { return add_up(squared(v, center)); });
        of_row[warp] = {center, 1.0f / sqrtf(squares / (float)inner + p.eps)};
    }
    __syncthreads();
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        m->center[r] = of_row[r].x;
        m->scale[r] = of_row[r].y;
        m->empty[r] = is_empty(p, first + r);
    }
}

/* s (ROWS, inner) = rows from number `first` on, normed or as they are; the block's threads call it together */
template <int ROWS, bool NORM, class X>
static __device__ void stage_rows(const struct few &p, int64_t first, float *__restrict__ s)
{
    struct measured<ROWS> m;
    int64_t inner = p.f.inner;
    const X *x = (const X *)p.x + first * p.f.x_ld;
    if (NORM)
        measure_rows<ROWS>(p, first, &m);
    for (int64_t e = threadIdx.x; e < inner; e += blockDim.x) {
        float gamma = NORM ? p.gamma[e] : 0, beta = NORM ? p.beta[e] : 0;
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            float of_x = (float)x[r * p.f.x_ld + e];
            s[r * inner + e] = NORM ? m.normed(r, of_x, gamma, beta) : of_x;
        }
    }
    __syncthreads();
}

/* Write the sum of a row and column, at `at` of y, with its bias and what is added to it. */
template <class Y> static __device__ void put(const struct few &p, int64_t at, float sum, float bias, float residual)
{
    Y *y = (Y *)p.y + at;
    sum += bias;
    if (p.gelu)
        sum *= para_half_of_tanh(sum);
    sum += residual;
    *y = para_round<Y>(p.add ? (float)*y + sum : sum);
}

/* --- w (K,C): a block has two eights of columns, a thread every so manieth k --- */

/* Add up COUNT sums over the threads of a warp that have the same eight: at each step a thread gives half of what it
 * has to the one beside it. Returns the number of the first sum that it is left with. */
template <int COUNT, int STEP = EIGHTS> static __device__ int share_sums(float *sum)
{
    if constexpr (STEP >= PARA_WARP)
        return 0;
    else if constexpr (COUNT == 1) {
        sum[0] += __shfl_xor_sync(~0u, sum[0], STEP);
        return share_sums<1, 2 * STEP>(sum);
    } else {
        bool upper = threadIdx.x & STEP;
#pragma unroll
        for (int i = 0; i < COUNT / 2; i++) {
            float give = upper ? sum[i] : sum[COUNT / 2 + i];
            sum[i] = (upper ? sum[COUNT / 2 + i] : sum[i]) + __shfl_xor_sync(~0u, give, STEP);
        }
        return (upper ? COUNT / 2 : 0) + share_sums<COUNT / 2, 2 * STEP>(sum);
    }
}

/* Of a row or two a thread holds what it multiplies, of more shared memory. */
template <int ROWS> static constexpr __host__ __device__ bool holds_rows()
{
    return ROWS <= 2;
}

template <int ROWS, class X, class W, class Y, bool NORM>
static __global__ void __launch_bounds__(MANY_THREADS) by_column(struct few p, int64_t first)
{
    const bool HOLDS = holds_rows<ROWS>(), NORMS = HOLDS && NORM;
    const int AHEAD = sizeof(W) == 4 ? 3 : HOLDS && !NORM ? 12 : 6, MOST_WARPS = MANY_THREADS / PARA_WARP;
    const int SUMS = ROWS * EIGHT, LEFT = SUMS > 16 ? SUMS / 16 : 1;
    __shared__ float of_warp[MOST_WARPS][EIGHTS][SUMS];
    extern __shared__ float staged[];
    int number = threadIdx.x % EIGHTS, lane = threadIdx.x / EIGHTS, lanes = blockDim.x / EIGHTS;
    int warp = threadIdx.x / PARA_WARP;
    int64_t begin = blockIdx.x * (int64_t)EIGHTS * EIGHT, column = begin + number * EIGHT, inner = p.f.inner;
    const W *w = (const W *)p.w + (column < p.f.columns ? column : 0);
    eight<W> ahead[AHEAD];
    float gamma[AHEAD], beta[AHEAD], own[HOLDS ? ROWS : 1][AHEAD], sum[SUMS] = {};
    struct measured<HOLDS ? ROWS : 1> m;
    /* The element that this thread writes, if it does. */
    int own_row = threadIdx.x / (EIGHTS * EIGHT), own_column = threadIdx.x % (EIGHTS * EIGHT);
    bool writes = own_row < ROWS && begin + own_column < p.f.columns;
    int64_t at = (first + own_row) * p.f.y_row + (begin + own_column) * p.f.y_column;
    para_let_next();
    if (!p.ready)
        para_wait_before();
#pragma unroll
    for (int i = 0; i < AHEAD; i++) {
        int64_t k = lane + i * lanes < inner ? lane + i * lanes : 0;
        ahead[i] = read<W>(w + k * p.f.w_ld);
        gamma[i] = NORMS ? p.gamma[k] : 0;
        beta[i] = NORMS ? p.beta[k] : 0;
    }
    for (int64_t k = lane + AHEAD * lanes; k < inner; k += lanes)
        para_fetch(w + k * p.f.w_ld);
    for (int64_t e = 32 * threadIdx.x; NORM && !HOLDS && e < inner; e += 32 * blockDim.x) {
        para_fetch(p.gamma + e);
        para_fetch(p.beta + e);
    }
    float bias = writes && p.bias ? p.bias[begin + own_column] : 0.0f;
    if (p.ready)
        para_wait_before();
    float residual = writes && p.residual ? p.residual[at] : 0.0f;
    const X *x = (const X *)p.x + first * p.f.x_ld;
#pragma unroll
    for (int r = 0; r < ROWS && HOLDS; r++)
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
            own[r][i] = lane + i * lanes < inner ? (float)x[r * p.f.x_ld + lane + i * lanes] : 0.0f;
    if constexpr (NORMS)
        measure_rows<ROWS>(p, first, &m);
    if (!HOLDS)
        stage_rows<ROWS, NORM, X>(p, first, staged);
    auto multiply = [&](const eight<W> &weights, int r, float of_x) {
#pragma unroll
        for (int i = 0; i < EIGHT; i++)
            sum[r * EIGHT + i] += of_x * (float)weights.of[i];
    };
#pragma unroll
    for (int i = 0; i < AHEAD; i++)
        if (lane + i * lanes < inner)
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                float of_x = HOLDS ? own[HOLDS ? r : 0][i] : staged[r * inner + lane + i * lanes];
                multiply(ahead[i], r, NORMS ? m.normed(HOLDS ? r : 0, of_x, gamma[i], beta[i]) : of_x);
            }
#pragma unroll 6
    for (int64_t k = lane + AHEAD * lanes; k < inner; k += lanes) {
        eight<W> weights = read<W>(w + k * p.f.w_ld);
#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            float of_x = HOLDS ? (float)x[r * p.f.x_ld + k] : staged[r * inner + k];
            multiply(weights, r, NORMS ? m.normed(HOLDS ? r : 0, of_x, p.gamma[k], p.beta[k]) : of_x);
        }
    }
    int left = share_sums<SUMS>(sum);
#pragma unroll
    for (int i = 0; i < LEFT; i++)
        of_warp[warp][number][left + i] = sum[i]; /* of one row two threads write the same */
    __syncthreads();
    if (!writes)
        return;
    float all = 0;
#pragma unroll 8
    for (int k = 0; k < blockDim.x / PARA_WARP; k++)
        all += of_warp[k][own_column / EIGHT][own_row * EIGHT + own_column % EIGHT];
    put<Y>(p, at, all, bias, residual);
}

/* --- w (C,K): a warp has two columns at a time, every so manieth two --- */

enum { AT_ONCE = 2 };

template <int ROWS, class X, class W, class Y, bool NORM>
static __global__ void __launch_bounds__(THREADS) by_row(struct few p, int64_t first)
{
    extern __shared__ float normed[];
    int lane = threadIdx.x % PARA_WARP;
    int64_t inner = p.f.inner, columns = p.f.columns, apart = AT_ONCE * (int64_t)gridDim.x * (THREADS / PARA_WARP);
    int64_t begin = AT_ONCE * (blockIdx.x * (int64_t)(THREADS / PARA_WARP) + threadIdx.x / PARA_WARP);
    const W *w = (const W *)p.w;
    para_let_next();
    if (!p.ready)
        para_wait_before();
    if (p.ready)
        for (int64_t k = lane * EIGHT; k < inner && begin + AT_ONCE <= columns; k += PARA_WARP * EIGHT)
            for (int i = 0; i < AT_ONCE; i++)
                para_fetch(w + (begin + i) * p.f.w_ld + k);
    for (int64_t e = 4 * threadIdx.x; NORM && e < inner; e += 4 * THREADS) {
        para_fetch(p.gamma + e);
        para_fetch(p.beta + e);
    }
    if (p.ready)
        para_wait_before();
    if (NORM)
        stage_rows<ROWS, true, float>(p, first, normed);
    const X *x = NORM ? (const X *)normed : (const X *)p.x + first * p.f.x_ld;
    int64_t ld = NORM ? inner : p.f.x_ld;
    for (int64_t column = begin; column < columns; column += apart) {
        float sum[ROWS][AT_ONCE] = {};
#pragma unroll 3
        for (int64_t k = lane * EIGHT; k < inner; k += PARA_WARP * EIGHT) {
            eight<W> weights[AT_ONCE];
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++)
                weights[i] = read<W>(w + (column + i < columns ? column + i : column) * p.f.w_ld + k);
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                eight<X> own = read<X>(x + r * ld + k);
#pragma unroll
                for (int i = 0; i < AT_ONCE; i++)
#pragma unroll
                    for (int e = 0; e < EIGHT; e++)
                        sum[r][i] += (float)own.of[e] * (float)weights[i].of[e];
            }
        }
#pragma unroll
        for (int r = 0; r < ROWS; r++)
#pragma unroll
            for (int i = 0; i < AT_ONCE; i++) {
                sum[r][i] = para_warp_fold(sum[r][i], para_plus());
                int64_t at = (first + r) * p.f.y_row + (column + i) * p.f.y_column;
                if (lane == i && column + i < columns)
                    put<Y>(p, at, sum[r][i], p.bias ? p.bias[column + i] : 0.0f, p.residual ? p.residual[at] : 0.0f);
            }
    }
}

/* --- launching --- */

template <int ROWS, class X, class W, class Y, bool NORM>
static int launch(const struct para_call *c, const struct few &p, int64_t first)
{
    int64_t of_block = p.f.by_column ? EIGHTS * EIGHT : AT_ONCE * THREADS / PARA_WARP;
    int64_t blocks = (p.f.columns + of_block - 1) / of_block;
    size_t staged = ROWS * (size_t)p.f.inner * sizeof(float);
    if (!p.f.by_column)
        return para_launch_early(c, by_row<ROWS, X, W, Y, NORM>, dim3((unsigned)(blocks < BLOCKS ? blocks : BLOCKS)),
                                 THREADS, NORM ? staged : 0, 1, p, first);
    cudaFuncSetAttribute(by_column<ROWS, X, W, Y, NORM>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         holds_rows<ROWS>() ? 0 : (int)staged);
    return para_launch_early(c, by_column<ROWS, X, W, Y, NORM>, dim3((unsigned)blocks),
                             p.f.inner > LONG ? MANY_THREADS : THREADS, holds_rows<ROWS>() ? 0 : staged, 1, p, first);
}

/* How many rows go through at once: as many as shared memory has room for. */
static int64_t at_once(const struct few &p, int64_t left)
{
    int64_t count = 8, most = SHARED_BY_ROW, there = (int64_t)para_most_shared() - SHARED_BESIDE;
    bool stages = p.f.by_column || p.gamma;
    if (p.f.by_column)
        most = there < SHARED_BY_COLUMN ? there : SHARED_BY_COLUMN;
    while (count > 1 && (count > left || (stages && count * p.f.inner * (int64_t)sizeof(float) > most)))
        count /= 2;
    return count;
}

template <class X, class W, class Y, bool NORM> static int run(const struct para_call *c, const struct few &p)
{
    for (int64_t first = 0, count; first < p.f.rows; first += count) {
        count = at_once(p, p.f.rows - first);
        int status = count == 8   ? launch<8, X, W, Y, NORM>(c, p, first)
                     : count == 4 ? launch<4, X, W, Y, NORM>(c, p, first)
                     : count == 2 ? launch<2, X, W, Y, NORM>(c, p, first)
                                  : launch<1, X, W, Y, NORM>(c, p, first);
        PARA_TRY(status);
    }
    return 0;
}

bool para_has_few_rows(const para_node *n)
{
    struct para_few f;
    return para_few_rows(&f, n);
}

int para_few_rows_cuda(const struct para_call *c, void *y, bool add)
{
    const para_tensor *b = c->node->in[PARA_B];
    struct few p = {};
    para_few_rows(&p.f, c->node);
    p.x = c->in[PARA_A];
    p.w = c->in[PARA_B];
    p.y = y;
    p.add = add;
    p.ready = para_is_source(b);
    bool narrow = c->node->out[0]->shape.dtype == PARA_BF16;
    if (c->node->in[PARA_A]->shape.dtype == PARA_BF16)
        return narrow ? run<para_half, para_half, para_half, false>(c, p)
                      : run<para_half, para_half, float, false>(c, p);
    return b->shape.dtype == PARA_BF16 ? run<float, para_half, float, false>(c, p)
           : b->shape.dtype == PARA_I8 ? run<float, int8_t, float, false>(c, p)
                                       : run<float, float, float, false>(c, p);
}

/* --- with what is beside --- */

/* The product is the node's statement number `product`, its matrix input number `w`; bias and residual follow that. */
static int run_fused(const struct para_call *c, int product, int w, bool norms, bool has_bias, bool has_residual)
{
    struct para_fused all;
    struct few p = {};
    PARA_TRY(para_fused_open(&all, c->node, c->err));
    if (!para_few_rows(&p.f, &all.node[product]))
        return para_fail(c->err, PARA_ESHAPE, "a product of many rows, or one that isn't walked by rows");
    p.x = c->in[0];
    p.w = c->in[w];
    p.y = c->out[0];
    p.gamma = norms ? (const float *)c->in[1] : NULL;
    p.beta = norms ? (const float *)c->in[2] : NULL;
    p.bias = has_bias ? (const float *)c->in[w + 1] : NULL;
    p.residual = has_residual ? (const float *)c->in[w + 2] : NULL;
    p.eps = norms ? (float)all.node[all.pattern.count - 1].attr[0].f : 0;
    p.gelu = all.pattern.count == 4;
    p.index = has_bias ? NULL : (const int32_t *)c->in[w + 1];
    p.fault = c->fault;
    p.ready = true; /* all but x and the residual stream */
    for (int i = 1; i < c->node->n_in; i++)
        p.ready = p.ready && (c->in[i] == p.residual || para_is_source(c->node->in[i]));
    if (c->node->in[w]->shape.dtype == PARA_BF16)
        return norms ? run<float, para_half, float, true>(c, p) : run<float, para_half, float, false>(c, p);
    return norms ? run<float, float, float, true>(c, p) : run<float, float, float, false>(c, p);
}

int para_linear_add_cuda(const struct para_call *c)
{
    return run_fused(c, 2, 1, false, true, true);
}

int para_norm_select_matmul_cuda(const struct para_call *c)
{
    return run_fused(c, 0, 3, true, false, false);
}

int para_norm_linear_cuda(const struct para_call *c)
{
    return run_fused(c, 1, 3, true, true, false);
}

int para_norm_linear_gelu_cuda(const struct para_call *c)
{
    return run_fused(c, 2, 3, true, true, false);
}
