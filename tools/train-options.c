/* Options of training, and what of them can be checked at once. */
#include "tools/train.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATH = 4096 };

#define FIELD(name) offsetof(struct train_options, name)

static const struct option data_table[] = {
    {"data", OPTION_FILES, FIELD(data), "FILE", "text, or little-endian uint16 token ids if named *.tok16", 0, 0,
     false},
    {"answers", OPTION_FILES, FIELD(answers), "FILE",
     "in its place, JSON lines of {\"prompt\": ..., \"answer\": ...}, or \"completion\": the loss counts answers alone",
     0, 0, false},
    {"tokenizer", OPTION_TEXT, FIELD(tokenizer), "DIR",
     "folder with tokenizer.json, or vocab.json and merges.txt, a GGUF file, or the word bytes, which go along with "
     "the model "
     "(default: "
     "those of --init or --resume, or bytes if there are none)",
     0, 0, false},
    {"val", OPTION_TEXT, FIELD(val), "FILE", "text held out for validation; with --answers, JSON lines", 0, 0, false},
    {"val-fraction", OPTION_REAL, FIELD(val_fraction), "F", "in its place, hold out the last part F of the data", 0,
     0.99, false},
    {"order", OPTION_CHOICE, FIELD(order), "random|sequential",
     "draw windows at random, or take them from the start, in order", 0, 0, false},
    {"out", OPTION_TEXT, FIELD(out), "DIR", "save the model here at the end, and when interrupted", 0, 0, false},
    {"overwrite", OPTION_FLAG, FIELD(overwrite), NULL, "even if --out or --best holds the model of another run", 0, 0,
     false},
    {"best", OPTION_TEXT, FIELD(best), "DIR", "save here what had the least validation loss so far", 0, 0, false},
    {"save-every", OPTION_COUNT, FIELD(save_every), "N", "and every N steps", 1, INT32_MAX, false},
    {"eval-every", OPTION_COUNT, FIELD(eval_every), "N", "evaluate every N steps; without it at the end alone", 1,
     INT32_MAX, false},
    {"json", OPTION_FLAG, FIELD(json), NULL, "print a JSON object per step and per evaluation", 0, 0, false},
    {"profile", OPTION_OUTPUT, FIELD(profile), "FILE", PROFILE_OPTION_HELP("last step"), 0, 0, false},
    {0},
};

static const struct option start_table[] = {
    {"init", OPTION_TEXT, FIELD(init), "DIR|FILE",
     "begin with the model of this folder or GGUF file; with --resume of adapters: the model that they are of", 0, 0,
     false},
    {"resume", OPTION_TEXT, FIELD(resume), "DIR",
     "go on with the run saved here, given its data: the model is the folder's, and so are steps, batch, seq, order "
     "and "
     "rates that aren't given; those that are and differ are told",
     0, 0, false},
    {"reschedule", OPTION_FLAG, FIELD(reschedule), NULL,
     "with --resume: take steps and rates that are given even where the learning rate jumps by them", 0, 0, false},
    {0},
};

static const struct option optimizer_table[] = {
    {"batch", OPTION_COUNT, FIELD(batch), "N", "windows of a step", 1, INT32_MAX, false},
    {"seq", OPTION_COUNT, FIELD(seq), "N",
     "tokens of a window; by default the model's context, or with --answers as many as the longest line takes", 1,
     INT32_MAX, false},
    {"steps", OPTION_COUNT, FIELD(steps), "N", "steps in all, those before --resume included", 1, INT32_MAX, false},
    {"lr", OPTION_REAL, FIELD(lr), "X", "highest learning rate", 0, 1e6, false},
    {"min-lr", OPTION_REAL, FIELD(min_lr), "X", "learning rate at the last step (default: a tenth of lr)", 0, 1e6,
     false},
    {"schedule", OPTION_CHOICE, FIELD(schedule), "cosine|linear|constant", "how the learning rate falls", 0, 0, false},
    {"warmup", OPTION_COUNT, FIELD(warmup), "N",
     "steps in which it first rises (default: 100, or a tenth of the steps if that is less)", 0, INT32_MAX, false},
    {"beta1", OPTION_REAL, FIELD(beta1), "X", "AdamW's decay of the mean", 0, 1, false},
    {"beta2", OPTION_REAL, FIELD(beta2), "X", "AdamW's decay of the squares", 0, 1, false},
    {"weight-decay", OPTION_REAL, FIELD(weight_decay), "X", "decay of matrices; biases and norms have none", 0, 1e6,
     false},
    {"clip", OPTION_REAL, FIELD(clip), "X", "largest global norm of the gradients; 0: no limit", 0, 1e9, false},
    {"dropout", OPTION_REAL, FIELD(dropout), "P",
     "part of the values dropped while training, attention weights left whole (default: the folder's with --init and "
     "--resume, else 0)",
     0, 0.99, false},
    {"seed", OPTION_COUNT, FIELD(seed), "N",
     "of initial values, windows and dropout (default: 1; with --resume the run's own)", 0, 9e15, false},
    {0},
};

const struct option_group train_groups[] = {
    {"Data", data_table, 0},
    {"Begin", start_table, 0},
    {"Model", model_option_table, FIELD(model)},
    {"Adapters", lora_option_table, FIELD(lora)},
    {"Steps", optimizer_table, 0},
    {"Computation", split_option_table, FIELD(split)},
    {"Memory", memory_option_table, FIELD(memory)},
    {"Machine", machine_option_table, FIELD(machine)},
    {0},
};

const struct train_options train_defaults = {.batch = 12,
                                             .steps = 1000,
                                             .lr = 1e-3,
                                             .min_lr = -1,
                                             .beta1 = 0.9,
                                             .beta2 = 0.99,
                                             .weight_decay = 0.1,
                                             .clip = 1,
                                             .dropout = -1,
                                             .warmup = -1,
                                             .seed = -1,
                                             .schedule = "cosine",
                                             .order = "random",
                                             .split = {.split = "auto", .stages = 1}};

/* Whether a folder has the best model so far of the run saved in another: both know the same best loss. */
static bool is_best_of(const char *folder, const char *run)
{
    para_trainer here, there;
    return para_checkpoint_trainer(folder, &here, NULL) == 0 && para_checkpoint_trainer(run, &there, NULL) == 0 &&
           here.best_loss >= 0 && here.best_loss == there.best_loss;
}

/* Find out now, not after hours, that a folder can't be written, or holds what it would be a pity to lose. */
static int check_folder(const struct train_options *o, const char *option, const char *folder)
{
    para_error err;
    char lead[16];
    snprintf(lead, sizeof lead, "%s: ", option);
    bool own = o->overwrite || (o->resume && (same_folder(o->resume, folder) || is_best_of(folder, o->resume)));
    if (!own && holds_model(folder)) {
        para_trainer trainer;
        if (para_checkpoint_trainer(folder, &trainer, NULL) < 0)
            return misused("%s%s holds a model; --overwrite replaces it", lead, folder);
        return misused("%s%s holds a model of %lld steps; --resume %s goes on, --overwrite replaces it", lead, folder,
                       (long long)trainer.step, folder);
    }
    return para_checkpoint_check(folder, &err) < 0 ? refused(lead, &err) : EXIT_DONE;
}

static int check_numbers(const struct train_options *o)
{
    if (o->warmup >= o->steps)
        return misused("--warmup is %lld, expected less than --steps, %lld", (long long)o->warmup, (long long)o->steps);
    if (o->min_lr > o->lr)
        return misused("--min-lr is %g, expected at most --lr, %g", o->min_lr, o->lr);
    return EXIT_DONE;
}

/* Whether one folder lies in another, whichever are there yet: each is replaced whole, and holds files alone. */
static bool lies_in(const char *inner, const char *outer)
{
    char path[PATH];
    if (snprintf(path, sizeof path, "%s", inner) >= (int)sizeof path)
        return false;
    for (char *slash; (slash = strrchr(path, '/')) && slash > path;) {
        *slash = '\0';
        if (strcmp(path, outer) == 0 || same_folder(path, outer))
            return true;
    }
    return false;
}

int train_check(struct train_options *o)
{
    bool validates = o->val || o->val_fraction > 0;
    if (!o->data.count == !o->answers.count)
        return misused(o->data.count ? "--data and --answers both give what to train on; give one of them"
                                     : "train needs --data FILE or --answers FILE");
    bool adapters = o->resume && para_adapter_exists(o->resume);
    if (o->init && o->resume && !adapters)
        return misused("--init begins a run and --resume goes on with one; give one of them");
    TRY(lora_check(&o->lora));
    if (o->lora.rank && adapters)
        return misused("%s says how its adapters are made; --lora-r doesn't go with --resume", o->resume);
    if (o->lora.rank && !o->init)
        return misused("--lora-r trains adapters of a model, expected --init DIR beside it");
    TRY(train_recall(o));
    TRY(check_numbers(o));
    if (o->val && o->val_fraction > 0)
        return misused("--val and --val-fraction both give the text held out; give one of them");
    if ((o->eval_every || o->best) && !validates)
        return misused("%s needs --val or --val-fraction", o->best ? "--best" : "--eval-every");
    if (o->save_every && !o->out)
        return misused("--save-every needs --out");
    if (o->out && o->best && (strcmp(o->out, o->best) == 0 || same_folder(o->out, o->best)))
        return misused("--out and --best are both %s, expected two folders", o->out);
    if (o->out && o->best && (lies_in(o->out, o->best) || lies_in(o->best, o->out)))
        return misused("--out %s and --best %s lie one in the other, expected them side by side", o->out, o->best);
    if (o->out)
        TRY(check_folder(o, "--out", o->out));
    return o->best ? check_folder(o, "--best", o->best) : EXIT_DONE;
}
