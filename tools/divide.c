/* Dividing a text into parts of about as many tokens each, at the ends of lines, sentences or words. */
#include "tools/generate.h"
#include "tools/span.h"

#include "base/grow.h"

#include <stdlib.h>
#include <string.h>

/* --- ends --- */

/* The length of the mark that ends a sentence, or of one that may close it behind that, where the text stands; 0: none.
 */
static size_t mark(const char *const marks[], const char *text, size_t bytes)
{
    for (; *marks; marks++) {
        size_t length = strlen(*marks);
        if (length <= bytes && memcmp(text, *marks, length) == 0)
            return length;
    }
    return 0;
}

/* Where what may end a sentence is over that begins at `at`: marks and what closes them. *ends: it does end one, for a
 * space or nothing follows, or the last mark is one that no space follows. */
static size_t end_of_sentence(const char *text, size_t bytes, size_t at, bool *ends)
{
    static const char *const marks[] = {".", "!", "?", "。", NULL};
    static const char *const closing[] = {"\"", "'", ")", "]", "}", "”", "’", "»", "」", "』", "）", NULL};
    size_t begin = at, last = 0, length;
    while ((length = mark(marks, text + at, bytes - at)) > 0) {
        last = length;
        at += length;
    }
    while (at > begin && (length = mark(closing, text + at, bytes - at)) > 0)
        at += length;
    *ends = at > begin && (last > 1 || at == bytes || is_blank(text[at]));
    return at;
}

/* Whether a text may be cut before `at`, which isn't its beginning. */
static bool ends_at(const char *text, size_t at, enum text_end kind)
{
    if (text[at - 1] == '\n')
        return true;
    return kind == END_OF_WORD && is_blank(text[at]) && !is_blank(text[at - 1]);
}

int text_ends(const char *text, size_t bytes, enum text_end kind, size_t **ends, int64_t *count)
{
    size_t over = 0;
    int64_t room = 0;
    bool sentence = false;
    *ends = NULL;
    *count = 0;
    for (size_t at = 1; at < bytes; at++) {
        if (kind >= END_OF_SENTENCE && at > over)
            over = end_of_sentence(text, bytes, at - 1, &sentence);
        if (!(sentence && over == at) && !ends_at(text, at, kind))
            continue;
        if (para_reserve(ends, *count + 1, &room, sizeof **ends) < 0)
            return out_of_memory("the ends of a text", (double)*count * sizeof **ends);
        (*ends)[(*count)++] = at;
    }
    return EXIT_DONE;
}

/* --- parts --- */

/* A text with how many of its tokens end by each of its ends. */
struct divided {
    const char *text;
    size_t bytes;
    size_t *ends;
    int64_t count;   /* of them */
    int64_t *tokens; /* before each */
    int64_t total;
};

static int count_tokens(struct divided *d, const para_tokenizer *t)
{
    para_error err;
    int32_t *ids;
    if (para_tokenizer_encode(t, d->text, d->bytes, true, &ids, &d->total, &err) < 0)
        return failed("--prompt: %s", err.message);
    d->tokens = malloc((size_t)d->count * sizeof *d->tokens + 1);
    if (!d->tokens) {
        para_tokens_free(ids);
        return out_of_memory("the ends of a text", (double)d->count * sizeof *d->tokens);
    }
    size_t at = 0;
    int64_t end = 0;
    for (int64_t i = 0; i < d->total && end < d->count; i++) {
        size_t more = 0;
        para_tokenizer_token(t, ids[i], &more);
        for (at += more; end < d->count && d->ends[end] < at; end++)
            d->tokens[end] = i;
    }
    for (; end < d->count; end++)
        d->tokens[end] = d->total;
    para_tokens_free(ids);
    return EXIT_DONE;
}

/* Of ends `from` to `to` - 1 the one with a number of tokens before it that is nearest to `wanted`; the first of two.
 */
static int64_t nearest(const struct divided *d, int64_t from, int64_t to, double wanted)
{
    int64_t best = from;
    for (int64_t i = from + 1; i < to && (double)d->tokens[i - 1] < wanted; i++)
        if ((double)d->tokens[i] - wanted < wanted - (double)d->tokens[best])
            best = i;
    return best;
}

/* Cut at the end that is nearest to each part's share, leaving an end for each part that follows. */
static int cut(struct prompts *p, const struct divided *d, int64_t parts, const para_tokenizer *t)
{
    size_t begin = 0;
    int64_t next = 0;
    for (int64_t part = 0; part < parts; part++) {
        size_t end = d->bytes;
        if (part + 1 < parts) {
            double share = (double)d->total * (double)(part + 1) / (double)parts;
            int64_t at = nearest(d, next, d->count - (parts - 2 - part), share);
            end = d->ends[at];
            next = at + 1;
        }
        TRY(prompts_add(p, part, d->text + begin, end - begin, t));
        begin = end;
    }
    return EXIT_DONE;
}

int prompts_divide(struct prompts *p, const char *text, size_t bytes, int64_t parts, const para_tokenizer *t)
{
    struct divided d = {.text = text, .bytes = bytes};
    int code = EXIT_DONE;
    for (int kind = END_OF_LINE; kind <= END_OF_WORD && code == EXIT_DONE && (kind == 0 || d.count < parts - 1);
         kind++) {
        free(d.ends);
        code = text_ends(text, bytes, (enum text_end)kind, &d.ends, &d.count);
    }
    if (code == EXIT_DONE && d.count < parts - 1) {
        message(
            "--divide %lld: the prompt has %lld end%s of lines, sentences and words within, so it is divided into %lld",
            (long long)parts, (long long)d.count, d.count == 1 ? "" : "s", (long long)d.count + 1);
        parts = d.count + 1;
    }
    code = code ? code : count_tokens(&d, t);
    code = code ? code : cut(p, &d, parts, t);
    free(d.ends);
    free(d.tokens);
    return code;
}
