/* argmax on a GPU: a cluster of blocks for each result, which look at runs of the axis. */
#include "ops/cuda.h"

#include <cooperative_groups.h>

extern "C" {
#include "ops/move.h"
}

enum { THREADS = 1024, AT_ONCE = 8, FEW = 16, OF_MANY = 2 }; /* OF_MANY: blocks of a result, of more than a few */

/* A number that is larger the larger the element is, and of equal ones the earlier; 0 for none, all ones for NaN. */
static __device__ inline unsigned long long key_of(float x, int64_t i)
{
    unsigned bits = __float_as_uint(x + 0.0f); /* -0 is 0 */
    bits = bits >> 31 ? ~bits : bits | 1u << 31;
    return x != x ? ~0ull : (unsigned long long)bits << 32 | (0xffffffffu - (unsigned)i);
}

struct later {
    __device__ unsigned long long operator()(unsigned long long a, unsigned long long b) const
    {
        return a > b ? a : b;
    }
};

/* The largest over the block's threads, in the first warp. */
static __device__ unsigned long long find_in_block(unsigned long long best)
{
    __shared__ unsigned long long of_warp[THREADS / PARA_WARP];
    best = para_warp_fold(best, later());
    if (threadIdx.x % PARA_WARP == 0)
        of_warp[threadIdx.x / PARA_WARP] = best;
    __syncthreads();
    return para_warp_fold(of_warp[threadIdx.x % PARA_WARP], later());
}

static __global__ void __launch_bounds__(THREADS) find(const float *x, int64_t extent, int64_t inner, int32_t *y)
{
    int parts = gridDim.x, part = blockIdx.x;
    int64_t e = blockIdx.y, begin = part * extent / parts, end = (part + 1) * extent / parts;
    const float *line = x + e / inner * extent * inner + e % inner;
    unsigned long long best = 0;
    para_wait_before();
    for (int64_t i = begin + threadIdx.x; i < end; i += AT_ONCE * THREADS) {
        float at[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++)
            at[k] = i + k * THREADS < end ? line[(i + k * THREADS) * inner] : -INFINITY;
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++)
            if (i + k * THREADS < end)
                best = later()(best, key_of(at[k], i + k * THREADS));
    }
    best = find_in_block(best);
#if __CUDA_ARCH__ >= 900
    __shared__ unsigned long long own;
    if (threadIdx.x == 0)
        own = best;
    cooperative_groups::cluster_group cluster = cooperative_groups::this_cluster();
    cluster.sync();
    for (int i = 0; i < parts; i++)
        best = later()(best, *cluster.map_shared_rank(&own, i));
    cluster.sync();
#endif
    int32_t index = (int32_t)(0xffffffffu - (unsigned)best);
    if (part == 0 && threadIdx.x == 0)
        y[e] = best == ~0ull || !isfinite(line[(int64_t)index * inner]) ? -1 : index;
}

int para_argmax_cuda(const struct para_call *c)
{
    const struct para_shape *x = &c->node->in[0]->shape;
    struct para_planes p = para_planes_of(x, para_shape_find(x, c->node->attr[0].s));
    int64_t inner = (int64_t)(p.inner_bytes / sizeof(float));
    if (p.outer * inner == 0)
        return 0;
    unsigned parts = para_cluster_size() == 1 || p.outer * inner <= FEW ? para_cluster_size() : OF_MANY;
    return para_launch_early(c, find, dim3(parts, (unsigned)(p.outer * inner)), THREADS, 0, parts,
                             (const float *)c->in[0], p.extent, inner, (int32_t *)c->out[0]);
}
