/* Evaluation: batches of windows in order; the last batch's missing windows aren't counted. */
#include "tools/evaluate.h"

#include <stdlib.h>

enum { NOT_COUNTED = -100 };

int evaluator_open(struct evaluator *e, const para_gpt2 *model, int64_t batch, int64_t seq,
                   const struct split_options *split, FILE *logits, para_machine *machine)
{
    para_error err;
    para_gpt2 still = *model;
    still.dropout = 0;
    *e = (struct evaluator){.batch = batch, .seq = seq, .vocab = model->vocab, .logits = logits};
    struct graph_wish wish = {.model = &still,
                              .batch = batch,
                              .seq = seq,
                              .split = split,
                              .workers = para_machine_workers(machine),
                              .use = logits ? GRAPH_LOSS_AND_LOGITS : GRAPH_LOSS};
    TRY(graph_make(&e->graph, &wish, NULL));
    if (para_session_new(&e->session, e->graph, machine, NULL, &err) < 0)
        return broken(&err);
    size_t places = (size_t)(batch * seq);
    e->tokens = calloc(places, sizeof *e->tokens);
    e->targets = calloc(places, sizeof *e->targets);
    e->rows = logits ? calloc(places * (size_t)model->vocab, sizeof *e->rows) : NULL;
    return e->tokens && e->targets && (e->rows || !logits) ? EXIT_DONE : out_of_memory();
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

/* The bytes of the whole value that `t` is a tile of; *first tells whether `t` is its first tile. */
static size_t whole_bytes(const para_tensor *t, bool *first)
{
    size_t bytes = para_dtype_bytes(para_tensor_dtype(t));
    *first = true;
    for (int d = 0; d < para_tensor_rank(t); d++) {
        bytes *= (size_t)para_tensor_whole(t, d);
        *first = *first && para_tensor_begin(t, d) == 0;
    }
    return bytes;
}

int evaluator_take(struct evaluator *e, const para_graph *g, para_session *from)
{
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        bool first;
        size_t bytes = whole_bytes(t, &first);
        if (para_tensor_kind(t) != PARA_PARAMETER || para_tensor_producer(t) || !first)
            continue;
        para_error err;
        void *value = malloc(bytes);
        if (!value)
            return out_of_memory();
        int status = para_session_get(from, para_tensor_base(t), value, bytes, &err);
        status = status < 0 ? status : para_session_set(e->session, para_tensor_base(t), value, bytes, &err);
        free(value);
        if (status < 0)
            return broken(&err);
    }
    return EXIT_DONE;
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
    if (!e->logits)
        return EXIT_DONE;
    size_t row = (size_t)e->vocab, rows = (size_t)(windows * e->seq);
    if (para_session_get(e->session, "logits", e->rows, places * row * sizeof *e->rows, &err) < 0)
        return broken(&err);
    return fwrite(e->rows, row * sizeof *e->rows, rows, e->logits) == rows ? EXIT_DONE
                                                                           : failed("the logits can't be written");
}

int evaluator_run(struct evaluator *e, const para_dataset *data, struct evaluation *out)
{
    int64_t windows = para_dataset_windows(data, e->seq);
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
    }
    *out = (struct evaluation){sum / (double)windows, windows * e->seq};
    return EXIT_DONE;
}
