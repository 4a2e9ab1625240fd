/* A model that continues texts: caches of keys and values, a graph that reads a text block by block, and one that makes
 * a token for each of several rows, both over the same parameters. */
#ifndef TOOLS_GENERATOR_H
#define TOOLS_GENERATOR_H

#include "tools/common.h"

/* Most rows at once: kernels give a row the same bits beside as many others, so texts don't depend on it. */
enum { GENERATOR_ROWS = 16, GENERATOR_ALL_ROWS = -1 };

struct generator {
    para_gpt2 model;
    int64_t rows, block;
    float *logits; /* (rows, vocab): of the token that each row may get next */
    char splits[SPLIT_TEXT];

    /* One row: `step` shares all of `read`. More: both share `weights`, and caches are copied from `read` to `step`. */
    para_graph *weights_graph, *read_graph, *step_graph;
    para_session *weights, *read, *step;
    float *cache, *caches; /* of one layer: one row's, and all rows' */
};

/* Make graphs and sessions and load a folder's parameters. Free with generator_close(), also after a failure. */
int generator_open(struct generator *g, const char *folder, const para_gpt2 *model, int64_t rows,
                   const struct split_options *split, para_machine *machine);
void generator_close(struct generator *g);

/* Read a text, no longer than the context, in place of what a row's cache held; gives the row its logits. */
int generator_read(struct generator *g, const int32_t *tokens, int64_t count, int64_t row);
/* Read one more token of each row, number `position` of its text, less than the context; gives all rows their logits.
 */
int generator_step(struct generator *g, const int32_t *tokens, int64_t position);

#endif
