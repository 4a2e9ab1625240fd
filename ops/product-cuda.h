/* Products for kernels of a GPU. */
#ifndef PARA_OPS_PRODUCT_CUDA_H
#define PARA_OPS_PRODUCT_CUDA_H

#include "ops/cuda.h"

extern "C" {
#include "ops/product.h"
}

#include <cublasLt.h>

/* What follows a product in the same kernel. bias and aux are NULL where the kind has none; aux is a matrix like y. */
struct para_epilogue {
    cublasLtEpilogue_t kind;
    const void *bias;
    void *aux;
    int64_t aux_ld;
};

/* A matrix as cuBLASLt sees it, columns innermost: how it lies, whether it is to be transposed, and how far apart those
 * of a batch are. */
struct para_operand {
    para_dtype dtype;
    const char *at;
    int64_t rows, cols, ld, apart;
    bool transpose;
};

/* What is returned where nothing was enqueued, as no algorithm has the epilogue for these shapes. */
enum { PARA_LEFT = 1 };

/* Enqueue y = or += a b, by an algorithm that these shapes alone choose. */
int para_multiply(const struct para_call *c, const struct para_operand *a, const struct para_operand *b,
                  const struct para_operand *y, int batch, bool add, const struct para_epilogue *e);

/* Enqueue the product of the node's inputs 0 and 1, planned as output 0, to y or added to it. To a reader of columns it
 * is y^T = b^T a^T: an epilogue's bias goes along b's own axes. */
int para_product_cuda(const struct para_call *c, void *y, bool add, const struct para_epilogue *e);
size_t para_product_cuda_scratch(const para_node *n);

/* Whether a product has so few rows that reading its weights is what takes time, and kernels for that can walk it; and
 * these, which need no scratch. */
bool para_has_few_rows(const para_node *n);
int para_few_rows_cuda(const struct para_call *c, void *y, bool add);

/* The same of products of bfloat16 with a few more rows, where columns aren't whole words. */
bool para_has_odd_columns(const para_node *n);
int para_odd_columns_cuda(const struct para_call *c, void *y, bool add);

#endif
