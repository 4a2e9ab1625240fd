/* The graphs that make texts, over one memory: one for each length of a block reads a prompt into a row of the caches,
 * or into the prefix that rows share; one for each number of rows reads a token of each. */
#ifndef PARA_GENERATE_ENGINE_H
#define PARA_GENERATE_ENGINE_H

#include <paragraph/generate.h>

#include "base/fail.h"

/* Blocks of 16, 32, ..., 512 tokens, none longer than the context; steps of 1, 2, 4, ... rows. */
enum { PARA_BLOCKS = 6, PARA_STEPS = 5, PARA_SHORTEST_BLOCK = 16, PARA_LONGEST_BLOCK = 512, PARA_SPLITS_TEXT = 256 };

/* A graph and its session; NULL: not made. */
struct para_replay {
    para_caches caches;
    para_graph *graph;
    para_session *session;
};

struct para_engine {
    const para_model *model;
    para_model_sizes sizes;
    para_machine *machine;
    para_generator_options options;
    char splits[PARA_SPLITS_TEXT];
    int64_t cache, prefix; /* tokens that a row's own caches hold, and the prefix; 0: there is none */
    bool fits;             /* no text outgrows the context */
    int steps;             /* the last of them is of all rows, and has all values that the others share */
    struct para_replay step[PARA_STEPS], own[PARA_BLOCKS], shared[PARA_BLOCKS];
    const char *folder;
    para_lender *lender;            /* of the weights; NULL: they are copied */
    const struct para_replay *last; /* the step that ran last; NULL: none did */
};

/* Release it with para_engine_close(), also after a failure. */
int para_engine_open(struct para_engine *e, const char *folder, const para_model *model, para_machine *m,
                     const para_generator_options *options, para_error *err);
void para_engine_close(struct para_engine *e);

/* A GPU makes up to so many tokens of each row at once, where they are the likeliest. */
enum { PARA_AT_ONCE = 16 };

/* What a run tells of each of its rows: logits (rows, vocab), or, where a GPU makes texts, the likeliest tokens (rows,
 * PARA_AT_ONCE), of which as many as it made are the last, -1 for none. NULL: isn't wanted. */
struct para_told {
    float *logits;
    int32_t *ids;
};

/* Whether runs can tell the likeliest tokens, and go on by them. */
bool para_engine_tells_likeliest(const struct para_engine *e);

/* Read a text, no longer than the context, into a row's caches, or, for row -1, into the prefix; it is told of its last
 * token. */
int para_engine_read(struct para_engine *e, const int32_t *tokens, int64_t count, int row, const struct para_told *told,
                     para_error *err);

/* One more token of a row: where it stands in its text, and how many tokens before are in the prefix. */
struct para_step {
    int32_t token, position, prefix, row;
};

/* Read a token of each of `count` rows, 1 to all, and then, up to `times` in all, 1 to PARA_AT_ONCE, the likeliest one
 * after it, where that is told; there is room to tell of all rows. */
int para_engine_step(struct para_engine *e, const struct para_step *steps, int count, int times,
                     const struct para_told *told, para_error *err);

#endif
