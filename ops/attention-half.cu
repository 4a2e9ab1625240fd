/* attention and its gradient on a GPU in bfloat16, on tensor cores: Dao, 2023, algorithms 1 and 2, products of 16 x 8 x
 * 16 with float32 sums. A warp has some bands of sixteen rows, of queries, or, for dk and dv, of keys, which share what
 * it reads of the other side; a block goes over the other side's tiles in order, of which the next is on its way while
 * one is worked on. Scores stay in registers: what one product leaves there is an operand of the next. No atomics: dq
 * has a pass of its own, which makes scores again. */
#include "ops/attention-cuda.h"

/* Rows of a band; of the other side's tile in shared memory; columns of scores that a gradient makes at a time; warps
 * of a block. */
enum { BAND = 16, TILE = 64, STEP = 32, WARPS = 4, THREADS = WARPS * PARA_WARP };

/* Bands of a warp: as many as registers hold sums for. Rows of a block. */
template <int D> struct block {
    static const int BANDS = D > 64 ? 1 : 2, OWN = BANDS * BAND, ROWS = WARPS * OWN;
};

/* --- tiles in shared memory: rows of D elements in chunks of 16 bytes, whose order differs from row to row, so that
 * eight rows' chunks of one number lie in different banks --- */

template <int D> static __device__ int place(int row, int chunk)
{
    return row * D + ((chunk ^ (row & 7)) * 8);
}

/* Begin to copy N rows from `first` on; 0 behind the last of `rows`. */
template <int D, int N>
static __device__ void load(para_half *tile, const para_half *from, int64_t ld, int64_t first, int64_t rows)
{
    const int CHUNKS = D / 8;
#pragma unroll
    for (int i = threadIdx.x; i < N * CHUNKS; i += THREADS) {
        int row = i / CHUNKS, chunk = i % CHUNKS;
        bool within = first + row < rows;
        para_copy_word(tile + place<D>(row, chunk), from + (within ? (first + row) * ld : 0) + chunk * 8, within);
    }
}

/* --- fragments --- */

static __device__ void load_matrices(unsigned r[4], const para_half *at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(para_shared_address(at)));
}

static __device__ void load_transposed(unsigned r[4], const para_half *at)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(para_shared_address(at)));
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

/* s (16 of each band, N) = a warp's rows of x, from `own` on, times rows from `row` on of y, transposed. */
template <int D, int N, int BANDS>
static __device__ void scores(float s[BANDS][N / 8][4], const para_half *x, int own, const para_half *y, int row)
{
#pragma unroll
    for (int m = 0; m < BANDS; m++)
        for (int n = 0; n < N / 8; n++)
            for (int i = 0; i < 4; i++)
                s[m][n][i] = 0;
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        unsigned a[BANDS][4];
        for (int m = 0; m < BANDS; m++)
            load_left<D>(a[m], x, own + m * BAND, k);
#pragma unroll
        for (int n = 0; n < N / 16; n++) {
            unsigned b[4];
            load_right<D>(b, y, row + 16 * n, k);
            for (int m = 0; m < BANDS; m++) {
                para_add_tile(s[m][2 * n], a[m], b);
                para_add_tile(s[m][2 * n + 1], a[m], b + 2);
            }
        }
    }
}

/* o (16 of each band, D) += p (16 of each band, N) times rows from `row` on of y */
template <int D, int N, int BANDS>
static __device__ void add_product(float o[BANDS][D / 8][4], const float p[BANDS][N / 8][4], const para_half *y,
                                   int row)
{
#pragma unroll
    for (int k = 0; k < N / 16; k++) {
        unsigned a[BANDS][4];
        for (int m = 0; m < BANDS; m++)
            as_left(a[m], p[m], k);
#pragma unroll
        for (int n = 0; n < D / 16; n++) {
            unsigned b[4];
            load_rows<D>(b, y, row + 16 * k, n);
            for (int m = 0; m < BANDS; m++) {
                para_add_tile(o[m][2 * n], a[m], b);
                para_add_tile(o[m][2 * n + 1], a[m], b + 2);
            }
        }
    }
}

/* Write a band, through its own rows of a tile: those before `rows`, from row `first` of the operand on. */
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
    for (int i = lane; i < BAND * CHUNKS; i += PARA_WARP) {
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

/* --- forward: a block has a tile of queries --- */

template <int D> struct forward_tiles {
    para_half q[block<D>::ROWS * D], k[2][TILE * D], v[2][TILE * D];
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

/* Scores become p, as powers of two, and what was summed up before is brought to their scale. */
template <int D>
static __device__ void weigh(float s[TILE / 8][4], float o[D / 8][4], float top[2], float sum[2], float scale)
{
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float highest = top[half], added = 0;
#pragma unroll
        for (int n = 0; n < TILE / 8; n++)
            highest = fmaxf(highest, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
        highest = across(highest, [](float a, float b) { return fmaxf(a, b); });
        float base = highest == -INFINITY ? 0.0f : highest * scale, kept = para_exp2(top[half] * scale - base);
#pragma unroll
        for (int n = 0; n < TILE / 8; n++) {
            s[n][2 * half] = para_exp2(s[n][2 * half] * scale - base);
            s[n][2 * half + 1] = para_exp2(s[n][2 * half + 1] * scale - base);
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
}

template <int D> static __global__ void __launch_bounds__(THREADS) forward(struct para_planes<para_half> all)
{
    const int BANDS = block<D>::BANDS, ROWS = block<D>::ROWS;
    extern __shared__ __align__(128) char memory[];
    struct forward_tiles<D> *t = (struct forward_tiles<D> *)memory;
    struct para_planes<para_half> p = all.at(blockIdx.x, blockIdx.z);
    int lane = threadIdx.x % PARA_WARP, own = threadIdx.x / PARA_WARP * block<D>::OWN;
    int64_t first = (gridDim.y - 1 - blockIdx.y) * (int64_t)ROWS; /* those that see most come first */
    int64_t last = first + ROWS < p.queries ? first + ROWS : p.queries, end = p.visible(last - 1);
    float o[BANDS][D / 8][4] = {}, top[BANDS][2], sum[BANDS][2] = {}, scale = p.scale * PARA_LOG2_E;
    for (int m = 0; m < BANDS; m++)
        top[m][0] = top[m][1] = -INFINITY;
    load<D, ROWS>(t->q, p.q, p.q_ld, first, p.queries);
    load<D, TILE>(t->k[0], p.k, p.kv_ld, 0, p.keys);
    load<D, TILE>(t->v[0], p.v, p.kv_ld, 0, p.keys);
    for (int64_t key = 0, stage = 0; key < end; key += TILE, stage ^= 1) {
        para_wait_for_copies<0>();
        __syncthreads();
        if (key + TILE < end) {
            load<D, TILE>(t->k[stage ^ 1], p.k, p.kv_ld, key + TILE, p.keys);
            load<D, TILE>(t->v[stage ^ 1], p.v, p.kv_ld, key + TILE, p.keys);
        }
        float s[BANDS][TILE / 8][4];
        scores<D, TILE, BANDS>(s, t->q, own, t->k[stage], 0);
        bool masked = key + TILE > p.visible(first + own);
#pragma unroll
        for (int m = 0; m < BANDS; m++) {
            if (masked)
                mask<TILE>(p, s[m], first + own + m * BAND + lane / 4, key);
            weigh<D>(s[m], o[m], top[m], sum[m], scale);
        }
        add_product<D, TILE, BANDS>(o, s, t->v[stage], 0);
    }
#pragma unroll
    for (int m = 0; m < BANDS; m++) {
        int64_t band = first + own + m * BAND, row = band + lane / 4;
        float low = sum_across(sum[m][0]), high = sum_across(sum[m][1]);
        store<D>(p.o, p.o_ld, band, p.queries, t->q, own + m * BAND, o[m], 1.0f / low, 1.0f / high);
        if (lane % 4 == 0 && row < p.queries)
            p.lse[row * p.lse_ld] = top[m][0] * p.scale + logf(low);
        if (lane % 4 == 0 && row + 8 < p.queries)
            p.lse[(row + 8) * p.lse_ld] = top[m][1] * p.scale + logf(high);
    }
}

/* --- backward: a block has a tile of keys, or of queries --- */

template <int D> struct key_tiles {
    para_half k[block<D>::ROWS * D], v[block<D>::ROWS * D], q[2][TILE * D], d_o[2][TILE * D];
    float lse[2][TILE], delta[2][TILE];
};

/* Queries' log-sum-exp, for powers of two, and delta; where there is no query, what makes p zero. */
static __device__ void load_statistics(float *lse, float *delta, const struct para_planes<para_half> &p, int64_t first)
{
    for (int i = threadIdx.x; i < TILE; i += THREADS) {
        bool within = first + i < p.queries;
        lse[i] = within ? p.lse[(first + i) * p.lse_ld] * PARA_LOG2_E : INFINITY;
        delta[i] = within ? p.delta[(first + i) * p.lse_ld] : 0;
    }
}

/* dk and dv: a warp has scores of its keys (rows) for some queries (columns) */
template <int D> static __global__ void __launch_bounds__(THREADS) backward_keys(struct para_planes<para_half> all)
{
    const int BANDS = block<D>::BANDS, OWN = block<D>::OWN, ROWS = block<D>::ROWS;
    extern __shared__ __align__(128) char memory[];
    struct key_tiles<D> *t = (struct key_tiles<D> *)memory;
    struct para_planes<para_half> p = all.at(blockIdx.x, 0);
    int lane = threadIdx.x % PARA_WARP, own = threadIdx.x / PARA_WARP * OWN;
    int64_t key = blockIdx.y * (int64_t)ROWS, begin = p.first_query(key) / TILE * TILE;
    int64_t tiles = (p.queries - begin + TILE - 1) / TILE;
    tiles = tiles > 0 ? tiles : 0;
    float dk[BANDS][D / 8][4] = {}, dv[BANDS][D / 8][4] = {}, scale = p.scale * PARA_LOG2_E;
    load<D, ROWS>(t->k, p.k, p.kv_ld, key, p.keys);
    load<D, ROWS>(t->v, p.v, p.kv_ld, key, p.keys);
    for (int64_t i = -1, stage = 1; i < tiles * p.readers; i++, stage ^= 1) {
        para_wait_for_copies<0>();
        __syncthreads();
        if (i + 1 < tiles * p.readers) { /* the next tile, of the next reader once one's are done */
            struct para_planes<para_half> next = all.at(blockIdx.x, (i + 1) / tiles);
            int64_t first = begin + (i + 1) % tiles * TILE;
            load<D, TILE>(t->q[stage ^ 1], next.q, p.q_ld, first, p.queries);
            load<D, TILE>(t->d_o[stage ^ 1], next.d_o, p.o_ld, first, p.queries);
            load_statistics(t->lse[stage ^ 1], t->delta[stage ^ 1], next, first);
        }
        if (i < 0)
            continue;
        int64_t query = begin + i % tiles * TILE;
        bool masked = p.causal && key + own + OWN > p.visible(query);
#pragma unroll 1
        for (int step = 0; step < TILE; step += STEP) {
            float s[BANDS][STEP / 8][4], ds[BANDS][STEP / 8][4];
            scores<D, STEP, BANDS>(s, t->k, own, t->q[stage], step);
            scores<D, STEP, BANDS>(ds, t->v, own, t->d_o[stage], step);
#pragma unroll
            for (int n = 0; n < STEP / 8; n++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    int column = step + 8 * n + lane % 4 * 2 + e % 2;
                    float lse = t->lse[stage][column], delta = t->delta[stage][column];
#pragma unroll
                    for (int m = 0; m < BANDS; m++) {
                        float score = para_exp2(s[m][n][e] * scale - lse);
                        int64_t row = key + own + m * BAND + lane / 4 + e / 2 * 8;
                        if (masked && row >= p.visible(query + column))
                            score = 0;
                        s[m][n][e] = score;
                        ds[m][n][e] = score * (ds[m][n][e] - delta);
                    }
                }
            add_product<D, STEP, BANDS>(dv, s, t->d_o[stage], step);
            add_product<D, STEP, BANDS>(dk, ds, t->q[stage], step);
        }
    }
    __syncthreads();
#pragma unroll
    for (int m = 0; m < BANDS; m++) {
        int band = own + m * BAND;
        store<D>(p.dk, p.kv_ld, key + band, p.keys, t->k, band, dk[m], p.scale, p.scale);
        store<D>(p.dv, p.kv_ld, key + band, p.keys, t->v, band, dv[m], 1, 1);
    }
}

template <int D> struct query_tiles {
    para_half q[block<D>::ROWS * D], d_o[block<D>::ROWS * D], k[2][TILE * D], v[2][TILE * D];
};

/* dq: a warp has scores of its queries (rows) for some keys (columns) */
template <int D> static __global__ void __launch_bounds__(THREADS) backward_queries(struct para_planes<para_half> all)
{
    const int BANDS = block<D>::BANDS, ROWS = block<D>::ROWS;
    extern __shared__ __align__(128) char memory[];
    struct query_tiles<D> *t = (struct query_tiles<D> *)memory;
    struct para_planes<para_half> p = all.at(blockIdx.x, blockIdx.z);
    int lane = threadIdx.x % PARA_WARP, own = threadIdx.x / PARA_WARP * block<D>::OWN;
    int64_t first = (gridDim.y - 1 - blockIdx.y) * (int64_t)ROWS;
    int64_t last = first + ROWS < p.queries ? first + ROWS : p.queries, end = p.visible(last - 1);
    float dq[BANDS][D / 8][4] = {}, scale = p.scale * PARA_LOG2_E, lse[BANDS][2], delta[BANDS][2];
    for (int i = 0; i < 2 * BANDS; i++) {
        int64_t row = first + own + lane / 4 + 8 * i;
        bool within = row < p.queries;
        lse[i / 2][i % 2] = within ? p.lse[row * p.lse_ld] * PARA_LOG2_E : INFINITY;
        delta[i / 2][i % 2] = within ? p.delta[row * p.lse_ld] : 0;
    }
    load<D, ROWS>(t->q, p.q, p.q_ld, first, p.queries);
    load<D, ROWS>(t->d_o, p.d_o, p.o_ld, first, p.queries);
    load<D, TILE>(t->k[0], p.k, p.kv_ld, 0, p.keys);
    load<D, TILE>(t->v[0], p.v, p.kv_ld, 0, p.keys);
    for (int64_t key = 0, stage = 0; key < end; key += TILE, stage ^= 1) {
        para_wait_for_copies<0>();
        __syncthreads();
        if (key + TILE < end) {
            load<D, TILE>(t->k[stage ^ 1], p.k, p.kv_ld, key + TILE, p.keys);
            load<D, TILE>(t->v[stage ^ 1], p.v, p.kv_ld, key + TILE, p.keys);
        }
        bool masked = key + TILE > p.visible(first + own);
#pragma unroll 1
        for (int step = 0; step < TILE; step += STEP) {
            float s[BANDS][STEP / 8][4], ds[BANDS][STEP / 8][4];
            scores<D, STEP, BANDS>(s, t->q, own, t->k[stage], step);
            scores<D, STEP, BANDS>(ds, t->d_o, own, t->v[stage], step);
#pragma unroll
            for (int m = 0; m < BANDS; m++) {
                if (masked)
                    mask<STEP>(p, s[m], first + own + m * BAND + lane / 4, key + step);
#pragma unroll
                for (int n = 0; n < STEP / 8; n++)
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        ds[m][n][e] = para_exp2(s[m][n][e] * scale - lse[m][e / 2]) * (ds[m][n][e] - delta[m][e / 2]);
            }
            add_product<D, STEP, BANDS>(dq, ds, t->k[stage], step);
        }
    }
    __syncthreads();
#pragma unroll
    for (int m = 0; m < BANDS; m++)
        store<D>(p.dq, p.q_ld, first + own + m * BAND, p.queries, t->q, own + m * BAND, dq[m], p.scale, p.scale);
}

/* --- launching --- */

template <class T, class K>
static int launch(const struct para_call *c, K kernel, int64_t rows, int tile, int64_t readers,
                  const struct para_planes<para_half> &p)
{
    dim3 blocks((unsigned)p.planes, (unsigned)((rows + tile - 1) / tile), (unsigned)readers);
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)sizeof(T));
    kernel<<<blocks, THREADS, sizeof(T), c->cuda->stream>>>(p);
    return para_launched(c);
}

template <int D> static int run_forward(const struct para_call *c, const struct para_planes<para_half> &p)
{
    return launch<forward_tiles<D>>(c, forward<D>, p.queries, block<D>::ROWS, p.readers, p);
}

template <int D> static int run_backward(const struct para_call *c, const struct para_planes<para_half> &p)
{
    PARA_TRY(launch<key_tiles<D>>(c, backward_keys<D>, p.keys, block<D>::ROWS, 1, p));
    return launch<query_tiles<D>>(c, backward_queries<D>, p.queries, block<D>::ROWS, p.readers, p);
}

int para_attention_half(const struct para_call *c, const struct para_planes<para_half> &p)
{
    return p.width == 64 ? run_forward<64>(c, p) : run_forward<128>(c, p);
}

int para_attention_half_backward(const struct para_call *c, const struct para_planes<para_half> &p)
{
    return p.width == 64 ? run_backward<64>(c, p) : run_backward<128>(c, p);
}
