/* What a training run needs before its first step. */
#include "tools/train.h"

#include "base/spare.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BYTES_VOCAB = 256, DEFAULT_SEED = 1 };

/* A model that comes from a folder may be described again, if the description fits. */
static int check_description(const struct train *t, const char *folder)
{
    bool fits;
    TRY(model_is_described(&fits, t->model, &t->o->model));
    if (fits)
        return EXIT_DONE;
    para_model_sizes m = para_model_measure(t->model);
    return misused(
        "the model comes from %s %s: %lld layers, %lld heads, %lld wide, ff %lld, context %lld; --preset and "
        "sizes must say the same or be left out",
        t->o->init ? "--init" : "--resume", folder, (long long)m.layers, (long long)m.heads, (long long)m.embd,
        (long long)m.ff, (long long)m.context);
}

/* Change what a run may change of its model. */
static int set_model(struct train *t, int64_t vocab)
{
    para_error err;
    double dropout = t->o->dropout;
    if ((vocab > 0 && para_model_set_size(t->model, "vocab", vocab, &err) < 0) ||
        (dropout >= 0 && para_model_set_dropout(t->model, dropout, &err) < 0))
        return refused("", &err);
    return EXIT_DONE;
}

/* Where the model comes from: of adapters that is the folder which they name, or which is given. */
static int find_base(struct train *t)
{
    const struct train_options *o = t->o;
    para_error err;
    t->base = o->init ? o->init : o->resume;
    t->lora = lora_of(&o->lora);
    if (!o->resume || !para_adapter_exists(o->resume))
        return EXIT_DONE;
    if (para_adapter_open(&t->adapter, o->resume, &err) < 0)
        return broken(&err);
    t->lora = *para_adapter_lora(t->adapter);
    t->base = o->init ? o->init : para_adapter_base(t->adapter);
    if (access(t->base, F_OK) == 0)
        return EXIT_DONE;
    return failed("%s: its model is \"%s\", which isn't there; --init DIR says where it is", o->resume, t->base);
}

/* A new model has the tokenizer's vocabulary; with bytes, and unless all data are token ids, that is 256, whatever the
 * preset's. */
static int find_model(struct train *t)
{
    const struct train_options *o = t->o;
    TRY(find_base(t));
    const char *folder = t->base;
    TRY(folder ? model_from_folder(&t->model, folder) : model_from_options(&t->model, &o->model));
    if (folder)
        TRY(check_description(t, folder));
    TRY(vocabulary_open(&t->vocabulary, o->tokenizer, folder));
    bool ids = o->data.count > 0;
    for (int i = 0; i < o->data.count; i++)
        ids = ids && data_is_ids(o->data.paths[i]);
    int64_t vocab = t->vocabulary.folder ? para_tokenizer_vocab(t->vocabulary.tokenizer) : ids ? 0 : BYTES_VOCAB;
    TRY(set_model(t, folder ? 0 : vocab));
    if (t->vocabulary.folder)
        TRY(vocabulary_check(&t->vocabulary, t->model, folder));
    t->seq = o->seq ? o->seq : para_model_measure(t->model).context;
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

/* The token that ends an answer: the first that ends the model's texts, or that the tokenizer's files name; negative:
 * none. */
static int find_end(const struct train *t, int32_t *end)
{
    const char *const places[] = {t->base, t->vocabulary.folder};
    *end = -1;
    for (int i = 0; i < 2 && *end < 0; i++) {
        para_error err;
        int32_t *ids = NULL;
        int64_t count = 0;
        if (places[i] && para_checkpoint_ends(places[i], &ids, &count, &err) < 0)
            return broken(&err);
        if (count > 0)
            *end = ids[0];
        para_tokens_free(ids);
    }
    return EXIT_DONE;
}

static int read_answers(const struct train *t, para_answers **out, const struct option_files *files, int32_t end)
{
    para_error err;
    para_model_sizes m = para_model_measure(t->model);
    int64_t longest = t->o->seq ? t->o->seq : m.context;
    int status =
        para_answers_open(out, files->paths, files->count, t->vocabulary.tokenizer, end, m.vocab, longest, &err);
    return status < 0 ? broken(&err) : EXIT_DONE;
}

/* Answers are held out as text is: the last ones. A window is as long as the longest, unless told. */
static int open_answers(struct train *t)
{
    const struct train_options *o = t->o;
    int32_t end;
    TRY(vocabulary_check(&t->vocabulary, t->model, t->base ? t->base : "--preset"));
    TRY(find_end(t, &end));
    TRY(read_answers(t, &t->answers, &o->answers, end));
    t->answer_count = para_answers_count(t->answers);
    int64_t longest = para_answers_longest(t->answers);
    if (o->val)
        TRY(read_answers(t, &t->val_answers, &(struct option_files){&o->val, 1}, end));
    if (o->val && para_answers_longest(t->val_answers) > longest)
        longest = para_answers_longest(t->val_answers);
    if (o->val_fraction > 0) {
        t->val_answers = t->answers;
        t->answer_count = (int64_t)((double)t->answer_count * (1.0 - o->val_fraction));
    }
    t->seq = o->seq ? o->seq : longest;
    message("answers: %lld, %s; rows of %lld tokens", (long long)t->answer_count,
            end < 0 ? "without a token that ends them" : "each with the token that ends texts", (long long)t->seq);
    return t->answer_count > 0
               ? EXIT_DONE
               : failed("no answer is left to train on, of %lld", (long long)para_answers_count(t->answers));
}

static int open_data(struct train *t)
{
    const struct train_options *o = t->o;
    if (o->answers.count)
        return open_answers(t);
    TRY(data_open(&t->all, &o->data, &t->vocabulary, t->model));
    if (o->val_fraction > 0)
        TRY(hold_out(t, o->val_fraction));
    else
        t->data = t->all;
    if (o->val)
        TRY(data_open(&t->val, &(struct option_files){&o->val, 1}, &t->vocabulary, t->model));
    TRY(check_length(t, t->data, "training"));
    return t->val ? check_length(t, t->val, "validation") : EXIT_DONE;
}

static int build_graph(struct train *t)
{
    const struct train_options *o = t->o;
    para_adamw_options adamw = train_adamw(o);
    struct graph_wish wish = {.model = t->model,
                              .batch = o->batch,
                              .seq = t->seq,
                              .use = GRAPH_TRAINING,
                              .workers = machine_tile_workers(t->machine),
                              .lora = &t->lora,
                              .adamw = &adamw,
                              .fuse = machine_fuses(t->machine),
                              .split = &o->split,
                              .memory = &o->memory};
    TRY(graph_make(&t->graph, &wish, t->splits));
    para_model_sizes m = para_model_measure(t->model);
    message("%s: %lld layers, %lld heads, %lld wide, ff %lld, context %lld, vocabulary %lld",
            para_model_family(t->model), (long long)m.layers, (long long)m.heads, (long long)m.embd, (long long)m.ff,
            (long long)m.context, (long long)m.vocab);
    if (t->lora.rank)
        message("adapters: r %lld, alpha %g, targets %s; the model stays as it is", (long long)t->lora.rank,
                t->lora.alpha, t->lora.targets ? t->lora.targets : "all-linear");
    const char *precision = o->split.precision ? o->split.precision : "f32";
    const char *spread = para_graph_spreading(t->graph);
    message("graph: %d nodes, splits %s%s%s, %lld stage%s, %s", para_graph_node_count(t->graph),
            t->splits[0] ? t->splits : "none", spread[0] ? ", spread " : "", spread, (long long)o->split.stages,
            o->split.stages == 1 ? "" : "s", precision);
    return EXIT_DONE;
}

static int open_session(struct train *t, uint64_t seed)
{
    para_error err;
    para_session_options options = para_session_default();
    options.seed = seed;
    options.no_draws = t->o->resume || t->o->init;
    options.profile = t->o->profile;
    return para_session_new(&t->session, t->graph, t->machine, &options, &err) < 0 ? broken(&err) : EXIT_DONE;
}

static int load_run(struct train *t)
{
    para_error err;
    para_trainer *trainer = t->adapter ? NULL : &t->trainer;
    if (para_checkpoint_load(t->base, t->graph, t->session, trainer, &err) < 0)
        return broken(&err);
    if (t->adapter && para_adapter_load(t->o->resume, t->model, t->graph, t->session, &t->trainer, &err) < 0)
        return broken(&err);
    return EXIT_DONE;
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
    t->saved = o->out && same_folder(o->out, o->resume) ? t->trainer.step : -1;
    if (t->trainer.step >= o->steps)
        return misused("--steps is %lld, but %s has done %lld; expected more, those before --resume included",
                       (long long)o->steps, o->resume, (long long)t->trainer.step);
    message("%s: %lld of %lld steps are done", o->resume, (long long)t->trainer.step, (long long)o->steps);
    return EXIT_DONE;
}

static int load(struct train *t)
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

/* What a save opens at once must still be there to be opened after hours. */
static int check_files(const struct train_options *o)
{
    enum { FILES_OF_A_SAVE = 8 };
    if (!o->out && !o->best)
        return EXIT_DONE;
    int had = para_spare_files(FILES_OF_A_SAVE);
    return had == FILES_OF_A_SAVE
               ? EXIT_DONE
               : failed("%s: a save opens up to %d files, but %d more can be opened: %s (see ulimit -n)",
                        o->out ? "--out" : "--best", FILES_OF_A_SAVE, had, strerror(errno));
}

/* Of whole windows, with the run's own parameters. */
static int open_evaluator(struct train *t)
{
    struct scorer_wish wish = {
        .model = t->model, .machine = t->machine, .options = scorer_options(&t->o->split, t->machine, t->o->batch)};
    wish.options.share = t->session;
    wish.options.lora = t->lora.rank ? &t->lora : NULL;
    wish.options.split = t->splits;
    return evaluator_open(&t->evaluator, &wish, t->seq, t->seq, true, false);
}

int train_begin(struct train *t)
{
    const struct train_options *o = t->o;
    TRY(find_model(t));
    TRY(open_data(t));
    TRY(machine_open(&t->machine, &o->machine));
    TRY(build_graph(t));
    TRY(load(t));
    train_record(t);
    TRY(check_files(o));
    if (!o->out)
        message("%s is saved: there is no --out%s%s", o->best ? "the best model alone" : "nothing",
                o->resume ? ", as with the folder of --resume, --out " : "", o->resume ? o->resume : "");
    if (t->val || t->val_answers)
        TRY(open_evaluator(t));
    size_t count = (size_t)(o->batch * t->seq);
    t->tokens = calloc(count, sizeof *t->tokens);
    t->targets = calloc(count, sizeof *t->targets);
    return t->tokens && t->targets ? EXIT_DONE : out_of_memory("a batch", 8.0 * (double)count);
}

void train_close(struct train *t)
{
    lock_release(&t->out_lock);
    lock_release(&t->best_lock);
    profile_file_abandon(&t->profile);
    evaluator_close(&t->evaluator);
    para_session_free(t->session);
    para_machine_close(t->machine);
    para_graph_free(t->graph);
    if (t->data != t->all)
        para_dataset_free(t->data);
    para_dataset_free(t->val);
    para_dataset_free(t->all);
    if (t->val_answers != t->answers)
        para_answers_free(t->val_answers);
    para_answers_free(t->answers);
    vocabulary_close(&t->vocabulary);
    para_model_free(t->model);
    para_adapter_free(t->adapter);
    free(t->tokens);
    free(t->targets);
}
