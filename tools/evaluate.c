/* Evaluation: batches of windows in order. */
#include "tools/evaluate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int64_t windows_count(const struct windows *w)
{
    int64_t scored = w->tokens - 1, later = scored - w->seq;
    if (w->whole ? later < 0 : scored < 1)
        return 0;
    return later <= 0 ? 1 : 1 + later / w->stride + (!w->whole && later % w->stride != 0);
}

struct window windows_at(const struct windows *w, int64_t i)
{
    int64_t first = i == 0 ? 1 : 1 + w->seq + (i - 1) * w->stride;
    int64_t end = i == 0 ? 1 + w->seq : first + w->stride;
    end = end < w->tokens ? end : w->tokens;
    return (struct window){end > w->seq ? end - w->seq - 1 : 0, first, end};
}

int64_t windows_scored(const struct windows *w)
{
    int64_t count = windows_count(w);
    return count > 0 ? windows_at(w, count - 1).end - 1 : 0;
}

int evaluator_open(struct evaluator *e, const struct scorer_wish *wish, int64_t seq, int64_t stride, bool whole,
                   bool logits)
{
    *e = (struct evaluator){.rows = wish->options.rows,
                            .seq = seq,
                            .vocab = para_model_measure(wish->model).vocab,
                            .stride = stride,
                            .whole = whole};
    struct scorer_wish own = *wish;
    own.options.longest = seq;
    own.options.one_length = true;
    TRY(scorer_open(&e->scorer, &own));
    size_t rows = (size_t)e->rows, tokens = rows * (size_t)(seq + 1), floats = logits ? tokens * (size_t)e->vocab : 0;
    e->texts = calloc(rows, sizeof *e->texts);
    e->tokens = calloc(tokens, sizeof *e->tokens);
    e->logits = logits ? calloc(floats, sizeof *e->logits) : NULL;
    return e->texts && e->tokens && (e->logits || !logits)
               ? EXIT_DONE
               : out_of_memory("a batch with its logits", (double)((tokens + floats) * sizeof *e->logits));
}

void evaluator_close(struct evaluator *e)
{
    para_scorer_free(e->scorer);
    free(e->tokens);
    free(e->logits);
    free(e->texts);
    *e = (struct evaluator){0};
}

/* Write the logits that gave the scores of a batch. */
static int write_logits(struct evaluator *e, int64_t count)
{
    para_error err;
    size_t vocab = (size_t)e->vocab, bytes = (size_t)(e->rows * e->seq) * vocab * sizeof *e->logits;
    if (para_session_get(para_scorer_session(e->scorer), "logits", e->logits, bytes, &err) < 0)
        return broken(&err);
    for (int64_t r = 0; r < count; r++) {
        const para_scored_text *t = &e->texts[r];
        size_t rows = (size_t)t->count;
        const float *from = e->logits + (size_t)(r * e->seq + t->given_count - 1) * vocab;
        if (fwrite(from, vocab * sizeof *from, rows, e->logits_file->stream) != rows)
            return failed("%s: can't be written: %s", e->logits_file->path, strerror(errno));
    }
    return EXIT_DONE;
}

/* Score windows `begin` to `begin` + count - 1; adds to *sum. */
static int run_batch(struct evaluator *e, const para_dataset *data, const struct windows *w, int64_t begin,
                     int64_t count, double *sum)
{
    para_error err;
    for (int64_t r = 0; r < count; r++) {
        struct window at = windows_at(w, begin + r);
        int32_t *tokens = e->tokens + r * (w->seq + 1);
        if (para_dataset_read(data, at.begin, at.end - at.begin, tokens, &err) < 0)
            return broken(&err);
        e->texts[r] = (para_scored_text){.given = tokens,
                                         .given_count = at.first - at.begin,
                                         .tokens = tokens + at.first - at.begin,
                                         .count = at.end - at.first};
    }
    if (para_scorer_run(e->scorer, e->texts, count, NULL, NULL, &err) < 0)
        return broken(&err);
    for (int64_t r = 0; r < count; r++)
        *sum -= e->texts[r].sum;
    return e->logits ? write_logits(e, count) : EXIT_DONE;
}

int evaluator_run(struct evaluator *e, const para_dataset *data, struct evaluation *out)
{
    struct windows w = {para_dataset_tokens(data), e->seq, e->stride, e->whole};
    int64_t windows = windows_count(&w), batch = e->rows;
    double sum = 0;
    *out = (struct evaluation){0};
    if (windows == 0)
        return failed("the text has %lld tokens, expected at least %lld for a window and its target",
                      (long long)w.tokens, (long long)(w.whole ? w.seq : 1) + 1);
    for (int64_t done = 0; done < windows;) {
        int64_t count = windows - done < batch ? windows - done : batch;
        if (e->stop && *e->stop)
            return EXIT_DONE;
        TRY(run_batch(e, data, &w, done, count, &sum));
        done += count;
        if (e->progress)
            progress_step(e->progress, done, sum / (double)(windows_at(&w, done - 1).end - 1));
    }
    *out = (struct evaluation){sum / (double)windows_scored(&w), windows_scored(&w)};
    return EXIT_DONE;
}

int evaluator_run_answers(struct evaluator *e, const para_answers *answers, int64_t first, struct evaluation *out)
{
    para_error err;
    int64_t all = para_answers_count(answers), tokens = 0, count;
    double sum = 0;
    *out = (struct evaluation){0};
    for (int64_t done = first; done < all; done += count) {
        if (e->stop && *e->stop)
            return EXIT_DONE;
        for (count = 0; count < e->rows && done + count < all; count++) {
            const para_answer *a = para_answers_item(answers, done + count);
            e->texts[count] = (para_scored_text){.given = a->tokens,
                                                 .given_count = a->prompt,
                                                 .tokens = a->tokens + a->prompt,
                                                 .count = a->count - a->prompt};
        }
        if (para_scorer_run(e->scorer, e->texts, count, NULL, NULL, &err) < 0)
            return broken(&err);
        for (int64_t r = 0; r < count; r++) {
            sum -= e->texts[r].sum;
            tokens += e->texts[r].count;
        }
    }
    *out = (struct evaluation){sum / (double)tokens, tokens};
    return EXIT_DONE;
}
