/* select on a GPU, where the indices are read. */
#include "ops/cuda.h"

/* y (rows, outer, inner) = x (rows, outer, extent, inner) at index (rows), in words of a size that all types have */
template <class W> static int pick(const struct para_call *c, int dim)
{
    const struct para_shape *x = &c->node->in[0]->shape;
    int64_t rows = para_shape_elements(&c->node->in[1]->shape), extent = x->dim[dim].extent, inner = 1;
    for (int d = dim + 1; d < x->rank; d++)
        inner *= x->dim[d].extent;
    int64_t elements = para_shape_elements(&c->node->out[0]->shape), of_row = elements / rows;
    const int32_t *index = (const int32_t *)c->in[1];
    const W *from = (const W *)c->in[0];
    W *y = (W *)c->out[0];
    unsigned long long *fault = c->fault;
    return para_each(c, elements, [=] __device__(int64_t e) {
        int64_t row = e / of_row, line = e / inner;
        int32_t i = index[row];
        if (i < -1 || i >= extent)
            para_fault(fault, row, i);
        y[e] = i < 0 || i >= extent ? (W)0 : from[(line * extent + i) * inner + e % inner];
    });
}

int para_select_cuda(const struct para_call *c)
{
    const struct para_shape *x = &c->node->in[0]->shape;
    int dim = para_shape_find(x, c->node->attr[0].s);
    size_t bytes = para_dtype_bytes(x->dtype);
    return bytes == 4 ? pick<uint32_t>(c, dim) : bytes == 2 ? pick<uint16_t>(c, dim) : pick<uint8_t>(c, dim);
}
