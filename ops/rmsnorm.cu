/* rmsnorm and its gradient on a GPU. */
#include "ops/norm-cuda.h"

template <class T> static int forward(const struct para_call *c)
{
    para_norm<T> n = {};
    n.eps = (float)c->node->attr[0].f;
    n.x = (const T *)c->in[0];
    n.gamma = (const float *)c->in[1];
    n.y = (T *)c->out[0];
    n.rstd = (float *)c->out[1];
    return para_norm_run<false>(c, n, false);
}

template <class T> static int backward(const struct para_call *c)
{
    para_norm<T> n = {};
    n.x = (const T *)c->in[0];
    n.gamma = (const float *)c->in[1];
    n.rstd = (float *)c->in[2];
    n.dy = (const T *)c->in[3];
    n.y = (T *)c->out[0];
    n.partial = (float *)c->scratch;
    return para_norm_run<false>(c, n, true);
}

int para_rmsnorm_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, forward, c);
}

size_t para_rmsnorm_backward_cuda_scratch(const para_node *n)
{
    return para_norm_scratch(n, 1);
}

int para_rmsnorm_backward_cuda(const struct para_call *c)
{
    PARA_TRY(PARA_OF_TYPE(c->node->out[0]->shape.dtype, backward, c));
    return para_norm_add_up(c, 1, (const float *)c->scratch);
}
