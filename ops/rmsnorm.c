/* rmsnorm: y = gamma x rstd, with rstd = 1 / sqrt(mean of x^2 + eps) over x's last axis, the one that gamma has.
 *                                                                                       Zhang and Sennrich, 2019, eq. 4
 *   x (*, C), gamma (C) -> y (*, C), rstd (*)
 * Every axis but C is parallel; a norm needs the whole of C. */
#include <paragraph/ops.h>

#include "base/simd.h"
#include "ops/norm.h"
#include "ops/table.h"

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    return para_norm_infer(n, 1, out, err);
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    para_node *b = para_apply_node(&para_op_rmsnorm_backward, g, PARA_IN(n->in[0], n->in[1], n->out[1], dy[0]), NULL);
    for (int i = 0; b && i < 2; i++)
        dx[i] = b->out[i];
    return 0;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 5.0 * (double)para_shape_elements(&n->in[0]->shape);
}

/* y (R,C), rstd (R) from x (R,C), gamma (C) */
static int reference(const struct para_call *c)
{
    const float *x = c->in[0], *gamma = c->in[1];
    float *y = c->out[0], *rstd = c->out[1];
    int64_t rows = para_norm_rows(c->node), width = para_norm_dim(c->node)->extent;
    for (int64_t r = 0; r < rows; r++, x += width, y += width) {
        double squares = 0;
        for (int64_t e = 0; e < width; e++)
            squares += (double)x[e] * x[e];
        double scale = 1.0 / sqrt(squares / (double)width + c->node->attr[0].f);
        for (int64_t e = 0; e < width; e++)
            y[e] = (float)(gamma[e] * x[e] * scale);
        rstd[r] = (float)scale;
    }
    return 0;
}

PARA_SIMD static void forward(int64_t rows, int64_t width, float eps, const float *x, const float *restrict gamma,
                              float *restrict y, float *restrict rstd)
{
    for (int64_t r = 0; r < rows; r++, x += width, y += width) {
        float squares = 0;
#pragma omp simd reduction(+ : squares)
        for (int64_t e = 0; e < width; e++)
            squares += x[e] * x[e];
        float scale = 1.0f / sqrtf(squares / (float)width + eps);
#pragma omp simd
        for (int64_t e = 0; e < width; e++)
            y[e] = gamma[e] * (x[e] * scale);
        rstd[r] = scale;
    }
}

static int cpu(const struct para_call *c)
{
    forward(para_norm_rows(c->node), para_norm_dim(c->node)->extent, (float)c->node->attr[0].f, c->in[0], c->in[1],
            c->out[0], c->out[1]);
    return 0;
}

const struct para_op para_op_rmsnorm = {
    .name = "rmsnorm",
    .attrs = {{"eps", PARA_ATTR_FLOAT}},
    .types = "T:f32|bf16 f32 -> T f32",
    .float32 = true,
    .infer = infer,
    .role = para_norm_role,
    .grad = grad,
    .cost = cost,
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_rmsnorm_cuda),
};

/* rmsnorm_backward: with h = x rstd and g = dy gamma,
 *   dx = rstd (g - h mean(g h)), dgamma = sum of dy h over all axes but C.
 *   x (*, C), gamma (C), rstd (*), dy (*, C) -> dx (*, C), dgamma (C)
 * The other axes are parallel for dx and reduced for dgamma. */

static int backward_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    return para_norm_backward_infer(n, 1, out, err);
}

static void backward_cost(const para_node *n, struct para_cost *c)
{
    c->flops = 10.0 * (double)para_shape_elements(&n->in[0]->shape);
}

/* dx (R,C), dgamma (C) from x (R,C), gamma (C), rstd (R), dy (R,C) */
static int backward_reference(const struct para_call *c)
{
    const float *x = c->in[0], *gamma = c->in[1], *rstd = c->in[2], *dy = c->in[3];
    float *dx = c->out[0], *dgamma = c->out[1];
    int64_t rows = para_norm_rows(c->node), width = para_norm_dim(c->node)->extent;
    for (int64_t e = 0; e < width; e++) {
        double sum = 0;
        for (int64_t r = 0; r < rows; r++)
            sum += (double)dy[r * width + e] * x[r * width + e] * rstd[r];
        dgamma[e] = (float)sum;
    }
    for (int64_t r = 0; r < rows; r++, x += width, dy += width, dx += width) {
        double mean_gh = 0;
        for (int64_t e = 0; e < width; e++)
            mean_gh += (double)dy[e] * gamma[e] * x[e] * rstd[r] / (double)width;
        for (int64_t e = 0; e < width; e++)
            dx[e] = (float)(rstd[r] * ((double)dy[e] * gamma[e] - (double)x[e] * rstd[r] * mean_gh));
    }
    return 0;
}

/* One pass over the rows; dgamma grows in row order. */
PARA_SIMD static void backward(int64_t rows, int64_t width, const float *x, const float *restrict gamma,
                               const float *restrict rstd, const float *dy, float *dx, float *restrict dgamma)
{
    memset(dgamma, 0, (size_t)width * sizeof *dgamma);
    for (int64_t r = 0; r < rows; r++, x += width, dy += width, dx += width) {
        float scale = rstd[r], sum_gh = 0;
#pragma omp simd reduction(+ : sum_gh)
        for (int64_t e = 0; e < width; e++) {
            float h = x[e] * scale;
            sum_gh += dy[e] * gamma[e] * h;
            dgamma[e] += dy[e] * h;
        }
        float mean_gh = sum_gh / (float)width;
#pragma omp simd
        for (int64_t e = 0; e < width; e++)
            dx[e] = scale * (dy[e] * gamma[e] - x[e] * scale * mean_gh);
    }
}

static int backward_cpu(const struct para_call *c)
{
    backward(para_norm_rows(c->node), para_norm_dim(c->node)->extent, c->in[0], c->in[1], c->in[2], c->in[3], c->out[0],
             c->out[1]);
    return 0;
}

const struct para_op para_op_rmsnorm_backward = {
    .name = "rmsnorm_backward",
    .types = "T:f32|bf16 f32 f32 T -> T f32",
    .float32 = true,
    .infer = backward_infer,
    .role = para_norm_backward_role,
    .cost = backward_cost,
    .over = {1 + 3},
    .reference = backward_reference,
    .cpu = backward_cpu,
    .cuda = PARA_CUDA(para_rmsnorm_backward_cuda),
    .cuda_scratch = PARA_CUDA(para_rmsnorm_backward_cuda_scratch),
};

para_tensor *para_rmsnorm(para_graph *g, para_tensor *x, para_tensor *gamma, double eps)
{
    return para_apply(&para_op_rmsnorm, g, PARA_IN(x, gamma), PARA_ATTRS({.f = eps}));
}
