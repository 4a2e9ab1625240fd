/* go_on: each row's text goes on by the token that was made for it, so that the next run needs nothing from outside.
 *   tokens (B, T), position (B), recent (B, N), ids (B), all int32, T one
 *   -> made (B, N), and, in place, tokens', position', recent', which made is like:
 *   tokens'[b] = ids[b], position'[b] = position[b] + 1, recent' = recent without its first of N, and ids[b] behind
 * A row that is empty, its position -1, or that has got no token, its id -1, is empty then: token 0, position -1, and
 * -1 as the latest of recent. B is parallel. It has no gradient. */
#include <paragraph/ops.h>

#include "ops/need.h"
#include "ops/rows.h"
#include "ops/table.h"

#include <string.h>

enum { TOKENS, POSITION, RECENT, IDS };              /* inputs */
enum { MADE, NEW_TOKENS, NEW_POSITION, NEW_RECENT }; /* outputs */

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    const struct para_shape *tokens = &n->in[TOKENS]->shape, *recent = &n->in[RECENT]->shape;
    char left[PARA_SHAPE_TEXT], right[PARA_SHAPE_TEXT];
    PARA_TRY(para_need_rows(n, POSITION, TOKENS, err));
    PARA_TRY(para_need_rows(n, IDS, TOKENS, err));
    if (tokens->rank != 2 || tokens->dim[1].whole != 1 || recent->rank != 2 ||
        strcmp(recent->dim[0].axis, tokens->dim[0].axis) != 0)
        return para_fail(err, PARA_ESHAPE,
                         "tokens are %s and recent ones %s, expected (batch, seq), seq being 1, and (batch, some)",
                         para_shape_text(tokens, left), para_shape_text(recent, right));
    for (int k = TOKENS; k <= RECENT; k++)
        para_infer_like(n, k, &out[NEW_TOKENS + k]);
    return para_infer_like(n, RECENT, &out[MADE]);
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    if (strcmp(axis, n->in[TOKENS]->shape.dim[0].axis) == 0)
        return PARA_PARALLEL;
    *why = "recent tokens move along";
    return PARA_WHOLE;
}

static int cpu(const struct para_call *c)
{
    int64_t rows = para_shape_elements(&c->node->in[IDS]->shape);
    int64_t count = para_shape_elements(&c->node->in[RECENT]->shape) / rows;
    const int32_t *ids = c->in[IDS];
    int32_t *tokens = c->out[NEW_TOKENS], *position = c->out[NEW_POSITION], *recent = c->out[NEW_RECENT];
    for (int64_t b = 0; b < rows; b++, recent += count) {
        bool goes = position[b] >= 0 && ids[b] >= 0;
        memmove(recent, recent + 1, (size_t)(count - 1) * sizeof *recent);
        recent[count - 1] = goes ? ids[b] : -1;
        tokens[b] = goes ? ids[b] : 0;
        position[b] = goes ? position[b] + 1 : -1;
    }
    memcpy(c->out[MADE], c->out[NEW_RECENT], para_shape_bytes(&c->node->out[MADE]->shape));
    return 0;
}

const struct para_op para_op_go_on = {
    .name = "go_on",
    .updates = {0, TOKENS + 1, POSITION + 1, RECENT + 1},
    .types = "i32 i32 i32 i32 -> i32 i32 i32 i32",
    .infer = infer,
    .role = role,
    .cost = para_cost_move,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_go_on_cuda),
};

para_tensor *para_go_on(para_graph *g, para_tensor *tokens, para_tensor *position, para_tensor *recent,
                        para_tensor *ids)
{
    const para_node *n = para_apply_node(&para_op_go_on, g, PARA_IN(tokens, position, recent, ids), NULL);
    return n ? n->out[MADE] : NULL;
}
