/* What .cu files share: the contract, launching kernels, and sums whose order never changes. */
#ifndef PARA_OPS_CUDA_H
#define PARA_OPS_CUDA_H

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <string.h>

extern "C" {
#include "ops/table.h"
#include "ops/walk.h"
}

enum { PARA_THREADS = 256, PARA_WARP = 32 };

/* --- element types: kernels compute in float32 and are templates over what they read and write --- */

typedef __nv_bfloat16 para_half;

template <class T> static __device__ T para_round(float x);
template <> __device__ inline float para_round<float>(float x)
{
    return x;
}
template <> __device__ inline para_half para_round<para_half>(float x)
{
    return __float2bfloat16_rn(x);
}

/* FUNCTION of the type T that is meant, float32 or bfloat16. */
#define PARA_OF_TYPE(dtype, function, ...)                                                                             \
    ((dtype) == PARA_BF16 ? function<para_half>(__VA_ARGS__) : function<float>(__VA_ARGS__))

/* Neighbours that are read or written at once, 16 bytes. */
template <class T> struct alignas(16) para_pack {
    static const int COUNT = 16 / sizeof(T);
    T of[COUNT];
};

template <class T> static __device__ para_pack<T> para_load(const T *x)
{
    return *(const para_pack<T> *)x;
}

template <class T> static __device__ void para_store(T *x, const para_pack<T> &p)
{
    *(para_pack<T> *)x = p;
}

template <class T> static int64_t para_packs(int64_t elements)
{
    return (elements + para_pack<T>::COUNT - 1) / para_pack<T>::COUNT;
}

/* Return 0, or fail with what CUDA says of the kernels launched so far. */
static inline int para_launched(const struct para_call *c)
{
    cudaError_t status = cudaGetLastError();
    return status == cudaSuccess ? 0 : para_fail(c->err, PARA_EDEVICE, "CUDA: %s", cudaGetErrorString(status));
}

/* --- kernels that begin early --- */

/* Until then a kernel that was launched early may read nothing but what no kernel of its task writes. */
static __device__ inline void para_wait_before()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* Let the kernel behind this one begin. */
static __device__ inline void para_let_next()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/* Have the line at an address brought to the L2 cache. */
static __device__ inline void para_fetch(const void *at)
{
    asm volatile("prefetch.global.L2 [%0];" ::"l"(at));
}

/* --- copies to shared memory that go on while others compute --- */

static __device__ inline unsigned para_shared_address(const void *p)
{
    return (unsigned)__cvta_generic_to_shared(p);
}

/* Begin to copy 16 bytes, or zeros. */
static __device__ inline void para_copy_word(void *to, const void *from, bool within)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(para_shared_address(to)), "l"(from),
                 "r"(within ? 16 : 0));
}

/* The thread's copies since the last group are one. */
static __device__ inline void para_end_group()
{
    asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Wait for the thread's own copies, but those of so many groups, the last ones. */
template <int GROUPS> static __device__ void para_wait_for_copies()
{
    if (GROUPS)
        asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory");
    else
        asm volatile("cp.async.wait_all;" ::: "memory");
}

/* --- tensor cores --- */

/* c (16,8) += a (16,16) b (16,8) by a warp: of a a thread has two elements of its row, the same of the eighth row
 * after, and both eight columns on; of b the same of its column. */
static __device__ inline void para_add_tile(float c[4], const unsigned a[4], const unsigned b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* --- clusters --- */

/* Blocks of a cluster, where a device has them, or 1. */
enum { PARA_CLUSTER = 8 };
static inline unsigned para_cluster_size()
{
    int device = 0, has = 0;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&has, cudaDevAttrClusterLaunch, device);
    return has ? PARA_CLUSTER : 1;
}

static inline int para_multiprocessors()
{
    int device = 0, count = 1;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
    return count;
}

/* Bytes of shared memory that a block may have. */
static inline size_t para_most_shared()
{
    int device = 0, bytes = 0;
    cudaGetDevice(&device);
    cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device);
    return (size_t)bytes;
}

/* Whether nothing in the graph has written a value before its node reads it. */
static inline bool para_is_source(const para_tensor *t)
{
    return !t->producer;
}

/* Enqueue kernel(argument...), early if that is allowed, in clusters of so many blocks along x. */
template <class K, class... A>
static int para_launch_early(const struct para_call *c, K kernel, dim3 blocks, unsigned threads, size_t shared,
                             unsigned cluster, A... argument)
{
    cudaLaunchAttribute attribute[2] = {};
    cudaLaunchConfig_t how = {};
    how.gridDim = blocks;
    how.blockDim = dim3(threads);
    how.dynamicSmemBytes = shared;
    how.stream = c->cuda->stream;
    how.attrs = attribute;
    if (c->cuda->early) {
        attribute[how.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attribute[how.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
    }
    if (cluster > 1) {
        attribute[how.numAttrs].id = cudaLaunchAttributeClusterDimension;
        attribute[how.numAttrs].val.clusterDim.x = cluster;
        attribute[how.numAttrs].val.clusterDim.y = 1;
        attribute[how.numAttrs++].val.clusterDim.z = 1;
    }
    cudaLaunchKernelEx(&how, kernel, argument...);
    return para_launched(c);
}

/* 2 to the x, in one instruction, and e to the x in two; what is less than 2^-126 is 0. */
static const float PARA_LOG2_E = 1.4426950408889634f;
static __device__ inline float para_exp2(float x)
{
    asm("ex2.approx.ftz.f32 %0, %0;" : "+f"(x));
    return x;
}
static __device__ inline float para_exp(float x)
{
    return para_exp2(x * PARA_LOG2_E);
}

/* --- a thread for each element --- */

template <class F> static __global__ void para_each_kernel(int64_t count, F f)
{
    int64_t e = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (e < count)
        f(e);
}

/* Enqueue f(e) for e = 0 to count - 1, in any order. */
template <class F> static int para_each(const struct para_call *c, int64_t count, F f)
{
    if (count > 0)
        para_each_kernel<<<(unsigned)((count + PARA_THREADS - 1) / PARA_THREADS), PARA_THREADS, 0, c->cuda->stream>>>(
            count, f);
    return para_launched(c);
}

/* y[e] = f(x[0][e], ..., x[N - 1][e]); y may be one of x. A thread takes a pack of neighbours. */
template <int N, class T> struct para_map_inputs {
    const T *x[N];
};

template <int N, class T, class F>
static __global__ void para_map_kernel(F f, int64_t elements, T *y, struct para_map_inputs<N, T> in)
{
    const int COUNT = para_pack<T>::COUNT;
    int64_t first = COUNT * (blockIdx.x * (int64_t)blockDim.x + threadIdx.x);
    if (first + COUNT <= elements) {
        para_pack<T> of[N], result;
        for (int i = 0; i < N; i++)
            of[i] = para_load(in.x[i] + first);
#pragma unroll
        for (int k = 0; k < COUNT; k++) {
            float x[N];
            for (int i = 0; i < N; i++)
                x[i] = (float)of[i].of[k];
            result.of[k] = para_round<T>(f(x));
        }
        para_store(y + first, result);
        return;
    }
    for (int64_t e = first; e < elements; e++) {
        float x[N];
        for (int i = 0; i < N; i++)
            x[i] = (float)in.x[i][e];
        y[e] = para_round<T>(f(x));
    }
}

template <class T, int N, class F> static int para_map_as(const struct para_call *c, F f)
{
    int64_t elements = para_shape_elements(&c->node->out[0]->shape), packs = para_packs<T>(elements);
    struct para_map_inputs<N, T> in;
    for (int i = 0; i < N; i++)
        in.x[i] = (const T *)c->in[i];
    if (elements > 0)
        para_map_kernel<N><<<(unsigned)((packs + PARA_THREADS - 1) / PARA_THREADS), PARA_THREADS, 0, c->cuda->stream>>>(
            f, elements, (T *)c->out[0], in);
    return para_launched(c);
}

/* Enqueue it for output 0 and inputs 0 to N - 1, which are all alike. */
template <int N, class F> static int para_map(const struct para_call *c, F f)
{
    bool half = c->node->out[0]->shape.dtype == PARA_BF16;
    return half ? para_map_as<para_half, N>(c, f) : para_map_as<float, N>(c, f);
}

/* --- a block of PARA_THREADS threads for each row --- */

template <class F> static __global__ void __launch_bounds__(PARA_THREADS) para_rows_kernel(F f)
{
    f((int64_t)blockIdx.x);
}

/* Enqueue f(row) for row = 0 to rows - 1; the threads of its block call it together. */
template <class F> static int para_rows(const struct para_call *c, int64_t rows, F f)
{
    if (rows > 0)
        para_rows_kernel<<<(unsigned)rows, PARA_THREADS, 0, c->cuda->stream>>>(f);
    return para_launched(c);
}

/* Fold v over the threads of a warp, neighbours first; every thread gets it. */
template <class T, class F> static __device__ T para_warp_fold(T v, F f)
{
    for (int step = 1; step < PARA_WARP; step *= 2)
        v = f(v, __shfl_xor_sync(~0u, v, step));
    return v;
}

/* The same over a block of PARA_THREADS; its threads call it together. */
template <class T, class F> static __device__ T para_block_fold(T v, F f)
{
    __shared__ T of_warp[PARA_THREADS / PARA_WARP];
    v = para_warp_fold(v, f);
    __syncthreads(); /* those who still read what was folded before */
    if (threadIdx.x % PARA_WARP == 0)
        of_warp[threadIdx.x / PARA_WARP] = v;
    __syncthreads();
    v = of_warp[0];
    for (int w = 1; w < PARA_THREADS / PARA_WARP; w++)
        v = f(v, of_warp[w]);
    return v;
}

/* What folds: types, as the address of a device's function is nothing on the host. */
struct para_plus {
    template <class T> __device__ T operator()(T a, T b) const
    {
        return a + b;
    }
};

/* The larger; NaN if one of them is. */
struct para_larger {
    __device__ float operator()(float a, float b) const
    {
        return b > a || b != b ? b : a;
    }
};

template <class T> static __device__ T para_block_sum(T v)
{
    return para_block_fold(v, para_plus());
}

static __device__ inline float para_block_max(float v)
{
    return para_block_fold(v, para_larger());
}

/* --- broadcasting --- */

/* Where each element of a full tensor lies in one that has some of its axes. */
struct para_part {
    int rank;
    int64_t extent[PARA_MAX_RANK], stride[PARA_MAX_RANK];

    __device__ int64_t at(int64_t e) const
    {
        int64_t offset = 0;
        if (e >> 31 == 0) { /* divisions of 32 bits are several times as fast */
            uint32_t rest = (uint32_t)e;
            for (int d = rank - 1; d > 0; d--) {
                uint32_t length = (uint32_t)extent[d], above = rest / length;
                offset += (rest - above * length) * stride[d];
                rest = above;
            }
            return offset + rest * stride[0];
        }
        for (int d = rank - 1; d > 0; d--, e /= extent[d + 1])
            offset += e % extent[d] * stride[d];
        return offset + e * stride[0];
    }
};

static inline struct para_part para_part_of(const struct para_shape *full, const struct para_shape *part)
{
    struct para_walk w;
    struct para_part p;
    para_walk_begin(&w, full, part);
    p.rank = w.rank;
    for (int d = 0; d < w.rank; d++) {
        p.extent[d] = w.extent[d];
        p.stride[d] = w.stride[d];
    }
    return p;
}

/* y[e] = f(a[e], b[e % length]) for packs that lie within b. */
template <class T, class F>
static __global__ void para_repeat_kernel(F f, int64_t packs, int64_t length, const T *a, const T *b, T *y)
{
    int64_t pack = blockIdx.x * (int64_t)blockDim.x + threadIdx.x;
    if (pack >= packs)
        return;
    int64_t first = pack * para_pack<T>::COUNT;
    para_pack<T> left = para_load(a + first), right = para_load(b + first % length);
#pragma unroll
    for (int k = 0; k < para_pack<T>::COUNT; k++)
        left.of[k] = para_round<T>(f((float)left.of[k], (float)right.of[k]));
    para_store(y + first, left);
}

/* Whether part's axes are the last ones of full, in the same order. */
static inline bool para_is_tail(const struct para_shape *full, const struct para_shape *part)
{
    bool tail = part->rank <= full->rank;
    for (int d = 0; d < part->rank && tail; d++)
        tail = strcmp(part->dim[d].axis, full->dim[full->rank - part->rank + d].axis) == 0;
    return tail;
}

template <class T, class F> static int para_broadcast_map_as(const struct para_call *c, F f)
{
    const struct para_shape *full = &c->node->in[0]->shape, *part = &c->node->in[1]->shape;
    const T *a = (const T *)c->in[0], *b = (const T *)c->in[1];
    T *y = (T *)c->out[0];
    int64_t length = para_shape_elements(part), packs = para_shape_elements(full) / para_pack<T>::COUNT;
    if (para_is_tail(full, part) && length % para_pack<T>::COUNT == 0) {
        para_repeat_kernel<<<(unsigned)((packs + PARA_THREADS - 1) / PARA_THREADS), PARA_THREADS, 0, c->cuda->stream>>>(
            f, packs, length, a, b, y);
        return para_launched(c);
    }
    struct para_part p = para_part_of(full, part);
    return para_each(c, para_shape_elements(full),
                     [=] __device__(int64_t e) { y[e] = para_round<T>(f((float)a[e], (float)b[p.at(e)])); });
}

/* Enqueue y[e] = f(a[e], b[part of e]) for inputs a and b, whose axes are some of a's. */
template <class F> static int para_broadcast_map(const struct para_call *c, F f)
{
    const struct para_shape *full = &c->node->in[0]->shape, *part = &c->node->in[1]->shape;
    if (para_shape_same_axes(full, part))
        return para_map<2>(c, [=] __device__(const float *x) { return f(x[0], x[1]); });
    return PARA_OF_TYPE(full->dtype, para_broadcast_map_as, c, f);
}

/* --- errors that depend on data --- */

/* Note that what input tells at a position is wrong: the run fails by the first such position of the first such node,
 * with what the op's complain() says of it. */
static __device__ inline void para_fault(unsigned long long *fault, int64_t position, int32_t value)
{
    atomicMin(fault, (unsigned long long)position << 32 | (uint32_t)value);
}

#endif
