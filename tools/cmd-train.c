/* paragraph train: train a GPT-2 on text, save it, resume it. */
#include "tools/commands.h"
#include "tools/train.h"

#include <math.h>
#include <signal.h>
#include <string.h>

static volatile sig_atomic_t stop_asked;

static const int STOP_SIGNALS[] = {SIGINT, SIGTERM};
enum { STOP_SIGNAL_COUNT = sizeof STOP_SIGNALS / sizeof STOP_SIGNALS[0] };
static bool caught[STOP_SIGNAL_COUNT];

/* A second signal, the same or the other, ends the program at once. */
static void ask_stop(int number)
{
    (void)number;
    for (int i = 0; i < STOP_SIGNAL_COUNT; i++)
        if (caught[i])
            signal(STOP_SIGNALS[i], SIG_DFL);
    stop_asked = 1;
}

/* A signal that was ignored when the program began, as SIGINT of a job in the background, stays so. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = ask_stop, .sa_flags = SA_RESTART}, before;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < STOP_SIGNAL_COUNT; i++) {
        caught[i] = sigaction(STOP_SIGNALS[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN;
        if (caught[i])
            sigaction(STOP_SIGNALS[i], &action, NULL);
    }
}

/* Save the run as it is, the tokenizer's files with it. */
static int save_to(struct train *t, const char *folder)
{
    para_error err;
    if (para_checkpoint_save(folder, &t->model, t->graph, t->session, &t->trainer, &err) < 0)
        return broken(&err);
    return vocabulary_copy(&t->vocabulary, folder);
}

static int save(struct train *t)
{
    if (!t->o->out || t->saved == t->trainer.step)
        return EXIT_DONE;
    TRY(save_to(t, t->o->out));
    t->saved = t->trainer.step;
    return EXIT_DONE;
}

static int validate(struct train *t)
{
    struct evaluation result;
    TRY(evaluator_run(&t->evaluator, t->val, &result));
    if (result.tokens == 0)
        return EXIT_DONE;
    progress_validation(&t->progress, t->trainer.step, result.loss);
    if (t->o->json) {
        printf("{\"step\":%lld,\"val_loss\":%.17g}\n", (long long)t->trainer.step, result.loss);
        fflush(stdout);
    }
    if (t->trainer.best_loss >= 0 && result.loss >= t->trainer.best_loss)
        return EXIT_DONE;
    t->trainer.best_loss = result.loss;
    return t->o->best ? save_to(t, t->o->best) : EXIT_DONE;
}

/* What a step tells of itself. */
struct outcome {
    float loss, lr, grad_norm;
    double tokens_per_s;
};

/* What is no number has no sign worth telling. */
static double shown(float value)
{
    return isnan(value) ? (double)NAN : (double)value;
}

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
                      (long long)t->trainer.step, shown(out->loss), shown(out->grad_norm));
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

static int write_profile(struct train *t)
{
    const struct train_options *o = t->o;
    const char *folder = o->resume ? o->resume : o->init;
    char name[MODEL_NAME];
    model_name(&o->model, name);
    struct profiled_run last = {.command = "train",
                                .model = folder ? folder : name,
                                .splits = t->splits,
                                .recompute = o->memory.recompute,
                                .stages = o->split.stages,
                                .workers = para_machine_workers(t->machine),
                                .graph = t->graph,
                                .session = t->session};
    return profile_file_write(&t->profile, &last);
}

static int finish(struct train *t)
{
    const struct train_options *o = t->o;
    long long done = t->trainer.step, all = o->steps;
    TRY(save(t));
    TRY(write_profile(t));
    if (done < all && o->out)
        return failed("stopped after step %lld of %lld; --resume %s goes on, given its data, batch, steps and rates "
                      "again, not the model's sizes",
                      done, all, o->out);
    if (done < all)
        return failed("stopped after step %lld of %lld; nothing is saved without --out", done, all);
    if (o->out)
        message("saved in %s", o->out);
    if (o->best && t->trainer.best_loss >= 0)
        message("validation loss %.4f at best, saved in %s", t->trainer.best_loss, o->best);
    return EXIT_DONE;
}

static int train(struct train *t)
{
    TRY(train_begin(t));
    t->evaluator.stop = &stop_asked;
    catch_signals();
    t->progress = progress_begin("step", t->trainer.step, t->o->steps, t->o->batch * t->seq);
    int code = loop(t);
    progress_end(&t->progress);
    return code ? code : finish(t);
}

static int run(const void *parsed)
{
    struct train t = {.o = parsed};
    TRY(train_check(t.o));
    TRY(profile_file_open(&t.profile, t.o->profile));
    int code = train(&t);
    train_close(&t);
    return code;
}

const struct command command_train = {
    .name = "train",
    .summary = "train a GPT-2 on text, save it, resume it",
    .text =
        "Train a model to predict the next token: bytes, a tokenizer's, or the ids of *.tok16 files. The learning rate "
        "rises for warmup steps, then falls to min-lr at the last step. Windows depend on the seed and the step's "
        "number alone, so that a resumed run has the losses of one never stopped.\n\n"
        "Interrupted (Ctrl-C or SIGTERM), it finishes its step, saves if there is --out, says where it stopped, and "
        "exits with 1; a second signal ends it at once, and what was saved before stays. Progress goes to standard "
        "error.\n\n"
        "JSON keys: step, loss, lr, grad_norm, tokens_per_s for a step; step, val_loss for an "
        "evaluation.\n\n" PROFILE_TEXT,
    .groups = train_groups,
    .defaults = &train_defaults,
    .bytes = sizeof train_defaults,
    .run = run,
};
