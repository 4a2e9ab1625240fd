/* How likely a model thinks a text: windows that move along it, each token scored once. */
#ifndef TOOLS_EVALUATE_H
#define TOOLS_EVALUATE_H

#include "tools/newfile.h"
#include "tools/progress.h"
#include "tools/score.h"

#include <signal.h>

/* The windows of a text. The first scores all its tokens but the very first, which has nothing before it. Each later
 * one begins so that it ends `stride` tokens further on, or where the text ends, and scores those alone: each given all
 * that a window holds before it, never less than seq - stride + 1 tokens. */
struct windows {
    int64_t tokens;      /* of the text */
    int64_t seq, stride; /* that a window reads; by which it moves, at most seq */
    bool whole;          /* leave out the last window where it moves by less: a text's end isn't scored */
};

int64_t windows_count(const struct windows *w);
/* Window number i is tokens begin to end - 1, of which those from `first` on, counted in the text, are scored. */
struct window {
    int64_t begin, first, end;
};
struct window windows_at(const struct windows *w, int64_t i);
/* Tokens that are scored, in all: 1 to that. */
int64_t windows_scored(const struct windows *w);

struct evaluator {
    para_scorer *scorer;
    int64_t rows, seq, vocab, stride;
    bool whole;
    int32_t *tokens;
    float *logits; /* room for a batch; NULL: none are asked for */
    para_scored_text *texts;
    const struct new_file *logits_file; /* takes each scored token's logits, float32 */
    struct progress *progress;          /* counts windows; NULL: none */
    const volatile sig_atomic_t *stop;  /* give up once this is set; NULL: never */
};

struct evaluation {
    double loss;    /* mean over the tokens, nats */
    int64_t tokens; /* 0: stopped */
};

/* Make an evaluator of windows of `seq` tokens, which writes logits if asked to. Free with evaluator_close(), also
 * after a failure. */
int evaluator_open(struct evaluator *e, const struct scorer_wish *wish, int64_t seq, int64_t stride, bool whole,
                   bool logits);
void evaluator_close(struct evaluator *e);

int evaluator_run(struct evaluator *e, const para_dataset *data, struct evaluation *out);
/* The same of answers, from number `first` on: their tokens alone, given what stands before. */
int evaluator_run_answers(struct evaluator *e, const para_answers *answers, int64_t first, struct evaluation *out);

#endif
