/* What infer() of several ops asks of inputs and says of outputs. */
#include "ops/need.h"

#include <string.h>

int para_need_scalar(const para_node *n, int i, para_error *err)
{
    char text[PARA_SHAPE_TEXT];
    if (n->in[i]->shape.rank != 0)
        return para_fail(err, PARA_ESHAPE, "\"%s\" is %s, expected a scalar", n->in[i]->name,
                         para_shape_text(&n->in[i]->shape, text));
    return 0;
}

int para_need_axis(const para_node *n, int i, const char *axis, para_error *err)
{
    int dim = para_shape_find(&n->in[i]->shape, axis);
    char text[PARA_SHAPE_TEXT];
    if (dim < 0)
        return para_fail(err, PARA_EAXIS, "no axis is called \"%s\" in \"%s\", %s", axis, n->in[i]->name,
                         para_shape_text(&n->in[i]->shape, text));
    return dim;
}

int para_need_same(const para_node *n, int i, int j, para_error *err)
{
    const struct para_shape *a = &n->in[i]->shape, *b = &n->in[j]->shape;
    if (para_shape_same_axes(a, b))
        return 0;
    char left[PARA_SHAPE_TEXT], right[PARA_SHAPE_TEXT];
    return para_fail(err, PARA_ESHAPE, "\"%s\" is %s and \"%s\" is %s, expected the same", n->in[i]->name,
                     para_shape_text(a, left), n->in[j]->name, para_shape_text(b, right));
}

int para_need_alike(const para_node *n, para_error *err)
{
    for (int i = 1; i < n->n_in; i++)
        PARA_TRY(para_need_same(n, 0, i, err));
    return 0;
}

int para_need_part(const para_node *n, int i, int j, para_error *err)
{
    const struct para_shape *full = &n->in[i]->shape, *part = &n->in[j]->shape;
    for (int d = 0; d < part->rank; d++) {
        int f = para_shape_find(full, part->dim[d].axis);
        char a[PARA_SHAPE_TEXT], b[PARA_SHAPE_TEXT];
        if (f < 0 || full->dim[f].whole != part->dim[d].whole)
            return para_fail(err, PARA_ESHAPE, "\"%s\" is %s, expected axes among those of \"%s\", %s", n->in[j]->name,
                             para_shape_text(part, b), n->in[i]->name, para_shape_text(full, a));
    }
    return 0;
}

int para_need_shape(const para_node *n, int i, const struct para_shape *expected, para_error *err)
{
    char got[PARA_SHAPE_TEXT], want[PARA_SHAPE_TEXT];
    const struct para_shape *s = &n->in[i]->shape;
    if (para_shape_same_axes(s, expected))
        return 0;
    struct para_shape typed = *expected;
    typed.dtype = s->dtype;
    return para_fail(err, PARA_ESHAPE, "input %d, \"%s\", is %s, expected %s", i, n->in[i]->name,
                     para_shape_text(s, got), para_shape_text(&typed, want));
}

int para_infer_scalar(const para_node *n, struct para_shape out[], para_error *err)
{
    (void)n, (void)out, (void)err;
    return 0;
}

int para_infer_like(const para_node *n, int i, struct para_shape *out)
{
    return para_infer_without(n, i, "", out);
}

int para_infer_without(const para_node *n, int i, const char *axis, struct para_shape *out)
{
    const struct para_shape *like = &n->in[i]->shape;
    for (int d = 0; d < like->rank; d++)
        if (strcmp(like->dim[d].axis, axis) != 0)
            para_shape_append(out, like->dim[d].axis, like->dim[d].whole);
    return 0;
}

void para_cost_move(const para_node *n, struct para_cost *c)
{
    (void)n;
    c->flops = 0;
}
