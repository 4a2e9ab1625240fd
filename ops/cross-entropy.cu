/* cross_entropy, its gradient and count_targets on a GPU. */
#include "ops/row-cuda.h"

int para_count_targets_cuda(const struct para_call *c)
{
    const int32_t *targets = (const int32_t *)c->in[0];
    int64_t rows = para_shape_elements(&c->node->in[0]->shape), ignore = c->node->attr[0].i;
    float *y = (float *)c->out[0];
    return para_rows(c, 1, [=] __device__(int64_t) {
        int32_t count = 0;
        for (int64_t r = threadIdx.x; r < rows; r += PARA_THREADS)
            count += targets[r] != ignore;
        count = para_block_sum(count);
        if (threadIdx.x == 0)
            *y = (float)count;
    });
}

/* The classes of a tile of logits, and what counts as a target. */
struct classes {
    int64_t extent, begin, whole, ignore;
    unsigned long long *fault;

    /* The index of a row's target in its logits; -1 if it is ignored, another part's or none. */
    __device__ int64_t index_of(int64_t row, int32_t target) const
    {
        if (target == ignore)
            return -1;
        if (target < 0 || target >= whole)
            para_fault(fault, row, target);
        int64_t index = target - begin;
        return index >= 0 && index < extent ? index : -1;
    }
};

static struct classes classes_of(const struct para_call *c)
{
    const struct para_shape *logits = &c->node->in[0]->shape;
    const struct para_extent *dim = &logits->dim[logits->rank - 1];
    return {dim->extent, dim->begin, dim->whole, c->node->attr[1].i, c->fault};
}

/* loss () from logits (R,V), lse (R), targets (R), count () */
template <class T> static int loss_of(const struct para_call *c)
{
    const T *logits = (const T *)c->in[0];
    const float *lse = (const float *)c->in[1], *count = (const float *)c->in[3];
    const int32_t *targets = (const int32_t *)c->in[2];
    float *loss = (float *)c->out[0];
    int64_t rows = para_shape_elements(&c->node->in[2]->shape);
    struct classes v = classes_of(c);
    return para_rows(c, 1, [=] __device__(int64_t) {
        double sum = 0;
        for (int64_t r = threadIdx.x; r < rows; r += PARA_THREADS) {
            int64_t index = v.index_of(r, targets[r]);
            if (index >= 0)
                sum += (double)lse[r] - (float)logits[r * v.extent + index];
        }
        sum = para_block_sum(sum);
        if (threadIdx.x == 0)
            *loss = *count > 0 ? (float)(sum / *count) : 0.0f;
    });
}

int para_cross_entropy_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->in[0]->shape.dtype, loss_of, c);
}

/* A row's slopes, written where they belong; dx lies at the same place of 16 bytes as x. */
template <class T> struct row_slopes {
    T *dx;
    float scale, lse;
    int64_t index;

    __device__ float slope(int64_t e, float x) const
    {
        return scale * (expf(x - lse) - (e == index ? 1.0f : 0.0f));
    }

    __device__ void one(int64_t e, float x)
    {
        dx[e] = para_round<T>(slope(e, x));
    }

    __device__ void pack(int64_t e, para_pack<T> p)
    {
#pragma unroll
        for (int k = 0; k < para_pack<T>::COUNT; k++)
            p.of[k] = para_round<T>(slope(e + k, (float)p.of[k]));
        para_store(dx + e, p);
    }
};

/* dlogits (R,V) from logits (R,V), lse (R), targets (R), count (), dloss () */
template <class T> static int slopes_of(const struct para_call *c)
{
    const T *logits = (const T *)c->in[0];
    const float *lse = (const float *)c->in[1], *count = (const float *)c->in[3], *dloss = (const float *)c->in[4];
    const int32_t *targets = (const int32_t *)c->in[2];
    T *dlogits = (T *)c->out[0];
    int64_t rows = para_shape_elements(&c->node->in[2]->shape);
    struct classes v = classes_of(c);
    return para_rows(c, rows, [=] __device__(int64_t r) {
        T *dx = dlogits + r * v.extent;
        float scale = targets[r] == v.ignore ? 0.0f : *dloss / *count;
        struct row_slopes<T> row = {
            dx, scale, lse[r], v.index_of(r, targets[r])
        };
        if (scale != 0.0f)
            para_row_visit(logits + r * v.extent, v.extent, row);
        for (int64_t k = threadIdx.x; scale == 0.0f && k < v.extent; k += PARA_THREADS)
            dx[k] = para_round<T>(0.0f);
    });
}

int para_cross_entropy_backward_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, slopes_of, c);
}
