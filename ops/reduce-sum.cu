/* reduce_sum on a GPU, in double; over leading axes threads first add some rows in float. */
#include "ops/reduce-cuda.h"

size_t para_reduce_sum_cuda_scratch(const para_node *n)
{
    const struct para_shape *x = &n->in[0]->shape, *y = &n->out[0]->shape;
    return PARA_OF_TYPE(x->dtype, para_sums_columns, x, y) ? para_sum_columns_scratch(y)
                                                           : para_reduction_scratch(x, y, sizeof(double));
}

template <class T> static int run(const struct para_call *c)
{
    const struct para_shape *shape = &c->node->in[0]->shape;
    const struct para_shape *kept = &c->node->out[0]->shape;
    if (para_sums_columns<T>(shape, kept))
        return para_sum_columns<T>(c, (const T *)c->in[0], shape, kept, (float *)c->out[0]);
    struct para_reduction r = para_reduction_of(shape, &c->node->out[0]->shape);
    const T *x = (const T *)c->in[0];
    return para_reduce(
        c, &r, 0.0, [=] __device__(int64_t at, int64_t) { return (double)(float)x[at]; }, para_plus(),
        (float *)c->out[0]);
}

int para_reduce_sum_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->in[0]->shape.dtype, run, c);
}
