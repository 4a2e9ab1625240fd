/* What goes in and out by mail: made with a session's tasks, sent by them. */
#include "runtime/mail.h"

#include "base/fail.h"
#include "runtime/cuda.h"

#include <starpu.h>
#include <string.h>

/* A small output that a GPU's node makes. */
static bool is_given(const para_session *s, const para_tensor *t)
{
    const struct para_buffers *b = &s->plan->buffers;
    size_t bytes = b->bytes[b->of[t->id]];
    return t->is_output && t->producer && !t->overwrites && !t->overwritten_by &&
           s->plan->gpu[t->producer->id] != PARA_ON_CPUS && b->gpu[b->of[t->id]] >= 0 && bytes <= PARA_SMALL_BYTES &&
           bytes % sizeof(unsigned) == 0;
}

/* An input that one task alone uses. */
static bool is_taken(const struct para_blocks *blocks, int buffer)
{
    int block = blocks->of[buffer];
    return block != PARA_NO_BLOCK && blocks->inputs[block] && blocks->only[block] >= 0;
}

/* Inputs, outputs, then a flag for each input, a task's one after another; returns how much they take. Without memory
 * that alone. */
static size_t lay_out(struct para_mail *m, const para_session *s, const struct para_blocks *blocks)
{
    const struct para_buffers *b = &s->plan->buffers;
    size_t used = 0;
    for (int i = 0; i < b->count; i++)
        if (is_taken(blocks, i)) {
            m->at[i] = m->memory ? m->memory + used : NULL;
            used += para_gpu_rounded(b->bytes[i]);
        }
    for (int i = 0; i < s->g->n_tensors; i++)
        if (is_given(s, s->g->tensors[i])) {
            m->at[b->of[i]] = m->memory ? m->memory + used : NULL;
            used += para_gpu_rounded(b->bytes[b->of[i]]);
        }
    for (int task = 0; task < s->plan->clusters.count; task++)
        for (int i = 0; i < b->count; i++)
            if (is_taken(blocks, i) && blocks->only[blocks->of[i]] == task) {
                m->flag[i] = m->memory ? (unsigned *)(void *)(m->memory + used) : NULL;
                used += sizeof **m->flag;
            }
    return used;
}

int para_mail_new(struct para_mail *m, struct para_arena *a, const para_session *s, const struct para_blocks *blocks,
                  para_error *err)
{
    void *memory = NULL;
    size_t buffers = (size_t)s->plan->buffers.count + 1;
    m->at = para_arena_alloc(a, sizeof *m->at * buffers);
    m->flag = para_arena_alloc(a, sizeof *m->flag * buffers);
    if (!m->at || !m->flag)
        return para_fail_memory(err, "inputs and outputs");
    size_t bytes = lay_out(m, s, blocks);
    if (bytes == 0)
        return 0;
    PARA_TRY(para_cuda_mapped_new(&memory, bytes, err));
    m->memory = memory;
    memset(memory, 0, bytes);
    lay_out(m, s, blocks);
    return 0;
}

void para_mail_set(const struct para_mail *m, int buffer)
{
    if (m->flag[buffer])
        *m->flag[buffer] = 1;
}

void para_mail_free(struct para_mail *m)
{
    if (m->memory)
        para_cuda_mapped_free(m->memory);
    m->memory = NULL;
}

/* The flags of all that a task takes lie together. */
static struct para_letter clear_flags(const struct para_letter *take, int count)
{
    const struct para_letter *first = take;
    for (int i = 1; i < count; i++)
        first = take[i].flag < first->flag ? &take[i] : first;
    return (struct para_letter){.buffer = -1, .bytes = (size_t)count * sizeof *first->flag, .there = first->flag};
}

int para_mail_list(struct para_letters *out, const struct para_mail *m, struct para_arena *a, const para_session *s,
                   const struct para_blocks *blocks, int number, const struct para_task_nodes *nodes)
{
    const struct para_buffers *b = &s->plan->buffers;
    int outputs = 0;
    for (int i = 0; i < nodes->count; i++)
        outputs += nodes->of[i]->n_out;
    out->take = para_arena_alloc(a, ((size_t)b->count + 1) * sizeof *out->take);
    out->give = para_arena_alloc(a, ((size_t)outputs + 1) * sizeof *out->give);
    if (!out->take || !out->give)
        return PARA_ENOMEM;
    for (int i = 0; i < b->count; i++)
        if (is_taken(blocks, i) && blocks->only[blocks->of[i]] == number)
            out->take[out->n_take++] =
                (struct para_letter){.buffer = i, .bytes = b->bytes[i], .there = m->at[i], .flag = m->flag[i]};
    if (out->n_take > 0)
        out->give[out->n_give++] = clear_flags(out->take, out->n_take);
    for (int i = 0; i < nodes->count; i++)
        for (int k = 0; k < nodes->of[i]->n_out; k++) {
            const para_tensor *t = nodes->of[i]->out[k];
            int buffer = b->of[t->id];
            if (is_given(s, t))
                out->give[out->n_give++] =
                    (struct para_letter){.buffer = buffer, .bytes = b->bytes[buffer], .there = m->at[buffer]};
        }
    return 0;
}

static struct para_cuda_piece piece_of(const struct para_letter *l, bool gives, void *buffers[])
{
    size_t words = (l->bytes + sizeof(unsigned) - 1) / sizeof(unsigned);
    if (l->buffer < 0)
        return (struct para_cuda_piece){.to = l->there, .words = words};
    void *here = (char *)STARPU_VECTOR_GET_PTR(buffers[l->slot]) + l->offset;
    return (struct para_cuda_piece){
        .to = gives ? l->there : here, .from = gives ? here : l->there, .flag = l->flag, .words = words};
}

int para_mail_send(const struct para_letter *letter, int count, bool gives, void *buffers[],
                   const struct para_cuda *cuda, para_error *err)
{
    for (int first = 0; first < count; first += PARA_CUDA_PIECES) {
        struct para_cuda_mail pieces = {.count = count - first < PARA_CUDA_PIECES ? count - first : PARA_CUDA_PIECES};
        for (int i = 0; i < pieces.count; i++)
            pieces.of[i] = piece_of(&letter[first + i], gives, buffers);
        PARA_TRY(para_cuda_send(&pieces, cuda->stream, err));
    }
    return 0;
}
