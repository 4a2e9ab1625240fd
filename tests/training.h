/* A small GPT-2 in training, for tests of splits and of runs: 4 layers, biases and norms perturbed so that nothing is
 * trivially zero, six windows that four parts don't divide, and a few targets that don't count. */
#ifndef PARA_TESTS_TRAINING_H
#define PARA_TESTS_TRAINING_H

#include "tests/support.h"

enum { TRAIN_BATCH = 6, TRAIN_SEQ = 15, TRAIN_CONTEXT = 16, TRAIN_STEPS = 10, KEY_ROW = 1, QKV_ROWS = 3 };
#define TRAIN_LR 1e-3
#define TRAIN_BETA1 0.9
#define TRAIN_BETA2 0.99
extern const para_gpt2 train_model;

/* A way to cut the training graph: a list as para_graph_split_list() takes it, stages, 0 for none, and a list as
 * para_graph_spread() takes it, NULL for none. */
struct plan_case {
    const char *split;
    int stages;
    const char *spread;
};
/* Every split and placement that must not change the result; `split` is NULL at the end. */
extern const struct plan_case plan_cases[];

/* The model with gradients as outputs and an optimizer: AdamW with clipping and decay, or SGD with momentum. */
para_graph *training_graph(const para_gpt2 *model, int64_t batch, int64_t seq, bool adamw);
/* g split, staged and spread; the caller frees it. */
para_graph *cut_graph(const para_graph *g, const struct plan_case *c);
/* The same, sums accumulating in place. */
para_graph *accumulated_graph(const para_graph *g, const struct plan_case *c);

/* Whether t is a parameter as it begins. */
bool is_weight(const para_tensor *t);
/* A session on cut, made from g, whose weights have all been set to random values, by their whole names. */
para_session *training_session(const para_graph *g, const para_graph *cut, para_machine *m, bool implicit);
/* Set tokens and targets of a step and run. Returns the loss. */
float training_step(para_session *s, const para_graph *g, int step);

/* The machine with this number of workers; fails if it gets another. */
para_machine *machine_of(int workers);

#endif
