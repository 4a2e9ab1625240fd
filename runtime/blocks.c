/* Blocks: buffers are told apart by the list of the tasks that use them. */
#include "runtime/blocks.h"

#include "base/fail.h"
#include "graph/op.h"

#include <stdlib.h>
#include <string.h>

enum { NONE = -1 };

struct sorting {
    const para_plan *p;
    struct para_blocks *b;
    bool *is_input; /* by buffer: a small one, in a GPU's memory */
    int *first;     /* by buffer: where its tasks begin in `task`; one more of them */
    int *task;
    int *like;   /* by block: its first buffer */
    int *bucket; /* by hash: the latest block, or NONE */
    int *next;   /* by block: the one before it of the same hash */
    size_t n_buckets;
};

/* Give each buffer the tasks that use it, in their order. */
static int list_tasks(struct sorting *s, para_error *err)
{
    const para_plan *p = s->p;
    size_t buffers = (size_t)p->buffers.count + 1;
    int *last = malloc(buffers * sizeof *last), *count = calloc(buffers, sizeof *count);
    s->first = calloc(buffers + 1, sizeof *s->first);
    for (int pass = 0; pass < 2 && last && count && s->first; pass++) {
        for (int b = 0; b < p->buffers.count; b++) {
            if (pass == 1)
                s->first[b + 1] = s->first[b] + count[b];
            last[b] = NONE;
            count[b] = 0;
        }
        s->task = pass == 1 ? malloc(((size_t)s->first[p->buffers.count] + 1) * sizeof *s->task) : NULL;
        if (pass == 1 && !s->task)
            break;
        for (int i = 0; i < p->g->n_nodes; i++) {
            const para_node *n = p->g->nodes[p->clusters.nodes[i]];
            for (int k = 0; k < n->n_in + n->n_out; k++) {
                int b = p->buffers.of[para_node_operand(n, k)->id], task = p->clusters.of[n->id];
                if (last[b] == task)
                    continue;
                last[b] = task;
                if (pass == 1)
                    s->task[s->first[b] + count[b]] = task;
                count[b]++;
            }
        }
    }
    free(last);
    free(count);
    return s->task ? 0 : para_fail_memory(err, "blocks of memory");
}

static int find_inputs(struct sorting *s, para_error *err)
{
    const struct para_buffers *b = &s->p->buffers;
    s->is_input = calloc((size_t)b->count + 1, sizeof *s->is_input);
    for (int i = 0; i < s->p->g->n_tensors && s->is_input; i++) {
        int buffer = b->of[i];
        if (s->p->g->tensors[i]->kind == PARA_INPUT && b->gpu[buffer] >= 0)
            s->is_input[buffer] = b->bytes[buffer] <= PARA_SMALL_BYTES;
    }
    return s->is_input ? 0 : para_fail_memory(err, "blocks of memory");
}

static bool alike(const struct sorting *s, int a, int b)
{
    const struct para_buffers *buffers = &s->p->buffers;
    int count = s->first[a + 1] - s->first[a];
    return buffers->gpu[a] == buffers->gpu[b] && buffers->keep[a] == buffers->keep[b] &&
           s->is_input[a] == s->is_input[b] && count == s->first[b + 1] - s->first[b] &&
           memcmp(s->task + s->first[a], s->task + s->first[b], (size_t)count * sizeof *s->task) == 0;
}

/* FNV-1a over the tasks. */
static size_t hash_of(const struct sorting *s, int buffer)
{
    uint64_t h = 14695981039346656037u;
    for (int i = s->first[buffer]; i < s->first[buffer + 1]; i++)
        h = (h ^ (uint64_t)s->task[i]) * 1099511628211u;
    return (size_t)(h ^ h >> 32) % s->n_buckets;
}

static int new_block(struct sorting *s, int buffer)
{
    struct para_blocks *b = s->b;
    int block = b->count++;
    b->gpu[block] = s->p->buffers.gpu[buffer];
    b->keep[block] = s->p->buffers.keep[buffer];
    b->inputs[block] = s->is_input[buffer];
    b->only[block] = s->first[buffer + 1] - s->first[buffer] == 1 ? s->task[s->first[buffer]] : NONE;
    s->like[block] = buffer;
    return block;
}

static int block_of(struct sorting *s, int buffer)
{
    if (s->p->buffers.gpu[buffer] < 0)
        return new_block(s, buffer);
    size_t hash = hash_of(s, buffer);
    int block = s->bucket[hash];
    while (block != NONE && !alike(s, s->like[block], buffer))
        block = s->next[block];
    if (block == NONE) {
        block = new_block(s, buffer);
        s->next[block] = s->bucket[hash];
        s->bucket[hash] = block;
    }
    return block;
}

static void fill(struct sorting *s, const bool *borrowed)
{
    struct para_blocks *b = s->b;
    for (size_t h = 0; h < s->n_buckets; h++)
        s->bucket[h] = NONE;
    for (int i = 0; i < s->p->buffers.count; i++) {
        b->of[i] = borrowed[i] ? PARA_NO_BLOCK : block_of(s, i);
        if (borrowed[i])
            continue;
        b->offset[i] = b->bytes[b->of[i]];
        size_t bytes = s->p->buffers.bytes[i];
        b->bytes[b->of[i]] += b->gpu[b->of[i]] < 0 ? bytes : para_gpu_rounded(bytes);
    }
}

int para_blocks_new(struct para_blocks *out, const para_plan *p, const bool *borrowed, para_error *err)
{
    size_t buffers = (size_t)p->buffers.count + 1;
    struct para_blocks b = {.of = calloc(buffers, sizeof *b.of),
                            .offset = calloc(buffers, sizeof *b.offset),
                            .bytes = calloc(buffers, sizeof *b.bytes),
                            .gpu = calloc(buffers, sizeof *b.gpu),
                            .keep = calloc(buffers, sizeof *b.keep),
                            .inputs = calloc(buffers, sizeof *b.inputs),
                            .only = calloc(buffers, sizeof *b.only)};
    struct sorting s = {.p = p, .b = &b, .n_buckets = 2 * buffers};
    s.like = calloc(buffers, sizeof *s.like);
    s.next = calloc(buffers, sizeof *s.next);
    s.bucket = calloc(s.n_buckets, sizeof *s.bucket);
    bool allocated =
        b.of && b.offset && b.bytes && b.gpu && b.keep && b.inputs && b.only && s.like && s.next && s.bucket;
    int status = allocated ? list_tasks(&s, err) : para_fail_memory(err, "blocks of memory");
    status = status < 0 ? status : find_inputs(&s, err);
    if (status == 0)
        fill(&s, borrowed);
    free(s.is_input);
    free(s.first);
    free(s.task);
    free(s.like);
    free(s.next);
    free(s.bucket);
    if (status == 0)
        *out = b;
    else
        para_blocks_free(&b);
    return status;
}

void para_blocks_free(struct para_blocks *b)
{
    free(b->of);
    free(b->offset);
    free(b->bytes);
    free(b->gpu);
    free(b->keep);
    free(b->inputs);
    free(b->only);
    *b = (struct para_blocks){0};
}
