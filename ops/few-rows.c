/* What stands beside products of few rows, in one with them: graph/fuse.c makes these nodes for GPUs, where a token's
 * products take no longer than it takes to launch a kernel for what is between them. All are float32 but the matrix.
 *   linear_add:          z = r + (a b + c)
 *   norm_linear:         y = layernorm(x) b + c
 *   norm_linear_gelu:    z = gelu(layernorm(x) b + c), in its tanh form
 *   norm_select_matmul:  y = h b, h being layernorm(x) of a row's one position, or 0 where its index i is -1
 * a, b and c are as in linear; r is like z; the norm is over what the product contracts. */
#include "ops/few-rows.h"

#include "graph/pattern.h"
#include "ops/norm.h"
#include "ops/table.h"

#include <string.h>

enum { EIGHT = 8, MOST_ROWS = 16, WIDEST_NORM = 4096 };

bool para_walks_rows(struct para_few *f, const para_node *product)
{
    struct para_product p;
    para_product_plan(&p, product);
    const struct para_group *g = p.group;
    int64_t x_inner = para_group_stride(&g[PARA_INNER], PARA_A), w_inner = para_group_stride(&g[PARA_INNER], PARA_B);
    int64_t w_column = para_group_stride(&g[PARA_COLS], PARA_B);
    f->rows = g[PARA_ROWS].total;
    f->columns = g[PARA_COLS].total;
    f->inner = g[PARA_INNER].total;
    f->x_ld = para_group_stride(&g[PARA_ROWS], PARA_A);
    f->y_row = para_group_stride(&g[PARA_ROWS], PARA_Y);
    f->y_column = para_group_stride(&g[PARA_COLS], PARA_Y);
    f->by_column = w_column == 1;
    f->w_ld = f->by_column ? w_inner : w_column;
    int64_t length = f->by_column ? f->columns : f->inner;
    bool walks = x_inner == 1 && (w_column == 1 || w_inner == 1) && f->x_ld >= 0 && f->y_row >= 0 && f->y_column >= 0;
    return walks && g[PARA_BATCH].total == 1 && f->x_ld % EIGHT == 0 && f->w_ld > 0 && f->w_ld % EIGHT == 0 &&
           length % EIGHT == 0;
}

bool para_few_rows(struct para_few *f, const para_node *product)
{
    return para_walks_rows(f, product) && f->rows <= MOST_ROWS;
}

/* Whether it is one whose result has rows one after another. */
static bool lies_right(const para_node *product)
{
    struct para_few f;
    return para_few_rows(&f, product) && f.y_column == 1 && (f.rows == 1 || f.y_row == f.columns);
}

/* Whether the norm is over what the product contracts, with rows one after another. */
static bool norms(const para_node *norm, const para_node *product)
{
    struct para_few f;
    return para_few_rows(&f, product) && f.inner == para_norm_dim(norm)->extent && f.inner <= WIDEST_NORM &&
           f.inner % EIGHT == 0 && (f.rows == 1 || f.x_ld == f.inner);
}

/* --- linear_add --- */

static bool fuse_linear_add(const para_node *const of[], union para_attr attr[])
{
    para_fused_attributes(of, 3, attr);
    return para_shape_same_axes(&of[0]->in[0]->shape, &of[0]->in[1]->shape) && para_product_adds_bias(of[1], of[2]) &&
           lies_right(of[2]);
}

const struct para_op para_op_linear_add = {
    .name = "linear_add",
    .attrs = {{"contract", PARA_ATTR_STRING}, {"order", PARA_ATTR_STRING}},
    .types = "f32 f32|bf16 f32 f32 -> f32",
    .infer = para_fused_infer,
    .role = para_fused_role,
    .cost = para_fused_cost,
    .fuses = "a b c r -> z: z = add(r, y); y = add(m, c); m = matmul(a, b)",
    .fuse = fuse_linear_add,
    .scratch = para_fused_scratch,
    .cpu = para_fused_cpu,
    .cuda = PARA_CUDA(para_linear_add_cuda),
};

/* --- norm_select_matmul --- */

/* Of one position each row's is taken, or none. */
static bool fuse_norm_select_matmul(const para_node *const of[], union para_attr attr[])
{
    const struct para_shape *x = &of[1]->in[0]->shape;
    int dim = para_shape_find(x, of[1]->attr[0].s);
    struct para_few f;
    para_fused_attributes(of, 3, attr);
    return norms(of[2], of[0]) && para_few_rows(&f, of[0]) && x->dim[dim].extent == 1 && x->dim[dim].whole == 1 &&
           para_shape_elements(&of[1]->in[1]->shape) == f.rows;
}

const struct para_op para_op_norm_select_matmul = {
    .name = "norm_select_matmul",
    .attrs = {{"contract", PARA_ATTR_STRING},
              {"order", PARA_ATTR_STRING},
              {"axis", PARA_ATTR_STRING},
              {"eps", PARA_ATTR_FLOAT}},
    .types = "f32 f32 f32 f32|bf16 i32 -> f32",
    .infer = para_fused_infer,
    .role = para_fused_role,
    .cost = para_fused_cost,
    .fuses = "x g s b i -> y: y = matmul(h, b); h = select(n, i); n mean rstd = layernorm(x, g, s)",
    .fuse = fuse_norm_select_matmul,
    .scratch = para_fused_scratch,
    .cpu = para_fused_cpu,
    .cuda = PARA_CUDA(para_norm_select_matmul_cuda),
    .complain = para_fused_complain,
};

/* --- norm_linear --- */

static bool fuse_norm_linear(const para_node *const of[], union para_attr attr[])
{
    para_fused_attributes(of, 3, attr);
    return para_product_adds_bias(of[0], of[1]) && lies_right(of[1]) && norms(of[2], of[1]);
}

const struct para_op para_op_norm_linear = {
    .name = "norm_linear",
    .attrs = {{"contract", PARA_ATTR_STRING}, {"order", PARA_ATTR_STRING}, {"eps", PARA_ATTR_FLOAT}},
    .types = "f32 f32 f32 f32|bf16 f32 -> f32",
    .infer = para_fused_infer,
    .role = para_fused_role,
    .cost = para_fused_cost,
    .fuses = "x g s b c -> y: y = add(m, c); m = matmul(n, b); n mean rstd = layernorm(x, g, s)",
    .fuse = fuse_norm_linear,
    .scratch = para_fused_scratch,
    .cpu = para_fused_cpu,
    .cuda = PARA_CUDA(para_norm_linear_cuda),
};

/* --- norm_linear_gelu --- */

static bool fuse_norm_linear_gelu(const para_node *const of[], union para_attr attr[])
{
    bool fits = strcmp(of[0]->attr[0].s, "tanh") == 0 && fuse_norm_linear(of + 1, attr);
    para_fused_attributes(of, 4, attr);
    return fits;
}

const struct para_op para_op_norm_linear_gelu = {
    .name = "norm_linear_gelu",
    .attrs = {{"form", PARA_ATTR_STRING},
              {"contract", PARA_ATTR_STRING},
              {"order", PARA_ATTR_STRING},
              {"eps", PARA_ATTR_FLOAT}},
    .types = "f32 f32 f32 f32|bf16 f32 -> f32",
    .infer = para_fused_infer,
    .role = para_fused_role,
    .cost = para_fused_cost,
    .fuses = "x g s b c -> z: z = gelu(y); y = add(m, c); m = matmul(n, b); n mean rstd = layernorm(x, g, s)",
    .fuse = fuse_norm_linear_gelu,
    .scratch = para_fused_scratch,
    .cpu = para_fused_cpu,
    .cuda = PARA_CUDA(para_norm_linear_gelu_cuda),
};
