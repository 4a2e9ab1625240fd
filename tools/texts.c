/* Texts as they are made, and how they are told: as text, as JSON, put together, or as votes. */
#include "tools/generate.h"
#include "tools/lines.h"

#include "base/grow.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A text, from when it is submitted until it is told. */
struct answer {
    struct answer *next;
    int64_t number;             /* of the continuation or the line */
    const struct prompt *given; /* NULL: the prompt that all continue */
    char *text;
    size_t bytes, shown;
    int32_t *tokens;
    int64_t count;
    para_likelihood *likelihoods; /* 1 + N of each token; NULL: not told */
    int64_t likely, likely_room;  /* tokens that they are of, and that there is room for */
    para_finish finish;
    double first_s, tokens_per_s; /* when its first token came; of those after it */
};

/* A run. */
struct telling {
    const struct texts *t;
    const struct generate_options *o;
    para_generator *generator;
    int64_t vocab, total, submitted;
    int32_t *ends; /* of the model's files */
    int64_t end_count;
    struct answer *first, **end; /* submitted and not yet told, in order */
    bool show;                   /* write the only text as it grows */
    bool json, concat;           /* an object for each; one after another, without a word between */
    bool refused;                /* a prompt was */
    int code;                    /* of what went wrong in the callback */
};

/* --- telling --- */

static void print_likelihood(const struct telling *t, const para_likelihood *l)
{
    size_t bytes = 0;
    const unsigned char *piece = para_tokenizer_token(t->t->vocabulary->tokenizer, l->id, &bytes);
    printf("{\"id\":%d,\"text\":", l->id);
    write_json_bytes(stdout, piece ? (const char *)piece : "", bytes);
    fputs(",\"bytes\":[", stdout);
    for (size_t i = 0; i < bytes; i++)
        printf("%s%d", i ? "," : "", piece[i]);
    write_json_number(stdout, "],\"logprob\":", l->log_probability);
}

/* Each token, and within it those that might have stood in its place. */
static void print_likelihoods(const struct telling *t, const struct answer *a)
{
    const para_likelihood *l = a->likelihoods;
    fputs(",\"logprobs\":[", stdout);
    for (int64_t i = 0; i < a->likely; i++) {
        fputs(i ? "," : "", stdout);
        print_likelihood(t, l++);
        fputs(",\"top\":[", stdout);
        for (int64_t k = 0; k < t->o->alternatives; k++, l++) {
            fputs(k ? "," : "", stdout);
            print_likelihood(t, l);
            putchar('}');
        }
        fputs("]}", stdout);
    }
    putchar(']');
}

/* What texts are called. */
static const char *label(const struct telling *t)
{
    return t->o->prompts ? "line" : t->o->parts ? "part" : "continuation";
}

static void print_json(const struct telling *t, const struct answer *a)
{
    printf("{\"%s\":%lld", label(t), (long long)a->number);
    if (t->o->parts || (t->o->chat && a->given)) {
        fputs(",\"prompt\":", stdout);
        write_json_bytes(stdout, a->given->text, a->given->bytes);
    }
    fputs(",\"text\":", stdout);
    write_json_bytes(stdout, a->text, a->bytes);
    fputs(",\"tokens\":[", stdout);
    for (int64_t i = 0; i < a->count; i++)
        printf("%s%d", i ? "," : "", a->tokens[i]);
    putchar(']');
    if (t->o->alternatives >= 0)
        print_likelihoods(t, a);
    printf(",\"finish\":\"%s\"", para_finish_name(a->finish));
    write_json_number(stdout, ",\"tokens_per_s\":", a->tokens_per_s);
    puts("}");
}

static void print_text(const struct telling *t, const struct answer *a)
{
    if (!t->concat)
        printf("--- %s %lld ---\n", label(t), (long long)a->number);
    if (a->given && !t->o->chat)
        fwrite(a->given->text, 1, a->given->bytes, stdout);
    else if (!t->o->chat)
        fputs(t->o->prompt, stdout);
    fwrite(a->text, 1, a->bytes, stdout);
    if (!t->concat)
        putchar('\n');
}

static void print_refused(const struct telling *t, const struct answer *a)
{
    message("%s:%lld: %s", lines_name(t->o->prompts), (long long)a->number, a->given->refused);
    if (!t->o->json)
        return;
    printf("{\"line\":%lld,\"error\":", (long long)a->number);
    write_json_string(stdout, a->given->refused);
    puts("}");
}

static int tell(struct telling *t, const struct answer *a)
{
    if (t->t->vote)
        return vote_cast(t->t->vote, a->number, a->text, a->bytes);
    if (a->given && a->given->refused)
        print_refused(t, a);
    else if (t->json)
        print_json(t, a);
    else if (!t->show)
        print_text(t, a);
    TRY(flush_output());
    return t->t->chat ? chat_add(t->t->chat, "assistant", a->text, a->bytes) : EXIT_DONE;
}

static void free_answer(struct answer *a)
{
    free(a->text);
    free(a->tokens);
    free(a->likelihoods);
    free(a);
}

static bool is_done(const struct answer *a)
{
    return a->finish || (a->given && a->given->refused);
}

/* Tell of those that are done: of the first of all, or, as they are done, of any. */
static int tell_done(struct telling *t)
{
    struct answer **at = &t->first;
    while (*at && (is_done(*at) || t->o->as_done)) {
        struct answer *a = *at;
        if (!is_done(a)) {
            at = &a->next;
            continue;
        }
        *at = a->next;
        int code = tell(t, a);
        free_answer(a);
        TRY(code);
    }
    t->end = at;
    while (*t->end)
        t->end = &(*t->end)->next;
    return EXIT_DONE;
}

/* --- submitting --- */

static int submit(struct telling *t, struct answer *a)
{
    para_error err;
    const struct generate_options *o = t->o;
    para_sequence s = {.count = o->count,
                       .sampling = o->sampling,
                       .stream = (uint64_t)(a->given ? o->first : a->number),
                       .stops = o->stops.paths,
                       .stop_count = o->stops.count,
                       .ends = t->ends,
                       .end_count = o->ignore_eos ? 0 : t->end_count,
                       .user = a};
    if (a->given) {
        s.tokens = a->given->tokens;
        s.length = a->given->count;
        s.count = a->given->most && a->given->most < s.count ? a->given->most : s.count;
    }
    return para_generator_submit(t->generator, &s, &err) < 0 ? refused("", &err) : EXIT_DONE;
}

/* Submit the next text; one whose prompt was refused is done at once, and the one after it is next. */
static int submit_next(struct telling *t)
{
    bool skipped = true;
    while (skipped && t->submitted < t->total) {
        struct answer *a = calloc(1, sizeof *a);
        if (!a)
            return out_of_memory("a text", (double)sizeof *a);
        int64_t i = t->submitted++;
        *t->end = a;
        t->end = &a->next;
        a->given = t->t->prompts->count ? &t->t->prompts->of[i] : NULL;
        a->number = a->given ? a->given->number : t->o->first + i;
        skipped = a->given && a->given->refused;
        t->refused = t->refused || skipped;
        if (!skipped)
            TRY(submit(t, a));
    }
    return EXIT_DONE;
}

/* --- made --- */

static int show(struct telling *t, struct answer *a, const para_text *text)
{
    bool more = text->bytes > a->shown;
    fwrite(text->text + a->shown, 1, text->bytes - a->shown, stdout);
    a->shown = text->bytes;
    return more && (t->o->stream || isatty(STDOUT_FILENO)) ? flush_output() : EXIT_DONE;
}

static int keep_likelihood(const struct telling *t, struct answer *a, const para_text *text)
{
    int64_t each = 1 + t->o->alternatives;
    size_t bytes = (size_t)each * sizeof *a->likelihoods;
    if (para_reserve(&a->likelihoods, a->likely + 1, &a->likely_room, bytes) < 0)
        return out_of_memory("log-probabilities", (double)a->likely * (double)bytes);
    para_likelihoods(text->logits, t->vocab, text->tokens[text->count - 1], a->likelihoods + a->likely++ * each,
                     t->o->alternatives);
    return EXIT_DONE;
}

static int keep_text(struct answer *a, const para_text *text)
{
    size_t tokens = (size_t)text->count * sizeof *a->tokens;
    a->text = malloc(text->bytes + 1);
    a->tokens = malloc(tokens + 1);
    if (!a->text || !a->tokens)
        return out_of_memory("a text", (double)(text->bytes + tokens));
    memcpy(a->text, text->text, text->bytes);
    memcpy(a->tokens, text->tokens, tokens);
    a->bytes = text->bytes;
    a->count = text->count;
    a->finish = text->finish;
    double seconds = now_s() - a->first_s;
    a->tokens_per_s = text->count > 1 ? (double)(text->count - 1) / seconds : 0;
    return EXIT_DONE;
}

static int take(struct telling *t, const para_text *text)
{
    struct answer *a = text->user;
    if (!a->first_s)
        a->first_s = now_s();
    if (t->show)
        TRY(show(t, a, text));
    if (t->o->alternatives >= 0 && text->count > a->likely)
        TRY(keep_likelihood(t, a, text));
    if (!text->finish)
        return EXIT_DONE;
    TRY(keep_text(a, text));
    TRY(submit_next(t));
    return tell_done(t);
}

static int on_token(void *user, const para_text *text, para_error *err)
{
    struct telling *t = user;
    (void)err;
    t->code = take(t, text);
    return t->code ? PARA_EIO : 0; /* said already */
}

static int make(struct telling *t)
{
    para_error err;
    int ahead = 8 * PARA_GENERATOR_ROWS;
    for (int i = 0; i < ahead; i++)
        TRY(submit_next(t));
    if (t->show && !t->o->chat)
        fputs(t->o->prompt, stdout);
    int status = para_generator_run(t->generator, on_token, t, &err);
    int code = status < 0 ? EXIT_DONE : tell_done(t);
    if (t->show || t->concat)
        putchar('\n');
    if (status < 0)
        return t->code ? t->code : failed("%s: %s", t->o->model, err.message);
    TRY(code);
    return t->refused ? EXIT_FAILED : EXIT_DONE;
}

/* The ends that the model's files have, and the token that ends a turn. */
static int find_ends(struct telling *t)
{
    para_error err;
    int32_t id = t->t->end ? para_tokenizer_special(t->t->vocabulary->tokenizer, t->t->end) : -1;
    if (para_checkpoint_ends(t->o->model, &t->ends, &t->end_count, &err) < 0)
        return broken(&err);
    if (id < 0)
        return EXIT_DONE;
    int32_t *more = realloc(t->ends, (size_t)(t->end_count + 1) * sizeof *more);
    if (!more)
        return out_of_memory("the ends of a text", (double)sizeof *more);
    t->ends = more;
    t->ends[t->end_count++] = id;
    return EXIT_DONE;
}

int texts_make(const struct texts *texts, para_generator *g, const para_model *model)
{
    para_error err;
    struct telling t = {.t = texts, .o = texts->o, .generator = g, .vocab = para_model_measure(model).vocab};
    bool alone = texts->chat || (!texts->prompts->count && t.o->continuations == 1);
    t.total = texts->prompts->count ? texts->prompts->count : t.o->continuations;
    t.json = t.o->json || (t.o->parts && strcmp(t.o->join, "list") == 0);
    t.concat = t.o->parts && !t.json;
    t.show = alone && !t.json && !texts->vote;
    t.end = &t.first;
    if (!texts->prompts->count && para_generator_share(g, texts->prompt, texts->prompt_count, &err) < 0)
        return refused("", &err);
    int code = find_ends(&t);
    code = code ? code : make(&t);
    for (struct answer *a = t.first, *next; a; a = next) {
        next = a->next;
        free_answer(a);
    }
    para_tokens_free(t.ends);
    return code;
}
