/* matmul, rounded or not, and matmul_add on a GPU. */
#include "ops/product-cuda.h"

int para_matmul_cuda(const struct para_call *c)
{
    return para_product_cuda(c, c->out[0], false, NULL);
}

size_t para_matmul_cuda_scratch(const para_node *n)
{
    return para_product_cuda_scratch(n);
}

int para_matmul_bf16_cuda(const struct para_call *c)
{
    return para_product_cuda(c, c->out[0], false, NULL);
}

size_t para_matmul_bf16_cuda_scratch(const para_node *n)
{
    return para_product_cuda_scratch(n);
}

int para_matmul_add_cuda(const struct para_call *c)
{
    return para_product_cuda(c, c->out[0], true, NULL);
}

size_t para_matmul_add_cuda_scratch(const para_node *n)
{
    return para_product_cuda_scratch(n);
}
