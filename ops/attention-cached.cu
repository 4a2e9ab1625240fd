/* attention_cached on a GPU: each query by itself, so that its bits depend on its own row alone. Its keys are cut into
 * runs by their numbers, of which a block takes one; then the runs are put together in their order. Where keys end is
 * known at the run alone: blocks behind it return at once. */
#include "ops/rows-cuda.h"

extern "C" {
#include "ops/heads.h"
}

enum {
    Q,
    KEYS,
    VALUES,
    POSITION,
    PREFIX_KEYS,
    PREFIX_VALUES,
    PREFIX,
    MOST
}; /* inputs, as in
    * ops/attention-cached.c */
enum { RUN = 128, THREADS = 128 };

/* A call: T for queries, keys and values alike. */
template <class T> struct cached {
    const T *q, *keys, *values, *prefix_keys, *prefix_values;
    T *o;
    float *partial; /* (queries, runs, 2 + width): largest score, sum of exp, and the sum of those times values */
    struct para_rows_cuda rows;
    int64_t seq, heads, readers, width, slots, queries, runs, past;
    int64_t window;  /* of the keys that a query sees only the last so many; 0: all */
    bool rows_share; /* keys and values lack the batch */
    float scale;

    /* Of query number i: its row, head of keys, and how many keys it sees, or sees the last of; 0 where its row is
     * empty. */
    __device__ int64_t see(int64_t i, bool says, int64_t *b, int64_t *head) const
    {
        int64_t of_row = seq * heads * readers, within = i % of_row, t = within / (heads * readers);
        *b = i / of_row;
        *head = within / readers % heads;
        int64_t position = rows.position_of(*b, says && within == 0);
        int64_t seen = position + past + t + 1, all = slots + rows.prefix_of(*b);
        return position < 0 ? 0 : seen < all ? seen : all;
    }

    /* The first of so many keys. */
    __device__ int64_t first_of(int64_t seen) const
    {
        return window && seen > window ? seen - window : 0;
    }

    /* Row j of keys or values. */
    __device__ const T *row(const T *own, const T *before, int64_t b, int64_t head, int64_t prefix, int64_t j) const
    {
        int64_t at = j < prefix ? j : j - prefix + (rows_share ? 0 : rows.row_of(b) * slots);
        return (j < prefix ? before : own) + (at * heads + head) * width;
    }
};

/* Each group of LANES threads has a key at a time, of which a thread has PACKS packs of COUNT elements. */
template <class T, int COUNT, int LANES, int PACKS>
static __global__ void __launch_bounds__(THREADS) attend_run(struct cached<T> all)
{
    const int GROUPS = THREADS / LANES;
    extern __shared__ float sums[]; /* (GROUPS, width) */
    __shared__ float score[RUN];
    int64_t query = blockIdx.x, run = blockIdx.y, first = run * RUN, b, head;
    int group = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    int64_t seen = all.see(query, run == 0 && threadIdx.x == 0, &b, &head), prefix = all.rows.prefix_of(b);
    int64_t from = all.first_of(seen) - first;
    if (first >= seen || from >= RUN)
        return;
    int count = seen - first < RUN ? (int)(seen - first) : RUN;
    float q[PACKS * COUNT], o[PACKS * COUNT] = {};
#pragma unroll
    for (int p = 0; p < PACKS; p++)
#pragma unroll
        for (int k = 0; k < COUNT; k++) {
            int e = (p * LANES + lane) * COUNT + k;
            q[p * COUNT + k] = e < all.width ? (float)all.q[query * all.width + e] * all.scale : 0.0f;
        }
    struct alignas(sizeof(T) * COUNT) pack {
        T of[COUNT];
    };
#pragma unroll 2
    for (int j = group; j < RUN; j += GROUPS) {
        float sum = 0;
        const T *key = all.row(all.keys, all.prefix_keys, b, head, prefix, first + (j < count ? j : 0));
#pragma unroll
        for (int p = 0; p < PACKS; p++) {
            int e = (p * LANES + lane) * COUNT;
            if (e < all.width) {
                struct pack x = *(const struct pack *)(key + e);
#pragma unroll
                for (int k = 0; k < COUNT; k++)
                    sum += q[p * COUNT + k] * (float)x.of[k];
            }
        }
        for (int step = 1; step < LANES; step *= 2)
            sum += __shfl_xor_sync(~0u, sum, step);
        if (lane == 0)
            score[j] = j >= from && j < count ? sum : -INFINITY;
    }
    __syncthreads();
    float top = -INFINITY, total = 0;
    for (int j = 0; j < count; j++)
        top = fmaxf(top, score[j]);
    __syncthreads();
    if (threadIdx.x < RUN)
        score[threadIdx.x] = expf(score[threadIdx.x] - top);
    __syncthreads();
#pragma unroll 2
    for (int j = group; j < count; j += GROUPS) {
        const T *value = all.row(all.values, all.prefix_values, b, head, prefix, first + j);
        float p_j = score[j];
#pragma unroll
        for (int p = 0; p < PACKS; p++) {
            int e = (p * LANES + lane) * COUNT;
            if (e < all.width) {
                struct pack x = *(const struct pack *)(value + e);
#pragma unroll
                for (int k = 0; k < COUNT; k++)
                    o[p * COUNT + k] += p_j * (float)x.of[k];
            }
        }
    }
#pragma unroll
    for (int p = 0; p < PACKS; p++)
#pragma unroll
        for (int k = 0; k < COUNT; k++) {
            int e = (p * LANES + lane) * COUNT + k;
            if (e < all.width)
                sums[group * all.width + e] = o[p * COUNT + k];
        }
    __syncthreads();
    float *partial = all.partial + (query * all.runs + run) * (2 + all.width);
    for (int64_t e = threadIdx.x; e < all.width; e += THREADS) {
        float sum = 0;
        for (int g = 0; g < GROUPS; g++)
            sum += sums[g * all.width + e];
        partial[2 + e] = sum;
    }
    if (threadIdx.x > 0)
        return;
    for (int j = 0; j < count; j++)
        total += score[j];
    partial[0] = top;
    partial[1] = total;
}

/* o = the runs' sums, each times exp of its largest score less that of all; a warp for each query */
template <class T> static int join(const struct para_call *c, const struct cached<T> &all)
{
    return para_each(c, all.queries * PARA_WARP, [=] __device__(int64_t i) {
        int64_t query = i / PARA_WARP, b, head, seen = all.see(query, false, &b, &head), runs = (seen + RUN - 1) / RUN;
        int64_t begin = all.first_of(seen) / RUN;
        const float *partial = all.partial + query * all.runs * (2 + all.width);
        float top = -INFINITY, total = 0;
        for (int64_t r = begin; r < runs; r++)
            top = fmaxf(top, partial[r * (2 + all.width)]);
        for (int64_t r = begin; r < runs; r++)
            total += partial[r * (2 + all.width) + 1] * expf(partial[r * (2 + all.width)] - top);
        for (int64_t e = i % PARA_WARP; e < all.width; e += PARA_WARP) {
            float sum = 0;
            for (int64_t r = begin; r < runs; r++)
                sum += partial[r * (2 + all.width) + 2 + e] * expf(partial[r * (2 + all.width)] - top);
            all.o[query * all.width + e] = para_round<T>(runs ? sum / total : 0.0f);
        }
    });
}

template <class T, int COUNT, int LANES, int PACKS>
static int attend(const struct para_call *c, const struct cached<T> &all)
{
    size_t shared = (size_t)all.width * (THREADS / LANES) * sizeof(float);
    dim3 blocks((unsigned)all.queries, (unsigned)all.runs);
    attend_run<T, COUNT, LANES, PACKS><<<blocks, THREADS, shared, c->cuda->stream>>>(all);
    PARA_TRY(para_launched(c));
    return join(c, all);
}

static int64_t count_runs(const para_node *n)
{
    int64_t keys = para_keys_extent(&n->in[KEYS]->shape);
    keys += n->n_in >= MOST ? para_keys_extent(&n->in[PREFIX_KEYS]->shape) : 0;
    return (keys + RUN - 1) / RUN;
}

size_t para_attention_cached_cuda_scratch(const para_node *n)
{
    int64_t width = para_heads_of(&n->in[Q]->shape).width, queries = para_shape_elements(&n->in[Q]->shape) / width;
    return (size_t)(queries * count_runs(n) * (2 + width)) * sizeof(float);
}

template <class T> static int run(const struct para_call *c)
{
    const int COUNT = para_pack<T>::COUNT;
    const para_node *n = c->node;
    struct para_heads s = para_heads_of(&n->in[Q]->shape);
    bool prefixed = n->n_in >= MOST;
    cached<T> all = {};
    all.q = (const T *)c->in[Q];
    all.keys = (const T *)c->in[KEYS];
    all.values = (const T *)c->in[VALUES];
    all.prefix_keys = prefixed ? (const T *)c->in[PREFIX_KEYS] : NULL;
    all.prefix_values = prefixed ? (const T *)c->in[PREFIX_VALUES] : NULL;
    all.o = (T *)c->out[0];
    all.partial = (float *)c->scratch;
    all.slots = para_keys_extent(&n->in[KEYS]->shape);
    all.rows = para_rows_on_gpu(para_cached_rows(c), para_cached_bounds(n), c->fault);
    all.seq = s.seq;
    all.heads = s.heads;
    all.readers = s.readers;
    all.width = s.width;
    all.queries = s.batch * s.seq * s.heads * s.readers;
    all.runs = count_runs(n);
    all.past = n->in[Q]->shape.dim[1].begin;
    all.window = n->attr[0].i;
    all.rows_share = n->in[KEYS]->shape.rank < 4;
    all.scale = 1.0f / sqrtf((float)s.width);
    if (s.width % COUNT == 0 && s.width <= 8 * COUNT)
        return attend<T, COUNT, 8, 1>(c, all);
    if (s.width % COUNT == 0 && s.width <= 16 * COUNT)
        return attend<T, COUNT, 8, 2>(c, all);
    if (s.width <= 256)
        return attend<T, 1, PARA_WARP, 8>(c, all);
    return para_fail(c->err, PARA_ESUPPORT, "heads of %lld, expected at most 256 on a GPU", (long long)s.width);
}

int para_attention_cached_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, run, c);
}
