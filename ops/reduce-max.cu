/* reduce_max and its gradient on a GPU. */
#include "ops/reduce-cuda.h"

size_t para_reduce_max_cuda_scratch(const para_node *n)
{
    return para_reduction_scratch(&n->in[0]->shape, &n->out[0]->shape, sizeof(float));
}

int para_reduce_max_cuda(const struct para_call *c)
{
    struct para_reduction r = para_reduction_of(&c->node->in[0]->shape, &c->node->out[0]->shape);
    const float *x = (const float *)c->in[0];
    return para_reduce(
        c, &r, -INFINITY, [=] __device__(int64_t at, int64_t) { return x[at]; }, para_larger(), (float *)c->out[0]);
}

int para_reduce_max_count_cuda(const struct para_call *c)
{
    struct para_reduction r = para_reduction_of(&c->node->in[0]->shape, &c->node->out[0]->shape);
    const float *x = (const float *)c->in[0], *y = (const float *)c->in[1];
    return para_reduce(
        c, &r, 0.0f, [=] __device__(int64_t at, int64_t k) { return x[at] == y[k] ? 1.0f : 0.0f; }, para_plus(),
        (float *)c->out[0]);
}

/* dx (K and R) = [x (K and R) = y (K)] dy (K) / count (K) */
int para_reduce_max_backward_cuda(const struct para_call *c)
{
    const struct para_shape *full = &c->node->in[0]->shape;
    struct para_part p = para_part_of(full, &c->node->in[1]->shape);
    const float *x = (const float *)c->in[0], *y = (const float *)c->in[1], *dy = (const float *)c->in[2],
                *count = (const float *)c->in[3];
    float *dx = (float *)c->out[0];
    return para_each(c, para_shape_elements(full), [=] __device__(int64_t e) {
        int64_t k = p.at(e);
        dx[e] = x[e] == y[k] ? dy[k] / count[k] : 0.0f;
    });
}
