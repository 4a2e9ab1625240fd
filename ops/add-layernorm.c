/* layernorm with the residual stream beside it, in one; graph/fuse.c makes these nodes for GPUs, where each pass over
 * the stream counts. add_layernorm:           r = x + d; y, mean and rstd = layernorm of r with gamma and beta x (*,
 * C), gamma (C), beta (C), d (*, C) -> y (*, C), mean (*), rstd (*), r (*, C) layernorm_backward_add:  layernorm's
 * gradients, of which dx is added to what the stream has, e x (*, C), gamma (C), mean (*), rstd (*), dy (*, C), e (*,
 * C) -> dx (*, C), dgamma (C), dbeta (C) Roles are layernorm's. */
#include "ops/need.h"
#include "ops/norm.h"
#include "ops/table.h"

static void cost(const para_node *n, struct para_cost *c)
{
    c->flops = 9.0 * (double)para_shape_elements(&n->in[0]->shape);
}

/* The node without what is added: layernorm's own. */
static para_node plain(const para_node *n)
{
    para_node own = *n;
    own.n_in--;
    own.n_out = 3;
    return own;
}

static bool fuse_any(const para_node *const of[], union para_attr attr[])
{
    attr[0] = of[0]->attr[0];
    return para_shape_same_axes(&of[1]->in[0]->shape, &of[1]->in[1]->shape);
}

/* --- add_layernorm --- */

enum { D = 3, R = 3 }; /* input and output */

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    para_node own = plain(n);
    PARA_TRY(para_norm_infer(&own, 2, out, err));
    PARA_TRY(para_need_same(n, 0, D, err));
    return para_infer_like(n, 0, &out[R]);
}

static int run(const struct para_call *c, int (*layernorm)(const struct para_call *))
{
    const float *x = c->in[0], *d = c->in[D];
    float *r = c->out[R];
    para_node own = plain(c->node);
    void *in[] = {r, c->in[1], c->in[2]};
    struct para_call call = *c;
    call.node = &own;
    call.in = in;
    for (int64_t e = 0; e < para_shape_elements(&c->node->in[0]->shape); e++)
        r[e] = x[e] + d[e];
    return layernorm(&call);
}

static int reference(const struct para_call *c)
{
    return run(c, para_op_layernorm.reference);
}

static int cpu(const struct para_call *c)
{
    return run(c, para_op_layernorm.cpu);
}

const struct para_op para_op_add_layernorm = {
    .name = "add_layernorm",
    .attrs = {{"eps", PARA_ATTR_FLOAT}},
    .types = "T:f32|bf16 f32 f32 T -> T f32 f32 T",
    .float32 = true,
    .infer = infer,
    .role = para_norm_role,
    .cost = cost,
    .fuses = "x g b d -> y m s r: y m s = layernorm(r, g, b); r = add(x, d)",
    .fuse = fuse_any,
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_add_layernorm_cuda),
};

/* --- layernorm_backward_add --- */

enum { E = 5 }; /* input */

static int backward_infer(const para_node *n, struct para_shape out[], para_error *err)
{
    para_node own = plain(n);
    PARA_TRY(para_norm_backward_infer(&own, 2, out, err));
    return para_need_same(n, 0, E, err);
}

static int run_backward(const struct para_call *c, int (*layernorm)(const struct para_call *))
{
    const float *added = c->in[E];
    float *dx = c->out[0];
    para_node own = plain(c->node);
    struct para_call call = *c;
    call.node = &own;
    PARA_TRY(layernorm(&call));
    for (int64_t e = 0; e < para_shape_elements(&c->node->in[0]->shape); e++)
        dx[e] += added[e];
    return 0;
}

static int backward_reference(const struct para_call *c)
{
    return run_backward(c, para_op_layernorm_backward.reference);
}

static int backward_cpu(const struct para_call *c)
{
    return run_backward(c, para_op_layernorm_backward.cpu);
}

static bool fuse_backward(const para_node *const of[], union para_attr attr[])
{
    (void)of, (void)attr;
    return true;
}

const struct para_op para_op_layernorm_backward_add = {
    .name = "layernorm_backward_add",
    .types = "T:f32|bf16 f32 f32 f32 T T -> T f32 f32",
    .float32 = true,
    .infer = backward_infer,
    .role = para_norm_backward_role,
    .cost = cost,
    .fuses = "x g m s dy e -> dx dg db: dx = sum(e, t); t dg db = layernorm_backward(x, g, m, s, dy)",
    .fuse = fuse_backward,
    .reference = backward_reference,
    .cpu = backward_cpu,
    .cuda = PARA_CUDA(para_layernorm_backward_add_cuda),
    .cuda_scratch = PARA_CUDA(para_layernorm_backward_add_cuda_scratch),
};
