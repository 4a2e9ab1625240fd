/* layernorm: y = gamma (x - mean) rstd + beta, with mean and variance over x's last axis, the one that gamma and beta
 * have, and rstd = 1 / sqrt(variance + eps).                                         Ba, Kiros and Hinton, 2016
 *   x (*, C), gamma (C), beta (C) -> y (*, C), mean (*), rstd (*)
 * Every axis but C is parallel; a norm needs the whole of C. */
#include <paragraph/ops.h>

#include "base/simd.h"
#include "graph/op.h"

extern const struct para_op para_op_layernorm, para_op_layernorm_backward;

/* The norm axis of x, and the rows of a tile: all its elements but along that axis. */
static const struct para_extent *norm_dim(const para_node *n)
{
    const struct para_shape *x = &n->in[0]->shape;
    return &x->dim[x->rank - 1];
}

static int64_t count_rows(const para_node *n)
{
    return para_shape_elements(&n->in[0]->shape) / norm_dim(n)->extent;
}

/* Inputs 0 and 1 of both ops are x and gamma. */
static int check_norm(const para_node *n, para_error *err)
{
    char text[PARA_SHAPE_TEXT];
    PARA_TRY(para_need_dtype(n, 0, PARA_F32, err));
    PARA_TRY(para_need_dtype(n, 1, PARA_F32, err));
    const struct para_shape *x = &n->in[0]->shape, *gamma = &n->in[1]->shape;
    if (gamma->rank != 1)
        return para_fail(err, PARA_ESHAPE, "gamma is %s, expected one axis", para_shape_text(gamma, text));
    if (x->rank < 1 || strcmp(norm_dim(n)->axis, gamma->dim[0].axis) != 0)
        return para_fail(err, PARA_EAXIS, "x is %s, expected gamma's axis \"%s\" last; para_permute() can put it there",
                         para_shape_text(x, text), gamma->dim[0].axis);
    return 0;
}

static void statistics_shape(const para_node *n, struct para_shape *s)
{
    const struct para_shape *x = &n->in[0]->shape;
    *s = (struct para_shape){.dtype = PARA_F32};
    for (int i = 0; i + 1 < x->rank; i++)
        para_shape_append(s, x->dim[i].axis, x->dim[i].whole);
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    PARA_TRY(check_norm(n, err));
    PARA_TRY(para_need_same(n, 1, 2, err));
    if (!(n->attr[0].f >= 0.0))
        return para_fail(err, PARA_ERANGE, "eps is %g, expected 0 or more", n->attr[0].f);
    para_infer_like(n, 0, out);
    statistics_shape(n, &out[1]);
    out[2] = out[1];
    return 3;
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    if (strcmp(axis, norm_dim(n)->axis) != 0)
        return PARA_PARALLEL;
    *why = "a norm's statistics need the whole axis";
    return PARA_WHOLE;
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
    int64_t rows = count_rows(c->node), width = norm_dim(c->node)->extent;
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
    forward(count_rows(c->node), norm_dim(c->node)->extent, (float)c->node->attr[0].f, c->in[0], c->in[1], c->in[2],
            c->out[0], c->out[1], c->out[2]);
    return 0;
}

const struct para_op para_op_layernorm = {
    .name = "layernorm",
    .attrs = {{"eps", PARA_ATTR_FLOAT}},
    .inputs = {3, 3},
    .infer = infer,
    .role = role,
    .grad = grad,
    .cost = cost,
    .reference = reference,
    .cpu = cpu,
};

/* layernorm_backward: with h = (x - mean) rstd and g = dy gamma,
 *   dx = rstd (g - mean(g) - h mean(g h)), dgamma = sum of dy h, dbeta = sum of dy over all axes but C.
 *   x (*, C), gamma (C), mean (*), rstd (*), dy (*, C) -> dx (*, C), dgamma (C), dbeta (C)
 * The other axes are parallel for dx and reduced for dgamma and dbeta. */

static int backward_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    char found[PARA_SHAPE_TEXT], expected[PARA_SHAPE_TEXT];
    PARA_TRY(check_norm(n, err));
    PARA_TRY(para_need_dtype(n, 2, PARA_F32, err));
    PARA_TRY(para_need_same(n, 2, 3, err));
    PARA_TRY(para_need_same(n, 0, 4, err));
    statistics_shape(n, &out[0]);
    const struct para_shape *mean = &n->in[2]->shape;
    bool fits = mean->rank == out[0].rank;
    for (int i = 0; fits && i < mean->rank; i++)
        fits = strcmp(mean->dim[i].axis, out[0].dim[i].axis) == 0;
    if (!fits)
        return para_fail(err, PARA_ESHAPE, "mean is %s, expected %s", para_shape_text(mean, found),
                         para_shape_text(&out[0], expected));
    para_infer_like(n, 0, &out[0]);
    para_infer_like(n, 1, &out[1]);
    para_infer_like(n, 1, &out[2]);
    return 3;
}

static enum para_role backward_role(const para_node *n, const char *axis, int output, const char **why)
{
    enum para_role forward_role = role(n, axis, 0, why);
    return forward_role == PARA_PARALLEL && output > 0 ? PARA_REDUCE : forward_role;
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
    int64_t rows = count_rows(c->node), width = norm_dim(c->node)->extent;
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
    int64_t rows = count_rows(c->node), width = norm_dim(c->node)->extent;
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
                               const float *restrict mean, const float *restrict rstd, const float *dy,
                               float *dx, float *restrict dgamma, float *restrict dbeta)
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
    backward(count_rows(c->node), norm_dim(c->node)->extent, c->in[0], c->in[1], c->in[2], c->in[3], c->in[4],
             c->out[0], c->out[1], c->out[2]);
    return 0;
}

const struct para_op para_op_layernorm_backward = {
    .name = "layernorm_backward",
    .inputs = {5, 5},
    .infer = backward_infer,
    .role = backward_role,
    .cost = backward_cost,
    .over = {1 + 4},
    .reference = backward_reference,
    .cpu = backward_cpu,
};

para_tensor *para_layernorm(para_graph *g, para_tensor *x, para_tensor *gamma, para_tensor *beta, double eps)
{
    return para_apply(&para_op_layernorm, g, PARA_IN(x, gamma, beta), PARA_ATTRS({.f = eps}));
}
