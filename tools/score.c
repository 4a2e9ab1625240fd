/* Scores of texts: rows in batches, the longest first, each batch by the shortest graph that holds its rows. */
#include "tools/score.h"

#include <stdlib.h>
#include <string.h>

enum { SHORTEST = 16, NOT_SCORED = -1, MOST_PARTS = 64, FEWEST_ROWS = 8 };

para_session *scorer_session(const struct scorer *s)
{
    return s->length[s->lengths - 1].session;
}

/* The longest rows' graph chooses the splits: parameters are shared, and cut as they are there. */
static int open_length(struct scorer *s, int length)
{
    para_error err;
    struct graph_wish wish = {.model = s->wish.model,
                              .batch = s->wish.batch,
                              .seq = s->length[length].tokens,
                              .split = &s->split,
                              .workers = para_machine_gpu_workers(s->wish.machine) ? 1 : 0,
                              .fuse = machine_fuses(s->wish.machine),
                              .use = GRAPH_SCORES};
    para_session_options options = para_session_default();
    options.share = length == s->lengths - 1 ? s->wish.share : scorer_session(s);
    options.no_draws = true;
    options.profile = s->wish.times;
    TRY(graph_make(&s->length[length].graph, &wish, s->splits));
    s->split.split = s->splits;
    return para_session_new(&s->length[length].session, s->length[length].graph, s->wish.machine, &options, &err) < 0
               ? broken(&err)
               : EXIT_DONE;
}

/* Number i of the lengths 16, 24, 32, 48, 64, ... */
static int64_t length_of(int i)
{
    return (int64_t)(i % 2 ? SHORTEST * 3 / 2 : SHORTEST) << i / 2;
}

/* Lengths up to the first that holds the longest rows, whatever others there are: which graph takes a row is that row's
 * matter alone. */
static void list_lengths(struct scorer *s)
{
    int64_t context = para_model_measure(s->wish.model).context, tokens = 0;
    for (int i = 0; !s->wish.one_length && tokens < s->wish.longest; i++) {
        tokens = length_of(i) < context ? length_of(i) : context;
        s->length[s->lengths++].tokens = tokens;
    }
    if (s->wish.one_length)
        s->length[s->lengths++].tokens = s->wish.longest;
}

/* Rows are what there is to share among CPUs, and cutting nothing else a row's bits don't depend on how many those are;
 * one row is cut by the rule that knows no number. */
static void split_rows(struct scorer *s)
{
    int64_t parts = s->wish.batch < MOST_PARTS ? s->wish.batch : MOST_PARTS;
    bool automatic = s->split.split && strcmp(s->split.split, "auto") == 0;
    if (!automatic || parts < 2 || para_machine_gpu_workers(s->wish.machine))
        return;
    snprintf(s->splits, sizeof s->splits, "batch=%lld", (long long)parts);
    s->split.split = s->splits;
}

int64_t scorer_rows(const para_machine *machine)
{
    int workers = para_machine_workers(machine);
    return workers > FEWEST_ROWS ? workers : FEWEST_ROWS;
}

int scorer_open(struct scorer *s, const struct scorer_wish *wish)
{
    para_error err;
    *s = (struct scorer){.wish = *wish, .split = *wish->split};
    split_rows(s);
    list_lengths(s);
    int last = s->lengths - 1;
    TRY(open_length(s, last));
    if (!wish->share &&
        para_checkpoint_load(wish->folder, s->length[last].graph, s->length[last].session, NULL, &err) < 0)
        return broken(&err);
    size_t count = (size_t)(wish->batch * s->length[last].tokens);
    s->tokens = calloc(count, sizeof *s->tokens);
    s->targets = calloc(count, sizeof *s->targets);
    s->scores = calloc(count, sizeof *s->scores);
    return s->tokens && s->targets && s->scores ? EXIT_DONE
                                                : out_of_memory("a batch", 3.0 * sizeof(float) * (double)count);
}

void scorer_close(struct scorer *s)
{
    for (int i = 0; i < s->lengths; i++) {
        para_session_free(s->length[i].session);
        para_graph_free(s->length[i].graph);
    }
    free(s->tokens);
    free(s->targets);
    free(s->scores);
    *s = (struct scorer){0};
}

/* Lay a text down as row r; its first - 1 tokens predict what isn't scored. */
static void lay_row(struct scorer *s, int64_t seq, int64_t r, const struct scored_text *t)
{
    int32_t *tokens = s->tokens + r * seq, *targets = s->targets + r * seq;
    memcpy(tokens, t->tokens, (size_t)(t->count - 1) * sizeof *tokens);
    memcpy(targets + t->first - 1, t->tokens + t->first, (size_t)(t->count - t->first) * sizeof *targets);
}

static int run_session(struct scorer *s, para_session *session, size_t count)
{
    para_error err;
    size_t bytes = count * sizeof *s->tokens;
    if (para_session_set(session, "tokens", s->tokens, bytes, &err) < 0 ||
        para_session_set(session, "targets", s->targets, bytes, &err) < 0 || para_session_run(session, &err) < 0 ||
        para_session_get(session, "scores", s->scores, bytes, &err) < 0)
        return broken(&err);
    return EXIT_DONE;
}

/* The graph of the rows that such a text takes. */
static int length_for(const struct scorer *s, const struct scored_text *t)
{
    int length = 0;
    while (s->length[length].tokens < t->count - 1)
        length++;
    return length;
}

static int run_batch(struct scorer *s, int length, const struct scored_text *const *rows, int64_t count)
{
    if (!s->length[length].session)
        TRY(open_length(s, length));
    int64_t seq = s->length[length].tokens, all = s->wish.batch * seq;
    memset(s->tokens, 0, (size_t)all * sizeof *s->tokens);
    for (int64_t i = 0; i < all; i++)
        s->targets[i] = NOT_SCORED;
    for (int64_t r = 0; r < count; r++)
        lay_row(s, seq, r, rows[r]);
    TRY(run_session(s, s->length[length].session, (size_t)all));
    for (int64_t r = 0; r < count; r++)
        memcpy(rows[r]->scores, s->scores + r * seq + rows[r]->first - 1,
               (size_t)(rows[r]->count - rows[r]->first) * sizeof *s->scores);
    return EXIT_DONE;
}

/* Run rows that are in order, as many of one length at a time as a batch has. */
static int run_rows(struct scorer *s, const struct scored_text *const *rows, int64_t count)
{
    int64_t batch;
    for (int64_t i = 0; i < count; i += batch) {
        int length = length_for(s, rows[i]);
        for (batch = 1; batch < s->wish.batch && i + batch < count && length_for(s, rows[i + batch]) == length;)
            batch++;
        TRY(run_batch(s, length, rows + i, batch));
    }
    return EXIT_DONE;
}

static int by_length(const void *a, const void *b)
{
    const struct scored_text *x = *(const struct scored_text *const *)a, *y = *(const struct scored_text *const *)b;
    return x->count != y->count ? (x->count < y->count) - (x->count > y->count) : (x > y) - (x < y);
}

int scorer_run(struct scorer *s, const struct scored_text *texts, int64_t count)
{
    const struct scored_text **rows = malloc((size_t)count * sizeof *rows);
    int code = rows ? EXIT_DONE : out_of_memory("an order of texts", (double)count * sizeof *rows);
    for (int64_t i = 0; i < count && rows; i++)
        rows[i] = &texts[i];
    if (rows)
        qsort(rows, (size_t)count, sizeof *rows, by_length);
    code = code ? code : run_rows(s, rows, count);
    free(rows);
    return code;
}
