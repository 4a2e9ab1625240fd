/* Products of few rows, as generation makes them, which take the time of reading the weights. */
#ifndef PARA_OPS_FEW_ROWS_H
#define PARA_OPS_FEW_ROWS_H

#include "ops/product.h"

/* y (R,C) = x (R,K) w: w is (K,C), or (C,K); strides are elements. */
struct para_few {
    int64_t rows, columns, inner;
    int64_t x_ld, w_ld, y_row, y_column;
    bool by_column; /* w's columns lie innermost */
};

/* Describe a product whose operands lie so that kernels for GPUs can walk their rows; false: they don't. And whether it
 * has few rows, too. */
bool para_walks_rows(struct para_few *f, const para_node *product);
bool para_few_rows(struct para_few *f, const para_node *product);

#endif
