/* attention and its gradient on a GPU in bfloat16, on tensor cores: Dao, 2023, algorithms 1 and 2, products of 16 x 8 x
 * 16 with float32 sums. A warp has sixteen rows, of queries, or, for dk and dv, of keys; a block goes over the other
 * side's tiles in order, of which the next is on its way while one is worked on. Scores stay in registers: what one
 * product leaves there is an operand of the next. No atomics: dq has a pass of its own, which makes scores again. */
#include "ops/attention-cuda.h"

/* Rows of a warp; of a tile in shared memory; columns of scores that a warp makes at a time. */
enum { ROWS = 16, TILE = 64, STEP = 32 };

static const float LOG2_E = 1.4426950408889634f;

/* --- tiles in shared memory: rows of D elements in chunks of 16 bytes, whose order differs from row to row, so that
 * eight rows' chunks of one number lie in different banks --- */

template <int D> static __device__ int place(int row, int chunk)
{
    return row * D + ((chunk ^ (row & 7)) * 8);
}

static __device__ unsigned shared_address(const void *p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}

/* Begin to copy 16 bytes, or zeros. */
static __device__ void copy_chunk(para_half *to, const para_half *from, bool within)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(within ? 16 : 0));
}

static __device__ void wait_for_copies()
{
    asm volatile("cp.async.wait_all;" ::: "memory");
}

/* Begin to copy TILE rows from `first` on; 0 behind the last of `rows`. */
template <int D, int N, int THREADS>
static __device__ void load(para_half *tile, const para_half *from, int64_t ld, int64_t first, int64_t rows)
{
    const int CHUNKS = D / 8;
#pragma unroll
    for (int i = threadIdx.x; i < N * CHUNKS; i += THREADS) {
        int row = i / CHUNKS, chunk = i % CHUNKS;
        bool within = first + row < rows;
        copy_chunk(tile + place<D>(row, chunk), from + (within ? (first + row) * ld : 0) + chunk * 8, within);
    }
}

/* --- fragments --- */

static __device__ void load_matrices(unsigned r[4], const para_half *at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(at)));
}

static __device__ void load_transposed(unsigned r[4], const para_half *at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(at)));
}

/* Left operand: sixteen rows from `row` on, columns 16 k to 16 k + 15. */
template <int D> static __device__ void load_left(unsigned a[4], const para_half *tile, int row, int k)
{
    int lane = threadIdx.x % PARA_WARP, matrix = lane / 8;
    load_matrices(a, tile + place<D>(row + (matrix % 2) * 8 + lane % 8, 2 * k + matrix / 2));
}

/* Right operand, twice: the transpose of sixteen rows from `row` on, whose columns 16 k to 16 k + 15 are summed over.
 */
template <int D> static __device__ void load_right(unsigned b[4], const para_half *tile, int row, int k)
{
    int lane = threadIdx.x % PARA_WARP, matrix = lane / 8;
    load_matrices(b, tile + place<D>(row + (matrix / 2) * 8 + lane % 8, 2 * k + matrix % 2));
}

/* Right operand, twice: sixteen rows from `row` on, which are summed over, and columns from 16 n on. */
template <int D> static __device__ void load_rows(unsigned b[4], const para_half *tile, int row, int n)
{
    int lane = threadIdx.x % PARA_WARP, matrix = lane / 8;
    load_transposed(b, tile + place<D>(row + (matrix % 2) * 8 + lane % 8, 2 * n + matrix / 2));
}

/* c (16,8) += a (16,16) b (16,8) */
static __device__ void multiply(float c[4], const unsigned a[4], const unsigned b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

static __device__ unsigned pair(float low, float high)
{
    __nv_bfloat162 both = __floats2bfloat162_rn(low, high);
    return *(unsigned *)&both;
}

/* Columns 16 k to 16 k + 15 of sums (16, ...), rounded, as a left operand. */
static __device__ void as_left(unsigned a[4], const float s[][4], int k)
{
    a[0] = pair(s[2 * k][0], s[2 * k][1]);
    a[1] = pair(s[2 * k][2], s[2 * k][3]);
    a[2] = pair(s[2 * k + 1][0], s[2 * k + 1][1]);
    a[3] = pair(s[2 * k + 1][2], s[2 * k + 1][3]);
}

static __device__ float exp2_of(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* s (16, N) = a warp's sixteen rows of x, at `own`, times rows from `row` on of y, transposed. */
template <int D, int N>
static __device__ void scores(float s[N / 8][4], const para_half *x, int own, const para_half *y, int row)
{
#pragma unroll
    for (int n = 0; n < N / 8; n++)
        for (int i = 0; i < 4; i++)
            s[n][i] = 0;
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        unsigned a[4];
        load_left<D>(a, x, own, k);
#pragma unroll
        for (int n = 0; n < N / 16; n++) {
            unsigned b[4];
            load_right<D>(b, y, row + 16 * n, k);
            multiply(s[2 * n], a, b);
            multiply(s[2 * n + 1], a, b + 2);
        }
    }
}

/* o (16, D) += p (16, N) times rows from `row` on of y */
template <int D, int N>
static __device__ void add_product(float o[D / 8][4], const float p[N / 8][4], const para_half *y, int row)
{
#pragma unroll
    for (int k = 0; k < N / 16; k++) {
        unsigned a[4];
        as_left(a, p, k);
#pragma unroll
        for (int n = 0; n < D / 16; n++) {
            unsigned b[4];
            load_rows<D>(b, y, row + 16 * k, n);
            multiply(o[2 * n], a, b);
            multiply(o[2 * n + 1], a, b + 2);
        }
    }
}

/* Write a warp's rows, through its own rows of a tile: those before `rows`, from row `first` of the operand on. */
template <int D>
static __device__ void store(para_half *to, int64_t ld, int64_t first, int64_t rows, para_half *tile, int own,
                             const float o[D / 8][4], float low, float high)
{
    int lane = threadIdx.x % PARA_WARP, row = lane / 4, column = lane % 4 * 2;
    __syncwarp();
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
        *(unsigned *)(tile + place<D>(own + row, n) + column) = pair(o[n][0] * low, o[n][1] * low);
        *(unsigned *)(tile + place<D>(own + row + 8, n) + column) = pair(o[n][2] * high, o[n][3] * high);
    }
    __syncwarp();
    const int CHUNKS = D / 8;
#pragma unroll
    for (int i = lane; i < ROWS * CHUNKS; i += PARA_WARP) {
        int r = i / CHUNKS, chunk = i % CHUNKS;
        if (first + r < rows)
            para_store(to + (first + r) * ld + chunk * 8, para_load(tile + place<D>(own + r, chunk)));
    }
}

/* Fold over the four threads that have a row's columns. */
template <class F> static __device__ float across(float v, F f)
{
    v = f(v, __shfl_xor_sync(~0u, v, 1));
    return f(v, __shfl_xor_sync(~0u, v, 2));
}

static __device__ float sum_across(float v)
{
    return across(v, [](float a, float b) { return a + b; });
}

/* --- forward: eight warps have a tile of 128 queries --- */

enum { FORWARD_WARPS = 8, FORWARD_ROWS = FORWARD_WARPS * ROWS, FORWARD_THREADS = FORWARD_WARPS * PARA_WARP };

template <int D> struct forward_tiles {
    para_half q[FORWARD_ROWS * D], k[2][TILE * D], v[2][TILE * D];
};

/* Scores of keys from `key` on that rows `row` and row + 8 don't see become -infinity. */
template <int N>
static __device__ void mask(const struct para_planes<para_half> &p, float s[N / 8][4], int64_t row, int64_t key)
{
    int64_t column = key + threadIdx.x % 4 * 2, low = p.visible(row) - column, high = p.visible(row + 8) - column;
#pragma unroll
    for (int n = 0; n < N / 8; n++)
        for (int i = 0; i < 2; i++) {
            s[n][i] = 8 * n + i < low ? s[n][i] : -INFINITY;
            s[n][2 + i] = 8 * n + i < high ? s[n][2 + i] : -INFINITY;
        }
}

template <int D> static __global__ void __launch_bounds__(FORWARD_THREADS) forward(struct para_planes<para_half> all)
{
    extern __shared__ __align__(128) char memory[];
    struct forward_tiles<D> *t = (struct forward_tiles<D> *)memory;
    struct para_planes<para_half> p = all.at(blockIdx.x, blockIdx.z);
    int lane = threadIdx.x % PARA_WARP, own = threadIdx.x / PARA_WARP * ROWS;
    int64_t first = (gridDim.y - 1 - blockIdx.y) * (int64_t)FORWARD_ROWS; /* those that see most come first */
    int64_t last = first + FORWARD_ROWS < p.queries ? first + FORWARD_ROWS : p.queries, end = p.visible(last - 1);
    int64_t row = first + own + lane / 4;
    float o[D / 8][4] = {}, top[2] = {-INFINITY, -INFINITY}, sum[2] = {}, scale = p.scale * LOG2_E;
    load<D, FORWARD_ROWS, FORWARD_THREADS>(t->q, p.q, p.q_ld, first, p.queries);
    load<D, TILE, FORWARD_THREADS>(t->k[0], p.k, p.kv_ld, 0, p.keys);
    load<D, TILE, FORWARD_THREADS>(t->v[0], p.v, p.kv_ld, 0, p.keys);
    for (int64_t key = 0, stage = 0; key < end; key += TILE, stage ^= 1) {
        wait_for_copies();
        __syncthreads();
        if (key + TILE < end) {
            load<D, TILE, FORWARD_THREADS>(t->k[stage ^ 1], p.k, p.kv_ld, key + TILE, p.keys);
            load<D, TILE, FORWARD_THREADS>(t->v[stage ^ 1], p.v, p.kv_ld, key + TILE, p.keys);
        }
        float s[TILE / 8][4];
        scores<D, TILE>(s, t->q, own, t->k[stage], 0);
        if (key + TILE > p.visible(first + own))
            mask<TILE>(p, s, row, key);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float highest = top[half], added = 0;
#pragma unroll
            for (int n = 0; n < TILE / 8; n++)
                highest = fmaxf(highest, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
            highest = across(highest, [](float a, float b) { return fmaxf(a, b); });
            float base = highest == -INFINITY ? 0.0f : highest * scale, kept = exp2_of(top[half] * scale - base);
#pragma unroll
            for (int n = 0; n < TILE / 8; n++) {
                s[n][2 * half] = exp2_of(s[n][2 * half] * scale - base);
                s[n][2 * half + 1] = exp2_of(s[n][2 * half + 1] * scale - base);
                added += s[n][2 * half] + s[n][2 * half + 1];
            }
            sum[half] = sum[half] * kept + added;
            top[half] = highest;
#pragma unroll
            for (int n = 0; n < D / 8; n++) {
                o[n][2 * half] *= kept;
                o[n][2 * half + 1] *= kept;
            }
        }
        add_product<D, TILE>(o, s, t->v[stage], 0);
    }
    float low = sum_across(sum[0]), high = sum_across(sum[1]);
    store<D>(p.o, p.o_ld, first + own, p.queries, t->q, own, o, 1.0f / low, 1.0f / high);
    if (lane % 4 == 0 && row < p.queries)
        p.lse[row * p.lse_ld] = top[0] * p.scale + logf(low);
    if (lane % 4 == 0 && row + 8 < p.queries)
        p.lse[(row + 8) * p.lse_ld] = top[1] * p.scale + logf(high);
}

/* --- backward: four warps have a tile of 64 keys, or of 64 queries --- */

enum { BACKWARD_WARPS = TILE / ROWS, BACKWARD_THREADS = BACKWARD_WARPS * PARA_WARP };

template <int D> struct key_tiles {
    para_half k[TILE * D], v[TILE * D], q[2][TILE * D], d_o[2][TILE * D];
    float lse[2][TILE], delta[2][TILE];
};

/* Queries' log-sum-exp, for powers of two, and delta; where there is no query, what makes p zero. */
static __device__ void load_statistics(float *lse, float *delta, const struct para_planes<para_half> &p, int64_t first)
{
    for (int i = threadIdx.x; i < TILE; i += BACKWARD_THREADS) {
        bool within = first + i < p.queries;
        lse[i] = within ? p.lse[(first + i) * p.lse_ld] * LOG2_E : INFINITY;
        delta[i] = within ? p.delta[(first + i) * p.lse_ld] : 0;
    }
}

/* dk and dv: a warp has scores of its keys (rows) for some queries (columns) */
template <int D>
static __global__ void __launch_bounds__(BACKWARD_THREADS) backward_keys(struct para_planes<para_half> all)
{
    extern __shared__ __align__(128) char memory[];
    struct key_tiles<D> *t = (struct key_tiles<D> *)memory;
    struct para_planes<para_half> p = all.at(blockIdx.x, 0);
    int lane = threadIdx.x % PARA_WARP, own = threadIdx.x / PARA_WARP * ROWS;
    int64_t key = blockIdx.y * (int64_t)TILE, begin = p.first_query(key) / TILE * TILE;
    int64_t tiles = (p.queries - begin + TILE - 1) / TILE;
    tiles = tiles > 0 ? tiles : 0;
    float dk[D / 8][4] = {}, dv[D / 8][4] = {}, scale = p.scale * LOG2_E;
    load<D, TILE, BACKWARD_THREADS>(t->k, p.k, p.kv_ld, key, p.keys);
    load<D, TILE, BACKWARD_THREADS>(t->v, p.v, p.kv_ld, key, p.keys);
    for (int64_t i = -1, stage = 1; i < tiles * p.readers; i++, stage ^= 1) {
        wait_for_copies();
        __syncthreads();
        if (i + 1 < tiles * p.readers) { /* the next tile, of the next reader once one's are done */
            struct para_planes<para_half> next = all.at(blockIdx.x, (i + 1) / tiles);
            int64_t first = begin + (i + 1) % tiles * TILE;
            load<D, TILE, BACKWARD_THREADS>(t->q[stage ^ 1], next.q, p.q_ld, first, p.queries);
            load<D, TILE, BACKWARD_THREADS>(t->d_o[stage ^ 1], next.d_o, p.o_ld, first, p.queries);
            load_statistics(t->lse[stage ^ 1], t->delta[stage ^ 1], next, first);
        }
        if (i < 0)
            continue;
        int64_t query = begin + i % tiles * TILE;
        bool masked = p.causal && key + own + ROWS > p.visible(query);
#pragma unroll
        for (int step = 0; step < TILE; step += STEP) {
            float s[STEP / 8][4], ds[STEP / 8][4];
            scores<D, STEP>(s, t->k, own, t->q[stage], step);
            scores<D, STEP>(ds, t->v, own, t->d_o[stage], step);
#pragma unroll
            for (int n = 0; n < STEP / 8; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    int column = step + 8 * n + lane % 4 * 2 + e % 2;
                    float score = exp2_of(s[n][e] * scale - t->lse[stage][column]);
                    if (masked && key + own + lane / 4 + e / 2 * 8 >= p.visible(query + column))
                        score = 0;
                    s[n][e] = score;
                    ds[n][e] = score * (ds[n][e] - t->delta[stage][column]);
                }
            add_product<D, STEP>(dv, s, t->d_o[stage], step);
            add_product<D, STEP>(dk, ds, t->q[stage], step);
        }
    }
    __syncthreads();
    store<D>(p.dk, p.kv_ld, key + own, p.keys, t->k, own, dk, p.scale, p.scale);
    store<D>(p.dv, p.kv_ld, key + own, p.keys, t->v, own, dv, 1, 1);
}

template <int D> struct query_tiles {
    para_half q[TILE * D], d_o[TILE * D], k[2][TILE * D], v[2][TILE * D];
};

/* dq: a warp has scores of its queries (rows) for some keys (columns) */
template <int D>
static __global__ void __launch_bounds__(BACKWARD_THREADS) backward_queries(struct para_planes<para_half> all)
{
    extern __shared__ __align__(128) char memory[];
    struct query_tiles<D> *t = (struct query_tiles<D> *)memory;
    struct para_planes<para_half> p = all.at(blockIdx.x, blockIdx.z);
    int lane = threadIdx.x % PARA_WARP, own = threadIdx.x / PARA_WARP * ROWS;
    int64_t first = (gridDim.y - 1 - blockIdx.y) * (int64_t)TILE;
    int64_t last = first + TILE < p.queries ? first + TILE : p.queries, end = p.visible(last - 1);
    int64_t row = first + own + lane / 4;
    float dq[D / 8][4] = {}, scale = p.scale * LOG2_E, lse[2], delta[2];
    for (int half = 0; half < 2; half++) {
        bool within = row + 8 * half < p.queries;
        lse[half] = within ? p.lse[(row + 8 * half) * p.lse_ld] * LOG2_E : INFINITY;
        delta[half] = within ? p.delta[(row + 8 * half) * p.lse_ld] : 0;
    }
    load<D, TILE, BACKWARD_THREADS>(t->q, p.q, p.q_ld, first, p.queries);
    load<D, TILE, BACKWARD_THREADS>(t->d_o, p.d_o, p.o_ld, first, p.queries);
    load<D, TILE, BACKWARD_THREADS>(t->k[0], p.k, p.kv_ld, 0, p.keys);
    load<D, TILE, BACKWARD_THREADS>(t->v[0], p.v, p.kv_ld, 0, p.keys);
    for (int64_t key = 0, stage = 0; key < end; key += TILE, stage ^= 1) {
        wait_for_copies();
        __syncthreads();
        if (key + TILE < end) {
            load<D, TILE, BACKWARD_THREADS>(t->k[stage ^ 1], p.k, p.kv_ld, key + TILE, p.keys);
            load<D, TILE, BACKWARD_THREADS>(t->v[stage ^ 1], p.v, p.kv_ld, key + TILE, p.keys);
        }
        bool masked = key + TILE > p.visible(first + own);
#pragma unroll
        for (int step = 0; step < TILE; step += STEP) {
            float s[STEP / 8][4], ds[STEP / 8][4];
            scores<D, STEP>(s, t->q, own, t->k[stage], step);
            scores<D, STEP>(ds, t->d_o, own, t->v[stage], step);
            if (masked)
                mask<STEP>(p, s, row, key + step);
#pragma unroll
            for (int n = 0; n < STEP / 8; n++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    ds[n][e] = exp2_of(s[n][e] * scale - lse[e / 2]) * (ds[n][e] - delta[e / 2]);
            add_product<D, STEP>(dq, ds, t->k[stage], step);
        }
    }
    __syncthreads();
    store<D>(p.dq, p.q_ld, first + own, p.queries, t->q, own, dq, p.scale, p.scale);
}

/* --- launching --- */

template <class T, class K>
static int launch(const struct para_call *c, K kernel, int threads, dim3 blocks, const struct para_planes<para_half> &p)
{
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)sizeof(T));
    kernel<<<blocks, threads, sizeof(T), c->cuda->stream>>>(p);
    return para_launched(c);
}

static dim3 blocks_of(const struct para_planes<para_half> &p, int64_t rows, int tile, int64_t readers)
{
    return dim3((unsigned)p.planes, (unsigned)((rows + tile - 1) / tile), (unsigned)readers);
}

template <int D> static int run_forward(const struct para_call *c, const struct para_planes<para_half> &p)
{
    return launch<forward_tiles<D>>(c, forward<D>, FORWARD_THREADS, blocks_of(p, p.queries, FORWARD_ROWS, p.readers),
                                    p);
}

template <int D> static int run_backward(const struct para_call *c, const struct para_planes<para_half> &p)
{
    PARA_TRY(launch<key_tiles<D>>(c, backward_keys<D>, BACKWARD_THREADS, blocks_of(p, p.keys, TILE, 1), p));
    return launch<query_tiles<D>>(c, backward_queries<D>, BACKWARD_THREADS, blocks_of(p, p.queries, TILE, p.readers),
                                  p);
}

int para_attention_half(const struct para_call *c, const struct para_planes<para_half> &p)
{
    return p.width == 64 ? run_forward<64>(c, p) : run_forward<128>(c, p);
}

int para_attention_half_backward(const struct para_call *c, const struct para_planes<para_half> &p)
{
    return p.width == 64 ? run_backward<64>(c, p) : run_backward<128>(c, p);
}
