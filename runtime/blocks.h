/* Pieces of memory that StarPU knows: a data handle each. */
#ifndef PARA_RUNTIME_BLOCKS_H
#define PARA_RUNTIME_BLOCKS_H

#include "runtime/plan.h"

/* A buffer in main memory is a block of its own. In a GPU's memory the buffers that the same tasks use are one block,
 * those that keep their values from run to run apart from the others, and small inputs from these: a task costs more
 * the more handles it names. */
struct para_blocks {
    int count;
    int *of;        /* by buffer: its block, or PARA_NO_BLOCK for one that another session has */
    size_t *offset; /* by buffer: where it begins in its block */
    size_t *bytes;  /* by block */
    int *gpu;       /* by block: whose memory it lies in; negative: main memory */
    bool *keep;     /* by block: its values last from run to run */
    bool *inputs;   /* by block: it has small inputs alone */
    int *only;      /* by block: the one task that uses it, by the plan's numbers; -1: none, or several do */
};

/* A GPU's task copies inputs and outputs of up to so many bytes itself, from and to main memory that it sees. */
enum { PARA_SMALL_BYTES = 128 << 10 };

enum { PARA_NO_BLOCK = -1 };

/* `borrowed`, by buffer, says which are another session's. */
int para_blocks_new(struct para_blocks *out, const para_plan *p, const bool *borrowed, para_error *err);
void para_blocks_free(struct para_blocks *b);

#endif
