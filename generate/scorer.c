/* Scores of texts: rows in batches, the longest first, each batch by the shortest graph that holds its rows. */
#include <paragraph/ops.h>
#include <paragraph/score.h>

#include "base/checked.h"
#include "base/fail.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Graphs for rows of 16, 24, 32, 48, ... tokens. */
enum { LENGTHS = 64, SHORTEST = 16, NOT_SCORED = -1, MOST_PARTS = 64, SPLITS_TEXT = 256 };

struct para_scorer {
    const para_model *model;
    para_machine *machine;
    para_model_sizes sizes;
    para_scorer_options options;
    char splits[SPLITS_TEXT]; /* as chosen for the longest rows */
    struct length {
        int64_t tokens;
        para_graph *graph;     /* NULL until a row takes it */
        para_session *session; /* shares the parameters of the last one */
    } length[LENGTHS];
    int lengths;         /* the last is the longest */
    para_lender *lender; /* of the weights; NULL: another session shares them */
    int32_t *tokens, *targets;
    float *scores;
};

para_scorer_options para_scorer_default(void)
{
    return (para_scorer_options){.rows = 8, .longest = 512, .split = "auto", .stages = 1};
}

para_session *para_scorer_session(const para_scorer *s)
{
    return s->length[s->lengths - 1].session;
}

const char *para_scorer_splits(const para_scorer *s)
{
    return s->splits;
}

/* --- beginning and end --- */

/* score = logit of the target - log of the sum of exp. */
static void add_scores(para_graph *g, para_tensor *logits, int64_t rows, int64_t tokens)
{
    para_tensor *targets = para_input(g, "targets", PARA_I32, PARA_DIMS({"batch", rows}, {"seq", tokens}));
    para_tensor *all = para_logsumexp(g, logits, "vocab");
    para_tensor *score = para_add(g, para_select(g, logits, targets, "vocab"), para_scale(g, all, -1));
    para_output(para_name(score, "scores"));
}

static bool has_gpu(const para_scorer *s)
{
    return s->machine && para_machine_gpu_workers(s->machine) > 0;
}

/* Put adapters beside the products of *g, which is replaced. */
static int adapt(para_graph **g, const para_scorer *s, para_error *err)
{
    para_graph *adapted;
    PARA_TRY(para_model_lora(&adapted, *g, s->model, s->options.lora, err));
    para_graph_free(*g);
    *g = adapted;
    return para_graph_seal(adapted, err);
}

static int make_graph(const para_scorer *s, int64_t tokens, const char *splits, para_graph **out,
                      char chosen[SPLITS_TEXT], para_error *err)
{
    const para_scorer_options *o = &s->options;
    para_arrangement how = {.precision = o->precision,
                            .split = splits,
                            .workers = has_gpu(s) ? 1 : 0,
                            .stages = o->stages,
                            .spread = o->spread,
                            .fuse = o->fuse || has_gpu(s)};
    para_graph *g = para_graph_new();
    if (!g)
        return para_fail_memory(err, "a graph");
    para_model_graph made = para_model_build(g, s->model, o->rows, tokens, false);
    if (made.logits)
        add_scores(g, made.logits, o->rows, tokens);
    int status = para_graph_seal(g, err);
    if (status == 0 && o->lora)
        status = adapt(&g, s, err);
    status = status < 0 ? status : para_graph_arrange(out, g, &how, chosen, SPLITS_TEXT, err);
    para_graph_free(g);
    return status;
}

/* The longest rows' graph chooses the splits: parameters are shared, and cut as they are there. */
static int open_length(para_scorer *s, struct length *l, const char *splits, const char *folder, para_error *err)
{
    char chosen[SPLITS_TEXT];
    struct length *last = &s->length[s->lengths - 1];
    para_session_options options = para_session_default();
    options.share = l == last ? s->options.share : last->session;
    options.no_draws = true;
    options.profile = s->options.profile;
    para_graph_free(l->graph);
    l->graph = NULL;
    PARA_TRY(make_graph(s, l->tokens, splits, &l->graph, l == last ? s->splits : chosen, err));
    if (!options.share) {
        PARA_TRY(para_lender_open(&s->lender, folder, s->options.adapter, l->graph, err));
        options.lent = para_lender_values(s->lender, &options.lent_count);
    }
    return para_session_new(&l->session, l->graph, s->machine, &options, err);
}

/* Number i of the lengths 16, 24, 32, 48, 64, ... */
static int64_t length_of(int i)
{
    return (int64_t)(i % 2 ? SHORTEST * 3 / 2 : SHORTEST) << i / 2;
}

/* Lengths up to the first that holds the longest rows, whatever others there are: which graph takes a row is that row's
 * matter alone. */
static void list_lengths(para_scorer *s)
{
    int64_t tokens = 0, longest = s->options.longest;
    for (int i = 0; !s->options.one_length && tokens < longest; i++) {
        tokens = para_smaller(length_of(i), s->sizes.context);
        s->length[s->lengths++].tokens = tokens;
    }
    if (s->options.one_length)
        s->length[s->lengths++].tokens = longest;
}

/* Rows are what there is to share among CPUs, and cutting nothing else a row's bits don't depend on how many those are;
 * one row is cut by the rule that knows no number. */
static void choose_splits(const para_scorer *s, char splits[SPLITS_TEXT])
{
    const para_scorer_options *o = &s->options;
    int64_t parts = para_smaller(o->rows, MOST_PARTS);
    bool rows = o->split && strcmp(o->split, "auto") == 0 && parts > 1 && !has_gpu(s);
    if (rows)
        snprintf(splits, SPLITS_TEXT, "batch=%lld", (long long)parts);
    else
        snprintf(splits, SPLITS_TEXT, "%s", o->split ? o->split : "");
}

static int check_options(const para_scorer *s, const char *folder, para_error *err)
{
    const para_scorer_options *o = &s->options;
    if (o->rows < 1 || o->rows > INT32_MAX)
        return para_fail(err, PARA_ERANGE, "rows is %lld, expected 1 or more", (long long)o->rows);
    if (o->longest < 1 || o->longest > s->sizes.context)
        return para_fail(err, PARA_ERANGE, "rows of %lld tokens, expected 1 to the context's %lld",
                         (long long)o->longest, (long long)s->sizes.context);
    if (o->split && strlen(o->split) >= SPLITS_TEXT)
        return para_fail(err, PARA_ERANGE, "split: the list has %zu bytes, expected fewer than %d", strlen(o->split),
                         SPLITS_TEXT);
    if (!folder && !o->share)
        return para_fail(err, PARA_EINVAL, "no folder, expected one, or a session to share parameters of");
    return 0;
}

static int make_room(para_scorer *s, para_error *err)
{
    size_t count = (size_t)(s->options.rows * s->length[s->lengths - 1].tokens);
    s->tokens = calloc(count, sizeof *s->tokens);
    s->targets = calloc(count, sizeof *s->targets);
    s->scores = calloc(count, sizeof *s->scores);
    return s->tokens && s->targets && s->scores ? 0 : para_fail_memory(err, "a batch");
}

static int open_scorer(para_scorer *s, const char *folder, para_error *err)
{
    char splits[SPLITS_TEXT];
    PARA_TRY(check_options(s, folder, err));
    choose_splits(s, splits);
    list_lengths(s);
    struct length *last = &s->length[s->lengths - 1];
    PARA_TRY(open_length(s, last, splits, folder, err));
    if (s->lender)
        PARA_TRY(para_lender_load(s->lender, last->session, err));
    return make_room(s, err);
}

int para_scorer_new(para_scorer **out, const char *folder, const para_model *model, para_machine *m,
                    const para_scorer_options *options, para_error *err)
{
    para_scorer *s = calloc(1, sizeof *s);
    if (!s)
        return para_fail_memory(err, "a scorer");
    s->model = model;
    s->machine = m;
    s->sizes = para_model_measure(model);
    s->options = *options;
    int status = open_scorer(s, folder, err);
    if (status < 0)
        para_scorer_free(s);
    else
        *out = s;
    return status;
}

void para_scorer_free(para_scorer *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->lengths; i++) {
        para_session_free(s->length[i].session);
        para_graph_free(s->length[i].graph);
    }
    para_lender_close(s->lender);
    free(s->tokens);
    free(s->targets);
    free(s->scores);
    free(s);
}

/* --- running --- */

/* Tokens that a text's row reads: all but the last. */
static int64_t row_tokens(const para_scored_text *t)
{
    return t->given_count + t->count - 1;
}

static int check_tokens(const para_scorer *s, const int32_t *tokens, int64_t count, int64_t text, para_error *err)
{
    for (int64_t i = 0; i < count; i++)
        if (tokens[i] < 0 || tokens[i] >= s->sizes.vocab)
            return para_fail(err, PARA_ERANGE, "text %lld has the token %d, expected 0 to %lld", (long long)text,
                             tokens[i], (long long)s->sizes.vocab - 1);
    return 0;
}

static int check_text(const para_scorer *s, const para_scored_text *t, int64_t number, para_error *err)
{
    if (t->given_count < 1 || t->count < 1)
        return para_fail(err, PARA_ERANGE, "text %lld has %lld tokens, given %lld, expected 1 or more of both",
                         (long long)number, (long long)t->count, (long long)t->given_count);
    if (t->given_count > s->options.longest || t->count > s->options.longest || row_tokens(t) > s->options.longest)
        return para_fail(err, PARA_ERANGE, "text %lld has %lld tokens, given %lld, of which a row reads at most %lld",
                         (long long)number, (long long)t->count, (long long)t->given_count,
                         (long long)s->options.longest);
    PARA_TRY(check_tokens(s, t->given, t->given_count, number, err));
    return check_tokens(s, t->tokens, t->count, number, err);
}

/* Lay a text down as row r; what is given, but for its last token, predicts what isn't scored. */
static void lay_row(para_scorer *s, int64_t seq, int64_t r, const para_scored_text *t)
{
    int32_t *tokens = s->tokens + r * seq, *targets = s->targets + r * seq;
    memcpy(tokens, t->given, (size_t)t->given_count * sizeof *tokens);
    memcpy(tokens + t->given_count, t->tokens, (size_t)(t->count - 1) * sizeof *tokens);
    memcpy(targets + t->given_count - 1, t->tokens, (size_t)t->count * sizeof *targets);
}

static void take_scores(const para_scorer *s, int64_t seq, int64_t r, para_scored_text *t)
{
    const float *scores = s->scores + r * seq + t->given_count - 1;
    t->sum = 0;
    for (int64_t i = 0; i < t->count; i++)
        t->sum += scores[i];
    if (t->scores)
        memcpy(t->scores, scores, (size_t)t->count * sizeof *scores);
}

static int run_session(para_scorer *s, para_session *session, size_t count, para_error *err)
{
    size_t bytes = count * sizeof *s->tokens;
    PARA_TRY(para_session_set(session, "tokens", s->tokens, bytes, err));
    PARA_TRY(para_session_set(session, "targets", s->targets, bytes, err));
    PARA_TRY(para_session_run(session, err));
    return para_session_get(session, "scores", s->scores, bytes, err);
}

/* The graph of a text's row. */
static struct length *length_for(para_scorer *s, const para_scored_text *t)
{
    struct length *l = s->length;
    while (l->tokens < row_tokens(t))
        l++;
    return l;
}

static int run_batch(para_scorer *s, struct length *l, para_scored_text *const *rows, int64_t count, para_error *err)
{
    if (!l->session)
        PARA_TRY(open_length(s, l, s->splits, NULL, err));
    int64_t all = s->options.rows * l->tokens;
    memset(s->tokens, 0, (size_t)all * sizeof *s->tokens);
    for (int64_t i = 0; i < all; i++)
        s->targets[i] = NOT_SCORED;
    for (int64_t r = 0; r < count; r++)
        lay_row(s, l->tokens, r, rows[r]);
    PARA_TRY(run_session(s, l->session, (size_t)all, err));
    for (int64_t r = 0; r < count; r++)
        take_scores(s, l->tokens, r, rows[r]);
    return 0;
}

static int by_length(const void *a, const void *b)
{
    const para_scored_text *x = *(para_scored_text *const *)a, *y = *(para_scored_text *const *)b;
    int64_t left = row_tokens(x), right = row_tokens(y);
    return left != right ? (left < right) - (left > right) : (x > y) - (x < y);
}

int para_scorer_run(para_scorer *s, para_scored_text *texts, int64_t count, para_scorer_progress *progress, void *user,
                    para_error *err)
{
    for (int64_t i = 0; i < count; i++)
        PARA_TRY(check_text(s, &texts[i], i, err));
    para_scored_text **rows = malloc((size_t)count * sizeof *rows + 1);
    if (!rows)
        return para_fail_memory(err, "an order of texts");
    for (int64_t i = 0; i < count; i++)
        rows[i] = &texts[i];
    qsort(rows, (size_t)count, sizeof *rows, by_length);
    int status = 0;
    for (int64_t i = 0, batch; i < count && status == 0; i += batch) {
        struct length *l = length_for(s, rows[i]);
        for (batch = 1; batch < s->options.rows && i + batch < count && length_for(s, rows[i + batch]) == l;)
            batch++;
        status = run_batch(s, l, rows + i, batch, err);
        if (progress && status == 0)
            progress(user, i + batch, count);
    }
    free(rows);
    return status;
}

int64_t para_likeliest(const para_scored_text *texts, int64_t count, bool by_mean)
{
    int64_t best = 0;
    double most = 0;
    for (int64_t i = 0; i < count; i++) {
        double sum = by_mean ? texts[i].sum / (double)texts[i].count : texts[i].sum;
        if (i == 0 || sum > most) {
            best = i;
            most = sum;
        }
    }
    return best;
}
