/* paragraph train: train a GPT-2 on text, save it, resume it. */
#include "tools/commands.h"
#include "tools/evaluate.h"
#include "tools/progress.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BYTES_VOCAB = 256, DEFAULT_SEED = 1 };

struct train_options {
    struct option_files data;
    const char *val;
    double val_fraction;
    const char *init, *resume, *out;
    int64_t batch, seq, steps, eval_every, save_every;
    double lr, min_lr, beta1, beta2, weight_decay, clip, dropout;
    int64_t warmup, seed;
    const char *schedule, *order;
    bool json;
    struct model_options model;
    struct split_options split;
    struct machine_options machine;
};

#define FIELD(name) offsetof(struct train_options, name)

static const struct option data_table[] = {
    {"data", OPTION_FILES, FIELD(data), "FILE", "text, or little-endian uint16 token ids if named *.tok16", 0, 0, true},
    {"val", OPTION_TEXT, FIELD(val), "FILE", "text held out for validation", 0, 0, false},
    {"val-fraction", OPTION_REAL, FIELD(val_fraction), "F", "in its place, hold out the last part F of the data", 0, 0.99, false},
    {"order", OPTION_CHOICE, FIELD(order), "random|sequential", "draw windows at random, or take them from the start, in order", 0, 0, false},
    {"out", OPTION_TEXT, FIELD(out), "DIR", "save the model here at the end, and when interrupted", 0, 0, false},
    {"save-every", OPTION_COUNT, FIELD(save_every), "N", "and every N steps", 1, INT32_MAX, false},
    {"eval-every", OPTION_COUNT, FIELD(eval_every), "N", "evaluate every N steps; without it at the end alone", 1, INT32_MAX, false},
    {"json", OPTION_FLAG, FIELD(json), NULL, "print a JSON object per step and per evaluation", 0, 0, false},
    {0},
};

static const struct option start_table[] = {
    {"init", OPTION_TEXT, FIELD(init), "DIR", "begin with this folder's model", 0, 0, false},
    {"resume", OPTION_TEXT, FIELD(resume), "DIR", "go on with a run that was saved here; give its other options again", 0, 0, false},
    {0},
};

static const struct option optimizer_table[] = {
    {"batch", OPTION_COUNT, FIELD(batch), "N", "windows of a step", 1, INT32_MAX, false},
    {"seq", OPTION_COUNT, FIELD(seq), "N", "tokens of a window; by default the model's context", 1, INT32_MAX, false},
    {"steps", OPTION_COUNT, FIELD(steps), "N", "steps in all, those before --resume included", 1, INT32_MAX, false},
    {"lr", OPTION_REAL, FIELD(lr), "X", "highest learning rate", 0, 1e6, false},
    {"min-lr", OPTION_REAL, FIELD(min_lr), "X", "learning rate at the last step", 0, 1e6, false},
    {"schedule", OPTION_CHOICE, FIELD(schedule), "cosine|linear|constant", "how the learning rate falls", 0, 0, false},
    {"warmup", OPTION_COUNT, FIELD(warmup), "N", "steps in which it first rises", 0, INT32_MAX, false},
    {"beta1", OPTION_REAL, FIELD(beta1), "X", "AdamW's decay of the mean", 0, 1, false},
    {"beta2", OPTION_REAL, FIELD(beta2), "X", "AdamW's decay of the squares", 0, 1, false},
    {"weight-decay", OPTION_REAL, FIELD(weight_decay), "X", "decay of matrices; biases and norms have none", 0, 1e6, false},
    {"clip", OPTION_REAL, FIELD(clip), "X", "largest global norm of the gradients; 0: no limit", 0, 1e9, false},
    {"dropout", OPTION_REAL, FIELD(dropout), "P", "part of the values dropped while training (default: the folder's with --init and --resume, else 0)", 0, 0.99, false},
    {"seed", OPTION_COUNT, FIELD(seed), "N", "of initial values, windows and dropout (default: 1; with --resume the run's own)", 0, 9e15, false},
    {0},
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
    int32_t *tokens, *targets;
    struct progress progress;
};

static volatile sig_atomic_t stop_asked;

/* A second signal ends the program at once. */
static void ask_stop(int number)
{
    signal(number, SIG_DFL);
    stop_asked = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = ask_stop, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Find out now, not after hours, that the folder can't be written. */
static int check_out(const char *out)
{
    struct stat info;
    char parent[4096];
    if (stat(out, &info) == 0 && !S_ISDIR(info.st_mode))
        return failed("%s: is no folder", out);
    size_t length = strlen(out);
    while (length > 1 && out[length - 1] == '/')
        length--;
    while (length > 0 && out[length - 1] != '/')
        length--;
    if (length >= sizeof parent)
        return failed("%s: the name is too long", out);
    snprintf(parent, sizeof parent, "%.*s", (int)length, length ? out : "");
    if (access(length ? parent : ".", W_OK | X_OK) != 0)
        return failed("%s: can't be made: %s", out, strerror(errno));
    return EXIT_DONE;
}

static int check_options(const struct train_options *o)
{
    if (o->init && o->resume)
        return misused("--init begins a run and --resume goes on with one; give one of them");
    if ((o->init || o->resume) && model_options_given(&o->model))
        return misused("the model comes from %s; --preset and sizes don't go with it", o->init ? "--init" : "--resume");
    if (o->val && o->val_fraction > 0)
        return misused("--val and --val-fraction both give the text held out; give one of them");
    if (o->eval_every && !o->val && !(o->val_fraction > 0))
        return misused("--eval-every needs --val or --val-fraction");
    if (o->save_every && !o->out)
        return misused("--save-every needs --out");
    return o->out ? check_out(o->out) : EXIT_DONE;
}

/* Text is read as bytes: unless all data are token ids, the vocabulary is 256, whatever the preset's. */
static int find_model(struct train *t)
{
    const struct train_options *o = t->o;
    const char *folder = o->resume ? o->resume : o->init;
    TRY(folder ? model_from_folder(&t->model, folder) : model_from_options(&t->model, &o->model));
    bool ids = true;
    for (int i = 0; i < o->data.count; i++)
        ids = ids && data_is_ids(o->data.paths[i]);
    if (!folder && !ids)
        t->model.vocab = BYTES_VOCAB;
    if (o->dropout >= 0)
        t->model.dropout = o->dropout;
    t->seq = o->seq ? o->seq : t->model.context;
    return EXIT_DONE;
}

/* The first (1 - F) tokens train, the rest validates. */
static int hold_out(struct train *t, double fraction)
{
    para_error err;
    int64_t count = para_dataset_tokens(t->all), begin = (int64_t)((double)count * (1.0 - fraction));
    if (para_dataset_part(&t->data, t->all, 0, begin, &err) < 0 || para_dataset_part(&t->val, t->all, begin, count, &err) < 0)
        return broken(&err);
    return EXIT_DONE;
}

static int check_length(const struct train *t, const para_dataset *data, const char *what)
{
    if (para_dataset_tokens(data) > t->seq)
        return EXIT_DONE;
    return failed("the %s data have %lld tokens, expected at least %lld for a window of --seq %lld and its target", what,
                  (long long)para_dataset_tokens(data), (long long)t->seq + 1, (long long)t->seq);
}

static int open_data(struct train *t)
{
    const struct train_options *o = t->o;
    char *val[] = {(char *)(uintptr_t)o->val};
    TRY(data_open(&t->all, &o->data, &t->model));
    if (o->val_fraction > 0)
        TRY(hold_out(t, o->val_fraction));
    else
        t->data = t->all;
    if (o->val)
        TRY(data_open(&t->val, &(struct option_files){val, 1}, &t->model));
    TRY(check_length(t, t->data, "training"));
    return t->val ? check_length(t, t->val, "validation") : EXIT_DONE;
}

static para_adamw_options adamw_options(const struct train_options *o)
{
    para_adamw_options a = para_adamw_default();
    a.schedule = (para_schedule){.lr = o->lr, .min_lr = o->min_lr, .warmup = o->warmup, .steps = o->steps,
                                 .kind = o->schedule[0] == 'l' ? PARA_SCHEDULE_LINEAR : PARA_SCHEDULE_CONSTANT};
    if (strcmp(o->schedule, "cosine") == 0)
        a.schedule.kind = PARA_SCHEDULE_COSINE;
    a.beta1 = o->beta1;
    a.beta2 = o->beta2;
    a.weight_decay = o->weight_decay;
    a.clip = o->clip;
    return a;
}

static int build_graph(struct train *t)
{
    const struct train_options *o = t->o;
    char splits[SPLIT_TEXT];
    para_adamw_options adamw = adamw_options(o);
    struct graph_wish wish = {.model = &t->model, .batch = o->batch, .seq = t->seq, .use = GRAPH_TRAINING, .adamw = &adamw,
                              .split = &o->split};
    TRY(graph_make(&t->graph, &wish, splits));
    message("gpt2: %lld layers, %lld heads, %lld wide, ff %lld, context %lld, vocabulary %lld", (long long)t->model.layers,
            (long long)t->model.heads, (long long)t->model.embd, (long long)t->model.ff, (long long)t->model.context,
            (long long)t->model.vocab);
    message("graph: %d nodes, splits %s, %lld stage%s", para_graph_node_count(t->graph), splits[0] ? splits : "none",
            (long long)o->split.stages, o->split.stages == 1 ? "" : "s");
    return EXIT_DONE;
}

/* A resumed run's seed draws its initial values, windows and dropout; trainer.json has it. A session takes its seed
 * when it is made, so the checkpoint is read on a first, serial session's behalf only for the seed's sake: no. */
static int open_session(struct train *t, uint64_t seed)
{
    para_error err;
    para_session_options options = para_session_default();
    options.seed = seed;
    return para_session_new(&t->session, t->graph, t->machine, &options, &err) < 0 ? broken(&err) : EXIT_DONE;
}
