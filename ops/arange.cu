/* arange on a GPU. */
#include "ops/cuda.h"

/* y (rows, E) = min(start (rows) + begin + e, limit - 1); 0 where start is -1 */
int para_arange_cuda(const struct para_call *c)
{
    const struct para_shape *shape = &c->node->out[0]->shape;
    const struct para_extent *dim = &shape->dim[shape->rank - 1];
    const int32_t *starts = c->node->n_in ? (const int32_t *)c->in[0] : NULL;
    int64_t extent = dim->extent, begin = dim->begin, last = c->node->attr[2].i - 1;
    int32_t *y = (int32_t *)c->out[0];
    unsigned long long *fault = c->fault;
    return para_each(c, para_shape_elements(shape), [=] __device__(int64_t e) {
        int64_t row = e / extent, start = starts ? starts[row] : 0, count = start + begin + e % extent;
        if (start < -1)
            para_fault(fault, row, (int32_t)start);
        y[e] = start < 0 ? 0 : (int32_t)(count < last ? count : last);
    });
}
