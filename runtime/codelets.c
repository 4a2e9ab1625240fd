#include "runtime/codelets.h"

#include <starpu.h>
#include <stdlib.h>
#include <string.h>

enum { SYMBOL_TEXT = 64 };

struct para_codelets {
    size_t count;
    struct starpu_codelet *codelet; /* by index in the table of ops */
    struct starpu_perfmodel *model;
    char (*symbol)[SYMBOL_TEXT];
};

/* FNV-1a, byte by byte. */
static uint32_t mix(uint32_t h, const void *data, size_t bytes)
{
    const unsigned char *byte = data;
    for (size_t i = 0; i < bytes; i++)
        h = (h ^ byte[i]) * 16777619u;
    return h;
}

/* With its end, so that "ab", "c" isn't "a", "bc". */
static uint32_t mix_string(uint32_t h, const char *string)
{
    return mix(h, string, strlen(string) + 1);
}

/* All that a node's time depends on: op, types, axes with their extents, attributes. */
static uint32_t mix_node(uint32_t h, const para_node *n)
{
    h = mix_string(h, n->op->name);
    for (int k = 0; k < n->n_in + n->n_out; k++) {
        const struct para_shape *s = &para_node_operand(n, k)->shape;
        h = mix_string(h, para_dtype_name(s->dtype));
        h = mix(h, &s->rank, sizeof s->rank);
        for (int d = 0; d < s->rank; d++) {
            h = mix_string(h, s->dim[d].axis);
            h = mix(h, &s->dim[d].extent, sizeof s->dim[d].extent);
        }
    }
    for (int a = 0; a < PARA_MAX_ATTRS && n->op->attrs[a].name; a++) {
        if (n->op->attrs[a].type == PARA_ATTR_STRING)
            h = mix_string(h, n->attr[a].s);
        else
            h = mix(h, &n->attr[a], sizeof n->attr[a]); /* a number, which fills it */
    }
    return h;
}

uint32_t para_task_footprint(const struct para_task_nodes *nodes)
{
    uint32_t h = 2166136261u;
    for (int i = 0; i < nodes->count; i++)
        h = mix_node(h, nodes->of[i]);
    return h;
}

static uint32_t footprint(struct starpu_task *task)
{
    return para_task_footprint(task->cl_arg);
}

int para_codelets_new(struct para_codelets **out, void (*run)(void *buffers[], void *argument),
                      void (*run_cuda)(void *buffers[], void *argument), para_error *err)
{
    struct para_codelets *c = calloc(1, sizeof *c);
    if (!c)
        return para_fail_memory(err, "codelets");
    while (para_op_table[c->count])
        c->count++;
    c->codelet = calloc(c->count, sizeof *c->codelet);
    c->model = calloc(c->count, sizeof *c->model);
    c->symbol = calloc(c->count, sizeof *c->symbol);
    if (!c->codelet || !c->model || !c->symbol) {
        para_codelets_free(c);
        return para_fail_memory(err, "codelets");
    }
    for (size_t i = 0; i < c->count; i++) {
        snprintf(c->symbol[i], SYMBOL_TEXT, "paragraph_%s", para_op_table[i]->name);
        starpu_perfmodel_init(&c->model[i]);
        c->model[i].type = STARPU_HISTORY_BASED;
        c->model[i].symbol = c->symbol[i];
        c->model[i].footprint = footprint;
        starpu_codelet_init(&c->codelet[i]);
        c->codelet[i].where = STARPU_CPU;
        c->codelet[i].cpu_funcs[0] = run;
        if (para_op_table[i]->cuda) {
            c->codelet[i].where = STARPU_CPU | STARPU_CUDA;
            c->codelet[i].cuda_funcs[0] = run_cuda;
            c->codelet[i].cuda_flags[0] = STARPU_CUDA_ASYNC;
        }
        c->codelet[i].nbuffers = STARPU_VARIABLE_NBUFFERS;
        c->codelet[i].name = para_op_table[i]->name;
        c->codelet[i].model = &c->model[i];
    }
    *out = c;
    return 0;
}

void para_codelets_free(struct para_codelets *c)
{
    if (!c)
        return;
    free(c->codelet);
    free(c->model);
    free(c->symbol);
    free(c);
}

struct starpu_codelet *para_codelet_of(struct para_codelets *c, const struct para_op *op)
{
    size_t i = 0;
    while (para_op_table[i] != op)
        i++;
    return &c->codelet[i];
}
