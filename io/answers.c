/* Prompts and answers, read from JSON lines. */
#include <paragraph/data.h>

#include "base/fail.h"
#include "base/grow.h"
#include "io/draw.h"
#include "io/lines.h"

#include <stdlib.h>
#include <string.h>

enum { NOT_COUNTED = -100 };

struct para_answers {
    para_answer *item; /* their tokens are set when all is read */
    int count, capacity;
    int32_t *tokens;
    int64_t token_count, token_room;
    int64_t longest; /* of a row */
};

/* What lines are read by. */
struct reading {
    para_answers *a;
    const para_tokenizer *tokenizer;
    int32_t end; /* negative: none */
    int64_t vocab, longest;
};

static int append(para_answers *a, const int32_t *ids, int64_t count, para_error *err)
{
    if (para_reserve(&a->tokens, a->token_count + count, &a->token_room, sizeof *a->tokens) < 0)
        return para_fail_memory(err, "answers");
    for (int64_t i = 0; i < count; i++)
        a->tokens[a->token_count++] = ids[i];
    return 0;
}

static int check_ids(const struct reading *r, const struct para_line *l, const int32_t *ids, int64_t count,
                     para_error *err)
{
    for (int64_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= r->vocab)
            return para_fail(err, PARA_ERANGE, "%s:%lld: has the token %d, expected 0 to %lld", l->path,
                             (long long)l->number, ids[i], (long long)r->vocab - 1);
    return 0;
}

/* The ids of a prompt, as one that is to be continued has them, and of its answer. */
struct ids {
    int32_t *prompt, *both;
    int64_t prompt_count, both_count;
};

/* The two are read as one text, by which an answer has no space of its own before it, unless the border between them
 * lies within a token: then as two. */
static int encode(const struct reading *r, const char *prompt, const char *answer, struct ids *out, para_error *err)
{
    size_t length = strlen(prompt), more = strlen(answer);
    char *text = malloc(length + more + 1);
    if (!text)
        return para_fail_memory(err, "a line");
    memcpy(text, prompt, length);
    memcpy(text + length, answer, more + 1);
    int status = para_tokenizer_prompt(r->tokenizer, prompt, length, &out->prompt, &out->prompt_count, err);
    if (status == 0)
        status = para_tokenizer_prompt(r->tokenizer, text, length + more, &out->both, &out->both_count, err);
    free(text);
    size_t bytes = (size_t)out->prompt_count * sizeof *out->prompt;
    if (status < 0 || (out->both_count > out->prompt_count && memcmp(out->both, out->prompt, bytes) == 0))
        return status;
    int32_t *own;
    int64_t count;
    PARA_TRY(para_tokenizer_encode(r->tokenizer, answer, more, true, &own, &count, err));
    para_tokens_free(out->both);
    out->both = malloc(bytes + (size_t)count * sizeof *own + 1);
    out->both_count = out->both ? out->prompt_count + count : 0;
    if (out->both) {
        memcpy(out->both, out->prompt, bytes);
        memcpy(out->both + out->prompt_count, own, (size_t)count * sizeof *own);
    }
    para_tokens_free(own);
    return out->both ? 0 : para_fail_memory(err, "a line");
}

static int add(const struct reading *r, const struct para_line *l, const struct ids *ids, para_error *err)
{
    para_answers *a = r->a;
    int64_t count = ids->both_count + (r->end >= 0);
    if (ids->prompt_count < 1 || count - 1 > r->longest)
        return para_fail(err, PARA_EFORMAT,
                         "%s:%lld: has %lld tokens, %lld of the prompt; expected at least one of that, and %lld in all "
                         "at most",
                         l->path, (long long)l->number, (long long)count, (long long)ids->prompt_count,
                         (long long)r->longest + 1);
    PARA_TRY(check_ids(r, l, ids->both, ids->both_count, err));
    if (para_grow(&a->item, a->count, &a->capacity, sizeof *a->item) < 0)
        return para_fail_memory(err, "answers");
    a->item[a->count++] = (para_answer){.line = l->number, .prompt = ids->prompt_count, .count = count};
    a->longest = count - 1 > a->longest ? count - 1 : a->longest;
    PARA_TRY(append(a, ids->both, ids->both_count, err));
    return append(a, &r->end, r->end >= 0, err);
}

static int take(void *user, const struct para_line *l, para_error *err)
{
    const struct reading *r = user;
    const char *key = json_object_get(l->object, "completion") ? "completion" : "answer";
    const char *prompt = json_string_value(json_object_get(l->object, "prompt"));
    const char *answer = json_string_value(json_object_get(l->object, key));
    if (!prompt || !prompt[0])
        return para_line_fail(l, "prompt", "a string that isn't empty", err);
    if (!answer || !answer[0])
        return para_line_fail(l, key, "a string that isn't empty (in \"answer\" or \"completion\")", err);
    struct ids ids = {0};
    para_error why;
    int status = encode(r, prompt, answer, &ids, &why);
    status = status < 0 ? para_fail(err, status, "%s:%lld: %s", l->path, (long long)l->number, why.message)
                        : add(r, l, &ids, err);
    para_tokens_free(ids.prompt);
    para_tokens_free(ids.both);
    return status;
}

int para_answers_open(para_answers **out, const char *const paths[], int count, const para_tokenizer *t, int32_t end,
                      int64_t vocab, int64_t longest, para_error *err)
{
    para_answers *a = calloc(1, sizeof *a);
    struct reading r = {a, t, end, vocab, longest};
    int status = a ? 0 : para_fail_memory(err, "answers");
    for (int i = 0; i < count && status == 0; i++)
        status = para_lines_read(paths[i], "{\"prompt\": ..., \"answer\": ...}", take, &r, err);
    if (status == 0 && a->count == 0)
        status = para_fail(err, PARA_EFORMAT, "%s: has no answers, expected a JSON object a line",
                           count ? paths[count - 1] : "no file");
    const int32_t *tokens = status == 0 ? a->tokens : NULL;
    for (int i = 0; tokens && i < a->count; tokens += a->item[i++].count)
        a->item[i].tokens = tokens;
    if (status == 0)
        *out = a;
    else
        para_answers_free(a);
    return status;
}

void para_answers_free(para_answers *a)
{
    if (a) {
        free(a->item);
        free(a->tokens);
    }
    free(a);
}

int64_t para_answers_count(const para_answers *a)
{
    return a->count;
}

int64_t para_answers_longest(const para_answers *a)
{
    return a->longest;
}

const para_answer *para_answers_item(const para_answers *a, int64_t i)
{
    return i >= 0 && i < a->count ? &a->item[i] : NULL;
}

/* Lay an answer down as a row. */
static void lay_row(const para_answer *a, int64_t seq, int32_t *tokens, int32_t *targets)
{
    for (int64_t i = 0; i < seq; i++) {
        bool there = i + 1 < a->count;
        tokens[i] = there ? a->tokens[i] : 0;
        targets[i] = there && i + 1 >= a->prompt ? a->tokens[i + 1] : NOT_COUNTED;
    }
}

int para_answers_batch(const para_answers *a, int64_t first, int64_t batch, int64_t seq, int64_t step, uint64_t seed,
                       bool sequential, int32_t *tokens, int32_t *targets, para_error *err)
{
    if (batch < 1 || step < 0 || seq < a->longest || first < 1 || first > a->count)
        return para_fail(err, PARA_EINVAL,
                         "answers: batch %lld of %lld, seq %lld, step %lld; expected at least 1 of 1 to %d, %lld and 0",
                         (long long)batch, (long long)first, (long long)seq, (long long)step, a->count,
                         (long long)a->longest);
    for (int64_t row = 0; row < batch; row++) {
        int64_t i = sequential ? para_row_in_order(step, batch, row, first) : para_row_drawn(seed, step, row, first);
        lay_row(&a->item[i], seq, tokens + row * seq, targets + row * seq);
    }
    return 0;
}
