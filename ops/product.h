/* A matrix product of named axes, planned: which groups of axes are rows, columns, summed and batch, and how the three
 * matrices lie in memory. What computes it, on any device, goes by this. */
#ifndef PARA_OPS_PRODUCT_H
#define PARA_OPS_PRODUCT_H

#include "base/anywhere.h"
#include "graph/op.h"

enum { PARA_BATCH, PARA_ROWS, PARA_COLS, PARA_INNER, PARA_GROUPS };
enum { PARA_A, PARA_B, PARA_Y };

/* The axes of a group, in the order in which they are merged to one, with their strides in a, b and y (0: absent).
 * Axes of extent 1 are left out: they never hinder. */
struct para_group {
    int rank;
    int64_t extent[PARA_MAX_RANK], stride[3][PARA_MAX_RANK], total;
};

/* An operand seen as matrices, one for each element of the batch. */
struct para_matrix {
    int rows, cols;  /* groups */
    bool packed;     /* through scratch, as (batch, rows, cols) */
    bool transposed; /* rows lie innermost */
    int64_t ld;      /* elements from one row (transposed: column) to the next */
};

struct para_product {
    struct para_group group[PARA_GROUPS];
    struct para_matrix matrix[3];
    para_dtype weights; /* of b as it is multiplied: float32 if it is packed */
};

/* infer() and cost() of a product of inputs 0 and 1, whose attributes 0 and 1 are as matmul's, to output 0. */
int para_product_infer(const para_node *n, struct para_shape out[], para_error *err);
void para_product_cost(const para_node *n, struct para_cost *c);

/* Whether input 1 of an add is a bias of the product that it adds it to: its axes are the product's columns, last. */
bool para_product_adds_bias(const para_node *add, const para_node *product);

/* Plan a node whose inputs 0 and 1 are a and b, and output 0 y. */
void para_product_plan(struct para_product *p, const para_node *n);

/* Let operand k go through a packed copy of float32 even where it could be used in place. */
void para_product_pack(struct para_product *p, int k);

/* Elements of one matrix of operand k. */
int64_t para_product_elements(const struct para_product *p, int k);

/* Add an axis to a group; s are the shapes of a, b and y. */
void para_group_add(struct para_group *g, const struct para_shape *const s[3], const struct para_extent *dim);

/* The one stride that walks a group in operand k; 0 if it has one element, -1 if there is no such stride. */
int64_t para_group_stride(const struct para_group *g, int k);

/* The formula: an element of y after another, with sums in double. */
struct para_sums {
    struct para_group outer, inner;
    para_dtype type[2];
    const void *operand[2];
};
void para_sums_begin(struct para_sums *s, const para_node *n, void *const in[]);
/* Element e of y, in y's order. */
double para_sums_of(const struct para_sums *s, int64_t e);

/* Where operand k holds element number `index` of a group. */
PARA_ANYWHERE static inline int64_t para_group_offset(const struct para_group *g, int k, int64_t index)
{
    int64_t at = 0;
    for (int i = g->rank - 1; i >= 0; i--) {
        at += index % g->extent[i] * g->stride[k][i];
        index /= g->extent[i];
    }
    return at;
}

#endif
