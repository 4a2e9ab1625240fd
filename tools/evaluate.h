/* The mean loss of a model over the windows of a text. */
#ifndef TOOLS_EVALUATE_H
#define TOOLS_EVALUATE_H

#include "tools/common.h"

#include <signal.h>

/* A forward graph with its session and room for one batch. */
struct evaluator {
    int64_t batch, seq, vocab;
    para_graph *graph;
    para_session *session;
    int32_t *tokens, *targets;
    FILE *logits;                      /* takes each window's logits, float32; NULL: none */
    float *rows;                       /* room for a batch of logits; NULL without `logits` */
    const volatile sig_atomic_t *stop; /* give up once this is set; NULL: never */
};

struct evaluation {
    double loss;    /* mean over the tokens */
    int64_t tokens; /* 0: stopped */
};

/* Make the graph and the session on a machine; parameters have their initial values. Free with evaluator_close(),
 * also after a failure. */
int evaluator_open(struct evaluator *e, const para_gpt2 *model, int64_t batch, int64_t seq,
                   const struct split_options *split, FILE *logits, para_machine *machine);
void evaluator_close(struct evaluator *e);

/* Copy all parameters of one session into the evaluator's. */
int evaluator_take(struct evaluator *e, const para_graph *g, para_session *from);

/* Read all windows of seq + 1 tokens, stride seq. */
int evaluator_run(struct evaluator *e, const para_dataset *data, struct evaluation *out);

#endif
