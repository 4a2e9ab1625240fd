/* paragraph train: train a GPT-2 on text, save it, resume it. */
#include "tools/commands.h"
#include "tools/evaluate.h"
#include "tools/progress.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_VOCAB = 256, DEFAULT_SEED = 1, MOST_WARMUP = 100 };

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
    {"val-fraction", OPTION_REAL, FIELD(val_fraction), "F", "in its place, hold out the last part F of the data", 0,
     0.99, false},
    {"order", OPTION_CHOICE, FIELD(order), "random|sequential",
     "draw windows at random, or take them from the start, in order", 0, 0, false},
    {"out", OPTION_TEXT, FIELD(out), "DIR", "save the model here at the end, and when interrupted", 0, 0, false},
    {"save-every", OPTION_COUNT, FIELD(save_every), "N", "and every N steps", 1, INT32_MAX, false},
    {"eval-every", OPTION_COUNT, FIELD(eval_every), "N", "evaluate every N steps; without it at the end alone", 1,
     INT32_MAX, false},
    {"json", OPTION_FLAG, FIELD(json), NULL, "print a JSON object per step and per evaluation", 0, 0, false},
    {0},
};

static const struct option start_table[] = {
    {"init", OPTION_TEXT, FIELD(init), "DIR", "begin with this folder's model", 0, 0, false},
    {"resume", OPTION_TEXT, FIELD(resume), "DIR", "go on with a run that was saved here; give its other options again",
     0, 0, false},
    {0},
};

static const struct option optimizer_table[] = {
    {"batch", OPTION_COUNT, FIELD(batch), "N", "windows of a step", 1, INT32_MAX, false},
    {"seq", OPTION_COUNT, FIELD(seq), "N", "tokens of a window; by default the model's context", 1, INT32_MAX, false},
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
     "part of the values dropped while training (default: the folder's with --init and --resume, else 0)", 0, 0.99,
     false},
    {"seed", OPTION_COUNT, FIELD(seed), "N",
     "of initial values, windows and dropout (default: 1; with --resume the run's own)", 0, 9e15, false},
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

/* A signal that was ignored when the program began, as SIGINT of a job in the background, stays so. */
static void catch_signal(int number)
{
    struct sigaction action = {.sa_handler = ask_stop, .sa_flags = SA_RESTART}, before;
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN)
        sigaction(number, &action, NULL);
}

/* Find out now, not after hours, that the folder can't be written. */
static int check_out(const char *out)
{
    para_error err;
    return para_checkpoint_check(out, &err) < 0 ? refused("--out: ", &err) : EXIT_DONE;
}

static int check_options(const struct train_options *o)
{
    if (o->init && o->resume)
        return misused("--init begins a run and --resume goes on with one; give one of them");
    if ((o->init || o->resume) && model_options_given(&o->model))
        return misused("the model comes from %s; --preset and sizes don't go with it", o->init ? "--init" : "--resume");
    if (o->warmup >= o->steps)
        return misused("--warmup is %lld, expected less than --steps, %lld", (long long)o->warmup, (long long)o->steps);
    if (o->min_lr > o->lr)
        return misused("--min-lr is %g, expected at most --lr, %g", o->min_lr, o->lr);
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
    if (para_dataset_part(&t->data, t->all, 0, begin, &err) < 0 ||
        para_dataset_part(&t->val, t->all, begin, count, &err) < 0)
        return broken(&err);
    return EXIT_DONE;
}

static int check_length(const struct train *t, const para_dataset *data, const char *what)
{
    if (para_dataset_tokens(data) > t->seq)
        return EXIT_DONE;
    return failed("the %s data have %lld tokens, expected at least %lld for a window of --seq %lld and its target",
                  what, (long long)para_dataset_tokens(data), (long long)t->seq + 1, (long long)t->seq);
}

static int open_data(struct train *t)
{
    const struct train_options *o = t->o;
    TRY(data_open(&t->all, &o->data, &t->model));
    if (o->val_fraction > 0)
        TRY(hold_out(t, o->val_fraction));
    else
        t->data = t->all;
    if (o->val)
        TRY(data_open(&t->val, &(struct option_files){&o->val, 1}, &t->model));
    TRY(check_length(t, t->data, "training"));
    return t->val ? check_length(t, t->val, "validation") : EXIT_DONE;
}

static para_schedule schedule(const struct train_options *o)
{
    int64_t tenth = o->steps / 10;
    para_schedule s = {.kind = PARA_SCHEDULE_CONSTANT, .lr = o->lr, .steps = o->steps};
    if (strcmp(o->schedule, "constant") != 0)
        s.kind = strcmp(o->schedule, "linear") == 0 ? PARA_SCHEDULE_LINEAR : PARA_SCHEDULE_COSINE;
    s.min_lr = o->min_lr >= 0 ? o->min_lr : o->lr / 10;
    s.warmup = o->warmup >= 0 ? o->warmup : tenth < MOST_WARMUP ? tenth : MOST_WARMUP;
    return s;
}

static para_adamw_options adamw_options(const struct train_options *o)
{
    para_adamw_options a = para_adamw_default();
    a.schedule = schedule(o);
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
    struct graph_wish wish = {.model = &t->model,
                              .batch = o->batch,
                              .seq = t->seq,
                              .use = GRAPH_TRAINING,
                              .workers = para_machine_workers(t->machine),
                              .adamw = &adamw,
                              .split = &o->split};
    TRY(graph_make(&t->graph, &wish, splits));
    message("gpt2: %lld layers, %lld heads, %lld wide, ff %lld, context %lld, vocabulary %lld",
            (long long)t->model.layers, (long long)t->model.heads, (long long)t->model.embd, (long long)t->model.ff,
            (long long)t->model.context, (long long)t->model.vocab);
    message("graph: %d nodes, splits %s, %lld stage%s", para_graph_node_count(t->graph), splits[0] ? splits : "none",
            (long long)o->split.stages, o->split.stages == 1 ? "" : "s");
    return EXIT_DONE;
}

static int open_session(struct train *t, uint64_t seed)
{
    para_error err;
    para_session_options options = para_session_default();
    options.seed = seed;
    return para_session_new(&t->session, t->graph, t->machine, &options, &err) < 0 ? broken(&err) : EXIT_DONE;
}

static int load_run(struct train *t)
{
    para_error err;
    return para_checkpoint_load(t->o->resume, t->graph, t->session, &t->trainer, &err) < 0 ? broken(&err) : EXIT_DONE;
}

/* Load a saved run. Dropout draws by the session's seed, which it takes when it is made, and the run's seed stands in
 * the folder: if it isn't the one guessed, a second session is made. */
static int resume(struct train *t)
{
    const struct train_options *o = t->o;
    uint64_t guess = o->seed >= 0 ? (uint64_t)o->seed : DEFAULT_SEED;
    TRY(open_session(t, guess));
    TRY(load_run(t));
    if (t->trainer.seed != guess) {
        if (o->seed >= 0)
            return misused("--seed is %lld, but the run in %s began with %llu", (long long)o->seed, o->resume,
                           (unsigned long long)t->trainer.seed);
        para_session_free(t->session);
        t->session = NULL;
        TRY(open_session(t, t->trainer.seed));
        TRY(load_run(t));
    }
    t->saved = o->out && strcmp(o->out, o->resume) == 0 ? t->trainer.step : -1;
    message("%s: %lld of %lld steps are done", o->resume, (long long)t->trainer.step, (long long)o->steps);
    return EXIT_DONE;
}

static int begin(struct train *t)
{
    const struct train_options *o = t->o;
    para_error err;
    t->saved = -1;
    if (o->resume)
        return resume(t);
    t->trainer = (para_trainer){.seed = o->seed >= 0 ? (uint64_t)o->seed : DEFAULT_SEED, .best_loss = -1};
    TRY(open_session(t, t->trainer.seed));
    if (o->init && para_checkpoint_load(o->init, t->graph, t->session, NULL, &err) < 0)
        return broken(&err);
    return EXIT_DONE;
}

static int save(struct train *t)
{
    para_error err;
    if (!t->o->out || t->saved == t->trainer.step)
        return EXIT_DONE;
    if (para_checkpoint_save(t->o->out, &t->model, t->graph, t->session, &t->trainer, &err) < 0)
        return broken(&err);
    t->saved = t->trainer.step;
    return EXIT_DONE;
}

static int validate(struct train *t)
{
    struct evaluation result;
    TRY(evaluator_take(&t->evaluator, t->graph, t->session));
    TRY(evaluator_run(&t->evaluator, t->val, &result));
    if (result.tokens == 0)
        return EXIT_DONE;
    if (t->trainer.best_loss < 0 || result.loss < t->trainer.best_loss)
        t->trainer.best_loss = result.loss;
    progress_validation(&t->progress, t->trainer.step, result.loss);
    if (t->o->json) {
        printf("{\"step\":%lld,\"val_loss\":%.17g}\n", (long long)t->trainer.step, result.loss);
        fflush(stdout);
    }
    return EXIT_DONE;
}

/* What a step tells of itself. */
struct outcome {
    float loss, lr, grad_norm;
    double tokens_per_s;
};

static int step(struct train *t, struct outcome *out)
{
    para_error err;
    const struct train_options *o = t->o;
    double begin_s = now_s();
    size_t bytes = (size_t)(o->batch * t->seq) * sizeof(int32_t);
    bool sequential = strcmp(o->order, "sequential") == 0;
    if (para_dataset_batch(t->data, o->batch, t->seq, t->trainer.step, t->trainer.seed, sequential, t->tokens,
                           t->targets, &err) < 0 ||
        para_session_set(t->session, "tokens", t->tokens, bytes, &err) < 0 ||
        para_session_set(t->session, "targets", t->targets, bytes, &err) < 0 ||
        para_session_run(t->session, &err) < 0 ||
        para_session_get(t->session, "loss", &out->loss, sizeof out->loss, &err) < 0 ||
        para_session_get(t->session, PARA_LR, &out->lr, sizeof out->lr, &err) < 0 ||
        para_session_get(t->session, PARA_GRAD_NORM, &out->grad_norm, sizeof out->grad_norm, &err) < 0)
        return broken(&err);
    t->trainer.step++;
    out->tokens_per_s = (double)(o->batch * t->seq) / (now_s() - begin_s);
    if (!isfinite(out->loss) || !isfinite(out->grad_norm))
        return failed("step %lld: the loss is %g and the gradients' norm %g; a lower --lr or --clip may help",
                      (long long)t->trainer.step, (double)out->loss, (double)out->grad_norm);
    return EXIT_DONE;
}

static void report(struct train *t, const struct outcome *s)
{
    progress_step(&t->progress, t->trainer.step, s->loss);
    if (!t->o->json)
        return;
    printf("{\"step\":%lld,\"loss\":%.9g,\"lr\":%.9g,\"grad_norm\":%.9g,\"tokens_per_s\":%.17g}\n",
           (long long)t->trainer.step, (double)s->loss, (double)s->lr, (double)s->grad_norm, s->tokens_per_s);
    fflush(stdout);
}

static bool is_due(int64_t step, int64_t every)
{
    return every > 0 && step % every == 0;
}

static int loop(struct train *t)
{
    const struct train_options *o = t->o;
    while (t->trainer.step < o->steps && !stop_asked) {
        struct outcome outcome;
        TRY(step(t, &outcome));
        report(t, &outcome);
        bool last = t->trainer.step == o->steps;
        if (t->val && (last || is_due(t->trainer.step, o->eval_every)))
            TRY(validate(t));
        if (last || is_due(t->trainer.step, o->save_every))
            TRY(save(t));
    }
    return EXIT_DONE;
}

static int finish(struct train *t)
{
    const struct train_options *o = t->o;
    TRY(save(t));
    if (t->trainer.step < o->steps)
        return failed("stopped after step %lld of %lld; --resume %s goes on", (long long)t->trainer.step,
                      (long long)o->steps, o->out);
    if (o->out)
        message("saved in %s", o->out);
    return EXIT_DONE;
}

static int prepare(struct train *t)
{
    const struct train_options *o = t->o;
    TRY(find_model(t));
    TRY(open_data(t));
    TRY(machine_open(&t->machine, &o->machine));
    TRY(build_graph(t));
    TRY(begin(t));
    if (t->val)
        TRY(evaluator_open(&t->evaluator, &t->model, o->batch, t->seq, &o->split, NULL, t->machine));
    t->evaluator.stop = &stop_asked;
    t->tokens = calloc((size_t)(o->batch * t->seq), sizeof *t->tokens);
    t->targets = calloc((size_t)(o->batch * t->seq), sizeof *t->targets);
    return t->tokens && t->targets ? EXIT_DONE : out_of_memory();
}

static int train(struct train *t)
{
    TRY(prepare(t));
    if (t->o->out) {
        catch_signal(SIGINT);
        catch_signal(SIGTERM);
    }
    t->progress = progress_begin(t->trainer.step, t->o->steps, t->o->batch * t->seq);
    int code = loop(t);
    progress_end(&t->progress);
    return code ? code : finish(t);
}

static void close_train(struct train *t)
{
    evaluator_close(&t->evaluator);
    para_session_free(t->session);
    para_machine_close(t->machine);
    para_graph_free(t->graph);
    if (t->data != t->all)
        para_dataset_free(t->data);
    para_dataset_free(t->val);
    para_dataset_free(t->all);
    free(t->tokens);
    free(t->targets);
}

static int run(const void *parsed)
{
    struct train t = {.o = parsed};
    TRY(check_options(t.o));
    int code = train(&t);
    close_train(&t);
    return code;
}

static const struct option_group train_groups[] = {
    {"Data", data_table, 0},
    {"Begin", start_table, 0},
    {"Model", model_option_table, FIELD(model)},
    {"Steps", optimizer_table, 0},
    {"Parallelism", split_option_table, FIELD(split)},
    {"Machine", machine_option_table, FIELD(machine)},
    {0},
};

static const struct train_options train_defaults = {.batch = 12,
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

const struct command command_train = {
    .name = "train",
    .summary = "train a GPT-2 on text, save it, resume it",
    .text =
        "Train a model to predict the next token: bytes, or the ids of *.tok16 files. The learning rate rises for "
        "warmup "
        "steps, then falls to min-lr at the last step. Windows depend on the seed and the step's number alone, so that "
        "a "
        "resumed run has the losses of one never stopped.\n\n"
        "Interrupted (Ctrl-C or SIGTERM) with --out, it finishes its step, saves, and exits with 1. Progress goes to "
        "standard error.\n\n"
        "JSON keys: step, loss, lr, grad_norm, tokens_per_s for a step; step, val_loss for an evaluation.",
    .groups = train_groups,
    .defaults = &train_defaults,
    .bytes = sizeof train_defaults,
    .run = run,
};
