/* sumsq on a GPU, of many tensors in two kernels: each block adds up a part of one, then a block for each the parts, in
 * an order that depends on x's size alone. */
#include "ops/cuda.h"

/* Of one tensor, at most, and the elements that make another worth it; tensors in one kernel. */
enum { PARTS = 512, OF_PART = 64 * PARA_THREADS, TENSORS = 64 };

struct squares {
    const float *x;
    int64_t elements;
    double *part;
    float *y;
};

struct many {
    int begin[TENSORS + 1]; /* parts of those before */
    struct squares of[TENSORS];
};

size_t para_sumsq_cuda_scratch(const para_node *n)
{
    (void)n;
    return PARTS * sizeof(double);
}

static __global__ void __launch_bounds__(PARA_THREADS) add_squares(const __grid_constant__ struct many all)
{
    int k = 0;
    while ((int)blockIdx.x >= all.begin[k + 1])
        k++;
    const struct squares &s = all.of[k];
    int part = (int)blockIdx.x - all.begin[k], parts = all.begin[k + 1] - all.begin[k];
    double sum = 0;
    for (int64_t e = part * (int64_t)PARA_THREADS + threadIdx.x; e < s.elements; e += parts * (int64_t)PARA_THREADS)
        sum += (double)s.x[e] * (double)s.x[e];
    sum = para_block_sum(sum);
    if (threadIdx.x == 0)
        s.part[part] = sum;
}

static __global__ void __launch_bounds__(PARA_THREADS) add_parts(const __grid_constant__ struct many all)
{
    const struct squares &s = all.of[blockIdx.x];
    int parts = all.begin[blockIdx.x + 1] - all.begin[blockIdx.x];
    double sum = 0;
    for (int p = threadIdx.x; p < parts; p += PARA_THREADS)
        sum += s.part[p];
    sum = para_block_sum(sum);
    if (threadIdx.x == 0)
        *s.y = (float)sum;
}

static int parts_of(int64_t elements)
{
    int64_t parts = (elements + OF_PART - 1) / OF_PART;
    return (int)(parts < PARTS ? parts : PARTS);
}

int para_sumsq_cuda_many(const struct para_call calls[], int count)
{
    for (int first = 0; first < count; first += TENSORS) {
        int n = count - first < TENSORS ? count - first : TENSORS;
        struct many all = {};
        for (int k = 0; k < n; k++) {
            const struct para_call *c = &calls[first + k];
            int64_t elements = para_shape_elements(&c->node->in[0]->shape);
            all.of[k] = {(const float *)c->in[0], elements, (double *)c->scratch, (float *)c->out[0]};
            all.begin[k + 1] = all.begin[k] + parts_of(elements);
        }
        add_squares<<<(unsigned)all.begin[n], PARA_THREADS, 0, calls->cuda->stream>>>(all);
        add_parts<<<(unsigned)n, PARA_THREADS, 0, calls->cuda->stream>>>(all);
    }
    return para_launched(calls);
}

int para_sumsq_cuda(const struct para_call *c)
{
    return para_sumsq_cuda_many(c, 1);
}
