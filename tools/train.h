/* A training run, in four files: its options (train-options.c), what it has of the run that it goes on with
 * (train-resume.c), what it needs before the first step (train-begin.c), its steps (cmd-train.c). */
#ifndef TOOLS_TRAIN_H
#define TOOLS_TRAIN_H

#include "tools/evaluate.h"
#include "tools/lock.h"
#include "tools/profile-file.h"
#include "tools/progress.h"
#include "tools/vocabulary.h"

struct train_options {
    struct option_files data, answers;
    const char *val, *tokenizer;
    double val_fraction;
    const char *init, *resume, *out, *best;
    bool overwrite;
    int64_t batch, seq, steps, eval_every, save_every;
    double lr, min_lr, beta1, beta2, weight_decay, clip, dropout;
    int64_t warmup, seed;
    const char *schedule, *order, *profile;
    bool json, reschedule;
    struct model_options model;
    struct split_options split;
    struct memory_options memory;
    struct lora_options lora;
    struct machine_options machine;
    struct options_given given;
};

/* A run and all it owns. */
struct train {
    const struct train_options *o;
    para_model *model;
    const char *base;      /* the folder or file that the model begins with; NULL: none */
    para_lora lora;        /* adapters that are trained in its place; rank 0: none */
    para_adapter *adapter; /* of the run that is gone on with; NULL: none */
    int64_t seq;
    para_dataset *all, *data, *val;      /* `data` is `all` or a part of it; `val` NULL: none */
    para_answers *answers, *val_answers; /* in their place; the latter may be the former; NULL: none */
    int64_t answer_count;                /* of the first that are trained on */
    para_machine *machine;
    para_graph *graph;
    para_session *session;
    struct evaluator evaluator;
    para_trainer trainer;
    int64_t saved;                     /* step of the last save; negative: none */
    const volatile sig_atomic_t *stop; /* set once a signal has asked the run to end */
    struct vocabulary vocabulary;
    char splits[SPLIT_TEXT];
    int32_t *tokens, *targets;
    struct progress progress;
    struct lock out_lock, best_lock;
    struct new_file profile; /* of the last step */
};

extern const struct option_group train_groups[];
extern const struct train_options train_defaults;

/* Check what can be checked before data are read, also that --out and --best can be written, and complete the options
 * of a run that goes on. */
int train_check(struct train_options *o);
/* With --resume: take steps, rates and batch that aren't given from the folder, say which are others, and refuse those
 * that make the learning rate jump, unless told. */
int train_recall(struct train_options *o);
/* The schedule and the rates that the options say. */
para_schedule train_schedule(const struct train_options *o);
para_adamw_options train_adamw(const struct train_options *o);
/* Put what the options say into the trainer, to be saved. */
void train_record(struct train *t);
/* Read model and data, start the machine, make graphs and sessions, load what is gone on with. */
int train_begin(struct train *t);
void train_close(struct train *t);

#endif
