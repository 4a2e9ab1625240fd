/* Making text with caches: prompt blocks and one-token runs, over one memory, give what the whole prefix gives, whether
 * rows stand alone or beside others, at positions of their own, in caches of their own or after a prefix. */
#include "tests/graph-text.h"

#include <paragraph.h>

#include <stdlib.h>
#include <string.h>

enum { VOCAB = 61, CONTEXT = 24, TOKENS = 20, BLOCK = 8 };

static const para_gpt2 MODEL = {
    .layers = 2, .heads = 4, .embd = 32, .ff = 64, .vocab = VOCAB, .context = CONTEXT, .norm_eps = 1e-5};

/* Two queries read each head of keys, normed; the second layer has a window. */
static const para_llama KIN = {.layers = 2,
                               .heads = 8,
                               .kv_heads = 4,
                               .head_dim = 8,
                               .embd = 32,
                               .ff = 64,
                               .vocab = VOCAB,
                               .context = CONTEXT,
                               .norm_eps = 1e-5,
                               .rope = {.theta = 100, .factor = 1, .slow = 1, .fast = 32, .amplitude = 1},
                               .window = 6,
                               .full_layers = 1,
                               .qk_norm = true};
static bool of_kin; /* graphs are of KIN, not of MODEL */

static void build(para_graph *g, const para_caches *caches)
{
    if (of_kin && caches)
        para_llama_build_cached(g, &KIN, caches);
    else if (of_kin)
        para_llama_build(g, &KIN, 1, CONTEXT, false);
    else if (caches)
        para_gpt2_build_cached(g, &MODEL, caches);
    else
        para_gpt2_build(g, &MODEL, 1, CONTEXT, false);
}

/* A sealed graph, split: with these caches, or, for NULL, of the whole context without. */
static para_graph *make_graph_with(const para_caches *caches, const char *split)
{
    para_graph *g = para_graph_new(), *out = NULL;
    para_error err = {0};
    assert_non_null(g);
    build(g, caches);
    if (para_graph_seal(g, &err) || para_graph_split_list(&out, g, split, NULL, 0, &err))
        fail_msg("%s", err.message);
    para_graph_free(g);
    return out;
}

static para_graph *make_graph(int64_t batch, int64_t seq, const char *split)
{
    return make_graph_with(&(para_caches){.batch = batch, .seq = seq, .cache = CONTEXT}, split);
}

static para_session *make_session(const para_graph *g, para_machine *m, para_session *share)
{
    para_session_options options = para_session_default();
    para_session *s = NULL;
    para_error err = {0};
    options.share = share;
    if (para_session_new(&s, g, m, &options, &err))
        fail_msg("%s", err.message);
    return s;
}

/* One run over `seq` tokens of each row, which begin at its position; logits (batch, vocab) of number last. */
static void run_rows(para_session *s, int64_t batch, int64_t seq, const int32_t *tokens, const int32_t *position,
                     const int32_t *last, float *logits)
{
    para_error err = {0};
    size_t rows = sizeof *position * (size_t)batch;
    must(para_session_set(s, "tokens", tokens, rows * (size_t)seq, &err), err);
    must(para_session_set(s, "position", position, rows, &err), err);
    must(para_session_set(s, "last", last, rows, &err), err);
    must(para_session_run(s, &err), err);
    must(para_session_get(s, "logits", logits, sizeof *logits * (size_t)(batch * VOCAB), &err), err);
}

/* The same for one row. */
static void run_cached(para_session *s, int64_t seq, const int32_t *tokens, int32_t position, int32_t last,
                       float *logits)
{
    run_rows(s, 1, seq, tokens, &position, &last, logits);
}

static int likeliest(const float *logits)
{
    int best = 0;
    for (int v = 1; v < VOCAB; v++)
        best = logits[v] > logits[best] ? v : best;
    return best;
}

/* The same weights for every session; positions weigh enough that a text doesn't repeat one token. */
static void set_weights(const para_graph *g, para_session *s)
{
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        if (para_tensor_kind(t) != PARA_PARAMETER)
            continue;
        const char *name = para_tensor_base(t);
        int64_t elements = 1;
        uint64_t stream = 0;
        for (int d = 0; d < para_tensor_rank(t); d++)
            elements *= para_tensor_whole(t, d);
        for (const char *c = name; *c; c++)
            stream = stream * 31 + (unsigned char)*c;
        float *w = must_alloc((size_t)elements * sizeof *w), spread = strcmp(name, "wpe") == 0 ? 2.0f : 0.5f;
        fill_uniform(w, elements, 1, stream, -spread, spread);
        para_error err = {0};
        must(para_session_set(s, name, w, (size_t)elements * sizeof *w, &err), err);
        free(w);
    }
}

/* The prompt in blocks, the last of them longer than what is left, then token by token, greedily. */
static void make_text(para_session *block, para_session *one, const int32_t *prompt, int count, int32_t text[TOKENS],
                      float logits[TOKENS][VOCAB])
{
    memcpy(text, prompt, sizeof *text * (size_t)count);
    for (int at = 0; at < count; at += BLOCK) {
        int32_t tokens[BLOCK] = {0};
        int used = count - at < BLOCK ? count - at : BLOCK;
        memcpy(tokens, prompt + at, sizeof *tokens * (size_t)used);
        run_cached(block, BLOCK, tokens, at, used - 1, logits[at + used - 1]);
    }
    for (int at = count; at < TOKENS; at++) {
        text[at] = likeliest(logits[at - 1]);
        run_cached(one, 1, &text[at], at, 0, logits[at]);
    }
}

static void check_against_whole_prefix(para_machine *m, const char *split)
{
    static const int32_t prompt[] = {3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 12};
    enum { PROMPT = sizeof prompt / sizeof prompt[0] };
    para_graph *block_graph = make_graph(1, BLOCK, split), *one_graph = make_graph(1, 1, split),
               *whole_graph = make_graph_with(NULL, "");
    para_session *block = make_session(block_graph, m, NULL), *one = make_session(one_graph, m, block),
                 *whole = make_session(whole_graph, NULL, NULL);
    int32_t text[CONTEXT] = {0};
    static float logits[TOKENS][VOCAB], all[CONTEXT][VOCAB];
    set_weights(block_graph, block);
    set_weights(whole_graph, whole);
    make_text(block, one, prompt, PROMPT, text, logits);
    para_error err = {0};
    must(para_session_set(whole, "tokens", text, sizeof text, &err), err);
    must(para_session_run(whole, &err), err);
    must(para_session_get(whole, "logits", all, sizeof all, &err), err);
    int distinct = 0;
    for (int at = PROMPT - 1; at < TOKENS; at++) {
        assert_close(whole_graph, "logits", logits[at], all[at], VOCAB, 1e-5);
        if (at + 1 < TOKENS)
            assert_int_equal(text[at + 1], likeliest(all[at]));
        distinct += at > PROMPT && text[at] != text[at - 1];
    }
    assert_true(distinct > 2);
    para_session_free(one);
    para_session_free(block);
    para_session_free(whole);
    para_graph_free(block_graph);
    para_graph_free(one_graph);
    para_graph_free(whole_graph);
}

static void text_equals_that_of_the_whole_prefix(void **state)
{
    (void)state;
    check_against_whole_prefix(NULL, "");
    check_against_whole_prefix(NULL, "heads=2,ff=2,vocab=2");
    check_against_whole_prefix(NULL, "heads=4,ff=3,vocab=3,embd=2");
    para_machine *m = NULL;
    para_error err = {0};
    must(para_machine_open(&m, NULL, &err), err);
    check_against_whole_prefix(m, "heads=2,ff=2,vocab=2");
    para_machine_close(m);
}

/* Row r of some: how many of its tokens have been read before run number `run`, and that token. Rows begin in runs
 * of their own, and row 1 stays empty. */
static int32_t position_of(int r, int run)
{
    return r == 1 || run < r ? -1 : run - r;
}

static int32_t token_of(int r, int position)
{
    return (7 * r + 5 * position + 3) % VOCAB;
}

static bool all_zero(const float *x, int64_t n)
{
    for (int64_t e = 0; e < n; e++)
        if (x[e] != 0)
            return false;
    return true;
}

enum { ROWS = 5, RUNS = 9 };

static void check_rows(const char *split, const char *alone_split)
{
    para_graph *alone_graph = make_graph(1, 1, alone_split), *rows_graph = make_graph(ROWS, 1, split);
    para_session *alone[ROWS], *rows = make_session(rows_graph, NULL, NULL);
    static float one[VOCAB], all[ROWS][VOCAB];
    set_weights(rows_graph, rows);
    for (int r = 0; r < ROWS; r++) {
        alone[r] = make_session(alone_graph, NULL, NULL);
        set_weights(alone_graph, alone[r]);
    }
    for (int run = 0; run < RUNS; run++) {
        int32_t tokens[ROWS], position[ROWS], last[ROWS];
        for (int r = 0; r < ROWS; r++) {
            position[r] = position_of(r, run);
            tokens[r] = position[r] < 0 ? 0 : token_of(r, position[r]);
            last[r] = position[r] < 0 ? -1 : 0;
        }
        run_rows(rows, ROWS, 1, tokens, position, last, all[0]);
        for (int r = 0; r < ROWS; r++) {
            if (position[r] < 0) {
                assert_true(all_zero(all[r], VOCAB));
                continue;
            }
            run_cached(alone[r], 1, &tokens[r], position[r], 0, one);
            assert_memory_equal(one, all[r], sizeof one);
        }
    }
    for (int r = 0; r < ROWS; r++)
        para_session_free(alone[r]);
    para_session_free(rows);
    para_graph_free(alone_graph);
    para_graph_free(rows_graph);
}

/* A row's logits don't depend, to the bit, on how many other rows run beside it, where they stand, and whether there
 * are empty ones, whose logits are 0. */
static void rows_are_what_they_are_alone(void **state)
{
    (void)state;
    check_rows("", "");
    check_rows("heads=2,vocab=2", "heads=2,vocab=2");
    check_rows("ff=5", "ff=5");
    check_rows("batch=2", "");
    check_rows("batch=3,heads=4,ff=2", "heads=4,ff=2");
}

/* An empty row's caches stay as they are. */
static void empty_rows_keep_their_caches(void **state)
{
    (void)state;
    para_graph *g = make_graph(2, 1, "");
    para_session *s = make_session(g, NULL, NULL);
    enum { ELEMENTS = 2 * CONTEXT * 32 };
    static float before[ELEMENTS], after[ELEMENTS], logits[2 * VOCAB];
    set_weights(g, s);
    fill_uniform(before, ELEMENTS, 1, 2, -1, 1);
    set_value(s, "layer.1.attn.values", before, sizeof before);
    run_rows(s, 2, 1, (const int32_t[]){3, 4}, (const int32_t[]){-1, 6}, (const int32_t[]){-1, 0}, logits);
    para_error err = {0};
    must(para_session_get(s, "layer.1.attn.values", after, sizeof after, &err), err);
    size_t row = sizeof before / 2;
    assert_memory_equal(before, after, row);
    assert_memory_equal(before + ELEMENTS / 2, after + ELEMENTS / 2, 6 * 32 * sizeof *after);
    assert_memory_not_equal(before, after, sizeof before);
    para_session_free(s);
    para_graph_free(g);
}

/* A graph that goes on by its likeliest tokens makes those that it makes when it is told each, in one call for several
 * runs; an empty row stays empty. */
static void goes_on_by_itself(void **state)
{
    (void)state;
    enum { SIDE_BY_SIDE = 3, COUNT = 7, RECENT = 5 };
    const para_caches caches = {.batch = SIDE_BY_SIDE, .seq = 1, .cache = CONTEXT, .likeliest = true, .recent = RECENT};
    para_graph *g = make_graph_with(&caches, ""), *told = make_graph(SIDE_BY_SIDE, 1, "");
    para_session *s = make_session(g, NULL, NULL), *one = make_session(told, NULL, NULL);
    int32_t tokens[SIDE_BY_SIDE] = {3, 9, 4}, position[SIDE_BY_SIDE] = {0, -1, 2}, last[SIDE_BY_SIDE] = {0, -1, 0};
    int32_t recent[SIDE_BY_SIDE * RECENT] = {0}, made[SIDE_BY_SIDE * RECENT];
    static float logits[SIDE_BY_SIDE * VOCAB];
    para_error err = {0};
    set_weights(g, s);
    set_weights(told, one);
    must(para_session_set(s, "recent", recent, sizeof recent, &err), err);
    must(para_session_set(s, "tokens", tokens, sizeof tokens, &err), err);
    must(para_session_set(s, "position", position, sizeof position, &err), err);
    must(para_session_set(s, "last", last, sizeof last, &err), err);
    must(para_session_run_times(s, COUNT, &err), err);
    must(para_session_get(s, "made", made, sizeof made, &err), err);
    for (int i = 0; i < COUNT; i++) {
        run_rows(one, SIDE_BY_SIDE, 1, tokens, position, last, logits);
        for (int b = 0; b < SIDE_BY_SIDE; b++) {
            int id = position[b] < 0 ? -1 : likeliest(logits + b * VOCAB);
            if (i >= COUNT - RECENT)
                assert_int_equal(made[b * RECENT + i - COUNT + RECENT], id);
            tokens[b] = id < 0 ? 0 : id;
            position[b] += id >= 0;
        }
    }
    assert_int_equal(para_session_count(s).runs, COUNT);
    assert_int_equal(para_session_run_times(s, 0, &err), PARA_ERANGE);
    para_session_free(one);
    para_session_free(s);
    para_graph_free(told);
    para_graph_free(g);
}

/* Read `count` tokens of row r's text into a session's caches, in blocks. */
static void read_text(para_session *s, int r, int count)
{
    float logits[VOCAB];
    for (int at = 0; at < count; at += BLOCK) {
        int32_t tokens[BLOCK];
        for (int t = 0; t < BLOCK; t++)
            tokens[t] = token_of(r, at + t);
        run_cached(s, BLOCK, tokens, at, BLOCK - 1, logits);
    }
}

/* `rows` continue a text of 11 tokens, but for row 1, which continues its first 9, and are what each is alone. */
static void check_continuations(para_machine *m, const char *split)
{
    enum { PREFIX = 11, SHORTER = 9, MORE = 6 };
    para_caches read = {.batch = 1, .seq = BLOCK, .prefix = CONTEXT};
    para_caches step = {.batch = ROWS, .seq = 1, .cache = MORE, .prefix = CONTEXT};
    para_graph *read_graph = make_graph_with(&read, split), *step_graph = make_graph_with(&step, split),
               *block_graph = make_graph(1, BLOCK, split), *alone_graph = make_graph(1, 1, split);
    para_session *prefix = make_session(read_graph, m, NULL), *rows = make_session(step_graph, m, prefix);
    static float one[VOCAB], all[MORE][ROWS][VOCAB];
    const int32_t lengths[ROWS] = {PREFIX, SHORTER, PREFIX, PREFIX, PREFIX}, last[ROWS] = {0};
    set_weights(read_graph, prefix);
    read_text(prefix, 0, PREFIX);
    set_value(rows, "prefix", lengths, sizeof lengths);
    for (int i = 0; i < MORE; i++) {
        int32_t tokens[ROWS], position[ROWS];
        for (int r = 0; r < ROWS; r++) {
            position[r] = lengths[r] + i;
            tokens[r] = token_of(r, position[r]);
        }
        run_rows(rows, ROWS, 1, tokens, position, last, all[i][0]);
    }
    for (int r = 0; r < ROWS; r++) {
        para_session *block = make_session(block_graph, m, NULL), *alone = make_session(alone_graph, m, block);
        set_weights(block_graph, block);
        read_text(block, 0, lengths[r]);
        for (int i = 0; i < MORE; i++) {
            int32_t token = token_of(r, lengths[r] + i);
            run_cached(alone, 1, &token, lengths[r] + i, 0, one);
            assert_memory_equal(one, all[i][r], sizeof one);
        }
        para_session_free(alone);
        para_session_free(block);
    }
    para_session_free(rows);
    para_session_free(prefix);
    para_graph_free(read_graph);
    para_graph_free(step_graph);
    para_graph_free(block_graph);
    para_graph_free(alone_graph);
}

/* Rows that continue one text in caches of their own get the bits that each gets with all of it in one cache. */
static void continuations_are_what_they_are_alone(void **state)
{
    (void)state;
    check_continuations(NULL, "");
    check_continuations(NULL, "heads=4,ff=3,vocab=3,embd=2");
    check_continuations(NULL, "batch=1,heads=2");
    para_machine *m = NULL;
    para_error err = {0};
    must(para_machine_open(&m, NULL, &err), err);
    check_continuations(m, "heads=2,ff=2,vocab=2");
    para_machine_close(m);
}

/* A graph of one row reads texts into rows of caches that a graph of many goes on with, in another order and fewer than
 * there are; each text is what it is alone. */
static void check_rows_of_caches(para_machine *m, const char *read_split, const char *split, const char *alone_split)
{
    enum { CACHES = ROWS + 2, LENGTH = 11, MORE = 4 };
    static const int32_t row_of[ROWS] = {3, 0, 6, 1, 5}, last[ROWS] = {0};
    para_caches read = {.batch = 1, .seq = BLOCK, .cache = CONTEXT, .rows = CACHES};
    para_caches step = {.batch = ROWS, .seq = 1, .cache = CONTEXT, .rows = CACHES};
    para_graph *read_graph = make_graph_with(&read, read_split), *step_graph = make_graph_with(&step, split),
               *block_graph = make_graph(1, BLOCK, alone_split), *alone_graph = make_graph(1, 1, alone_split);
    para_session *reader = make_session(read_graph, m, NULL), *rows = make_session(step_graph, m, reader);
    static float one[VOCAB], all[MORE][ROWS][VOCAB];
    set_weights(read_graph, reader);
    for (int r = 0; r < ROWS; r++) {
        set_value(reader, "row", &row_of[r], sizeof row_of[r]);
        read_text(reader, r, LENGTH - r);
    }
    set_value(rows, "row", row_of, sizeof row_of);
    for (int i = 0; i < MORE; i++) {
        int32_t tokens[ROWS], position[ROWS];
        for (int r = 0; r < ROWS; r++) {
            position[r] = LENGTH - r + i;
            tokens[r] = token_of(r, position[r]);
        }
        run_rows(rows, ROWS, 1, tokens, position, last, all[i][0]);
    }
    for (int r = 0; r < ROWS; r++) {
        para_session *block = make_session(block_graph, m, NULL), *alone = make_session(alone_graph, m, block);
        set_weights(block_graph, block);
        read_text(block, r, LENGTH - r);
        for (int i = 0; i < MORE; i++) {
            int32_t token = token_of(r, LENGTH - r + i);
            run_cached(alone, 1, &token, LENGTH - r + i, 0, one);
            assert_memory_equal(one, all[i][r], sizeof one);
        }
        para_session_free(alone);
        para_session_free(block);
    }
    para_session_free(rows);
    para_session_free(reader);
    para_graph_free(read_graph);
    para_graph_free(step_graph);
    para_graph_free(block_graph);
    para_graph_free(alone_graph);
}

static void rows_are_read_where_others_go_on(void **state)
{
    (void)state;
    check_rows_of_caches(NULL, "", "", "");
    check_rows_of_caches(NULL, "heads=4,ff=3", "heads=4,ff=3", "heads=4,ff=3");
    check_rows_of_caches(NULL, "rows=3", "rows=3,batch=2", "");
    para_machine *m = NULL;
    para_error err = {0};
    must(para_machine_open(&m, NULL, &err), err);
    check_rows_of_caches(m, "heads=2,vocab=2", "batch=3,heads=2,vocab=2", "heads=2,vocab=2");
    para_machine_close(m);
}

/* A run that must fail: what its message must say. */
static void check_refused(const char *text, const int32_t position[2], const int32_t prefix[2], const char *says)
{
    for (int reference = 0; reference < 2; reference++) {
        para_graph *g = graph_of(text);
        para_session *s = serial_session(g, reference);
        para_error err = {0};
        set_value(s, "i", position, 2 * sizeof *position);
        if (prefix)
            set_value(s, "j", prefix, 2 * sizeof *prefix);
        assert_int_equal(para_session_run(s, &err), PARA_ERANGE);
        if (strncmp(err.message, "y: ", 3) != 0 || !strstr(err.message, says))
            fail_msg("the message lacks \"%s\": %s", says, err.message);
        para_session_free(s);
        para_graph_free(g);
    }
}

static void wrong_positions_make_the_run_fail(void **state)
{
    (void)state;
    const char *cached = "q:param[b=2,t=3,h=2,d=5]; k:param[b=2,s=9,h=2,d=5]; i:ids[b=2]; "
                         "y = attention_cached(q, k, k, i, 0); output(y)";
    const char *continued = "q:param[b=2,t=3,h=2,d=5]; k:param[b=2,s=9,h=2,d=5]; m:param[p=4,h=2,d=5]; i:ids[b=2]; "
                            "j:ids[b=2]; y = attention_cached(q, k, k, i, m, m, j, 0); output(y)";
    const char *append = "s:state[b=2,c=9,h=2]; u:state[b=2,c=9,h=2]; x:param[b=2,t=3,h=2]; i:ids[b=2]; "
                         "y = cache_append(s, u, x, x, i); output(y)";
    const char *append_rows = "s:state[r=3,c=9,h=2]; u:state[r=3,c=9,h=2]; x:param[b=2,t=3,h=2]; i:ids[b=2]; "
                              "j:ids[b=2]; y = cache_append(s, u, x, x, i, j); output(y)";
    const char *read_rows = "q:param[b=2,t=3,h=2,d=5]; k:param[r=3,s=9,h=2,d=5]; i:ids[b=2]; j:ids[b=2]; "
                            "y = attention_cached(q, k, k, i, j, 0); output(y)";
    const char *selected = "x:param[b=2,t=3]; i:ids[b=2]; y = select(x, i, \"t\"); output(y)";
    const char *counted = "i:ids[b=2]; y = arange_from(i, \"t\", 3, 9); output(y)";
    check_refused(cached, (const int32_t[]){0, 9}, NULL, "position of row 1 is 9, expected 0 to 8, or -1");
    check_refused(cached, (const int32_t[]){-2, 0}, NULL, "position of row 0 is -2");
    check_refused(continued, (const int32_t[]){4, 4}, (const int32_t[]){4, 5},
                  "prefix of row 1 has 5 tokens, expected 0 to 4");
    check_refused(continued, (const int32_t[]){2, 4}, (const int32_t[]){3, 4},
                  "position of row 0 is 2, expected 3 to 11");
    check_refused(continued, (const int32_t[]){4, 13}, (const int32_t[]){4, 4},
                  "position of row 1 is 13, expected 4 to 12");
    check_refused(append, (const int32_t[]){0, 9}, NULL, "position of row 1 is 9, expected 0 to 8, or -1");
    for (int k = 0; k < 2; k++) {
        const char *op = k ? read_rows : append_rows;
        check_refused(op, (const int32_t[]){0, 9}, (const int32_t[]){0, 1}, "position of row 1 is 9, expected 0 to 8");
        check_refused(op, (const int32_t[]){0, 1}, (const int32_t[]){0, 3},
                      "row 1 has row 3 of the caches, expected 0 to 2");
        check_refused(op, (const int32_t[]){0, 1}, (const int32_t[]){-1, 0}, "row 0 has row -1 of the caches");
        check_refused(op, (const int32_t[]){0, 1}, (const int32_t[]){2, 2},
                      "row 1 has row 2 of the caches, as one before");
    }
    check_refused(selected, (const int32_t[]){0, 3}, NULL, "index is 3, expected 0 to 2, or -1");
    check_refused(selected, (const int32_t[]){-2, 0}, NULL, "index is -2");
    check_refused(counted, (const int32_t[]){0, -2}, NULL, "start is -2");
}

/* Sizes of caches that don't fit the model or each other. */
static void wrong_caches_are_refused(void **state)
{
    (void)state;
    static const para_caches wrong[] = {
        {.batch = 1, .seq = 1},
        {.batch = 1, .seq = 1, .cache = CONTEXT + 1},
        {.batch = 1, .seq = 1, .cache = -1, .prefix = 1},
        {.batch = 1, .seq = 1, .cache = 1, .prefix = CONTEXT + 1},
        {.batch = 2, .seq = 1, .prefix = CONTEXT},
        {.batch = 0, .seq = 1, .cache = 1},
        {.batch = 1, .seq = CONTEXT + 1, .cache = 1},
        {.batch = 1, .seq = 1, .cache = 1, .rows = -1},
        {.batch = 3, .seq = 1, .cache = 1, .rows = 2},
        {.batch = 1, .seq = 1, .prefix = CONTEXT, .rows = 2},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        para_graph *g = para_graph_new();
        para_error err = {0};
        para_gpt2_build_cached(g, &MODEL, &wrong[i]);
        assert_int_equal(para_graph_seal(g, &err), PARA_ERANGE);
        assert_non_null(strstr(err.message, "gpt2: "));
        para_graph_free(g);
    }
}

/* Sessions that share have one memory: what one sets, the other has; sharing other tiles is refused. */
static void shared_values_are_one(void **state)
{
    (void)state;
    para_graph *a_graph = make_graph(1, BLOCK, ""), *b_graph = make_graph(1, 1, ""),
               *c_graph = make_graph(1, 1, "ff=2");
    para_session *a = make_session(a_graph, NULL, NULL), *b = make_session(b_graph, NULL, a), *c = NULL;
    float bias[64], seen[64];
    for (int e = 0; e < 64; e++)
        bias[e] = (float)e;
    para_error err = {0};
    must(para_session_set(a, "layer.1.mlp.fc.bias", bias, sizeof bias, &err), err);
    must(para_session_get(b, "layer.1.mlp.fc.bias", seen, sizeof seen, &err), err);
    assert_memory_equal(bias, seen, sizeof bias);
    para_session_options options = para_session_default();
    options.share = a;
    assert_int_equal(para_session_new(&c, c_graph, NULL, &options, &err), PARA_ESHAPE);
    assert_non_null(strstr(err.message, "split both graphs alike"));
    assert_null(c);
    para_session_free(b);
    must(para_session_get(a, "layer.1.mlp.fc.bias", seen, sizeof seen, &err), err);
    assert_memory_equal(bias, seen, sizeof bias);
    para_session_free(a);
    para_graph_free(a_graph);
    para_graph_free(b_graph);
    para_graph_free(c_graph);
}

static int use_kin(void **state)
{
    (void)state;
    of_kin = true;
    return 0;
}

static int use_gpt2(void **state)
{
    (void)state;
    of_kin = false;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_equals_that_of_the_whole_prefix),
        cmocka_unit_test(rows_are_what_they_are_alone),
        cmocka_unit_test(empty_rows_keep_their_caches),
        cmocka_unit_test(goes_on_by_itself),
        cmocka_unit_test(continuations_are_what_they_are_alone),
        cmocka_unit_test(rows_are_read_where_others_go_on),
        cmocka_unit_test_setup_teardown(text_equals_that_of_the_whole_prefix, use_kin, use_gpt2),
        cmocka_unit_test_setup_teardown(rows_are_what_they_are_alone, use_kin, use_gpt2),
        cmocka_unit_test_setup_teardown(empty_rows_keep_their_caches, use_kin, use_gpt2),
        cmocka_unit_test_setup_teardown(goes_on_by_itself, use_kin, use_gpt2),
        cmocka_unit_test_setup_teardown(continuations_are_what_they_are_alone, use_kin, use_gpt2),
        cmocka_unit_test_setup_teardown(rows_are_read_where_others_go_on, use_kin, use_gpt2),
        cmocka_unit_test(wrong_positions_make_the_run_fail),
        cmocka_unit_test(wrong_caches_are_refused),
        cmocka_unit_test(shared_values_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
