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
    for (int64_t i = 0; i < q->count; i++)
        free(q->of[i].tokens);
    free(q->of);
    free(q->options);
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

/* The text's tokens from `begin` on, which all options share, and theirs, in one block. NULL without memory. */
static int32_t *lay(const struct ids *text, int64_t begin, const struct ids *options, int count)
{
    int64_t all = text->count - begin;
    for (int i = 0; i < count; i++)
        all += options[i].count;
    int32_t *tokens = malloc((size_t)all * sizeof *tokens), *to = tokens;
    for (int i = -1; i < count && tokens; i++) {
        const int32_t *from = i < 0 ? text->ids + begin : options[i].ids;
        int64_t some = i < 0 ? text->count - begin : options[i].count;
        memcpy(to, from, (size_t)some * sizeof *to);
        to += some;
    }
    return tokens;
}

/* Add the options' tokens behind as much of the text's as fit. */
static int lay_all(struct questions *q, int64_t line, const struct ids *text, const struct ids *options, int count)
{
    int64_t first = questions_count(q);
    int which = 0;
    for (int i = 0; i < count; i++)
        which = options[i].count > options[which].count ? i : which;
    int64_t longest = options[which].count;
    int64_t fit = q->context + 1 - longest, begin = text->count > fit ? text->count - fit : 0;
    if (fit < 1)
        return failed("%s:%lld: %s %lld tokens, expected at most the context's %lld", q->labels ? q->labels : q->source,
                      q->labels ? which + 1 : (long long)line,
                      q->labels ? "the label, with what the template has after it, takes" : "a continuation has",
                      (long long)longest, (long long)q->context);
    int32_t *tokens = lay(text, begin, options, count);
    if (!tokens || para_reserve(&q->options, first + count, &q->option_room, sizeof *q->options) < 0 ||
        para_reserve(&q->of, q->count + 2, &q->room, sizeof *q->of) < 0) {
        free(tokens);
        return out_of_memory("questions", (double)(first + count) * sizeof *q->options);
    }
    int64_t given = text->count - begin, at = given;
    for (int i = 0; i < count; at += options[i++].count)
        q->options[first + i] = (para_scored_text){tokens, given, tokens + at, options[i].count, NULL, 0};
    q->of[q->count] = (struct question){tokens, first, line};
    q->of[++q->count] = (struct question){NULL, first + count, 0};
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

static int check_scores(const struct questions *q, const char *model)
{
    for (int64_t i = 0; i < q->count; i++)
        for (int64_t k = q->of[i].first; k < q->of[i + 1].first; k++)
            if (!isfinite(q->options[k].sum))
                return failed("%s: gives line %lld of %s the log-probability %g, expected a finite number", model,
                              (long long)q->of[i].line, q->source, shown(q->options[k].sum));
    return EXIT_DONE;
}

/* What a run of the scorer counts on. */
struct counting {
    struct progress *progress;
    int64_t before; /* done before it */
};

static void count_on(void *user, int64_t done, int64_t count)
{
    struct counting *c = user;
    (void)count;
    progress_count(c->progress, c->before + done);
}

int questions_ask(struct questions *q, const struct scorer_wish *wish, struct progress *progress)
{
    para_error err;
    para_scorer *scorer;
    struct scorer_wish own = *wish;
    struct counting counting = {progress, progress->done};
    int64_t count = questions_count(q);
    own.options.longest = 1;
    for (int64_t i = 0; i < count; i++) {
        int64_t read = q->options[i].given_count + q->options[i].count - 1;
        own.options.longest = read > own.options.longest ? read : own.options.longest;
    }
    own.options.rows = own.options.rows < count ? own.options.rows : count;
    TRY(scorer_open(&scorer, &own));
    int status = para_scorer_run(scorer, q->options, count, count_on, &counting, &err);
    para_scorer_free(scorer);
    progress_end(progress);
    return status < 0 ? broken(&err) : check_scores(q, wish->folder);
}

int64_t questions_count(const struct questions *q)
{
    return q->count > 0 ? q->of[q->count].first : 0;
}

const para_scored_text *questions_options(const struct questions *q, int64_t question)
{
    return q->options + q->of[question].first;
}
