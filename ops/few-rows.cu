/* Products of few rows on a GPU, as generation makes them: they take the time of reading the weights, which are read
 * once for eight rows, in their own type, eight neighbours a thread. A row's sums have the same order whatever rows are
 * beside it. What stands beside a product is computed with it: each block norms the rows that it reads, and a bias,
 * gelu and the residual stream meet the sum before it is written. Kernels begin early: weights are on their way while
 * those before still compute what they are to be multiplied by. */
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
    LONG = 1024,  /* a sum of more elements is made by many threads */
    BLOCKS = 528, /* at most, where sums lie innermost: four on each multiprocessor of an H100 */
    SHARED = 40 << 10
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

/* --- norms: the block's threads call these together, each with the same few places of a row --- */

enum { PLACES = 2 }; /* of four neighbours, that a thread has of each row */

static __device__ int64_t place(int i)
{
    return 4 * (threadIdx.x + i * (int64_t)blockDim.x);
}

/* What is known of a norm before its rows are. */
struct norm {
    float4 gamma[PLACES], beta[PLACES];

    __device__ void load(const struct few &p)
    {
#pragma unroll
        for (int i = 0; i < PLACES; i++)
            if (place(i) < p.f.inner) {
                gamma[i] = *(const float4 *)(p.gamma + place(i));
                beta[i] = *(const float4 *)(p.beta + place(i));
            }
    }
};

static __device__ float add_up(float4 v)
{
    return v.x + v.y + v.z + v.w;
}

static __device__ float4 squared(float4 v, float center)
{
    float4 d = {v.x - center, v.y - center, v.z - center, v.w - center};
    return {d.x * d.x, d.y * d.y, d.z * d.z, d.w * d.w};
}

/* The sums of the block's parts, one for each row; `room` is another at each call. */
template <int ROWS> static __device__ void fold(float part[ROWS], float room[][ROWS])
{
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        part[r] = para_warp_fold(part[r], para_plus());
        if (threadIdx.x % PARA_WARP == 0)
            room[threadIdx.x / PARA_WARP][r] = part[r];
    }
    __syncthreads();
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        part[r] = 0;
        for (int w = 0; w < blockDim.x / PARA_WARP; w++)
            part[r] += room[w][r];
    }
}

/* s (ROWS, inner) = layernorm of rows from number `first` on; 0 where their index is -1. */
template <int ROWS>
static __device__ void norm_rows(const struct few &p, const struct norm &n, int64_t first, float *__restrict__ s)
{
    __shared__ float sums[MANY_THREADS / PARA_WARP][ROWS], squares[MANY_THREADS / PARA_WARP][ROWS];
    const float4 none = {0, 0, 0, 0};
    float4 v[ROWS][PLACES];
    float center[ROWS] = {}, scale[ROWS] = {};
    int64_t inner = p.f.inner;
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int i = 0; i < PLACES; i++) {
            const float *x = (const float *)p.x + (first + r) * p.f.x_ld + place(i);
            v[r][i] = place(i) < inner ? *(const float4 *)x : none;
            center[r] += add_up(v[r][i]);
        }
    fold<ROWS>(center, sums);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        center[r] /= (float)inner;
#pragma unroll
        for (int i = 0; i < PLACES; i++)
            scale[r] += place(i) < inner ? add_up(squared(v[r][i], center[r])) : 0.0f;
    }
    fold<ROWS>(scale, squares);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        int32_t index = p.index ? p.index[first + r] : 0;
        float c = center[r], k = 1.0f / sqrtf(scale[r] / (float)inner + p.eps);
        if (index != 0 && index != -1 && blockIdx.x == 0 && threadIdx.x == 0)
            para_fault(p.fault, first + r, index);
#pragma unroll
        for (int i = 0; i < PLACES; i++) {
            float4 x = v[r][i], g = n.gamma[i], b = n.beta[i];
            float4 y = {g.x * ((x.x - c) * k) + b.x, g.y * ((x.y - c) * k) + b.y, g.z * ((x.z - c) * k) + b.z,
                        g.w * ((x.w - c) * k) + b.w};
            if (place(i) < inner)
                *(float4 *)(s + r * inner + place(i)) = index ? none : y;
        }
    }
    __syncthreads();
}

template <class Y> static __device__ void put(const struct few &p, int64_t row, int64_t column, float sum)
{
    int64_t at = row * p.f.y_row + column * p.f.y_column;
    Y *y = (Y *)p.y + at;
    if (p.bias)
        sum += p.bias[column];
    if (p.gelu)
        sum *= para_half_of_tanh(sum);
    if (p.residual)
        sum += p.residual[at];
    *y = para_round<Y>(p.add ? (float)*y + sum : sum);
}

/* --- w (K,C): a block has two eights of columns, a thread every so manieth k --- */

template <int ROWS, class X, class W, class Y, bool NORM>
static __global__ void __launch_bounds__(MANY_THREADS) by_column(struct few p, int64_t first)
{
    const int AHEAD = sizeof(W) == 4 ? 3 : 6, MOST_WARPS = MANY_THREADS / PARA_WARP;
    __shared__ float of_warp[MOST_WARPS][EIGHTS][ROWS * EIGHT];
    extern __shared__ float normed[];
    int number = threadIdx.x % EIGHTS, lane = threadIdx.x / EIGHTS, lanes = blockDim.x / EIGHTS;
    int warp = threadIdx.x / PARA_WARP;
    int64_t begin = blockIdx.x * (int64_t)EIGHTS * EIGHT, column = begin + number * EIGHT, inner = p.f.inner;
    bool within = column < p.f.columns;
    const W *w = (const W *)p.w + (within ? column : 0);
    eight<W> ahead[AHEAD];
    float sum[ROWS][EIGHT] = {};
    struct norm n;
    para_let_next();
    if (!p.ready)
        para_wait_before();
#pragma unroll
    for (int i = 0; i < AHEAD; i++)
        if (lane + i * lanes < inner)
            ahead[i] = read<W>(w + (lane + i * lanes) * p.f.w_ld);
    for (int64_t k = lane + AHEAD * lanes; k < inner; k += lanes)
        para_fetch(w + k * p.f.w_ld);
    if (p.bias && threadIdx.x == 0)
        para_fetch(p.bias + begin);
    if (NORM)
        n.load(p);
    if (p.ready)
        para_wait_before();
    if (NORM)
        norm_rows<ROWS>(p, n, first, normed);
    const X *x = NORM ? (const X *)normed : (const X *)p.x + first * p.f.x_ld;
    int64_t ld = NORM ? inner : p.f.x_ld;
    auto multiply = [&](const eight<W> &weights, int64_t k) {
#pragma unroll
        for (int r = 0; r < ROWS; r++)
#pragma unroll
            for (int i = 0; i < EIGHT; i++)
                sum[r][i] += (float)x[r * ld + k] * (float)weights.of[i];
    };
#pragma unroll
    for (int i = 0; i < AHEAD; i++)
        if (lane + i * lanes < inner)
            multiply(ahead[i], lane + i * lanes);
#pragma unroll 6
    for (int64_t k = lane + AHEAD * lanes; k < inner; k += lanes)
        multiply(read<W>(w + k * p.f.w_ld), k);
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int i = 0; i < EIGHT; i++) {
            for (int step = EIGHTS; step < PARA_WARP; step *= 2)
                sum[r][i] += __shfl_xor_sync(~0u, sum[r][i], step);
            if (threadIdx.x % PARA_WARP < EIGHTS)
                of_warp[warp][number][r * EIGHT + i] = sum[r][i];
        }
    __syncthreads();
    for (int e = threadIdx.x; e < EIGHTS * ROWS * EIGHT; e += blockDim.x) {
        int row = e / (EIGHTS * EIGHT), of = e / EIGHT % EIGHTS, i = e % EIGHT;
        int64_t at = begin + of * EIGHT + i;
        float all = 0;
        for (int k = 0; k < blockDim.x / PARA_WARP; k++)
            all += of_warp[k][of][row * EIGHT + i];
        if (at < p.f.columns)
            put<Y>(p, first + row, at, all);
    }
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
    struct norm n;
    para_let_next();
    if (!p.ready)
        para_wait_before();
    if (p.ready)
        for (int64_t k = lane * EIGHT; k < inner && begin + AT_ONCE <= columns; k += PARA_WARP * EIGHT)
            for (int i = 0; i < AT_ONCE; i++)
                para_fetch(w + (begin + i) * p.f.w_ld + k);
    if (NORM)
        n.load(p);
    if (p.ready)
        para_wait_before();
    if (NORM)
        norm_rows<ROWS>(p, n, first, normed);
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
                if (lane == i && column + i < columns)
                    put<Y>(p, first + r, column + i, sum[r][i]);
            }
    }
}

/* --- launching --- */

template <int ROWS, class X, class W, class Y, bool NORM>
static int launch(const struct para_call *c, const struct few &p, int64_t first)
{
    int64_t of_block = p.f.by_column ? EIGHTS * EIGHT : AT_ONCE * THREADS / PARA_WARP;
    int64_t blocks = (p.f.columns + of_block - 1) / of_block;
    size_t shared = NORM ? ROWS * (size_t)p.f.inner * sizeof(float) : 0;
    if (p.f.by_column)
        return para_launch_early(c, by_column<ROWS, X, W, Y, NORM>, dim3((unsigned)blocks),
                                 p.f.inner > LONG ? MANY_THREADS : THREADS, shared, 1, p, first);
    return para_launch_early(c, by_row<ROWS, X, W, Y, NORM>, dim3((unsigned)(blocks < BLOCKS ? blocks : BLOCKS)),
                             THREADS, shared, 1, p, first);
}

/* How many rows go through at once: as many as shared memory has room for, normed. */
static int64_t at_once(const struct few &p, int64_t left)
{
    int64_t count = 8;
    while (count > 1 && (count > left || (p.gamma && count * p.f.inner * (int64_t)sizeof(float) > SHARED)))
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
