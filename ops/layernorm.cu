/* layernorm and its gradient on a GPU, by themselves and with a residual stream beside. */
#include "ops/norm-cuda.h"

/* added and sum are NULL but where a residual stream is beside it */
template <class T> static int forward(const struct para_call *c, const void *added, void *sum)
{
    para_norm<T> n = {};
    n.added = (const T *)added;
    n.sum = (T *)sum;
    n.eps = (float)c->node->attr[0].f;
    n.x = (const T *)c->in[0];
    n.gamma = (const float *)c->in[1];
    n.beta = (const float *)c->in[2];
    n.y = (T *)c->out[0];
    n.mean = (float *)c->out[1];
    n.rstd = (float *)c->out[2];
    return para_norm_run<true>(c, n, false);
}

template <class T> static int backward(const struct para_call *c, const void *added)
{
    para_norm<T> n = {};
    n.added = (const T *)added;
    n.x = (const T *)c->in[0];
    n.gamma = (const float *)c->in[1];
    n.mean = (float *)c->in[2];
    n.rstd = (float *)c->in[3];
    n.dy = (const T *)c->in[4];
    n.y = (T *)c->out[0];
    n.partial = (float *)c->scratch;
    return para_norm_run<true>(c, n, true);
}

int para_layernorm_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, forward, c, NULL, NULL);
}

int para_add_layernorm_cuda(const struct para_call *c)
{
    return PARA_OF_TYPE(c->node->out[0]->shape.dtype, forward, c, c->in[3], c->out[3]);
}

size_t para_layernorm_backward_cuda_scratch(const para_node *n)
{
    return para_norm_scratch(n, 2);
}

int para_layernorm_backward_cuda(const struct para_call *c)
{
    PARA_TRY(PARA_OF_TYPE(c->node->out[0]->shape.dtype, backward, c, NULL));
    return para_norm_add_up(c, 2, (const float *)c->scratch);
}

size_t para_layernorm_backward_add_cuda_scratch(const para_node *n)
{
    return para_norm_scratch(n, 2);
}

int para_layernorm_backward_add_cuda(const struct para_call *c)
{
    PARA_TRY(PARA_OF_TYPE(c->node->out[0]->shape.dtype, backward, c, c->in[5]));
    return para_norm_add_up(c, 2, (const float *)c->scratch);
}
