/* Calling kernels for CPUs: around those that know float32 alone, operands of bfloat16 are converted. */
#include "base/dtype.h"
#include "base/simd.h"
#include "graph/op.h"

#include <string.h>

static bool is_half(const para_tensor *t)
{
    return t->shape.dtype == PARA_BF16;
}

static bool converts(const para_node *n)
{
    bool any = false;
    for (int k = 0; k < n->n_in + n->n_out && n->op->float32; k++)
        any = any || is_half(para_node_operand(n, k));
    return any;
}

static size_t in_lines(size_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

/* Of an operand as float32. */
static size_t converted_bytes(const para_tensor *t)
{
    return is_half(t) ? in_lines((size_t)para_shape_elements(&t->shape) * sizeof(float)) : 0;
}

/* What a kernel is shown of its operands. */
static size_t shown_bytes(const para_node *n)
{
    return in_lines((size_t)(n->n_in + n->n_out) * (sizeof(para_tensor) + sizeof(para_tensor *) + sizeof(void *)));
}

size_t para_op_scratch(const para_node *n)
{
    size_t bytes = n->op->scratch ? n->op->scratch(n) : 0;
    if (!converts(n))
        return bytes;
    bytes += shown_bytes(n);
    for (int k = 0; k < n->n_in + n->n_out; k++)
        bytes += converted_bytes(para_node_operand(n, k));
    return bytes;
}

PARA_SIMD static void widen(int64_t elements, const uint16_t *restrict half, float *restrict x)
{
#pragma omp simd
    for (int64_t e = 0; e < elements; e++)
        x[e] = para_of_bf16(half[e]);
}

PARA_SIMD static void narrow(int64_t elements, const float *restrict x, uint16_t *restrict half)
{
#pragma omp simd
    for (int64_t e = 0; e < elements; e++)
        half[e] = para_bf16_of(x[e]);
}

typedef int (*kernel)(const struct para_call *c);

/* The node as one of float32, its operands, and their addresses, all in scratch. */
static int call_converted(const struct para_call *c, kernel run)
{
    const para_node *n = c->node;
    int operands = n->n_in + n->n_out;
    char *room = c->scratch;
    para_node shown = *n;
    para_tensor *tensor = (para_tensor *)(void *)room, **address = (para_tensor **)(void *)(tensor + operands);
    void **data = (void **)(void *)(address + operands);
    room += shown_bytes(n);
    for (int k = 0; k < operands; k++) {
        const para_tensor *t = para_node_operand(n, k);
        int updated = k < n->n_in ? -1 : n->op->updates[k - n->n_in] - 1;
        tensor[k] = *t;
        tensor[k].shape.dtype = is_half(t) ? PARA_F32 : t->shape.dtype;
        address[k] = &tensor[k];
        data[k] = k < n->n_in ? c->in[k] : c->out[k - n->n_in];
        if (!is_half(t))
            continue;
        if (k < n->n_in)
            widen(para_shape_elements(&t->shape), data[k], (float *)(void *)room);
        data[k] = updated >= 0 ? data[updated] : room;
        room += converted_bytes(t);
    }
    shown.in = address;
    shown.out = address + n->n_in;
    struct para_call call = *c;
    call.node = &shown;
    call.in = data;
    call.out = data + n->n_in;
    call.scratch = room;
    PARA_TRY(run(&call));
    for (int k = 0; k < n->n_out; k++)
        if (is_half(n->out[k]))
            narrow(para_shape_elements(&n->out[k]->shape), call.out[k], c->out[k]);
    return 0;
}

int para_op_call(const struct para_call *c, bool reference)
{
    const struct para_op *op = c->node->op;
    kernel run = reference && op->reference ? op->reference : op->cpu;
    return converts(c->node) ? call_converted(c, run) : run(c);
}
