/* attention and its gradient on a GPU: Dao, 2023, algorithms 1 and 2. A block has a tile of queries or of keys, goes
 * over the tiles of the other in order, and keeps its sums in registers: no atomics, no T x S matrix. What the gradient
 * adds up over tiles of keys, dq, each block has a sum of in memory, and these are added up in order. These kernels
 * compute in float32, whatever the operands; ops/attention-half.cu has those for bfloat16 on tensor cores. They are
 * bound by what a multiprocessor reads from shared memory, of which a sum of 8 by 8 a thread takes half as much as of 4
 * by 4. Few warps have room then, so what comes next is on its way early: tiles to shared memory, and from there what
 * the next step of a product reads. */
#include "ops/attention-cuda.h"

/* Threads of a block stand in a square, SIDE rows of SIDE columns. */
enum { SIDE = 16 };

/* --- tiles in shared memory: N rows of W floats, and four more, which spread rows over banks and keep quads whole ---
 */

enum { QUAD = 4, SPREAD = 4 };

/* Begin to bring a tile, of rows 0 where there are none. It is there after arrived(). */
template <int N, int W, class T>
static __device__ void bring(float *tile, const T *from, int64_t ld, int64_t first, int64_t rows, int64_t width)
{
    const int QUADS = W / QUAD;
    if (sizeof(T) == sizeof(float) && width == W && ld % QUAD == 0 && (uintptr_t)from % sizeof(float4) == 0) {
        int e = threadIdx.x % QUADS * QUAD;
        for (int r = threadIdx.x / QUADS; r < N; r += SIDE * SIDE / QUADS) {
            bool within = first + r < rows;
            para_copy_word(tile + r * (W + SPREAD) + e, from + (within ? first + r : first) * ld + e, within);
        }
        return;
    }
    for (int i = threadIdx.x; i < N * W; i += SIDE * SIDE) {
        int r = i / W, e = i % W;
        tile[r * (W + SPREAD) + e] = first + r < rows && e < width ? (float)from[(first + r) * ld + e] : 0.0f;
    }
}

/* What the block's threads have brought is there, and all of them are here. */
static __device__ void arrived()
{
    para_wait_for_copies<0>();
    __syncthreads();
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
    const int R = N / SIDE, LINE = W + SPREAD;
    x += threadIdx.x / SIDE * LINE;
    y += threadIdx.x % SIDE * LINE;
    for (int i = 0; i < R; i++)
        for (int j = 0; j < R; j++)
            s[i][j] = 0;
    float next[R][QUAD];
#pragma unroll
    for (int j = 0; j < R; j++)
        read<QUAD>(next[j], y + SIDE * j * LINE);
#pragma unroll 2
    for (int e = 0; e < W; e += QUAD) {
        float b[R][QUAD];
        memcpy(b, next, sizeof b);
#pragma unroll
        for (int j = 0; j < R; j++)
            read<QUAD>(next[j], y + SIDE * j * LINE + (e + QUAD) % W);
#pragma unroll
        for (int i = 0; i < R; i++) {
            float a[QUAD];
            read<QUAD>(a, x + SIDE * i * LINE + e);
#pragma unroll
            for (int k = 0; k < QUAD; k++)
#pragma unroll
                for (int j = 0; j < R; j++)
                    s[i][j] += a[k] * b[j][k];
        }
    }
}

/* o (R,C of N,W) += p (N,N) y (N,W); a thread has every SIDEth row, and columns in runs. */
template <int N, int W> static __device__ void add_product(float o[N / SIDE][W / SIDE], const float *p, const float *y)
{
    const int R = N / SIDE, C = W / SIDE, col = threadIdx.x % SIDE;
    p += threadIdx.x / SIDE * (N + SPREAD);
    float next[R][QUAD], next_b[C];
    for (int i = 0; i < R; i++)
        read<QUAD>(next[i], p + SIDE * i * (N + SPREAD));
    read_runs<C>(next_b, y, col);
#pragma unroll 2
    for (int first = 0; first < N; first += QUAD) {
        float a[R][QUAD];
        memcpy(a, next, sizeof a);
        for (int i = 0; i < R; i++)
            read<QUAD>(next[i], p + SIDE * i * (N + SPREAD) + (first + QUAD) % N);
        for (int k = 0; k < QUAD; k++) {
            float b[C];
            memcpy(b, next_b, sizeof b);
            read_runs<C>(next_b, y + (first + k + 1) % N * (W + SPREAD), col);
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
    float next_a[R], next_b[C];
    read_runs<R>(next_a, p, row);
    read_runs<C>(next_b, y, col);
#pragma unroll 8
    for (int k = 0; k < N; k++) {
        float a[R], b[C];
        memcpy(a, next_a, sizeof a);
        memcpy(b, next_b, sizeof b);
        read_runs<R>(next_a, p + (k + 1) % N * (N + SPREAD), row);
        read_runs<C>(next_b, y + (k + 1) % N * (W + SPREAD), col);
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

/* A key's number in a tile of N, or that of the tile's nearest end. */
template <int N> static __device__ int within(int64_t key)
{
    return key < 0 ? 0 : key < N ? (int)key : N;
}

/* s (N,N) = -inf where a query, from `query` on, doesn't see a key, from `key` on; a thread has every SIDEth row and
 * column. */
template <int N, class T>
static __device__ void hide_unseen(float s[N / SIDE][N / SIDE], const struct para_planes<T> &a, int64_t query,
                                   int64_t key)
{
    const int R = N / SIDE, row = threadIdx.x / SIDE, col = threadIdx.x % SIDE;
    int64_t last = query + N < a.queries ? query + N - 1 : a.queries - 1;
    if (key + N <= a.visible(query) && a.first_key(last) <= key)
        return;
    for (int i = 0; i < R; i++) {
        int64_t own = query + row + SIDE * i;
        int from = within<N>(a.first_key(own) - key), sees = within<N>(a.visible(own) - key);
        for (int j = 0; j < R; j++)
            if (col + SIDE * j < from || col + SIDE * j >= sees)
                s[i][j] = -INFINITY;
    }
}

/* --- forward --- */

template <int N, int W> struct forward_tiles {
    float q[N * (W + SPREAD)], k[N * (W + SPREAD)], v[N * (W + SPREAD)], p[N * (N + SPREAD)];
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
    int64_t begin = a.first_key(first) / N * N, end = a.visible(last - 1);
    bring<N, W>(t->q, a.q, a.q_ld, first, a.queries, a.width);
    bring<N, W>(t->k, a.k, a.kv_ld, begin, a.keys, a.width);
    for (int64_t key = begin; key < end; key += N) {
        float s[R][R];
        arrived();
        bring<N, W>(t->v, a.v, a.kv_ld, key, a.keys, a.width);
        multiply_rows<N, W>(s, t->q, t->k);
        hide_unseen<N>(s, a, first, key);
        for (int i = 0; i < R; i++) {
            float highest = top[i], added = 0;
            for (int j = 0; j < R; j++)
                highest = fmaxf(highest, s[i][j]);
            highest = across(highest, [](float x, float y) { return fmaxf(x, y); });
            float base = highest > -INFINITY ? highest * a.scale : 0; /* a row that sees nothing yet adds nothing */
            for (int j = 0; j < R; j++)
                added += s[i][j] = para_exp(s[i][j] * a.scale - base);
            float kept = para_exp(top[i] * a.scale - base);
            sum[i] = sum[i] * kept + across(added, [](float x, float y) { return x + y; });
            top[i] = highest;
            for (int j = 0; j < W / SIDE; j++)
                o[i][j] *= kept;
        }
        store_square<N>(t->p, s);
        arrived();
        if (key + N < end)
            bring<N, W>(t->k, a.k, a.kv_ld, key + N, a.keys, a.width);
        add_product<N, W>(o, t->p, t->v);
    }
    float scale[R];
    for (int i = 0; i < R; i++) {
        scale[i] = 1.0f / sum[i];
        if (col == 0 && first + row + SIDE * i < a.queries)
            a.lse[(first + row + SIDE * i) * a.lse_ld] = top[i] * a.scale + logf(sum[i]);
    }
    store_rows<N, W, false>(a.o, a.o_ld, first, a.queries, a.width, o, scale);
}

/* --- backward --- */

template <int N, int W> struct backward_tiles {
    float q[N * (W + SPREAD)], d_o[N * (W + SPREAD)], k[N * (W + SPREAD)], v[N * (W + SPREAD)];
    float p[N * (N + SPREAD)]; /* the scores' softmax, then its slopes */
};

/* Where blocks add up dq: (groups, planes, readers, queries, line). */
struct sums_of_dq {
    float *of;
    int groups;
    int64_t line; /* a head's width, in whole quads */
};

/* x (R) = what is kept of each query, in a thread's rows of a tile from `query` on */
template <int N, class T>
static __device__ void read_of_rows(float x[N / SIDE], const float *of, const struct para_planes<T> &a, int64_t query)
{
    for (int i = 0; i < N / SIDE; i++) {
        int64_t own = query + threadIdx.x / SIDE + SIDE * i;
        x[i] = own < a.queries ? of[own * a.lse_ld] : 0;
    }
}

/* p (N,N) = softmax of the scores of queries from `query` and keys from `key` on, 0 where they don't meet; a thread
 * puts what it has of it into the tile */
template <int N, int W, class T>
static __device__ void put_weights(struct backward_tiles<N, W> *t, const struct para_planes<T> &a, int64_t query,
                                   int64_t key)
{
    const int R = N / SIDE;
    float s[R][R], lse[R];
    read_of_rows<N>(lse, a.lse, a, query);
    multiply_rows<N, W>(s, t->q, t->k);
    hide_unseen<N>(s, a, query, key);
    for (int i = 0; i < R; i++)
        for (int j = 0; j < R; j++)
            s[i][j] = para_exp(s[i][j] * a.scale - lse[i]);
    store_square<N>(t->p, s);
}

/* ds (N,N), scale included, from p; a thread has the same of both. */
template <int N, int W, class T>
static __device__ void slopes_of_scores(float ds[N / SIDE][N / SIDE], const struct backward_tiles<N, W> *t,
                                        const struct para_planes<T> &a, int64_t query)
{
    const int R = N / SIDE, row = threadIdx.x / SIDE, col = threadIdx.x % SIDE;
    float delta[R];
    read_of_rows<N>(delta, a.delta, a, query);
    multiply_rows<N, W>(ds, t->d_o, t->v);
    for (int i = 0; i < R; i++)
        for (int j = 0; j < R; j++)
            ds[i][j] = t->p[(row + SIDE * i) * (N + SPREAD) + col + SIDE * j] * (ds[i][j] - delta[i]) * a.scale;
}

/* dq (R,C of N,W): what a thread has of the block's sum in memory, of queries from `query` on, brought or put back */
template <int N, int W, bool BACK>
static __device__ void move_sum(float dq[N / SIDE][W / SIDE], float *sum, int64_t line, int64_t query, int64_t queries)
{
    const int R = N / SIDE, C = W / SIDE, RUN = run_of(C), row = threadIdx.x / SIDE, col = threadIdx.x % SIDE;
    for (int i = 0; i < R; i++)
        for (int j = 0; j < C; j += RUN) {
            int64_t own = query + row + SIDE * i, at = in_runs<C>(col, j);
            neighbours<RUN> *of = (neighbours<RUN> *)(sum + own * line + at), *own_of = (neighbours<RUN> *)&dq[i][j];
            if (own < queries && at < line)
                *(BACK ? of : own_of) = *(BACK ? own_of : of);
        }
}

/* dk and dv of a tile of keys, over all queries that see them, reader by reader, and what these keys add to dq. The
 * next queries are on their way as soon as no thread needs what they overwrite. */
template <int N, int W, class T>
static __device__ void backward_tile(struct backward_tiles<N, W> *t, const struct para_planes<T> &all,
                                     const struct sums_of_dq &sums, int64_t key)
{
    const int R = N / SIDE, C = W / SIDE;
    struct para_planes<T> a = all.at(blockIdx.x, 0);
    int64_t begin = a.first_query(key) / N * N, end = a.end_query(key + N - 1);
    int64_t tiles = begin < end ? (end - begin + N - 1) / N : 0, turns = a.readers * tiles;
    float dk[R][C] = {}, dv[R][C] = {}, one[R];
    auto bring_q = [&](int64_t turn) {
        if (turn < turns)
            bring<N, W>(t->q, all.at(blockIdx.x, turn / tiles).q, a.q_ld, begin + turn % tiles * N, a.queries, a.width);
    };
    auto bring_d_o = [&](int64_t turn) {
        if (turn < turns)
            bring<N, W>(t->d_o, all.at(blockIdx.x, turn / tiles).d_o, a.o_ld, begin + turn % tiles * N, a.queries,
                        a.width);
    };
    arrived(); /* with what a tile that no query sees had begun to bring */
    bring<N, W>(t->k, a.k, a.kv_ld, key, a.keys, a.width);
    bring<N, W>(t->v, a.v, a.kv_ld, key, a.keys, a.width);
    bring_q(0);
    bring_d_o(0);
    for (int64_t turn = 0; turn < turns; turn++) {
        int64_t reader = turn / tiles, query = begin + turn % tiles * N;
        struct para_planes<T> own = all.at(blockIdx.x, reader);
        float *sum = sums.of + ((blockIdx.y * a.planes + blockIdx.x) * a.readers + reader) * a.queries * sums.line;
        float ds[R][R], dq[R][C] = {};
        arrived();
        put_weights<N, W>(t, own, query, key);
        __syncthreads();
        add_transposed<N, W>(dv, t->p, t->d_o);
        slopes_of_scores<N, W>(ds, t, own, query);
        __syncthreads();
        bring_d_o(turn + 1);
        store_square<N>(t->p, ds);
        move_sum<N, W, false>(dq, sum, sums.line, query, a.queries);
        __syncthreads();
        add_transposed<N, W>(dk, t->p, t->q);
        __syncthreads();
        bring_q(turn + 1);
        add_product<N, W>(dq, t->p, t->k);
        move_sum<N, W, true>(dq, sum, sums.line, query, a.queries);
    }
    for (int i = 0; i < R; i++)
        one[i] = 1;
    store_rows<N, W, true>(a.dk, a.kv_ld, key, a.keys, a.width, dk, one);
    store_rows<N, W, true>(a.dv, a.kv_ld, key, a.keys, a.width, dv, one);
}

/* A block for each plane and group of tiles of keys: there and back they are shared out to groups in turn, which so
 * have as much to do where keys are seen by ever fewer queries. */
template <int N, int W, class T>
static __global__ void __launch_bounds__(SIDE *SIDE) backward(struct para_planes<T> all, struct sums_of_dq sums)
{
    extern __shared__ __align__(16) float memory[];
    int64_t tiles = (all.keys + N - 1) / N, groups = sums.groups;
    for (int64_t turn = 0; turn * groups < tiles; turn++) {
        int64_t tile = turn * groups + (turn % 2 ? groups - 1 - blockIdx.y : blockIdx.y);
        if (tile < tiles)
            backward_tile<N, W>((struct backward_tiles<N, W> *)memory, all, sums, tile * N);
    }
}

/* dq = the groups' sums, in their order: a thread for each quad */
template <class T>
static int add_up_groups(const struct para_call *c, const struct para_planes<T> &p, const struct sums_of_dq &sums)
{
    int64_t quads = sums.line / QUAD, rows = p.planes * p.readers * p.queries;
    return para_each(c, rows * quads, [=] __device__(int64_t i) {
        int64_t row = i / quads, first = (i - row * quads) * QUAD, reader = row / p.queries, query = row % p.queries;
        struct para_planes<T> a = p.at(reader / p.readers, reader % p.readers);
        float sum[QUAD] = {};
        for (int g = 0; g < sums.groups; g++) {
            neighbours<QUAD> part = *(const neighbours<QUAD> *)(sums.of + (g * rows + row) * sums.line + first);
            for (int k = 0; k < QUAD; k++)
                sum[k] += part.of[k];
        }
        for (int k = 0; k < QUAD && first + k < a.width; k++)
            a.dq[query * a.q_ld + first + k] = para_round<T>(sum[k]);
    });
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

template <int N, int W, class T> static int run_forward(const struct para_call *c, const struct para_planes<T> &p)
{
    const int BYTES = sizeof(struct forward_tiles<N, W>);
    cudaFuncSetAttribute(forward<N, W, T>, cudaFuncAttributeMaxDynamicSharedMemorySize, BYTES);
    dim3 blocks((unsigned)p.planes, (unsigned)((p.queries + N - 1) / N), (unsigned)p.readers);
    forward<N, W><<<blocks, SIDE * SIDE, BYTES, c->cuda->stream>>>(p);
    return para_launched(c);
}

static int64_t whole_quads(int64_t width)
{
    return (width + QUAD - 1) / QUAD * QUAD;
}

/* Groups of tiles of keys: as many as keep a large GPU busy for some rounds, of which each costs a sum of dq. */
static int count_groups(int64_t planes, int64_t keys)
{
    const int64_t BLOCKS = 384, SMALLEST_TILE = 64;
    int groups = 1;
    while (planes * groups < BLOCKS && groups * SMALLEST_TILE < keys)
        groups *= 2;
    return groups;
}

template <int N, int W, class T>
static int run_backward(const struct para_call *c, const struct para_planes<T> &p, const struct sums_of_dq &sums)
{
    const int BYTES = sizeof(struct backward_tiles<N, W>);
    int64_t rows = sums.groups * p.planes * p.readers * p.queries;
    cudaFuncSetAttribute(backward<N, W, T>, cudaFuncAttributeMaxDynamicSharedMemorySize, BYTES);
    cudaMemsetAsync(sums.of, 0, (size_t)(rows * sums.line) * sizeof(float), c->cuda->stream);
    backward<N, W><<<dim3((unsigned)p.planes, (unsigned)sums.groups), SIDE * SIDE, BYTES, c->cuda->stream>>>(p, sums);
    PARA_TRY(para_launched(c));
    return add_up_groups(c, p, sums);
}

/* The widest head that fits into shared memory. */
static int need_width(const struct para_call *c, int64_t width)
{
    return width <= 256
               ? 0
               : para_fail(c->err, PARA_ESUPPORT, "heads of %lld, expected at most 256 on a GPU", (long long)width);
}

template <class T> static int forward_general(const struct para_call *c, const struct para_planes<T> &p)
{
    PARA_TRY(need_width(c, p.width));
    if (p.width <= 64 && sizeof(struct forward_tiles<128, 64>) > para_most_shared())
        return run_forward<64, 64>(c, p);
    return p.width <= 32    ? run_forward<128, 32>(c, p)
           : p.width <= 64  ? run_forward<128, 64>(c, p)
           : p.width <= 128 ? run_forward<64, 128>(c, p)
                            : run_forward<32, 256>(c, p);
}

template <class T>
static int backward_general(const struct para_call *c, const struct para_planes<T> &p, const struct sums_of_dq &sums)
{
    PARA_TRY(need_width(c, p.width));
    if (p.width <= 64 && sizeof(struct backward_tiles<128, 64>) > para_most_shared())
        return run_backward<64, 64>(c, p, sums);
    return p.width <= 32    ? run_backward<128, 32>(c, p, sums)
           : p.width <= 64  ? run_backward<128, 64>(c, p, sums)
           : p.width <= 128 ? run_backward<64, 128>(c, p, sums)
                            : run_backward<32, 256>(c, p, sums);
}

static bool is_half(const struct para_call *c)
{
    return c->node->in[0]->shape.dtype == PARA_BF16;
}

/* Kernels for tensor cores know no window. */
static bool on_tensor_cores(const para_node *n, int64_t width)
{
    return n->in[0]->shape.dtype == PARA_BF16 && n->attr[1].i == 0 && para_attention_has_half(width);
}

int para_attention_cuda(const struct para_call *c)
{
    if (!is_half(c))
        return forward_general(c, planes_of<float>(c, c->out[0], c->out[1]));
    struct para_planes<para_half> p = planes_of<para_half>(c, c->out[0], c->out[1]);
    return on_tensor_cores(c->node, p.width) ? para_attention_half(c, p) : forward_general(c, p);
}

/* Bytes of delta, which is like lse; sums of dq begin behind it. */
static size_t delta_bytes(const para_node *n)
{
    const size_t LINE = 256;
    return (para_shape_bytes(&n->in[n->n_in - 2]->shape) + LINE - 1) / LINE * LINE;
}

static struct sums_of_dq sums_of(const para_node *n, void *scratch)
{
    const struct para_shape *o = &n->in[n->n_in - 3]->shape;
    return {(float *)((char *)scratch + delta_bytes(n)), count_groups(para_attention_planes(n), para_attention_keys(n)),
            whole_quads(o->dim[o->rank - 1].extent)};
}

size_t para_attention_backward_cuda_scratch(const para_node *n)
{
    const struct para_shape *o = &n->in[n->n_in - 3]->shape;
    int64_t width = o->dim[o->rank - 1].extent;
    struct sums_of_dq sums = sums_of(n, NULL);
    if (on_tensor_cores(n, width))
        return delta_bytes(n);
    return delta_bytes(n) + (size_t)(sums.groups * (para_shape_elements(o) / width) * sums.line) * sizeof(float);
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
        return backward_general(c, p, sums_of(n, c->scratch));
    }
    struct para_planes<para_half> p = planes_of<para_half>(c, o, lse);
    add_slopes(c, &p);
    PARA_TRY(sum_rows<para_half>(c, p.width, p.delta));
    return on_tensor_cores(n, p.width) ? para_attention_half_backward(c, p)
                                       : backward_general(c, p, sums_of(n, c->scratch));
}
