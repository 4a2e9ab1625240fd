#include "ops/norm.h"

#include "ops/need.h"

#include <string.h>

const struct para_extent *para_norm_dim(const para_node *n)
{
    const struct para_shape *x = &n->in[0]->shape;
    return &x->dim[x->rank - 1];
}

int64_t para_norm_rows(const para_node *n)
{
    return para_shape_elements(&n->in[0]->shape) / para_norm_dim(n)->extent;
}

static int check_axis(const para_node *n, para_error *err)
{
    char text[PARA_SHAPE_TEXT];
    const struct para_shape *x = &n->in[0]->shape, *gamma = &n->in[1]->shape;
    if (gamma->rank != 1)
        return para_fail(err, PARA_ESHAPE, "gamma is %s, expected one axis", para_shape_text(gamma, text));
    if (x->rank < 1 || strcmp(para_norm_dim(n)->axis, gamma->dim[0].axis) != 0)
        return para_fail(err, PARA_EAXIS, "x is %s, expected gamma's axis \"%s\" last; para_permute() can put it there",
                         para_shape_text(x, text), gamma->dim[0].axis);
    return 0;
}

int para_norm_infer(const para_node *n, int statistics, struct para_shape out[], para_error *err)
{
    PARA_TRY(check_axis(n, err));
    for (int i = 2; i < n->n_in; i++)
        PARA_TRY(para_need_same(n, 1, i, err));
    if (!(n->attr[0].f >= 0.0))
        return para_fail(err, PARA_ERANGE, "eps is %g, expected 0 or more", n->attr[0].f);
    para_infer_like(n, 0, &out[0]);
    for (int k = 1; k <= statistics; k++)
        para_infer_without(n, 0, para_norm_dim(n)->axis, &out[k]);
    return 0;
}

int para_norm_backward_infer(const para_node *n, int parameters, struct para_shape out[], para_error *err)
{
    struct para_shape rows = {0};
    PARA_TRY(check_axis(n, err));
    para_infer_without(n, 0, para_norm_dim(n)->axis, &rows);
    for (int i = 2; i + 1 < n->n_in; i++)
        PARA_TRY(para_need_shape(n, i, &rows, err));
    PARA_TRY(para_need_same(n, 0, n->n_in - 1, err));
    para_infer_like(n, 0, &out[0]);
    for (int k = 1; k <= parameters; k++)
        para_infer_like(n, 1, &out[k]);
    return 0;
}

enum para_role para_norm_role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    if (strcmp(axis, para_norm_dim(n)->axis) != 0)
        return PARA_PARALLEL;
    *why = "a norm's statistics need the whole axis";
    return PARA_WHOLE;
}

enum para_role para_norm_backward_role(const para_node *n, const char *axis, int output, const char **why)
{
    enum para_role role = para_norm_role(n, axis, output, why);
    return role == PARA_PARALLEL && output > 0 ? PARA_REDUCE : role;
}
