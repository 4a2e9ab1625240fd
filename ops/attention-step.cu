/* attention_step on a GPU. Where rows are few, the keys that a query sees are shared out evenly to a cluster of blocks,
 * which put their results together in their order, in the first one's shared memory; where they are many, a block has
 * them all; so a query's bits depend on its own row alone, and on whether rows are many. Keys and values that earlier
 * runs left are on their way while the kernel before still computes q, k and v; the new ones are read where that wrote
 * them, and put into the caches by the block whose turn they are. */
#include "ops/rows-cuda.h"

#include <cooperative_groups.h>

extern "C" {
#include "ops/heads.h"

#include "graph/pattern.h"
}

enum { X, KEYS, VALUES, POSITION, PREFIX_KEYS, PREFIX_VALUES, PREFIX, MOST }; /* inputs, then row */
enum { THREADS = 128, EIGHT = 8, AT_ONCE = 6 };
enum {
    FEW = 16,
    AHEAD = 4,
    STEP = 2
}; /* rows that are few; keys of a thread that are on their way where they are many,
    * and that are taken at once */

/* A call: T for q, keys and values alike. */
template <class T> struct step {
    const T *x, *prefix_keys, *prefix_values;
    T *o, *keys, *values;
    struct para_rows_cuda rows;
    int64_t line, window; /* line: elements from one position to the next */
    float scale;
    bool ready; /* caches and positions are, before the kernels before have ended */

    /* Where key or value number j is kept, of a head whose own begin at `base`. */
    __device__ const T *at(const T *own, const T *before, int64_t base, int64_t prefix, int64_t j) const
    {
        return j < prefix ? before + base % line + j * line : own + base + (j - prefix) * line;
    }
};

/* Neighbours as they lie, of which each is taken out when it is needed. */
template <class T> struct eight;
template <> struct alignas(16) eight<float> {
    float of[EIGHT];

    __device__ float get(int e) const
    {
        return of[e];
    }
};
template <> struct alignas(16) eight<para_half> {
    unsigned of[EIGHT / 2];

    __device__ float get(int e) const
    {
        return __uint_as_float(e % 2 ? of[e / 2] & 0xffff0000u : of[e / 2] << 16);
    }
};

template <class T> static __device__ eight<T> read(const T *at)
{
    return *(const eight<T> *)at;
}

/* A cluster's threads come here, and go on once all have: what they have written is seen then. Where there are no
 * clusters, the block's. */
static __device__ inline void arrive()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.arrive.release;" ::: "memory");
#endif
}

static __device__ inline void wait_for_cluster()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
#else
    __syncthreads();
#endif
}

/* The first block's place of what this one has in its own. */
template <class R> static __device__ R *of_first(R *own)
{
#if __CUDA_ARCH__ >= 900
    return cooperative_groups::this_cluster().map_shared_rank(own, 0);
#else
    return own;
#endif
}

/* What some keys give: the largest score, the sum of exp of them less that, and the sum of those times values. */
template <int WIDTH> struct result {
    float top, total, o[WIDTH];
};

/* Thread t's element of COUNT results put together in their order; all are fetched before one is needed. */
template <int COUNT, int WIDTH>
static __device__ float put_together(int t, float *top, float *total, const result<WIDTH> of[COUNT])
{
    float tops[COUNT], totals[COUNT], elements[COUNT], sum = 0;
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        tops[i] = of[i].top;
        totals[i] = of[i].total;
        elements[i] = of[i].o[t];
    }
    *top = -INFINITY;
    *total = 0;
#pragma unroll
    for (int i = 0; i < COUNT; i++)
        *top = fmaxf(*top, tops[i]);
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
        float part = totals[i] > 0 ? expf(tops[i] - *top) : 0.0f;
        *total += part * totals[i];
        sum += part * elements[i];
    }
    return sum;
}

template <int WIDTH, int PARTS, class T>
static __global__ void __launch_bounds__(THREADS, sizeof(T) == 2 ? 4 : 3) attend_step(struct step<T> s)
{
    const int LANES = WIDTH / EIGHT, GROUPS = THREADS / LANES;
    __shared__ result<WIDTH> of_group[GROUPS], of_part[PARTS];
    int group = threadIdx.x / LANES, lane = threadIdx.x % LANES, part = blockIdx.x;
    const int parts = PARTS;
    int64_t head = blockIdx.y, b = blockIdx.z, line = s.line;
    para_let_next();
    arrive();
    if (!s.ready)
        para_wait_before();
    int64_t position = s.rows.position_of(b, part == 0 && head == 0 && threadIdx.x == 0), seen = position + 1;
    int64_t from = s.window && seen > s.window ? seen - s.window : 0, count = (seen - from + parts - 1) / parts;
    int64_t begin = from + part * count, end = begin + count < seen ? begin + count : seen;
    int64_t prefix = s.rows.prefix_of(b), base = head * WIDTH;
    base += position < 0 ? 0 : s.rows.row_of(b) * s.rows.kept * line;
    auto key_at = [&](int64_t j) { return s.at(s.keys, s.prefix_keys, base, prefix, j) + lane * EIGHT; };
    auto value_at = [&](int64_t j) { return s.at(s.values, s.prefix_values, base, prefix, j) + lane * EIGHT; };
    eight<T> key[AT_ONCE], value[AT_ONCE];
    auto load = [&](int64_t at) {
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            int64_t j = at + i * GROUPS + group < end ? at + i * GROUPS + group : begin;
            if (j != position) {
                key[i] = read(key_at(j));
                value[i] = read(value_at(j));
            }
        }
    };
    if (s.ready && begin < end)
        load(begin);
    if (s.ready)
        para_wait_before();
    const T *x = s.x + b * 3 * line + head * WIDTH, *new_key = x + line, *new_value = x + 2 * line;
    eight<T> q = read(x + lane * EIGHT);
    float top = -INFINITY, total = 0, o[EIGHT] = {};
    for (int64_t at = begin; at < end; at += GROUPS * AT_ONCE) {
        float score[AT_ONCE], highest = top;
        if (at > begin || !s.ready)
            load(at);
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++)
            if ((at + i * GROUPS + group < end ? at + i * GROUPS + group : begin) == position) {
                key[i] = read(new_key + lane * EIGHT);
                value[i] = read(new_value + lane * EIGHT);
            }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            score[i] = 0;
#pragma unroll
            for (int e = 0; e < EIGHT; e++)
                score[i] += q.get(e) * key[i].get(e);
            for (int step = 1; step < LANES; step *= 2)
                score[i] += __shfl_xor_sync(~0u, score[i], step);
            score[i] = at + i * GROUPS + group < end ? score[i] * s.scale : -INFINITY;
            highest = fmaxf(highest, score[i]);
        }
        float keep = top == highest ? 1.0f : expf(top - highest);
        top = highest;
        total *= keep;
#pragma unroll
        for (int e = 0; e < EIGHT; e++)
            o[e] *= keep;
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            float p = score[i] == -INFINITY ? 0.0f : expf(score[i] - top);
            total += p;
#pragma unroll
            for (int e = 0; e < EIGHT; e++)
                o[e] += p * value[i].get(e);
        }
    }
#pragma unroll
    for (int e = 0; e < EIGHT; e++)
        of_group[group].o[lane * EIGHT + e] = o[e];
    if (lane == 0) {
        of_group[group].top = top;
        of_group[group].total = total;
    }
    bool appends = begin <= position && position < end;
    for (int e = threadIdx.x; e < WIDTH && appends; e += THREADS) {
        s.keys[base + (position - prefix) * line + e] = new_key[e];
        s.values[base + (position - prefix) * line + e] = new_value[e];
    }
    __syncthreads();
    wait_for_cluster(); /* the first block has begun */
    float part_top, part_total, sum;
    if (threadIdx.x < WIDTH) {
        result<WIDTH> *to = of_first(&of_part[part]);
        to->o[threadIdx.x] = put_together<GROUPS>(threadIdx.x, &part_top, &part_total, of_group);
        if (threadIdx.x == 0) {
            to->top = part_top;
            to->total = part_total;
        }
    }
    arrive();
    if (part > 0)
        return;
    wait_for_cluster();
    if (threadIdx.x < WIDTH) {
        sum = put_together<PARTS>(threadIdx.x, &part_top, &part_total, of_part);
        s.o[b * line + head * WIDTH + threadIdx.x] = para_round<T>(position < 0 ? 0.0f : sum / part_total);
    }
}

/* --- many rows: a block for each row and head --- */

template <class T> static __device__ void copy(eight<T> *to, const T *from)
{
    for (unsigned i = 0; i < sizeof *to / 16; i++)
        para_copy_word((char *)to + 16 * i, (const char *)from + 16 * i, true);
}

/* A thread's keys and values go through shared memory, where the next ones arrive while it takes the last: so memory
 * always has something to do. */
template <int WIDTH, class T> static __global__ void __launch_bounds__(THREADS, 4) attend_rows(struct step<T> s)
{
    const int LANES = WIDTH / EIGHT, GROUPS = THREADS / LANES;
    extern __shared__ __align__(16) char memory[];
    eight<T> *keys = (eight<T> *)memory + threadIdx.x, *values = keys + AHEAD * THREADS; /* of (AHEAD, THREADS) */
    __shared__ result<WIDTH> of_group[GROUPS];
    int group = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    int64_t head = blockIdx.y, b = blockIdx.z, line = s.line;
    para_let_next();
    if (!s.ready)
        para_wait_before();
    int position = (int)s.rows.position_of(b, head == 0 && threadIdx.x == 0), end = position + 1;
    int begin = s.window && end > s.window ? end - (int)s.window : 0, prefix = (int)s.rows.prefix_of(b);
    int64_t base = head * WIDTH + (position < 0 ? 0 : s.rows.row_of(b) * s.rows.kept * line);
    /* The group's keys from number `first` on and their values, but for the new ones, which are in no cache yet. */
    auto bring = [&](int first) {
#pragma unroll
        for (int i = first; i < first + STEP; i++) {
            int j = begin + i * GROUPS + group;
            if (j < position) {
                copy(&keys[i % AHEAD * THREADS], s.at(s.keys, s.prefix_keys, base, prefix, j) + lane * EIGHT);
                copy(&values[i % AHEAD * THREADS], s.at(s.values, s.prefix_values, base, prefix, j) + lane * EIGHT);
            }
        }
        para_end_group();
    };
    for (int first = 0; first < AHEAD; first += STEP)
        bring(first);
    if (s.ready)
        para_wait_before();
    const T *x = s.x + b * 3 * line + head * WIDTH;
    eight<T> q = read(x + lane * EIGHT), new_key = read(x + line + lane * EIGHT);
    eight<T> new_value = read(x + 2 * line + lane * EIGHT);
    float top = -INFINITY, total = 0, o[EIGHT] = {};
    for (int first = 0; begin + first * GROUPS < end; first += STEP) {
        float score[STEP], highest = top;
        para_wait_for_copies<AHEAD / STEP - 1>();
#pragma unroll
        for (int i = 0; i < STEP; i++) {
            int j = begin + (first + i) * GROUPS + group;
            eight<T> key = j == position ? new_key : keys[(first + i) % AHEAD * THREADS];
            score[i] = 0;
#pragma unroll
            for (int e = 0; e < EIGHT; e++)
                score[i] += q.get(e) * key.get(e);
            for (int step = 1; step < LANES; step *= 2)
                score[i] += __shfl_xor_sync(~0u, score[i], step);
            score[i] = j < end ? score[i] * s.scale : -INFINITY;
            highest = fmaxf(highest, score[i]);
        }
        float keep = top == highest ? 1.0f : para_exp(top - highest);
        top = highest;
        total *= keep;
#pragma unroll
        for (int e = 0; e < EIGHT; e++)
            o[e] *= keep;
#pragma unroll
        for (int i = 0; i < STEP; i++) {
            int j = begin + (first + i) * GROUPS + group;
            if (j >= end)
                continue;
            eight<T> value = j == position ? new_value : values[(first + i) % AHEAD * THREADS];
            float p = para_exp(score[i] - top);
            total += p;
#pragma unroll
            for (int e = 0; e < EIGHT; e++)
                o[e] += p * value.get(e);
        }
        bring(first + AHEAD);
    }
#pragma unroll
    for (int e = 0; e < EIGHT; e++)
        of_group[group].o[lane * EIGHT + e] = o[e];
    if (lane == 0) {
        of_group[group].top = top;
        of_group[group].total = total;
    }
    for (int e = threadIdx.x; e < WIDTH && position >= 0; e += THREADS) {
        s.keys[base + (position - prefix) * line + e] = x[line + e];
        s.values[base + (position - prefix) * line + e] = x[2 * line + e];
    }
    __syncthreads();
    if (threadIdx.x < WIDTH) {
        float all_top, all_total, sum = put_together<GROUPS>(threadIdx.x, &all_top, &all_total, of_group);
        s.o[b * line + head * WIDTH + threadIdx.x] = para_round<T>(position < 0 ? 0.0f : sum / all_total);
    }
}

/* --- launching --- */

template <class T>
static int launch_rows(const struct para_call *c, const struct step<T> &s, const struct para_heads &h)
{
    const int BYTES = 2 * AHEAD * THREADS * sizeof(eight<T>);
    dim3 blocks(1, (unsigned)h.heads, (unsigned)h.batch);
    return h.width == 64 ? para_launch_early(c, attend_rows<64, T>, blocks, THREADS, BYTES, 1, s)
                         : para_launch_early(c, attend_rows<128, T>, blocks, THREADS, BYTES, 1, s);
}

template <class T, int PARTS>
static int launch(const struct para_call *c, const struct step<T> &s, const struct para_heads &h)
{
    dim3 blocks(PARTS, (unsigned)h.heads, (unsigned)h.batch);
    return h.width == 64 ? para_launch_early(c, attend_step<64, PARTS, T>, blocks, THREADS, 0, PARTS, s)
                         : para_launch_early(c, attend_step<128, PARTS, T>, blocks, THREADS, 0, PARTS, s);
}

template <class T> static int run(const struct para_call *c)
{
    const para_node *n = c->node;
    struct para_fused all;
    PARA_TRY(para_fused_open(&all, n, c->err));
    struct para_heads h = para_heads_of(&all.node[0].in[0]->shape);
    bool prefixed = n->n_in >= MOST, has_row = n->n_in == POSITION + 2 || n->n_in == MOST + 1;
    struct para_rows rows = {(const int32_t *)c->in[POSITION], prefixed ? (const int32_t *)c->in[PREFIX] : NULL,
                             has_row ? (const int32_t *)c->in[n->n_in - 1] : NULL};
    struct step<T> s = {
    };
    s.x = (const T *)c->in[X];
    s.o = (T *)c->out[0];
    s.keys = (T *)c->out[1];
    s.values = (T *)c->out[2];
    s.prefix_keys = prefixed ? (const T *)c->in[PREFIX_KEYS] : NULL;
    s.prefix_values = prefixed ? (const T *)c->in[PREFIX_VALUES] : NULL;
    s.rows = para_rows_on_gpu(rows, para_cached_bounds(&all.node[0]), c->fault);
    s.line = h.heads * h.width;
    s.window = n->attr[0].i;
    s.scale = 1.0f / sqrtf((float)h.width);
    s.ready = true;
    for (int i = KEYS; i < n->n_in; i++)
        s.ready = s.ready && para_is_source(n->in[i]);
    if (h.batch > FEW)
        return launch_rows(c, s, h);
    if (para_cluster_size() == 1)
        return launch<T, 1>(c, s, h);
    return launch<T, PARA_CLUSTER>(c, s, h);
}

int para_attention_step_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, run, c);
}
