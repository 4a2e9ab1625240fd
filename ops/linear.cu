/* What ops/linear.c fuses, on a GPU: by cuBLASLt's epilogues, or, for what they don't take, one after another. */
#include "ops/gelu-cuda.h"
#include "ops/product-cuda.h"
#include "ops/reduce-cuda.h"

#include <string.h>

/* --- what follows a product by itself --- */

/* y (E) += bias (E % columns) */
static int add_bias(const struct para_call *c, para_half *y, const para_half *bias)
{
    int64_t columns = para_shape_elements(&c->node->in[2]->shape);
    return para_each(c, para_shape_elements(&c->node->out[0]->shape), [=] __device__(int64_t e) {
        y[e] = para_round<para_half>((float)y[e] + (float)bias[e % columns]);
    });
}

static int64_t columns_of(const para_node *n)
{
    struct para_product p;
    para_product_plan(&p, n);
    return p.group[PARA_COLS].total;
}

/* Whether y's columns are the bias's, whole packs of them. */
static bool has_bias_columns(const para_node *n, int64_t bias)
{
    return columns_of(n) == bias && bias % para_pack<para_half>::COUNT == 0;
}

/* --- linear --- */

int para_linear_cuda(const struct para_call *c)
{
    struct para_epilogue e = {CUBLASLT_EPILOGUE_BIAS, c->in[2], NULL, 0};
    bool takes = has_bias_columns(c->node, para_shape_elements(&c->node->in[2]->shape));
    int status = takes ? para_product_cuda(c, c->out[0], false, &e) : PARA_LEFT;
    if (status != PARA_LEFT)
        return status;
    PARA_TRY(para_product_cuda(c, c->out[0], false, NULL));
    return add_bias(c, (para_half *)c->out[0], (const para_half *)c->in[2]);
}

size_t para_linear_cuda_scratch(const para_node *n)
{
    return para_product_cuda_scratch(n);
}

/* --- linear_gelu --- */

int para_linear_gelu_cuda(const struct para_call *c)
{
    int64_t columns = columns_of(c->node);
    struct para_epilogue e = {CUBLASLT_EPILOGUE_GELU_AUX_BIAS, c->in[2], c->out[0], columns};
    bool takes = has_bias_columns(c->node, para_shape_elements(&c->node->in[2]->shape));
    int status = takes ? para_product_cuda(c, c->out[1], false, &e) : PARA_LEFT;
    if (status != PARA_LEFT)
        return status;
    PARA_TRY(para_product_cuda(c, c->out[0], false, NULL));
    PARA_TRY(add_bias(c, (para_half *)c->out[0], (const para_half *)c->in[2]));
    const para_half *y = (const para_half *)c->out[0];
    para_half *z = (para_half *)c->out[1];
    return para_each(c, para_shape_elements(&c->node->out[0]->shape), [=] __device__(int64_t i) {
        float x = (float)y[i];
        z[i] = para_round<para_half>(x * para_half_of_tanh(x));
    });
}

size_t para_linear_gelu_cuda_scratch(const para_node *n)
{
    return para_product_cuda_scratch(n);
}

/* --- linear_gelu_backward --- */

int para_linear_gelu_backward_cuda(const struct para_call *c)
{
    int64_t columns = columns_of(c->node);
    struct para_epilogue e = {CUBLASLT_EPILOGUE_DGELU, NULL, c->in[2], columns};
    int status = columns % 8 == 0 ? para_product_cuda(c, c->out[0], false, &e) : PARA_LEFT;
    if (status != PARA_LEFT)
        return status;
    PARA_TRY(para_product_cuda(c, c->out[0], false, NULL));
    const para_half *y = (const para_half *)c->in[2];
    para_half *dy = (para_half *)c->out[0];
    return para_each(c, para_shape_elements(&c->node->out[0]->shape), [=] __device__(int64_t i) {
        dy[i] = para_round<para_half>((float)dy[i] * para_gelu_slope((float)y[i]));
    });
}

size_t para_linear_gelu_backward_cuda_scratch(const para_node *n)
{
    return para_product_cuda_scratch(n);
}

/* --- linear_weight_backward --- */

/* The sum alone: dc (K) = the sum over R of b (R or K) */
static int sum_bias(const struct para_call *c)
{
    const struct para_shape *shape = &c->node->in[1]->shape, *kept = &c->node->out[1]->shape;
    const para_half *b = (const para_half *)c->in[1];
    float *dc = (float *)c->out[1];
    if (para_sums_columns<para_half>(shape, kept))
        return para_sum_columns<para_half>(c, b, shape, kept, dc);
    struct para_reduction r = para_reduction_of(shape, kept);
    return para_reduce(
        c, &r, 0.0, [=] __device__(int64_t at, int64_t) { return (double)(float)b[at]; }, para_plus(), dc);
}

int para_linear_weight_backward_cuda(const struct para_call *c)
{
    struct para_epilogue e = {CUBLASLT_EPILOGUE_BGRADA, c->out[1], NULL, 0};
    bool takes = has_bias_columns(c->node, para_shape_elements(&c->node->out[1]->shape));
    int status = takes ? para_product_cuda(c, c->out[0], false, &e) : PARA_LEFT;
    if (status != PARA_LEFT)
        return status;
    PARA_TRY(para_product_cuda(c, c->out[0], false, NULL));
    return sum_bias(c);
}

size_t para_linear_weight_backward_cuda_scratch(const para_node *n)
{
    const struct para_shape *b = &n->in[1]->shape, *kept = &n->out[1]->shape;
    size_t product = para_product_cuda_scratch(n), sum = para_reduction_scratch(b, kept, sizeof(double));
    if (para_sums_columns<para_half>(b, kept))
        sum = para_sum_columns_scratch(kept);
    return product > sum ? product : sum;
}
