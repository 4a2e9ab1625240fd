/* StarPU codelets, one per op of the table, with their performance models. They live as long as the machine:
 * StarPU writes the models' measurements when it shuts down. */
#ifndef PARA_RUNTIME_CODELETS_H
#define PARA_RUNTIME_CODELETS_H

#include "graph/op.h"

struct para_codelets;
struct starpu_codelet;

/* What a task's cl_arg begins with: its nodes, in program order. */
struct para_task_nodes {
    const para_node **of;
    int count;
};

/* A number that tasks share which take the same time, by which StarPU files its measurements: equal for equal ops,
 * types, axes, extents and attributes. */
uint32_t para_task_footprint(const struct para_task_nodes *nodes);

/* Every codelet runs `run` on a CPU, and that of an op with a kernel for GPUs `run_cuda` on those, which enqueues work
 * on the worker's stream; their argument is a task's cl_arg. */
int para_codelets_new(struct para_codelets **out, void (*run)(void *buffers[], void *argument),
                      void (*run_cuda)(void *buffers[], void *argument), para_error *err);
void para_codelets_free(struct para_codelets *c);
struct starpu_codelet *para_codelet_of(struct para_codelets *c, const struct para_op *op);

#endif
