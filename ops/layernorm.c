/* layernorm: y = gamma (x - mean) rstd + beta, with mean and variance over x's last axis, the one that gamma and beta
 * have, and rstd = 1 / sqrt(variance + eps).                                         Ba, Kiros and Hinton, 2016
 *   x (*, C), gamma (C), beta (C) -> y (*, C), mean (*), rstd (*)
 * Every axis but C is parallel; a norm needs the whole of C. */
#include <paragraph/ops.h>

#include "base/simd.h"
#include "ops/norm.h"
#include "ops/table.h"

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    return para_norm_infer(n, 2, out, err);
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    para_node *b =
        para_apply_node(&para_op_layernorm_backward, g, PARA_IN(n->in[0], n->in[1], n->out[1], n->out[2], dy[0]), NULL);
    for (int i = 0; b && i < 3; i++)
        dx[i] = b->out[i];
    return 0;
}

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 8.0 * (double)para_shape_elements(&n->in[0]->shape);
}

/* y (R,C), mean (R), rstd (R) from x (R,C), gamma (C), beta (C) */
static int reference(const struct para_call *c)
{
    const float *x = c->in[0], *gamma = c->in[1], *beta = c->in[2];
    float *y = c->out[0], *mean = c->out[1], *rstd = c->out[2];
    int64_t rows = para_norm_rows(c->node), width = para_norm_dim(c->node)->extent;
    for (int64_t r = 0; r < rows; r++, x += width, y += width) {
        double sum = 0, squares = 0;
        for (int64_t e = 0; e < width; e++)
            sum += x[e];
        double center = sum / (double)width;
        for (int64_t e = 0; e < width; e++)
            squares += (x[e] - center) * (x[e] - center);
        double scale = 1.0 / sqrt(squares / (double)width + c->node->attr[0].f);
        for (int64_t e = 0; e < width; e++)
            y[e] = (float)(gamma[e] * (x[e] - center) * scale + beta[e]);
        mean[r] = (float)center;
        rstd[r] = (float)scale;
    }
    return 0;
}

PARA_SIMD static void forward(int64_t rows, int64_t width, float eps, const float *x, const float *restrict gamma,
                              const float *restrict beta, float *restrict y, float *restrict mean, float *restrict rstd)
{
    for (int64_t r = 0; r < rows; r++, x += width, y += width) {
        float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t e = 0; e < width; e++)
            sum += x[e];
        float center = sum / (float)width;
#pragma omp simd reduction(+ : squares)
        for (int64_t e = 0; e < width; e++)
            squares += (x[e] - center) * (x[e] - center);
        float scale = 1.0f / sqrtf(squares / (float)width + eps);
#pragma omp simd
        for (int64_t e = 0; e < width; e++)
            y[e] = gamma[e] * ((x[e] - center) * scale) + beta[e];
        mean[r] = center;
        rstd[r] = scale;
    }
}

static int cpu(const struct para_call *c)
{
    forward(para_norm_rows(c->node), para_norm_dim(c->node)->extent, (float)c->node->attr[0].f, c->in[0], c->in[1],
            c->in[2], c->out[0], c->out[1], c->out[2]);
    return 0;
}

const struct para_op para_op_layernorm = {
    .name = "layernorm",
    .attrs = {{"eps", PARA_ATTR_FLOAT}},
    .types = "T:f32|bf16 f32 f32 -> T f32 f32",
    .float32 = true,
    .infer = infer,
    .role = para_norm_role,
    .grad = grad,
    .cost = cost,
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_layernorm_cuda),
};

/* layernorm_backward: with h = (x - mean) rstd and g = dy gamma,
 *   dx = rstd (g - mean(g) - h mean(g h)), dgamma = sum of dy h, dbeta = sum of dy over all axes but C.
 *   x (*, C), gamma (C), mean (*), rstd (*), dy (*, C) -> dx (*, C), dgamma (C), dbeta (C)
 * The other axes are parallel for dx and reduced for dgamma and dbeta. */

static int backward_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    return para_norm_backward_infer(n, 2, out, err);
}

static void backward_cost(const para_node *n, struct para_cost *c)
{
    c->flops = 16.0 * (double)para_shape_elements(&n->in[0]->shape);
}

/* dgamma (C) and dbeta (C) from x (R,C), mean (R), rstd (R), dy (R,C) */
static void reference_parameters(const struct para_call *c)
{
    const float *x = c->in[0], *mean = c->in[2], *rstd = c->in[3], *dy = c->in[4];
    float *dgamma = c->out[1], *dbeta = c->out[2];
    int64_t rows = para_norm_rows(c->node), width = para_norm_dim(c->node)->extent;
    for (int64_t e = 0; e < width; e++) {
        double scale = 0, shift = 0;
        for (int64_t r = 0; r < rows; r++) {
            scale += (double)dy[r * width + e] * ((double)x[r * width + e] - mean[r]) * rstd[r];
            shift += dy[r * width + e];
        }
        dgamma[e] = (float)scale;
        dbeta[e] = (float)shift;
    }
}

/* dx (R,C), dgamma (C), dbeta (C) from x (R,C), gamma (C), mean (R), rstd (R), dy (R,C) */
static int backward_reference(const struct para_call *c)
{
    const float *x = c->in[0], *gamma = c->in[1], *mean = c->in[2], *rstd = c->in[3], *dy = c->in[4];
    float *dx = c->out[0];
    int64_t rows = para_norm_rows(c->node), width = para_norm_dim(c->node)->extent;
    reference_parameters(c); /* before dx, which may lie in dy's place */
    for (int64_t r = 0; r < rows; r++, x += width, dy += width, dx += width) {
        double mean_g = 0, mean_gh = 0;
        for (int64_t e = 0; e < width; e++) {
            double g = (double)dy[e] * gamma[e];
            mean_g += g / (double)width;
            mean_gh += g * ((double)x[e] - mean[r]) * rstd[r] / (double)width;
        }
        for (int64_t e = 0; e < width; e++) {
            double h = ((double)x[e] - mean[r]) * rstd[r];
            dx[e] = (float)(rstd[r] * ((double)dy[e] * gamma[e] - mean_g - h * mean_gh));
        }
    }
    return 0;
}

/* One pass over the rows; dgamma and dbeta grow in row order. */
PARA_SIMD static void backward(int64_t rows, int64_t width, const float *x, const float *restrict gamma,
                               const float *restrict mean, const float *restrict rstd, const float *dy, float *dx,
                               float *restrict dgamma, float *restrict dbeta)
{
    memset(dgamma, 0, (size_t)width * sizeof *dgamma);
    memset(dbeta, 0, (size_t)width * sizeof *dbeta);
    for (int64_t r = 0; r < rows; r++, x += width, dy += width, dx += width) {
        float center = mean[r], scale = rstd[r], sum_g = 0, sum_gh = 0;
#pragma omp simd reduction(+ : sum_g, sum_gh)
        for (int64_t e = 0; e < width; e++) {
            float h = (x[e] - center) * scale, g = dy[e] * gamma[e];
            sum_g += g;
            sum_gh += g * h;
            dgamma[e] += dy[e] * h;
            dbeta[e] += dy[e];
        }
        float mean_g = sum_g / (float)width, mean_gh = sum_gh / (float)width;
#pragma omp simd
        for (int64_t e = 0; e < width; e++)
            dx[e] = scale * (dy[e] * gamma[e] - mean_g - (x[e] - center) * scale * mean_gh);
    }
}

static int backward_cpu(const struct para_call *c)
{
    backward(para_norm_rows(c->node), para_norm_dim(c->node)->extent, c->in[0], c->in[1], c->in[2], c->in[3], c->in[4],
             c->out[0], c->out[1], c->out[2]);
    return 0;
}

const struct para_op para_op_layernorm_backward = {
    .name = "layernorm_backward",
    .types = "T:f32|bf16 f32 f32 f32 T -> T f32 f32",
    .float32 = true,
    .infer = backward_infer,
    .role = para_norm_backward_role,
    .cost = backward_cost,
    .over = {1 + 4},
    .reference = backward_reference,
    .cpu = backward_cpu,
    .cuda = PARA_CUDA(para_layernorm_backward_cuda),
    .cuda_scratch = PARA_CUDA(para_layernorm_backward_cuda_scratch),
};

para_tensor *para_layernorm(para_graph *g, para_tensor *x, para_tensor *gamma, para_tensor *beta, double eps)
{
    return para_apply(&para_op_layernorm, g, PARA_IN(x, gamma, beta), PARA_ATTRS({.f = eps}));
}
