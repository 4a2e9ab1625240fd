/* Evaluation: batches of windows in order; the last batch's missing windows aren't counted. */
#include "tools/evaluate.h"

#include <stdlib.h>

enum { NOT_COUNTED = -100 };

int evaluator_open(struct evaluator *e, const para_gpt2 *model, int64_t batch, int64_t seq,
                   const struct split_options *split, bool logits, para_machine *machine, para_session *share)
{
    para_error err;
    para_gpt2 still = *model;
    still.dropout = still.attn_dropout = 0;
    *e = (struct evaluator){.batch = batch, .seq = seq, .vocab = model->vocab};
    struct graph_wish wish = {.model = &still,
                              .batch = batch,
                              .seq = seq,
                              .split = split,
                              .workers = para_machine_workers(machine),
                              .use = logits ? GRAPH_LOSS_AND_LOGITS : GRAPH_LOSS};
    TRY(graph_make(&e->graph, &wish, NULL));
    para_session_options options = para_session_default();
    options.share = share;
    options.no_draws = true;
    if (para_session_new(&e->session, e->graph, machine, &options, &err) < 0)
        return broken(&err);
    size_t places = (size_t)(batch * seq), rows = logits ? places * (size_t)model->vocab : 0;
    e->tokens = calloc(places, sizeof *e->tokens);
    e->targets = calloc(places, sizeof *e->targets);
    e->rows = logits ? calloc(rows, sizeof *e->rows) : NULL;
    if (e->tokens && e->targets && (e->rows || !logits))
        return EXIT_DONE;
    return out_of_memory("a batch with its logits", (double)(2 * places * sizeof *e->tokens + rows * sizeof *e->rows));
}

void evaluator_close(struct evaluator *e)
{
    para_session_free(e->session);
    para_graph_free(e->graph);
    free(e->tokens);
    free(e->targets);
    free(e->rows);
    *e = (struct evaluator){0};
}

/* Run one batch of which the first `windows` count; returns its mean loss in *loss. */
static int run_batch(struct evaluator *e, const para_dataset *data, int64_t number, int64_t windows, float *loss)
{
    para_error err;
    size_t places = (size_t)(e->batch * e->seq);
    if (para_dataset_batch(data, e->batch, e->seq, number, 0, true, e->tokens, e->targets, &err) < 0)
        return broken(&err);
    for (size_t i = (size_t)(windows * e->seq); i < places; i++)
        e->targets[i] = NOT_COUNTED;
    if (para_session_set(e->session, "tokens", e->tokens, places * sizeof *e->tokens, &err) < 0 ||
        para_session_set(e->session, "targets", e->targets, places * sizeof *e->targets, &err) < 0 ||
        para_session_run(e->session, &err) < 0 || para_session_get(e->session, "loss", loss, sizeof *loss, &err) < 0)
        return broken(&err);
    if (!e->rows)
        return EXIT_DONE;
    size_t row = (size_t)e->vocab, rows = (size_t)(windows * e->seq);
    if (para_session_get(e->session, "logits", e->rows, places * row * sizeof *e->rows, &err) < 0)
        return broken(&err);
    return fwrite(e->rows, row * sizeof *e->rows, rows, e->logits) == rows ? EXIT_DONE
                                                                           : failed("the logits can't be written");
}

int evaluator_run(struct evaluator *e, const para_dataset *data, struct evaluation *out)
{
    int64_t windows = para_dataset_windows(data, e->seq), done = 0;
    double sum = 0;
    *out = (struct evaluation){0};
    if (windows == 0)
        return failed("the text has %lld tokens, expected at least %lld for a window and its target",
                      (long long)para_dataset_tokens(data), (long long)e->seq + 1);
    for (int64_t number = 0; number * e->batch < windows; number++) {
        int64_t left = windows - number * e->batch, counted = left < e->batch ? left : e->batch;
        float loss;
        if (e->stop && *e->stop)
            return EXIT_DONE;
        TRY(run_batch(e, data, number, counted, &loss));
        sum += (double)loss * (double)counted;
        done += counted;
        if (e->progress)
            progress_step(e->progress, done, sum / (double)done);
    }
    *out = (struct evaluation){sum / (double)windows, windows * e->seq};
    return EXIT_DONE;
}
