/* Many texts side by side: a queue, rows, and turns in which each row gets a token. Where a text ends, the next one of
 * the queue is read into its row. */
#include "generate/engine.h"
#include "generate/sampler.h"
#include "generate/sequence.h"

#include "base/checked.h"

#include <stdlib.h>
#include <string.h>

struct para_generator {
    struct para_engine engine;
    para_sampler *sampler;
    bool chooses_all;                            /* of the model's ids none is left out */
    float *logits, *shared_logits;               /* (rows, vocab); (vocab), after the shared prompt */
    int32_t *shared;                             /* that prompt; NULL: none was read */
    int64_t shared_length, shared_held;          /* how long it is, and how much of it is in the prefix */
    struct para_made *first, **end;              /* the queue; where the next one goes */
    struct para_made *live[PARA_GENERATOR_ROWS]; /* in the order in which they began */
    int live_count;
    struct para_made *in_row[PARA_GENERATOR_ROWS];
};

/* A run: who is told of tokens. */
struct told {
    para_text_function *function;
    void *user;
};

para_generator_options para_generator_default(void)
{
    return (para_generator_options){.rows = 1, .prompt = 512, .count = 128, .split = "auto", .stages = 1};
}

const char *para_finish_name(para_finish finish)
{
    static const char *const names[] = {
        [PARA_FINISH_LENGTH] = "length", [PARA_FINISH_STOP] = "stop", [PARA_FINISH_END] = "end"};
    return finish > PARA_GOES_ON && finish <= PARA_FINISH_END ? names[finish] : "";
}

/* --- beginning and end --- */

static int make_room(struct para_generator *g, para_error *err)
{
    const para_tokenizer *t = g->engine.options.tokenizer;
    size_t vocab = (size_t)g->engine.sizes.vocab;
    int64_t choices = t ? para_tokenizer_vocab(t) : g->engine.sizes.vocab;
    if (choices > g->engine.sizes.vocab)
        return para_fail(err, PARA_ERANGE, "the tokenizer has %lld tokens, the model a vocabulary of %lld",
                         (long long)choices, (long long)g->engine.sizes.vocab);
    g->chooses_all = choices == g->engine.sizes.vocab;
    g->logits = malloc((size_t)g->engine.options.rows * vocab * sizeof *g->logits);
    g->shared_logits = malloc(vocab * sizeof *g->shared_logits);
    if (!g->logits || !g->shared_logits)
        return para_fail_memory(err, "logits");
    return para_sampler_new(&g->sampler, choices, err);
}

int para_generator_new(para_generator **out, const char *folder, const para_model *model, para_machine *m,
                       const para_generator_options *options, para_error *err)
{
    struct para_generator *g = calloc(1, sizeof *g);
    if (!g)
        return para_fail_memory(err, "a generator");
    g->end = &g->first;
    int status = para_engine_open(&g->engine, folder, model, m, options, err);
    status = status < 0 ? status : make_room(g, err);
    if (status < 0)
        para_generator_free(g);
    else
        *out = g;
    return status;
}

/* Drop all texts. */
static void clear(struct para_generator *g)
{
    for (struct para_made *m = g->first, *next; m; m = next) {
        next = m->next;
        para_made_free(m);
    }
    for (int i = 0; i < g->live_count; i++)
        para_made_free(g->live[i]);
    g->first = NULL;
    g->end = &g->first;
    g->live_count = 0;
    memset(g->in_row, 0, sizeof g->in_row);
}

void para_generator_free(para_generator *g)
{
    if (!g)
        return;
    clear(g);
    para_engine_close(&g->engine);
    para_sampler_free(g->sampler);
    free(g->logits);
    free(g->shared_logits);
    free(g->shared);
    free(g);
}

const char *para_generator_splits(const para_generator *g)
{
    return g->engine.splits;
}

const para_session *para_generator_last_step(const para_generator *g)
{
    return g->engine.last ? g->engine.last->session : NULL;
}

static void add_counters(para_session_counters *sum, const struct para_replay *r, int count)
{
    for (int i = 0; i < count && r[i].session; i++) {
        para_session_counters c = para_session_count(r[i].session);
        sum->runs += c.runs;
        sum->tasks_created += c.tasks_created;
        sum->handles_registered += c.handles_registered;
        sum->captures += c.captures;
    }
}

para_session_counters para_generator_counters(const para_generator *g)
{
    para_session_counters sum = {0};
    add_counters(&sum, g->engine.step, PARA_STEPS);
    add_counters(&sum, g->engine.own, PARA_BLOCKS);
    add_counters(&sum, g->engine.shared, PARA_BLOCKS);
    return sum;
}

/* --- submitting --- */

static int check_tokens(const struct para_generator *g, const int32_t *tokens, int64_t length, para_error *err)
{
    const struct para_engine *e = &g->engine;
    if (!tokens || length < 1 || length > e->options.prompt)
        return para_fail(err, PARA_ERANGE, "a prompt of %lld tokens, expected 1 to %lld", (long long)length,
                         (long long)e->options.prompt);
    for (int64_t i = 0; i < length; i++)
        if (tokens[i] < 0 || tokens[i] >= e->sizes.vocab)
            return para_fail(err, PARA_ERANGE, "token %lld of a prompt is %d, expected 0 to %lld", (long long)i,
                             tokens[i], (long long)e->sizes.vocab - 1);
    return 0;
}

/* Read a prompt, which is kept, into the prefix; until that is done there is none. */
static int read_shared(struct para_generator *g, int32_t *tokens, int64_t length, para_error *err)
{
    int64_t held = para_smaller(length, g->engine.sizes.context);
    free(g->shared);
    g->shared = NULL;
    PARA_TRY(para_engine_read(&g->engine, tokens + length - held, held, -1,
                              &(struct para_told){.logits = g->shared_logits}, err));
    g->shared = tokens;
    g->shared_length = length;
    g->shared_held = held;
    return 0;
}

int para_generator_share(para_generator *g, const int32_t *tokens, int64_t length, para_error *err)
{
    if (!g->engine.options.shared)
        return para_fail(err, PARA_EINVAL, "a shared prompt, expected a generator made for one");
    if (g->first || g->live_count > 0)
        return para_fail(err, PARA_EINVAL,
                         "another shared prompt while texts wait for theirs, expected an empty queue");
    PARA_TRY(check_tokens(g, tokens, length, err));
    int32_t *copy = malloc((size_t)length * sizeof *copy);
    if (!copy)
        return para_fail_memory(err, "a prompt");
    memcpy(copy, tokens, (size_t)length * sizeof *copy);
    int status = read_shared(g, copy, length, err);
    if (status < 0)
        free(copy);
    return status;
}

/* What a text ends at. */
static int check_ends(const para_sequence *s, bool bytes, para_error *err)
{
    if (s->stop_count < 0 || s->end_count < 0)
        return para_fail(err, PARA_ERANGE, "%d stops and %lld ends, expected 0 or more of both", s->stop_count,
                         (long long)s->end_count);
    if ((s->stop_count > 0 && !s->stops) || (s->end_count > 0 && !s->ends))
        return para_fail(err, PARA_EINVAL, "%d stops and %lld ends, expected a list of each of which there are some",
                         s->stop_count, (long long)s->end_count);
    if (s->stop_count > 0 && !bytes)
        return para_fail(err, PARA_EINVAL, "stops, expected a tokenizer that gives a text's bytes");
    for (int i = 0; i < s->stop_count; i++)
        if (!s->stops[i] || !s->stops[i][0])
            return para_fail(err, PARA_EINVAL, "stop %d is empty, expected at least one byte", i);
    return 0;
}

static int check_sequence(const struct para_generator *g, const para_sequence *s, para_error *err)
{
    const para_generator_options *o = &g->engine.options;
    if (o->shared && (s->tokens || !g->shared))
        return para_fail(err, PARA_EINVAL,
                         "a prompt of a text's own, or none that was read to share, expected none and "
                         "a shared one");
    if (!o->shared)
        PARA_TRY(check_tokens(g, s->tokens, s->length, err));
    if (s->count < 1 || s->count > o->count)
        return para_fail(err, PARA_ERANGE, "%lld tokens to make, expected 1 to %lld", (long long)s->count,
                         (long long)o->count);
    PARA_TRY(check_ends(s, o->tokenizer != NULL, err));
    return para_sampling_check(&s->sampling, err);
}

int para_generator_submit(para_generator *g, const para_sequence *s, para_error *err)
{
    struct para_made *m;
    PARA_TRY(check_sequence(g, s, err));
    bool shared = g->engine.options.shared;
    PARA_TRY(para_made_new(&m, s, shared ? g->shared : s->tokens, shared ? g->shared_length : s->length, err));
    *g->end = m;
    g->end = &m->next;
    return 0;
}

/* --- making --- */

/* Append a text's next token and tell of it. */
static int go_on(struct para_generator *g, struct para_made *m, int32_t id, const float *logits,
                 const struct told *told, para_error *err)
{
    PARA_TRY(para_made_append(m, id, g->engine.options.tokenizer, err));
    para_text text = {.user = m->asked.user,
                      .tokens = m->tokens + m->length,
                      .count = m->count,
                      .text = m->text ? m->text : "",
                      .bytes = m->settled,
                      .logits = logits,
                      .finish = m->finish};
    return told->function ? told->function(told->user, &text, err) : 0;
}

/* Choose a text's next token. */
static int choose(struct para_generator *g, struct para_made *m, const float *logits, const struct told *told,
                  para_error *err)
{
    int32_t id;
    PARA_TRY(para_sampler_choose(g->sampler, &m->asked.sampling, logits, m->tokens, m->length + m->count,
                                 m->asked.stream, (uint64_t)m->count, &id, err));
    return go_on(g, m, id, logits, told, err);
}

/* Whether a text takes the likeliest token, which the engine tells, and nobody wants logits. */
static bool takes_likeliest(const struct para_generator *g, const struct para_made *m)
{
    return g->engine.options.no_logits && para_engine_tells_likeliest(&g->engine) && g->chooses_all &&
           m->asked.sampling.greedy && m->asked.sampling.repetition_penalty == 1;
}

/* Read the last `count` tokens of a text into its row, in place of what it had, and go on by them. */
static int read_own(struct para_generator *g, struct para_made *m, int64_t count, const struct told *told,
                    para_error *err)
{
    m->held = count;
    m->prefix = 0;
    PARA_TRY(para_engine_read(&g->engine, m->tokens + m->length + m->count - count, count, m->row,
                              &(struct para_told){.logits = g->logits}, err));
    return choose(g, m, g->logits, told, err);
}

/* Take from the queue the text that asks for the most tokens, of equal ones the first: rows stand empty only at the end
 * of a run, when the queue is, and the longer the last texts are, the longer. */
static struct para_made *take_longest(struct para_generator *g)
{
    struct para_made **longest = &g->first;
    for (struct para_made **at = longest; *at; at = &(*at)->next)
        longest = (*at)->asked.count > (*longest)->asked.count ? at : longest;
    struct para_made *m = *longest;
    *longest = m->next;
    if (!*longest)
        g->end = longest;
    return m;
}

/* A text of the queue gets a row, is read, and has its first token. */
static int begin(struct para_generator *g, const struct told *told, para_error *err)
{
    struct para_made *m = take_longest(g);
    while (g->in_row[m->row])
        m->row++;
    g->in_row[m->row] = g->live[g->live_count++] = m;
    if (!g->engine.options.shared)
        return read_own(g, m, para_smaller(m->length, g->engine.sizes.context), told, err);
    m->held = g->shared_held;
    m->prefix = (int32_t)g->shared_held;
    return choose(g, m, g->shared_logits, told, err);
}

/* Texts that have ended leave their rows. */
static void leave(struct para_generator *g)
{
    int left = 0;
    for (int i = 0; i < g->live_count; i++) {
        struct para_made *m = g->live[i];
        if (!m->finish) {
            g->live[left++] = m;
            continue;
        }
        g->in_row[m->row] = NULL;
        para_made_free(m);
    }
    g->live_count = left;
}

/* How many tokens of each text are made at once: of those that take the likeliest as many as none of them ends before,
 * or wants another's row after. */
static int count_times(const struct para_generator *g, struct para_made *const texts[], int count)
{
    int64_t times = PARA_AT_ONCE;
    for (int i = 0; i < count; i++) {
        const struct para_made *m = texts[i];
        times = para_smaller(times, para_smaller(m->asked.count - m->count, g->engine.sizes.context - m->held));
    }
    return g->first ? 1 : (int)times;
}

/* Texts get the tokens that were made of them, those that haven't ended. */
static int take_likeliest(struct para_generator *g, struct para_made *const texts[], int count, int times,
                          const int32_t *ids, const struct told *told, para_error *err)
{
    for (int t = PARA_AT_ONCE - times; t < PARA_AT_ONCE; t++)
        for (int i = 0; i < count; i++) {
            int32_t id = ids[i * PARA_AT_ONCE + t];
            if (texts[i]->finish)
                continue;
            if (id < 0)
                return para_fail(err, PARA_ERANGE, "the largest logit is no finite number");
            PARA_TRY(go_on(g, texts[i], id, NULL, told, err));
        }
    return 0;
}

/* Each text that caches have room for gets a token, or some; of the others the last half context is read anew. */
static int turn(struct para_generator *g, const struct told *told, para_error *err)
{
    struct para_step steps[PARA_GENERATOR_ROWS];
    struct para_made *stepped[PARA_GENERATOR_ROWS];
    int32_t ids[PARA_GENERATOR_ROWS * PARA_AT_ONCE];
    int64_t context = g->engine.sizes.context, vocab = g->engine.sizes.vocab;
    bool likeliest = true;
    int count = 0;
    for (int i = 0; i < g->live_count; i++) {
        struct para_made *m = g->live[i];
        if (m->held == context) {
            PARA_TRY(read_own(g, m, context > 1 ? context / 2 : 1, told, err));
            continue;
        }
        likeliest = likeliest && takes_likeliest(g, m);
        stepped[count] = m;
        steps[count++] = (struct para_step){.token = m->tokens[m->length + m->count - 1],
                                            .position = (int32_t)m->held,
                                            .prefix = m->prefix,
                                            .row = m->row};
    }
    int times = likeliest ? count_times(g, stepped, count) : 1;
    struct para_told wanted = {.logits = likeliest ? NULL : g->logits, .ids = likeliest ? ids : NULL};
    if (count > 0)
        PARA_TRY(para_engine_step(&g->engine, steps, count, times, &wanted, err));
    for (int i = 0; i < count; i++)
        stepped[i]->held += times;
    if (likeliest)
        return take_likeliest(g, stepped, count, times, ids, told, err);
    for (int i = 0; i < count; i++)
        PARA_TRY(choose(g, stepped[i], g->logits + i * vocab, told, err));
    return 0;
}

static int make_all(struct para_generator *g, const struct told *told, para_error *err)
{
    while (g->first || g->live_count > 0) {
        while (g->first && g->live_count < g->engine.options.rows) {
            PARA_TRY(begin(g, told, err));
            leave(g);
        }
        PARA_TRY(turn(g, told, err));
        leave(g);
    }
    return 0;
}

int para_generator_run(para_generator *g, para_text_function *function, void *user, para_error *err)
{
    int status = make_all(g, &(struct told){function, user}, err);
    clear(g);
    return status;
}
