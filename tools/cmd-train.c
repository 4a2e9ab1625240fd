/* paragraph train: train a GPT-2 on text, save it, resume it. */
#include "tools/commands.h"
#include "tools/signals.h"
#include "tools/train.h"

#include <math.h>
#include <string.h>

/* Save the run as it is, the tokenizer's files with it. */
static int save_to(struct train *t, const char *folder)
{
    para_error err;
    signals_hold(); /* a second signal waits until the folder is whole */
    int status = t->lora.rank
                     ? para_adapter_save(folder, t->model, &t->lora, t->base, t->graph, t->session, &t->trainer, &err)
                     : para_checkpoint_save(folder, t->model, t->graph, t->session, &t->trainer, &err);
    int code = status < 0 ? broken(&err) : vocabulary_copy(&t->vocabulary, folder);
    signals_release();
    return code;
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
    bool own = t->val_answers != t->answers;
    TRY(t->val_answers ? evaluator_run_answers(&t->evaluator, t->val_answers, own ? 0 : t->answer_count, &result)
                       : evaluator_run(&t->evaluator, t->val, &result));
    if (result.tokens == 0)
        return EXIT_DONE;
    progress_validation(&t->progress, t->trainer.step, result.loss);
    if (t->o->json) {
        printf("{\"step\":%lld", (long long)t->trainer.step);
        write_json_number(stdout, ",\"val_loss\":", result.loss);
        puts("}");
        flush_output();
    }
    if (!isfinite(result.loss))
        return failed("step %lld: the validation loss is %g; what was saved before stays", (long long)t->trainer.step,
                      shown(result.loss));
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

/* Such a step changes nothing, so it can be repeated to see where it went wrong. */
static int not_finite(struct train *t, const struct outcome *s)
{
    para_error err;
    const para_tensor *first;
    const para_node *node;
    message("step %lld: the loss is %g and the gradients' norm %g; what was saved before stays; a lower --lr or --clip "
            "may help",
            (long long)t->trainer.step + 1, shown((double)s->loss), shown((double)s->grad_norm));
    if (para_session_find_nonfinite(t->session, &first, &err) < 0)
        return broken(&err);
    if (!first)
        return failed("a second run of the step has finite values alone, as only a fault of machine or program can do");
    node = para_tensor_producer(first);
    if (!node)
        return failed("%s has values that aren't finite before the step", para_tensor_name(first));
    return failed("the first node with a result that isn't finite is %s, op %s", para_node_name(node),
                  para_node_op(node));
}

static int next_batch(struct train *t, para_error *err)
{
    int64_t batch = t->o->batch, step = t->trainer.step;
    bool sequential = strcmp(t->o->order, "sequential") == 0;
    return t->answers ? para_answers_batch(t->answers, t->answer_count, batch, t->seq, step, t->trainer.seed,
                                           sequential, t->tokens, t->targets, err)
                      : para_dataset_batch(t->data, batch, t->seq, step, t->trainer.seed, sequential, t->tokens,
                                           t->targets, err);
}

static int step(struct train *t, struct outcome *out)
{
    para_error err;
    const struct train_options *o = t->o;
    double begin_s = now_s();
    size_t bytes = (size_t)(o->batch * t->seq) * sizeof(int32_t);
    if (next_batch(t, &err) < 0 || para_session_set(t->session, "tokens", t->tokens, bytes, &err) < 0 ||
        para_session_set(t->session, "targets", t->targets, bytes, &err) < 0 ||
        para_session_run(t->session, &err) < 0 ||
        para_session_get(t->session, "loss", &out->loss, sizeof out->loss, &err) < 0 ||
        para_session_get(t->session, PARA_LR, &out->lr, sizeof out->lr, &err) < 0 ||
        para_session_get(t->session, PARA_GRAD_NORM, &out->grad_norm, sizeof out->grad_norm, &err) < 0)
        return broken(&err);
    if (!isfinite(out->loss) || !isfinite(out->grad_norm))
        return not_finite(t, out);
    t->trainer.step++;
    out->tokens_per_s = (double)(o->batch * t->seq) / (now_s() - begin_s);
    return EXIT_DONE;
}

static void report(struct train *t, const struct outcome *s)
{
    progress_step(&t->progress, t->trainer.step, s->loss);
    if (!t->o->json)
        return;
    printf("{\"step\":%lld", (long long)t->trainer.step);
    json_float(stdout, ",\"loss\":", s->loss);
    json_float(stdout, ",\"lr\":", s->lr);
    json_float(stdout, ",\"grad_norm\":", s->grad_norm);
    write_json_number(stdout, ",\"tokens_per_s\":", s->tokens_per_s);
    puts("}");
    flush_output();
}

static bool is_due(int64_t step, int64_t every)
{
    return every > 0 && step % every == 0;
}

static int loop(struct train *t)
{
    const struct train_options *o = t->o;
    while (t->trainer.step < o->steps && !*t->stop) {
        struct outcome outcome;
        TRY(step(t, &outcome));
        report(t, &outcome);
        bool last = t->trainer.step == o->steps;
        if ((t->val || t->val_answers) && (last || is_due(t->trainer.step, o->eval_every)))
            TRY(validate(t));
        if (last || is_due(t->trainer.step, o->save_every))
            TRY(save(t));
    }
    return EXIT_DONE;
}

static int write_profile(struct train *t)
{
    const struct train_options *o = t->o;
    char name[MODEL_NAME];
    model_name(&o->model, name);
    para_profile_origin origin = {
        .command = "train", .model = t->base ? t->base : name, .recompute = o->memory.recompute};
    return profile_file_write(&t->profile, t->session, &origin);
}

static int finish(struct train *t)
{
    const struct train_options *o = t->o;
    long long done = t->trainer.step, all = o->steps;
    TRY(save(t));
    TRY(write_profile(t));
    if (done < all && o->out)
        return failed("stopped after step %lld of %lld; --resume %s goes on, given its data again", done, all, o->out);
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
    if (t->o->out)
        TRY(lock_take(&t->out_lock, "--out", t->o->out));
    if (t->o->best)
        TRY(lock_take(&t->best_lock, "--best", t->o->best));
    TRY(train_begin(t));
    t->stop = t->evaluator.stop = signals_listen();
    t->progress = progress_begin("step", t->trainer.step, t->o->steps, t->o->batch * t->seq);
    int code = loop(t);
    progress_end(&t->progress);
    return code ? code : finish(t);
}

static int run(const void *parsed)
{
    struct train_options own = *(const struct train_options *)parsed;
    struct train t = {.o = &own};
    TRY(train_check(&own));
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
        "Asked to end (Ctrl-C, SIGTERM, SIGHUP, SIGXCPU, SIGUSR1, SIGUSR2, or a reader that is gone), it finishes its "
        "step, saves if there is --out, says where it stopped, and exits with 1; a second Ctrl-C or SIGTERM ends it at "
        "once, or once the save that it is at is done, and what was saved before stays. A signal that was ignored when "
        "it began stays so. Progress goes to standard error.\n\n"
        "With --answers a window is one line: the prompt, its answer, and, if the model's files or the tokenizer's "
        "name one, the token "
        "that "
        "ends texts; what is counted is each token of the answer and that end. Prompts are read as generate reads "
        "them. A "
        "line that is wrong, or longer than --seq, is refused by its number.\n\n"
        "With --lora-r adapters are trained beside the model of --init, which stays as it is: y = W x becomes y = W x "
        "+ s "
        "B A x (Hu et al., LoRA, 2021), with A and B of r rows and columns. What is saved is a folder as PEFT has it, "
        "adapter_config.json and adapter_model.safetensors, with what --resume needs beside them.\n\n"
        "JSON keys: step, loss, lr, grad_norm, tokens_per_s for a step; step, val_loss for an "
        "evaluation.",
    .groups = train_groups,
    .defaults = &train_defaults,
    .bytes = sizeof train_defaults,
    .given = offsetof(struct train_options, given),
    .run = run,
};
