/* What a training run needs before its first step. */
#include "tools/train.h"

#include <stdlib.h>
#include <string.h>

enum { BYTES_VOCAB = 256, DEFAULT_SEED = 1, MOST_WARMUP = 100 };

/* A model that comes from a folder may be described again, if the description fits. */
static int check_description(const struct train *t, const char *folder)
{
    const struct model_options *o = &t->o->model;
    const para_gpt2 *m = &t->model;
    para_gpt2 given;
    if (!model_options_given(o))
        return EXIT_DONE;
    if (o->preset) {
        TRY(model_from_options(&given, o));
    } else {
        given = *m;
        given.layers = o->layers ? o->layers : m->layers;
        given.heads = o->heads ? o->heads : m->heads;
        given.embd = o->embd ? o->embd : m->embd;
        given.ff = o->ff ? o->ff : m->ff;
        given.context = o->context ? o->context : m->context;
    }
    if (given.layers == m->layers && given.heads == m->heads && given.embd == m->embd && given.ff == m->ff &&
        given.context == m->context)
        return EXIT_DONE;
    return misused(
        "the model comes from %s %s: %lld layers, %lld heads, %lld wide, ff %lld, context %lld; --preset and "
        "sizes must say the same or be left out",
        t->o->resume ? "--resume" : "--init", folder, (long long)m->layers, (long long)m->heads, (long long)m->embd,
        (long long)m->ff, (long long)m->context);
}

/* A new model has the tokenizer's vocabulary; with bytes, and unless all data are token ids, that is 256, whatever the
 * preset's. */
static int find_model(struct train *t)
{
    const struct train_options *o = t->o;
    const char *folder = o->resume ? o->resume : o->init;
    TRY(folder ? model_from_folder(&t->model, folder) : model_from_options(&t->model, &o->model));
    if (folder)
        TRY(check_description(t, folder));
    TRY(vocabulary_open(&t->vocabulary, o->tokenizer, folder));
    bool ids = true;
    for (int i = 0; i < o->data.count; i++)
        ids = ids && data_is_ids(o->data.paths[i]);
    if (!folder && t->vocabulary.folder)
        t->model.vocab = para_tokenizer_vocab(t->vocabulary.tokenizer);
    else if (!folder && !ids)
        t->model.vocab = BYTES_VOCAB;
    if (t->vocabulary.folder)
        TRY(vocabulary_check(&t->vocabulary, &t->model, folder));
    if (o->dropout >= 0) {
        t->model.dropout = o->dropout;
        t->model.attn_dropout = 0;
    }
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
    TRY(data_open(&t->all, &o->data, &t->vocabulary, &t->model));
    if (o->val_fraction > 0)
        TRY(hold_out(t, o->val_fraction));
    else
        t->data = t->all;
    if (o->val)
        TRY(data_open(&t->val, &(struct option_files){&o->val, 1}, &t->vocabulary, &t->model));
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
    para_adamw_options adamw = adamw_options(o);
    struct graph_wish wish = {.model = &t->model,
                              .batch = o->batch,
                              .seq = t->seq,
                              .use = GRAPH_TRAINING,
                              .workers = para_machine_workers(t->machine),
                              .adamw = &adamw,
                              .split = &o->split,
                              .memory = &o->memory};
    TRY(graph_make(&t->graph, &wish, t->splits));
    message("gpt2: %lld layers, %lld heads, %lld wide, ff %lld, context %lld, vocabulary %lld",
            (long long)t->model.layers, (long long)t->model.heads, (long long)t->model.embd, (long long)t->model.ff,
            (long long)t->model.context, (long long)t->model.vocab);
    message("graph: %d nodes, splits %s, %lld stage%s", para_graph_node_count(t->graph),
            t->splits[0] ? t->splits : "none", (long long)o->split.stages, o->split.stages == 1 ? "" : "s");
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

int train_begin(struct train *t)
{
    const struct train_options *o = t->o;
    TRY(find_model(t));
    TRY(open_data(t));
    TRY(machine_open(&t->machine, &o->machine));
    TRY(build_graph(t));
    TRY(load(t));
    struct split_options chosen = {.split = t->splits, .stages = o->split.stages};
    if (t->val)
        TRY(evaluator_open(&t->evaluator, &t->model, o->batch, t->seq, &chosen, false, t->machine, t->session));
    size_t places = (size_t)(o->batch * t->seq);
    t->tokens = calloc(places, sizeof *t->tokens);
    t->targets = calloc(places, sizeof *t->targets);
    return t->tokens && t->targets ? EXIT_DONE : out_of_memory("a batch", 8.0 * (double)places);
}

void train_close(struct train *t)
{
    profile_file_abandon(&t->profile);
    evaluator_close(&t->evaluator);
    para_session_free(t->session);
    para_machine_close(t->machine);
    para_graph_free(t->graph);
    if (t->data != t->all)
        para_dataset_free(t->data);
    para_dataset_free(t->val);
    para_dataset_free(t->all);
    vocabulary_close(&t->vocabulary);
    free(t->tokens);
    free(t->targets);
}
