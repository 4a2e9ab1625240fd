/* Reductions on a GPU: y (K) = the fold over R of x (K and R), in an order that depends on the shapes alone.
 *
 * Where x's innermost axis is reduced, a block folds the R of one element of y. Where it is kept, neighbouring threads
 * fold neighbouring elements; so that there are enough of them, R is cut in parts, and a second kernel folds these. */
#ifndef PARA_OPS_REDUCE_CUDA_H
#define PARA_OPS_REDUCE_CUDA_H

#include "ops/cuda.h"

enum { PARA_PARTS = 64 };

/* Axes of x in its order: offsets of its kept, or its reduced, elements. */
struct para_axes {
    int rank;
    int64_t count, extent[PARA_MAX_RANK], stride[PARA_MAX_RANK];

    __device__ int64_t at(int64_t i) const
    {
        int64_t offset = 0;
        for (int d = rank - 1; d >= 0; d--, i /= extent[d + 1])
            offset += i % extent[d] * stride[d];
        return offset;
    }
};

struct para_reduction {
    struct para_axes kept, reduced;
    bool kept_innermost;
};

/* y's elements in y's order, and what each is folded of in x's. */
static inline struct para_reduction para_reduction_of(const struct para_shape *x, const struct para_shape *y)
{
    para_reduction r = {};
    r.kept.count = r.reduced.count = 1;
    for (int d = 0; d < x->rank; d++) {
        struct para_axes *a = para_shape_find(y, x->dim[d].axis) >= 0 ? &r.kept : &r.reduced;
        a->extent[a->rank] = x->dim[d].extent;
        a->stride[a->rank++] = para_shape_stride(x, x->dim[d].axis);
        a->count *= x->dim[d].extent;
        r.kept_innermost = a == &r.kept;
    }
    return r;
}

static inline int64_t para_reduction_parts(const struct para_reduction *r)
{
    return !r->kept_innermost || r->reduced.count < 4 * PARA_PARTS ? 1 : PARA_PARTS;
}

static inline size_t para_reduction_scratch(const struct para_shape *x, const struct para_shape *y, size_t element)
{
    struct para_reduction r = para_reduction_of(x, y);
    int64_t parts = para_reduction_parts(&r);
    return parts > 1 ? (size_t)(parts * r.kept.count) * element : 0;
}

/* Enqueue y[k] = the fold by f, from `zero` on, of get(offset in x, k) over R, in type A. f doesn't care which of its
 * arguments comes first. */
template <class A, class G, class F>
static int para_reduce(const struct para_call *c, const struct para_reduction *by, A zero, G get, F f, float *y)
{
    struct para_reduction r = *by;
    int64_t parts = para_reduction_parts(&r), count = r.reduced.count;
    if (!r.kept_innermost)
        return para_rows(c, r.kept.count, [=] __device__(int64_t k) {
            A all = zero;
            int64_t base = r.kept.at(k);
            for (int64_t i = threadIdx.x; i < count; i += PARA_THREADS)
                all = f(all, get(base + r.reduced.at(i), k));
            all = para_block_fold(all, f);
            if (threadIdx.x == 0)
                y[k] = (float)all;
        });
    A *partial = (A *)c->scratch;
    PARA_TRY(para_each(c, r.kept.count * parts, [=] __device__(int64_t e) {
        int64_t part = e / r.kept.count, k = e - part * r.kept.count, base = r.kept.at(k);
        A all = zero;
        for (int64_t i = part * count / parts; i < (part + 1) * count / parts; i++)
            all = f(all, get(base + r.reduced.at(i), k));
        if (parts == 1)
            y[k] = (float)all;
        else
            partial[e] = all;
    }));
    if (parts == 1)
        return 0;
    return para_each(c, r.kept.count, [=] __device__(int64_t k) {
        A all = zero;
        for (int64_t part = 0; part < parts; part++)
            all = f(all, partial[part * r.kept.count + k]);
        y[k] = (float)all;
    });
}

/* --- sums over leading axes, of packs: x (R, C) -> y (C) --- */

enum { PARA_COLUMN_LINES = 8, PARA_COLUMN_PARTS = 64 };

/* Whether y's axes are the last of x's, a whole number of packs, and there are rows enough. */
template <class T> static bool para_sums_columns(const struct para_shape *x, const struct para_shape *y)
{
    int64_t columns = para_shape_elements(y), rows = para_shape_elements(x) / columns;
    return para_is_tail(x, y) && columns % para_pack<T>::COUNT == 0 && rows >= 4 * PARA_COLUMN_PARTS;
}

/* A block has PARA_WARP packs of columns and one part of the rows, which its lines of threads share. */
template <class T> static __global__ void para_column_kernel(const T *x, int64_t rows, int64_t columns, double *partial)
{
    const int COUNT = para_pack<T>::COUNT;
    __shared__ float line[PARA_COLUMN_LINES][PARA_WARP * COUNT];
    int64_t first = (blockIdx.x * (int64_t)PARA_WARP + threadIdx.x) * COUNT;
    int64_t begin = blockIdx.y * rows / PARA_COLUMN_PARTS, end = (blockIdx.y + 1) * rows / PARA_COLUMN_PARTS;
    float sum[COUNT] = {};
    if (first < columns)
#pragma unroll 4
        for (int64_t r = begin + threadIdx.y; r < end; r += PARA_COLUMN_LINES) {
            para_pack<T> p = para_load(x + r * columns + first);
#pragma unroll
            for (int k = 0; k < COUNT; k++)
                sum[k] += (float)p.of[k];
        }
    for (int k = 0; k < COUNT; k++)
        line[threadIdx.y][threadIdx.x * COUNT + k] = sum[k];
    __syncthreads();
    int64_t from = blockIdx.x * (int64_t)(PARA_WARP * COUNT);
    for (int e = threadIdx.y * PARA_WARP + threadIdx.x; e < PARA_WARP * COUNT && from + e < columns;
         e += PARA_COLUMN_LINES * PARA_WARP) {
        double all = 0;
        for (int l = 0; l < PARA_COLUMN_LINES; l++)
            all += line[l][e];
        partial[blockIdx.y * columns + from + e] = all;
    }
}

static inline size_t para_sum_columns_scratch(const struct para_shape *y)
{
    return (size_t)(PARA_COLUMN_PARTS * para_shape_elements(y)) * sizeof(double);
}

template <class T>
static int para_sum_columns(const struct para_call *c, const T *x, const struct para_shape *x_shape,
                            const struct para_shape *y_shape, float *y)
{
    int64_t columns = para_shape_elements(y_shape), rows = para_shape_elements(x_shape) / columns;
    int64_t packs = columns / para_pack<T>::COUNT;
    double *partial = (double *)c->scratch;
    para_column_kernel<<<dim3((unsigned)((packs + PARA_WARP - 1) / PARA_WARP), PARA_COLUMN_PARTS),
                         dim3(PARA_WARP, PARA_COLUMN_LINES), 0, c->cuda->stream>>>(x, rows, columns, partial);
    return para_each(c, columns, [=] __device__(int64_t e) {
        double all = 0;
        for (int p = 0; p < PARA_COLUMN_PARTS; p++)
            all += partial[p * columns + e];
        y[e] = (float)all;
    });
}

#endif
