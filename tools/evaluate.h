/* The mean loss of a model over the windows of a text. */
#ifndef TOOLS_EVALUATE_H
#define TOOLS_EVALUATE_H

#include "tools/common.h"
#include "tools/progress.h"

#include <signal.h>

/* A forward graph with its session and room for one batch. */
struct evaluator {
    int64_t batch, seq, vocab;
    para_graph *graph;
    para_session *session;
    int32_t *tokens, *targets;
    float *rows;                       /* room for a batch of logits; NULL: none are asked for */
    FILE *logits;                      /* takes each window's logits, float32 */
    struct progress *progress;         /* counts windows; NULL: none */
    const volatile sig_atomic_t *stop; /* give up once this is set; NULL: never */
};

struct evaluation {
    double loss;    /* mean over the tokens */
    int64_t tokens; /* 0: stopped */
};

/* Make the graph and the session on a machine. Parameters are those of the session `share`, whose graph is split alike,
 * or, if that is NULL, own ones with their initial values. With `logits`, `e->logits` must be set before the run. Free
 * with evaluator_close(), also after a failure. */
int evaluator_open(struct evaluator *e, const para_gpt2 *model, int64_t batch, int64_t seq,
                   const struct split_options *split, bool logits, para_machine *machine, para_session *share);
void evaluator_close(struct evaluator *e);

/* Read all windows of seq + 1 tokens, stride seq. */
int evaluator_run(struct evaluator *e, const para_dataset *data, struct evaluation *out);

#endif
