/* embedding and its gradient on a GPU. Rows of the table are added up in the order of positions, without atomics. */
#include "ops/cuda.h"

/* y (I,R) = table[ids (I)] (R), table (V,R): a thread for a pack of a row, or, where rows end within one, for each
 * element */
template <class W, class T, int COUNT> static int look_up(const struct para_call *c)
{
    const struct para_shape *shape = &c->node->in[0]->shape;
    int64_t extent = shape->dim[0].extent, begin = shape->dim[0].begin, whole = shape->dim[0].whole;
    int64_t count = para_shape_elements(&c->node->in[1]->shape), width = para_shape_elements(shape) / extent / COUNT;
    const W *table = (const W *)c->in[0];
    const int32_t *ids = (const int32_t *)c->in[1];
    T *y = (T *)c->out[0];
    unsigned long long *fault = c->fault;
    return para_each(c, count * width, [=] __device__(int64_t e) {
        int64_t p = e / width, k = e - p * width, row = ids[p] - begin;
        bool within = row >= 0 && row < extent;
        if (k == 0 && (ids[p] < 0 || ids[p] >= whole))
            para_fault(fault, p, ids[p]);
        const W *from = table + ((within ? row : 0) * width + k) * COUNT;
        if (COUNT == para_pack<T>::COUNT && sizeof(W) == sizeof(T)) {
            para_pack<T> pack = *(const para_pack<T> *)from;
            for (int i = 0; i < COUNT && !within; i++)
                pack.of[i] = para_round<T>(0.0f);
            para_store(y + e * COUNT, pack);
        } else
            for (int i = 0; i < COUNT; i++)
                y[e * COUNT + i] = para_round<T>(within ? (float)from[i] : 0.0f);
    });
}

static bool is_in_packs(const struct para_call *c)
{
    const struct para_shape *shape = &c->node->in[0]->shape;
    return para_shape_elements(shape) / shape->dim[0].extent % 8 == 0;
}

int para_embedding_cuda(const struct para_call *c)
{
    para_dtype dtype = c->node->in[0]->shape.dtype;
    if (dtype == PARA_BF16)
        return look_up<para_half, float, 1>(c);
    if (dtype == PARA_I8)
        return look_up<int8_t, float, 1>(c);
    return is_in_packs(c) ? look_up<float, float, 4>(c) : look_up<float, float, 1>(c);
}

int para_embedding_bf16_cuda(const struct para_call *c)
{
    return is_in_packs(c) ? look_up<para_half, para_half, 8>(c) : look_up<para_half, para_half, 1>(c);
}

/* The first position before `count` that has the id; count if none. The threads of a block look together. */
static __device__ int64_t find(const int32_t *ids, int64_t count, int32_t id)
{
    int64_t mine = threadIdx.x;
    while (mine < count && ids[mine] != id)
        mine += PARA_THREADS;
    mine = mine < count ? mine : count;
    return para_block_fold(mine, [] __device__(int64_t a, int64_t b) { return a < b ? a : b; });
}

/* A list of positions that have one id, as many as fit. */
enum { MOST_POSITIONS = 1024 };
struct positions {
    int count;
    int32_t of[MOST_POSITIONS];
};

/* Note positions from `from` on that have the id, in ascending order; returns where it ended, count at the end. */
static __device__ int64_t collect(struct positions *found, const int32_t *ids, int64_t count, int64_t from, int32_t id)
{
    __shared__ int of_warp[PARA_THREADS / PARA_WARP];
    int warp = threadIdx.x / PARA_WARP, lane = threadIdx.x % PARA_WARP, total = 0;
    for (; from < count && total <= MOST_POSITIONS - PARA_THREADS; from += PARA_THREADS) {
        int64_t mine = from + threadIdx.x;
        bool has = mine < count && ids[mine] == id;
        unsigned votes = __ballot_sync(~0u, has);
        __syncthreads();
        if (lane == 0)
            of_warp[warp] = __popc(votes);
        __syncthreads();
        int before = total;
        for (int w = 0; w < PARA_THREADS / PARA_WARP; w++) {
            before += w < warp ? of_warp[w] : 0;
            total += of_warp[w];
        }
        if (has)
            found->of[before + __popc(votes & ((1u << lane) - 1))] = (int32_t)mine;
    }
    __syncthreads();
    found->count = total; /* the same from all */
    __syncthreads();
    return from;
}

/* dtable[v] += dy of the positions whose id is v: a block for each position, and the first of an id has the work */
template <class T> static int add_rows(const struct para_call *c)
{
    const struct para_extent *dim = &c->node->out[0]->shape.dim[0];
    int64_t extent = dim->extent, begin = dim->begin, whole = dim->whole;
    int64_t count = para_shape_elements(&c->node->in[0]->shape);
    int64_t width = para_shape_elements(&c->node->in[1]->shape) / count;
    const int32_t *ids = (const int32_t *)c->in[0];
    const T *dy = (const T *)c->in[1];
    float *dtable = (float *)c->out[0];
    unsigned long long *fault = c->fault;
    return para_rows(c, count, [=] __device__(int64_t p) {
        __shared__ struct positions found;
        int32_t id = ids[p];
        int64_t row = id - begin;
        if (threadIdx.x == 0 && (id < 0 || id >= whole))
            para_fault(fault, p, id);
        if (row < 0 || row >= extent || find(ids, p, id) < p)
            return;
        for (int64_t next = p; next < count;) {
            next = collect(&found, ids, count, next, id);
            for (int64_t k = threadIdx.x; k < width; k += PARA_THREADS) {
                float sum = dtable[row * width + k];
#pragma unroll 8
                for (int i = 0; i < found.count; i++)
                    sum += (float)dy[found.of[i] * width + k];
                dtable[row * width + k] = sum;
            }
        }
    });
}

int para_embedding_backward_add_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->in[1]->shape.dtype, add_rows, c);
}

int para_embedding_backward_cuda(const struct para_call *c)
{
    cudaMemsetAsync(c->out[0], 0, para_shape_bytes(&c->node->out[0]->shape), c->cuda->stream);
    return para_embedding_backward_add_cuda(c);
}
