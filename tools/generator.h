/* A model that continues texts: caches of keys and values, a graph that reads a text block by block, and one that makes
 * a token for each of several rows, both over the same parameters. */
#ifndef TOOLS_GENERATOR_H
#define TOOLS_GENERATOR_H

#include "tools/common.h"

/* Most rows at once: kernels give a row the same bits beside as many others, so texts don't depend on it. */
enum { GENERATOR_ROWS = 16, GENERATOR_ALL_ROWS = -1 };

/* Texts are read in blocks of 16, 32, ..., 512 tokens, none longer than the context. */
enum { GENERATOR_BLOCKS = 6 };

struct generator {
    para_gpt2 model;
    int64_t rows;
    float *logits; /* (rows, vocab): of the token that each row may get next */
    char splits[SPLIT_TEXT];
    struct split_options split; /* `splits`, in stages */
    para_machine *machine;

    /* One row: `step` shares all of the shortest block. More: both share `weights`, and caches are copied from that block
     * to `step`. Longer blocks share all of the shortest and are made when a text first takes them. */
    para_graph *weights_graph, *step_graph, *read_graph[GENERATOR_BLOCKS];
    para_session *weights, *step, *read[GENERATOR_BLOCKS];
    float *cache, *caches; /* of one layer: one row's, and all rows' */
};

/* Make graphs and sessions and load a folder's parameters; `profile` keeps the times of `step`. Free with
 * generator_close(), also after a failure. */
int generator_open(struct generator *g, const char *folder, const para_gpt2 *model, int64_t rows,
                   const struct split_options *split, para_machine *machine, bool profile);
void generator_close(struct generator *g);

/* Read a text, no longer than the context, in place of what a row's cache held; gives the row its logits. */
int generator_read(struct generator *g, const int32_t *tokens, int64_t count, int64_t row);
/* Read one more token of each row, number `position` of its text, less than the context; gives all rows their logits.
 */
int generator_step(struct generator *g, const int32_t *tokens, int64_t position);

#endif
