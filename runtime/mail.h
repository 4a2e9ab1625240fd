/* Small inputs and outputs of GPUs' tasks, which lie in main memory that GPUs see: a task copies them itself. An input
 * is copied once after it was set; what a run writes over it there stays until it is set again. */
#ifndef PARA_RUNTIME_MAIL_H
#define PARA_RUNTIME_MAIL_H

#include "runtime/blocks.h"
#include "runtime/session.h"

#include "base/arena.h"

/* Where a session's mail lies, in an arena but for the memory itself. */
struct para_mail {
    void **at;       /* by buffer: main memory that a GPU's task copies from or to; NULL: it doesn't */
    unsigned **flag; /* by buffer of an input: whether it has been set since a task took it */
    char *memory;    /* all of it; NULL: none */
};

/* What a task copies between one of its handles and main memory, or clears in main memory. */
struct para_letter {
    int buffer;    /* -1: it clears */
    int slot;      /* of the task's handles: the task's to say */
    size_t offset; /* in that handle, likewise */
    size_t bytes;
    void *there;
    unsigned *flag; /* of an input */
};

/* What a task takes before its nodes run, and gives after. */
struct para_letters {
    struct para_letter *take, *give;
    int n_take, n_give;
};

/* Give memory to all that goes so: inputs of blocks that one task alone uses, and small outputs that a GPU makes. */
int para_mail_new(struct para_mail *m, struct para_arena *a, const para_session *s, const struct para_blocks *blocks,
                  para_error *err);
void para_mail_free(struct para_mail *m);

/* Note that an input has been set, or say nothing of another buffer. */
void para_mail_set(const struct para_mail *m, int buffer);

/* List what the task of that number in the plan, which runs these nodes, takes and gives, but for slots and offsets.
 * Returns 0 or PARA_ENOMEM. */
int para_mail_list(struct para_letters *out, const struct para_mail *m, struct para_arena *a, const para_session *s,
                   const struct para_blocks *blocks, int number, const struct para_task_nodes *nodes);

/* Enqueue the copies of some letters from main memory, or to it, for a task with these buffers of StarPU's. */
int para_mail_send(const struct para_letter *letter, int count, bool gives, void *buffers[],
                   const struct para_cuda *cuda, para_error *err);

#endif
