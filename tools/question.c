/* Questions as rows of a scorer: the text, then one of its continuations, whose tokens are scored. */
#include "tools/question.h"

#include "base/grow.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void questions_begin(struct questions *q, const struct vocabulary *vocabulary, const char *source, int64_t context)
{
    *q = (struct questions){.vocabulary = vocabulary, .source = source, .context = context};
}

void questions_free(struct questions *q)
{
    for (int64_t i = 0; q->count > 0 && i < q->first[q->count]; i++)
        free(q->options[i].scores);
    free(q->options);
    free(q->first);
    *q = (struct questions){0};
}

/* Ids of some bytes after a blank. */
struct ids {
    int32_t *ids;
    int64_t count;
};

static int encode(const struct questions *q, int64_t line, struct span blank, struct span text, struct ids *out)
{
    para_error err;
    size_t bytes = blank.count + text.count;
    char *both = malloc(bytes + 1);
    if (!both)
        return out_of_memory("a text", (double)bytes);
    memcpy(both, blank.bytes, blank.count);
    memcpy(both + blank.count, text.bytes, text.count);
    int status = para_tokenizer_encode(q->vocabulary->tokenizer, both, bytes, false, &out->ids, &out->count, &err);
    free(both);
    return status < 0 ? failed("%s:%lld: %s", q->source, (long long)line, err.message) : EXIT_DONE;
}

/* One block: room for the scores, then the tokens. */
static int lay(struct scored_text *out, const struct ids *text, int64_t begin, const struct ids *option)
{
    int64_t before = text->count - begin, count = before + option->count;
    float *scores = malloc((size_t)(option->count + count) * sizeof *scores);
    if (!scores)
        return out_of_memory("a text", (double)(option->count + count) * sizeof *scores);
    int32_t *tokens = (int32_t *)(void *)(scores + option->count);
    memcpy(tokens, text->ids + begin, (size_t)before * sizeof *tokens);
    memcpy(tokens + before, option->ids, (size_t)option->count * sizeof *tokens);
    *out = (struct scored_text){tokens, count, before, scores};
    return EXIT_DONE;
}

/* Add the options' tokens behind as much of the text's as fit. */
static int lay_all(struct questions *q, int64_t line, const struct ids *text, const struct ids *options, int count)
{
    int64_t first = q->count > 0 ? q->first[q->count] : 0, longest = 0;
    for (int i = 0; i < count; i++)
        longest = options[i].count > longest ? options[i].count : longest;
    int64_t fit = q->context + 1 - longest, begin = text->count > fit ? text->count - fit : 0;
    if (fit < 1)
        return failed("%s:%lld: a continuation has %lld tokens, expected at most the context's %lld", q->source,
                      (long long)line, (long long)longest, (long long)q->context);
    if (para_reserve(&q->options, first + count, &q->option_room, sizeof *q->options) < 0 ||
        para_reserve(&q->first, q->count + 2, &q->room, sizeof *q->first) < 0)
        return out_of_memory("questions", (double)(first + count) * sizeof *q->options);
    for (int i = 0; i < count; i++) {
        int code = lay(&q->options[first + i], text, begin, &options[i]);
        for (int laid = 0; code && laid < i; laid++)
            free(q->options[first + laid].scores);
        TRY(code);
    }
    q->first[q->count] = first;
    q->first[++q->count] = first + count;
    q->shortened += begin > 0;
    return EXIT_DONE;
}

int questions_add(struct questions *q, int64_t line, struct span text, const struct span *options, int count,
                  bool apart)
{
    struct ids of_text = {0}, *of_options = calloc((size_t)count, sizeof *of_options);
    struct span blank = {text.bytes + text.count, 0};
    for (; text.count > 0 && is_blank(text.bytes[text.count - 1]); text.count--)
        blank = (struct span){blank.bytes - 1, blank.count + 1};
    int code = of_options ? EXIT_DONE : out_of_memory("continuations", (double)count * sizeof *of_options);
    if (code == EXIT_DONE && text.count == 0)
        code =
            failed("%s:%lld: nothing but white space stands before what is to be scored", q->source, (long long)line);
    code = code ? code : encode(q, line, (struct span){"", 0}, text, &of_text);
    for (int i = 0; i < count && code == EXIT_DONE; i++)
        code = encode(q, line, apart && blank.count == 0 && !is_blank(options[i].bytes[0]) ? span_of(" ") : blank,
                      options[i], &of_options[i]);
    code = code ? code : lay_all(q, line, &of_text, of_options, count);
    para_tokens_free(of_text.ids);
    for (int i = 0; of_options && i < count; i++)
        para_tokens_free(of_options[i].ids);
    free(of_options);
    return code;
}

static int check_scores(const struct questions *q)
{
    for (int64_t i = 0; i < q->first[q->count]; i++)
        for (int64_t k = 0; k < q->options[i].count - q->options[i].first; k++)
            if (!isfinite(q->options[i].scores[k]))
                return failed("%s: the model gives a token the log-probability %g, expected a finite number", q->source,
                              shown(q->options[i].scores[k]));
    return EXIT_DONE;
}

int questions_ask(struct questions *q, const struct scorer_wish *wish)
{
    struct scorer_wish own = *wish;
    struct scorer scorer = {0};
    int64_t count = q->first[q->count];
    for (int64_t i = 0; i < count; i++)
        own.longest = q->options[i].count - 1 > own.longest ? q->options[i].count - 1 : own.longest;
    own.batch = own.batch < count ? own.batch : count;
    int code = scorer_open(&scorer, &own);
    code = code ? code : scorer_run(&scorer, q->options, count);
    scorer_close(&scorer);
    return code ? code : check_scores(q);
}

double questions_sum(const struct questions *q, int64_t question, int option)
{
    const struct scored_text *t = &q->options[q->first[question] + option];
    double sum = 0;
    for (int64_t i = 0; i < t->count - t->first; i++)
        sum += t->scores[i];
    return sum;
}

int64_t questions_tokens(const struct questions *q, int64_t question, int option)
{
    const struct scored_text *t = &q->options[q->first[question] + option];
    return t->count - t->first;
}
