/* What infer() of several ops asks of inputs. */
#include "ops/need.h"

#include "base/dtype.h"

int para_need_scalar(const para_node *n, int i, para_dtype dtype, para_error *err)
{
    PARA_TRY(para_need_dtype(n, i, dtype, err));
    char text[PARA_SHAPE_TEXT];
    if (n->in[i]->shape.rank != 0)
        return para_fail(err, PARA_ESHAPE, "\"%s\" is %s, expected a scalar", n->in[i]->name,
                         para_shape_text(&n->in[i]->shape, text));
    return 0;
}

int para_need_weights(const para_node *n, int i, para_error *err)
{
    const para_tensor *t = n->in[i];
    if (para_dtype_weighs(t->shape.dtype))
        return 0;
    return para_fail(err, PARA_ESHAPE, "\"%s\" is %s, expected f32, bf16 or i8", t->name,
                     para_dtype_name(t->shape.dtype));
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

int para_need_part(const para_node *n, int i, int j, para_error *err)
{
    PARA_TRY(para_need_dtype(n, i, PARA_F32, err));
    PARA_TRY(para_need_dtype(n, j, PARA_F32, err));
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

void para_cost_move(const para_node *n, struct para_cost *c)
{
    (void)n;
    c->flops = 0;
}
