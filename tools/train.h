/* A training run, in three files: its options (train-options.c), what it needs before the first step (train-begin.c),
 * its steps (cmd-train.c). */
#ifndef TOOLS_TRAIN_H
#define TOOLS_TRAIN_H

#include "tools/evaluate.h"
#include "tools/profile-file.h"
#include "tools/progress.h"
#include "tools/vocabulary.h"

struct train_options {
    struct option_files data;
    const char *val, *tokenizer;
    double val_fraction;
    const char *init, *resume, *out, *best;
    bool overwrite;
    int64_t batch, seq, steps, eval_every, save_every;
    double lr, min_lr, beta1, beta2, weight_decay, clip, dropout;
    int64_t warmup, seed;
    const char *schedule, *order, *profile;
    bool json;
    struct model_options model;
    struct split_options split;
    struct memory_options memory;
    struct machine_options machine;
};

/* A run and all it owns. */
struct train {
    const struct train_options *o;
    para_gpt2 model;
    int64_t seq;
    para_dataset *all, *data, *val; /* `data` is `all` or a part of it; `val` NULL: none */
    para_machine *machine;
    para_graph *graph;
    para_session *session;
    struct evaluator evaluator;
    para_trainer trainer;
    int64_t saved; /* step of the last save; negative: none */
    struct vocabulary vocabulary;
    char splits[SPLIT_TEXT];
    int32_t *tokens, *targets;
    struct progress progress;
    struct new_file profile; /* of the last step */
};

extern const struct option_group train_groups[];
extern const struct train_options train_defaults;

/* Check what can be checked before anything is read, also that --out and --best can be written. */
int train_check(const struct train_options *o);
/* Read model and data, start the machine, make graphs and sessions, load what is gone on with. */
int train_begin(struct train *t);
void train_close(struct train *t);

#endif
