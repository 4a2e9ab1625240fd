/* How likely a model thinks the tokens of texts: texts are rows, side by side, of a graph that is replayed. */
#ifndef TOOLS_SCORE_H
#define TOOLS_SCORE_H

#include "tools/common.h"

/* Graphs for rows of 16, 24, 32, 48, ... tokens. */
enum { SCORER_LENGTHS = 64 };

/* What a scorer is made for. */
struct scorer_wish {
    const para_model *model;
    const char *folder;                /* whose parameters are loaded, unless they are shared */
    para_session *share;               /* whose parameters are read, and whose graph is split alike; NULL: none */
    int64_t batch;                     /* rows at a time */
    int64_t longest;                   /* tokens that a row reads at most, no more than the context */
    bool one_length;                   /* all rows are as long as that */
    bool times;                        /* keep each node's */
    const struct split_options *split; /* whose words live as long */
    para_machine *machine;
};

struct scorer {
    struct scorer_wish wish;
    struct split_options split;
    char splits[SPLIT_TEXT]; /* as chosen for the longest rows */
    struct {
        int64_t tokens;
        para_graph *graph;     /* NULL until a row takes it */
        para_session *session; /* shares the parameters of the last one */
    } length[SCORER_LENGTHS];
    int lengths; /* the last is the longest */
    int32_t *tokens, *targets;
    float *scores;
};

/* A text whose tokens from number `first` on, 1 or later, are scored, each given all before it. A row reads all but the
 * last: count - 1 of them. */
struct scored_text {
    const int32_t *tokens;
    int64_t count, first;
    float *scores; /* takes count - first natural logarithms of probabilities */
};

/* How many rows at a time are good on a machine. */
int64_t scorer_rows(const para_machine *machine);

/* Make the graph and the session of the longest rows; model, machine and share must live as long. Free with
 * scorer_close(), also after a failure. */
int scorer_open(struct scorer *s, const struct scorer_wish *wish);
void scorer_close(struct scorer *s);

/* Score texts, the longest first, of equal ones the first, in batches of about one length. A text's scores don't depend
 * on those beside it, nor, under one split, on the number of workers; --split auto is the same split for any of them.
 */
int scorer_run(struct scorer *s, const struct scored_text *texts, int64_t count);
/* The session of the longest rows; its output "logits" is (batch, longest, vocab). */
para_session *scorer_session(const struct scorer *s);

#endif
