/* logsumexp, softmax and their companions on a GPU. */
#include "ops/nary.h"
#include "ops/row-cuda.h"

#include <string.h>

/* A tensor as (outer, length, inner) around an axis. */
struct span {
    int64_t outer, length, inner;
};

static struct span span_of(const struct para_shape *s, int dim)
{
    struct span span = {1, s->dim[dim].extent, 1};
    for (int d = 0; d < dim; d++)
        span.outer *= s->dim[d].extent;
    for (int d = dim + 1; d < s->rank; d++)
        span.inner *= s->dim[d].extent;
    return span;
}

/* Around the axis of `full` that `part` lacks. */
static struct span span_between(const struct para_shape *full, const struct para_shape *part)
{
    int dim = 0;
    while (para_shape_find(part, full->dim[dim].axis) >= 0)
        dim++;
    return span_of(full, dim);
}

/* y (O,I) = log sum over N of exp(x (O,N,I)): a block for each, which reads it once */
template <class T> static int logsumexp(const struct para_call *c)
{
    const struct para_shape *shape = &c->node->in[0]->shape;
    struct span s = span_of(shape, para_shape_find(shape, c->node->attr[0].s));
    float *y = (float *)c->out[0];
    const T *all = (const T *)c->in[0];
    return para_rows(c, s.outer * s.inner, [=] __device__(int64_t row) {
        const T *x = all + row / s.inner * s.length * s.inner + row % s.inner;
        para_exp_sum sum;
        if (s.inner == 1)
            para_row_visit(x, s.length, sum);
        for (int64_t k = threadIdx.x; s.inner > 1 && k < s.length; k += PARA_THREADS)
            sum.one(k, (float)x[k * s.inner]);
        float lse = sum.log_of_block();
        if (threadIdx.x == 0)
            y[row] = lse;
    });
}

int para_logsumexp_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->in[0]->shape.dtype, logsumexp, c);
}

/* y (E) from x[k] (E): two at a time, in the order of k */
int para_logsumexp_combine_cuda(const struct para_call *c)
{
    return para_fold_inputs(c, [] __device__(float a, float b) {
        double top = fmax(a, b);
        bool none = top == -INFINITY && a == b; /* NaN isn't that */
        return none ? -INFINITY : (float)(top + log(exp(a - top) + exp(b - top)));
    });
}

/* y (O,N,I) = exp(x (O,N,I) - lse (O,I)) */
template <class T> static int softmax(const struct para_call *c)
{
    struct span s = span_between(&c->node->in[0]->shape, &c->node->in[1]->shape);
    const T *x = (const T *)c->in[0];
    const float *lse = (const float *)c->in[1];
    T *y = (T *)c->out[0];
    return para_each(c, s.outer * s.length * s.inner, [=] __device__(int64_t e) {
        y[e] = para_round<T>(expf((float)x[e] - lse[e / (s.length * s.inner) * s.inner + e % s.inner]));
    });
}

int para_softmax_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, softmax, c);
}

/* dx (O,N,I) = y (O,N,I) (dy (O,N,I) - dot (O,I)) */
template <class T> static int softmax_backward(const struct para_call *c)
{
    struct span s = span_between(&c->node->in[0]->shape, &c->node->in[2]->shape);
    const T *y = (const T *)c->in[0], *dy = (const T *)c->in[1];
    const float *dot = (const float *)c->in[2];
    T *dx = (T *)c->out[0];
    return para_each(c, s.outer * s.length * s.inner, [=] __device__(int64_t e) {
        float sum = dot[e / (s.length * s.inner) * s.inner + e % s.inner];
        dx[e] = para_round<T>((float)y[e] * ((float)dy[e] - sum));
    });
}

int para_softmax_backward_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, softmax_backward, c);
}
