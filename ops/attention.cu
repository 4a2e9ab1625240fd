/* attention and its gradient on a GPU: Dao, 2023, algorithms 1 and 2. A block has a tile of queries or of keys, goes
 * over the tiles of the other in order, and keeps its sums in registers: no atomics, no T x S matrix. These kernels
 * compute in float32, whatever the operands; ops/attention-half.cu has those for bfloat16 on tensor cores. */
#include "ops/attention-cuda.h"

/* Threads of a block stand in a square, SIDE rows of SIDE columns. */
enum { SIDE = 16 };

/* --- tiles in shared memory: N rows of W floats, and four more, which spread rows over banks and keep quads whole ---
 */

enum { QUAD = 4, SPREAD = 4 };

template <int N, int W, class T>
static __device__ void load(float *tile, const T *from, int64_t ld, int64_t first, int64_t rows, int64_t width)
{
    for (int i = threadIdx.x; i < N * W; i += SIDE * SIDE) {
        int r = i / W, e = i % W;
        tile[r * (W + SPREAD) + e] = first + r < rows && e < width ? (float)from[(first + r) * ld + e] : 0.0f;
    }
}

/* Floats that are read at once. */
template <int COUNT> struct alignas(COUNT * sizeof(float)) neighbours {
    float of[COUNT];
};

template <int COUNT> static __device__ void read(float x[COUNT], const float *at)
{
    neighbours<COUNT> all = *(const neighbours<COUNT> *)at;
#pragma unroll
    for (int i = 0; i < COUNT; i++)
        x[i] = all.of[i];
}

/* How many neighbours, of PER in all, a thread has in a row: as many as one load takes. */
static constexpr __host__ __device__ int run_of(int per)
{
    return per < QUAD ? per : QUAD;
}

/* Which of SIDE * PER rows or columns a thread's number i is, in runs of neighbours. */
template <int PER> static __device__ int in_runs(int thread, int i)
{
    const int RUN = run_of(PER);
    return i / RUN * (SIDE * RUN) + thread * RUN + i % RUN;
}

template <int PER> static __device__ void read_runs(float x[PER], const float *line, int thread)
{
    const int RUN = run_of(PER);
#pragma unroll
    for (int i = 0; i < PER; i += RUN)
        read<RUN>(x + i, line + in_runs<PER>(thread, i));
}

/* s (R,R of N,N) = x (N,W) y (N,W)^T; a thread has every SIDEth row and column. */
template <int N, int W>
static __device__ void multiply_rows(float s[N / SIDE][N / SIDE], const float *x, const float *y)
{
    const int R = N / SIDE, row = threadIdx.x / SIDE, col = threadIdx.x % SIDE;
    for (int i = 0; i < R; i++)
        for (int j = 0; j < R; j++)
            s[i][j] = 0;
#pragma unroll 2
    for (int e = 0; e < W; e += QUAD) {
        float a[R][QUAD], b[R][QUAD];
        for (int i = 0; i < R; i++) {
            read<QUAD>(a[i], x + (row + SIDE * i) * (W + SPREAD) + e);
            read<QUAD>(b[i], y + (col + SIDE * i) * (W + SPREAD) + e);
        }
        for (int k = 0; k < QUAD; k++)
            for (int i = 0; i < R; i++)
                for (int j = 0; j < R; j++)
                    s[i][j] += a[i][k] * b[j][k];
    }
}

/* o (R,C of N,W) += p (N,N) y (N,W); a thread has every SIDEth row, and columns in runs. */
template <int N, int W> static __device__ void add_product(float o[N / SIDE][W / SIDE], const float *p, const float *y)
{
    const int R = N / SIDE, C = W / SIDE, row = threadIdx.x / SIDE, col = threadIdx.x % SIDE;
#pragma unroll 1
    for (int first = 0; first < N; first += QUAD) {
        float a[R][QUAD];
        for (int i = 0; i < R; i++)
            read<QUAD>(a[i], p + (row + SIDE * i) * (N + SPREAD) + first);
        for (int k = 0; k < QUAD; k++) {
            float b[C];
            read_runs<C>(b, y + (first + k) * (W + SPREAD), col);
            for (int i = 0; i < R; i++)
                for (int j = 0; j < C; j++)
                    o[i][j] += a[i][k] * b[j];
        }
    }
}

/* o (R,C of N,W) += p (N,N)^T y (N,W); a thread has rows and columns in runs. */
template <int N, int W>
static __device__ void add_transposed(float o[N / SIDE][W / SIDE], const float *p, const float *y)
{
    const int R = N / SIDE, C = W / SIDE, row = threadIdx.x / SIDE, col = threadIdx.x % SIDE;
#pragma unroll 2
    for (int k = 0; k < N; k++) {
        float a[R], b[C];
        read_runs<R>(a, p + k * (N + SPREAD), row);
        read_runs<C>(b, y + k * (W + SPREAD), col);
        for (int i = 0; i < R; i++)
            for (int j = 0; j < C; j++)
                o[i][j] += a[i] * b[j];
    }
}

/* tile (N,N) = s */
template <int N> static __device__ void store_square(float *tile, const float s[N / SIDE][N / SIDE])
{
    const int R = N / SIDE, row = threadIdx.x / SIDE, col = threadIdx.x % SIDE;
    for (int i = 0; i < R; i++)
        for (int j = 0; j < R; j++)
            tile[(row + SIDE * i) * (N + SPREAD) + col + SIDE * j] = s[i][j];
}

/* to (rows,width) = scale of each row times o, whose rows are in runs, or every SIDEth */
template <int N, int W, bool RUNS, class T>
static __device__ void store_rows(T *to, int64_t ld, int64_t first, int64_t rows, int64_t width,
                                  const float o[N / SIDE][W / SIDE], const float scale[N / SIDE])
{
    const int R = N / SIDE, C = W / SIDE, row = threadIdx.x / SIDE, col = threadIdx.x % SIDE;
    for (int i = 0; i < R; i++) {
        int64_t own = first + (RUNS ? in_runs<R>(row, i) : row + SIDE * i);
        for (int j = 0; j < C; j++)
            if (own < rows && in_runs<C>(col, j) < width)
                to[own * ld + in_runs<C>(col, j)] = para_round<T>(scale[i] * o[i][j]);
    }
}

/* Fold over the SIDE threads that have a row's columns. */
template <class F> static __device__ float across(float v, F f)
{
    for (int step = 1; step < SIDE; step *= 2)
        v = f(v, __shfl_xor_sync(~0u, v, step));
    return v;
}

/* --- forward --- */

template <int N, int W> struct forward_tiles {
    float q[N * (W + SPREAD)], kv[N * (W + SPREAD)], p[N * (N + SPREAD)];
};

/* A block for a tile of queries of one reader. */
template <int N, int W, class T> static __global__ void __launch_bounds__(SIDE *SIDE) forward(struct para_planes<T> all)
{
    extern __shared__ __align__(16) float memory[];
    struct forward_tiles<N, W> *t = (struct forward_tiles<N, W> *)memory;
    const int R = N / SIDE, row = threadIdx.x / SIDE, col = threadIdx.x % SIDE;
    struct para_planes<T> a = all.at(blockIdx.x, blockIdx.z);
    int64_t first = (gridDim.y - 1 - blockIdx.y) * (int64_t)N; /* those that see most come first */
    int64_t last = first + N < a.queries ? first + N : a.queries;
    float o[R][W / SIDE] = {}, top[R], sum[R] = {};
    for (int i = 0; i < R; i++)
        top[i] = -INFINITY;
    load<N, W>(t->q, a.q, a.q_ld, first, a.queries, a.width);
    for (int64_t key = a.first_key(first) / N * N, end = a.visible(last - 1); key < end; key += N) {
        float s[R][R];
        __syncthreads();
        load<N, W>(t->kv, a.k, a.kv_ld, key, a.keys, a.width);
        __syncthreads();
        multiply_rows<N, W>(s, t->q, t->kv);
        for (int i = 0; i < R; i++) {
            int64_t from = a.first_key(first + row + SIDE * i), sees = a.visible(first + row + SIDE * i);
            float highest = top[i], added = 0;
            for (int j = 0; j < R; j++) {
                int64_t own = key + col + SIDE * j;
                s[i][j] = own >= from && own < sees ? s[i][j] * a.scale : -INFINITY;
                highest = fmaxf(highest, s[i][j]);
            }
            highest = across(highest, [](float x, float y) { return fmaxf(x, y); });
            float base = highest > -INFINITY ? highest : 0; /* a row that sees nothing yet adds nothing */
            for (int j = 0; j < R; j++)
                added += s[i][j] = expf(s[i][j] - base);
            float kept = expf(top[i] - base);
            sum[i] = sum[i] * kept + across(added, [](float x, float y) { return x + y; });
            top[i] = highest;
            for (int j = 0; j < W / SIDE; j++)
                o[i][j] *= kept;
        }
        store_square<N>(t->p, s);
        __syncthreads();
        load<N, W>(t->kv, a.v, a.kv_ld, key, a.keys, a.width);
        __syncthreads();
        add_product<N, W>(o, t->p, t->kv);
    }
    float scale[R];
    for (int i = 0; i < R; i++) {
        scale[i] = 1.0f / sum[i];
        if (col == 0 && first + row + SIDE * i < a.queries)
            a.lse[(first + row + SIDE * i) * a.lse_ld] = top[i] + logf(sum[i]);
    }
    store_rows<N, W, false>(a.o, a.o_ld, first, a.queries, a.width, o, scale);
}

/* --- backward --- */

template <int N, int W> struct backward_tiles {
    float q[N * (W + SPREAD)], d_o[N * (W + SPREAD)], k[N * (W + SPREAD)], v[N * (W + SPREAD)];
    float p[N * (N + SPREAD)], ds[N * (N + SPREAD)];
};

/* p and ds (N,N) of the tiles of queries from `query` and keys from `key` on, scale included in ds */
template <int N, int W, class T>
static __device__ void slopes_of_scores(struct backward_tiles<N, W> *t, const struct para_planes<T> &a, int64_t query,
                                        int64_t key)
{
    const int R = N / SIDE, row = threadIdx.x / SIDE, col = threadIdx.x % SIDE;
    float p[R][R], ds[R][R];
    multiply_rows<N, W>(p, t->q, t->k);
    multiply_rows<N, W>(ds, t->d_o, t->v);
    for (int i = 0; i < R; i++) {
        int64_t own = query + row + SIDE * i, sees = own < a.queries ? a.visible(own) : 0, from = a.first_key(own);
        float lse = sees ? a.lse[own * a.lse_ld] : 0, of_row = sees ? a.delta[own * a.lse_ld] : 0;
        for (int j = 0; j < R; j++) {
            int64_t of = key + col + SIDE * j;
            p[i][j] = of >= from && of < sees ? expf(p[i][j] * a.scale - lse) : 0.0f;
            ds[i][j] = p[i][j] * (ds[i][j] - of_row) * a.scale;
        }
    }
    store_square<N>(t->p, p);
    store_square<N>(t->ds, ds);
}

/* dk and dv: a block for a tile of keys, over all queries that see them, reader by reader */
template <int N, int W, class T>
static __global__ void __launch_bounds__(SIDE *SIDE) backward_keys(struct para_planes<T> all)
{
    extern __shared__ __align__(16) float memory[];
    struct backward_tiles<N, W> *t = (struct backward_tiles<N, W> *)memory;
    const int R = N / SIDE;
    struct para_planes<T> a = all.at(blockIdx.x, 0);
    int64_t key = blockIdx.y * (int64_t)N, begin = a.first_query(key) / N * N, end = a.end_query(key + N - 1);
    float dk[R][W / SIDE] = {}, dv[R][W / SIDE] = {}, one[R];
    load<N, W>(t->k, a.k, a.kv_ld, key, a.keys, a.width);
    load<N, W>(t->v, a.v, a.kv_ld, key, a.keys, a.width);
    for (int64_t reader = 0; reader < a.readers; reader++) {
        struct para_planes<T> own = all.at(blockIdx.x, reader);
        for (int64_t query = begin; query < end; query += N) {
            __syncthreads();
            load<N, W>(t->q, own.q, a.q_ld, query, a.queries, a.width);
            load<N, W>(t->d_o, own.d_o, a.o_ld, query, a.queries, a.width);
            __syncthreads();
            slopes_of_scores<N, W>(t, own, query, key);
            __syncthreads();
            add_transposed<N, W>(dv, t->p, t->d_o);
            add_transposed<N, W>(dk, t->ds, t->q);
        }
    }
    for (int i = 0; i < R; i++)
        one[i] = 1;
    store_rows<N, W, true>(a.dk, a.kv_ld, key, a.keys, a.width, dk, one);
    store_rows<N, W, true>(a.dv, a.kv_ld, key, a.keys, a.width, dv, one);
}

/* dq: a block for a tile of queries of one reader, over the keys that they see */
template <int N, int W, class T>
static __global__ void __launch_bounds__(SIDE *SIDE) backward_queries(struct para_planes<T> all)
{
    extern __shared__ __align__(16) float memory[];
    struct backward_tiles<N, W> *t = (struct backward_tiles<N, W> *)memory;
    const int R = N / SIDE;
    struct para_planes<T> a = all.at(blockIdx.x, blockIdx.z);
    int64_t query = (gridDim.y - 1 - blockIdx.y) * (int64_t)N;
    int64_t last = query + N < a.queries ? query + N : a.queries;
    float dq[R][W / SIDE] = {}, one[R];
    load<N, W>(t->q, a.q, a.q_ld, query, a.queries, a.width);
    load<N, W>(t->d_o, a.d_o, a.o_ld, query, a.queries, a.width);
    for (int64_t key = a.first_key(query) / N * N, end = a.visible(last - 1); key < end; key += N) {
        __syncthreads();
        load<N, W>(t->k, a.k, a.kv_ld, key, a.keys, a.width);
        load<N, W>(t->v, a.v, a.kv_ld, key, a.keys, a.width);
        __syncthreads();
        slopes_of_scores<N, W>(t, a, query, key);
        __syncthreads();
        add_product<N, W>(dq, t->ds, t->k);
    }
    for (int i = 0; i < R; i++)
        one[i] = 1;
    store_rows<N, W, false>(a.dq, a.q_ld, query, a.queries, a.width, dq, one);
}

/* --- launching --- */

/* Elements from the beginning of an operand, whatever their type, to where the plane's address says. */
static int64_t offset(const float *at, const void *operand)
{
    return at - (const float *)operand;
}

/* Where forward kernels read and write; o and lse are outputs forward and inputs backward. The first plane and, where
 * there are others, the next head's and the next batch element's, tell where all lie. */
template <class T> static struct para_planes<T> planes_of(const struct para_call *c, void *o, void *lse) {
    const para_node *n = c->node;
    struct para_attend a = para_attention_plane(c, 0, o, lse);
    para_planes<T> p = {};
    int v = n->n_in % 3 == 2 ? 1 : 2; /* stacked, values lie in input 1, too */
    p.planes = para_attention_planes(n);
    p.heads = para_attention_heads(n);
    p.q = (const T *)c->in[0] + offset(a.q, c->in[0]);
    p.k = (const T *)c->in[1] + offset(a.k, c->in[1]);
    p.v = (const T *)c->in[v] + offset(a.v, c->in[v]);
    p.o = (T *)o;
    p.lse = a.lse;
    p.queries = a.queries;
    p.keys = a.keys;
    p.width = a.width;
    p.readers = a.readers;
    p.past = a.past;
    p.q_ld = a.q_ld;
    p.kv_ld = a.kv_ld;
    p.o_ld = a.o_ld;
    p.lse_ld = a.lse_ld;
    p.scale = a.scale;
    p.causal = a.causal;
    p.window = a.window;
    if (p.heads > 1) {
        struct para_attend next = para_attention_plane(c, 1, o, lse);
        p.q_head = next.q - a.q;
        p.kv_head = next.k - a.k;
        p.o_head = next.o - a.o;
    }
    if (p.planes > p.heads) {
        struct para_attend next = para_attention_plane(c, p.heads, o, lse);
        p.q_batch = next.q - a.q;
        p.kv_batch = next.k - a.k;
        p.o_batch = next.o - a.o;
    }
    return p;
}

/* Add what the gradient's kernels read and write beside. */
template <class T>
static void add_slopes(const struct para_call *c, struct para_planes<T> *p)
{
    const para_node *n = c->node;
    int o = n->n_in - 3;
    const float *d_o = (const float *)c->in[o + 2];
    struct para_attend a = para_attention_plane(c, 0, c->in[o], c->in[o + 1]);
    struct para_attend_slopes d = para_attention_slopes(c, &a, d_o);
    bool stacked = n->n_out == 1;
    void *dk = c->out[stacked ? 0 : 1], *dv = c->out[stacked ? 0 : 2];
    p->d_o = (const T *)c->in[o + 2];
    p->dq = (T *)c->out[0] + offset(d.dq, c->out[0]);
    p->dk = (T *)dk + offset(d.dk, dk);
    p->dv = (T *)dv + offset(d.dv, dv);
    p->delta = (float *)c->scratch;
    if (p->planes > p->heads) {
        struct para_attend next = para_attention_plane(c, p->heads, c->in[o], c->in[o + 1]);
        p->dq_batch = para_attention_slopes(c, &next, d_o).dq - d.dq;
    }
}

template <class S, class K, class T>
static int launch(const struct para_call *c, K kernel, int tile, int64_t rows, int64_t readers,
                  const struct para_planes<T> &p)
{
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)sizeof(S));
    dim3 blocks((unsigned)p.planes, (unsigned)((rows + tile - 1) / tile), (unsigned)readers);
    kernel<<<blocks, SIDE * SIDE, sizeof(S), c->cuda->stream>>>(p);
    return para_launched(c);
}

template <int N, int W, class T> static int run_forward(const struct para_call *c, const struct para_planes<T> &p)
{
    return launch<forward_tiles<N, W>>(c, forward<N, W, T>, N, p.queries, p.readers, p);
}

template <int N, int W, class T> static int run_backward(const struct para_call *c, const struct para_planes<T> &p)
{
    PARA_TRY((launch<backward_tiles<N, W>>(c, backward_keys<N, W, T>, N, p.keys, 1, p)));
    return launch<backward_tiles<N, W>>(c, backward_queries<N, W, T>, N, p.queries, p.readers, p);
}

/* The widest head that fits into shared memory. */
static int need_width(const struct para_call *c, int64_t width)
{
    return width <= 256
               ? 0
               : para_fail(c->err, PARA_ESUPPORT, "heads of %lld, expected at most 256 on a GPU", (long long)width);
}

template <class T> static int run_general(const struct para_call *c, const struct para_planes<T> &p, bool backward)
{
    PARA_TRY(need_width(c, p.width));
    if (backward)
        return p.width <= 32    ? run_backward<64, 32>(c, p)
               : p.width <= 64  ? run_backward<64, 64>(c, p)
               : p.width <= 128 ? run_backward<32, 128>(c, p)
                                : run_backward<32, 256>(c, p);
    return p.width <= 32    ? run_forward<64, 32>(c, p)
           : p.width <= 64  ? run_forward<64, 64>(c, p)
           : p.width <= 128 ? run_forward<32, 128>(c, p)
                            : run_forward<32, 256>(c, p);
}

static bool is_half(const struct para_call *c)
{
    return c->node->in[0]->shape.dtype == PARA_BF16;
}

/* Kernels for tensor cores know no window. */
static bool on_tensor_cores(const struct para_planes<para_half> &p)
{
    return p.window == 0 && para_attention_has_half(p.width);
}

int para_attention_cuda(const struct para_call *c)
{
    if (!is_half(c))
        return run_general(c, planes_of<float>(c, c->out[0], c->out[1]), false);
    struct para_planes<para_half> p = planes_of<para_half>(c, c->out[0], c->out[1]);
    return on_tensor_cores(p) ? para_attention_half(c, p) : run_general(c, p, false);
}

size_t para_attention_backward_cuda_scratch(const para_node *n)
{
    return para_shape_bytes(&n->in[n->n_in - 2]->shape); /* delta, like lse */
}

/* delta (rows) = the sum over D of y dy: a few neighbouring threads for each row */
template <class T> static int sum_rows(const struct para_call *c, int64_t width, float *delta)
{
    enum { LANES = 8 };
    const para_node *n = c->node;
    const T *y = (const T *)c->in[n->n_in - 3], *dy = (const T *)c->in[n->n_in - 1];
    int64_t rows = para_shape_elements(&n->in[n->n_in - 2]->shape), count = rows * LANES;
    count = (count + PARA_WARP - 1) / PARA_WARP * PARA_WARP; /* whole warps fold */
    return para_each(c, count, [=] __device__(int64_t i) {
        const int COUNT = para_pack<T>::COUNT;
        int64_t row = i / LANES, lane = i % LANES;
        float sum = 0;
        if (row < rows && width % COUNT == 0)
            for (int64_t e = lane * COUNT; e < width; e += LANES * COUNT) {
                para_pack<T> a = para_load(y + row * width + e), b = para_load(dy + row * width + e);
                for (int k = 0; k < COUNT; k++)
                    sum += (float)a.of[k] * (float)b.of[k];
            }
        else if (row < rows)
            for (int64_t e = lane; e < width; e += LANES)
                sum += (float)y[row * width + e] * (float)dy[row * width + e];
        for (int step = 1; step < LANES; step *= 2)
            sum += __shfl_xor_sync(~0u, sum, step);
        if (lane == 0 && row < rows)
            delta[row] = sum;
    });
}

int para_attention_backward_cuda(const struct para_call *c)
{
    const para_node *n = c->node;
    void *o = c->in[n->n_in - 3], *lse = c->in[n->n_in - 2];
    if (para_attention_leaves_queries(n))
        cudaMemsetAsync(c->out[0], 0, para_shape_bytes(&n->out[0]->shape), c->cuda->stream);
    if (!is_half(c)) {
        struct para_planes<float> p = planes_of<float>(c, o, lse);
        add_slopes(c, &p);
        PARA_TRY(sum_rows<float>(c, p.width, p.delta));
        return run_general(c, p, true);
    }
    struct para_planes<para_half> p = planes_of<para_half>(c, o, lse);
    add_slopes(c, &p);
    PARA_TRY(sum_rows<para_half>(c, p.width, p.delta));
    return on_tensor_cores(p) ? para_attention_half_backward(c, p) : run_general(c, p, true);
}
