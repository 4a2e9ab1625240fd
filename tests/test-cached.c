/* Making text with caches: prompt blocks and one-token runs, over one memory, give what the whole prefix gives. */
#include "tests/support.h"

#include <paragraph.h>

#include <stdlib.h>
#include <string.h>

enum { VOCAB = 61, CONTEXT = 24, TOKENS = 20, BLOCK = 8 };

static const para_gpt2 MODEL = {.layers = 2, .heads = 4, .embd = 32, .ff = 64, .vocab = VOCAB, .context = CONTEXT,
                                .norm_eps = 1e-5};

/* A sealed graph, split: with caches, or, for seq 0, of the whole context without. */
static para_graph *make_graph(int64_t batch, int64_t seq, const char *split)
{
    para_graph *g = para_graph_new(), *out = NULL;
    para_error err = {0};
    assert_non_null(g);
    if (seq)
        para_gpt2_build_cached(g, &MODEL, batch, seq);
    else
        para_gpt2_build(g, &MODEL, batch, CONTEXT, false);
    if (para_graph_seal(g, &err) || para_graph_split_list(&out, g, split, NULL, 0, &err))
        fail_msg("%s", err.message);
    para_graph_free(g);
    return out;
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

/* One run over `seq` tokens of each row; logits (batch, vocab) of number `last`. */
static void run_cached(para_session *s, int64_t batch, int64_t seq, const int32_t *tokens, int32_t position, int32_t last,
                       float *logits)
{
    para_error err = {0};
    must(para_session_set(s, "tokens", tokens, sizeof *tokens * (size_t)(batch * seq), &err), err);
    must(para_session_set(s, "position", &position, sizeof position, &err), err);
    must(para_session_set(s, "last", &last, sizeof last, &err), err);
    must(para_session_run(s, &err), err);
    must(para_session_get(s, "logits", logits, sizeof *logits * (size_t)(batch * VOCAB), &err), err);
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
        run_cached(block, 1, BLOCK, tokens, at, used - 1, logits[at + used - 1]);
    }
    for (int at = count; at < TOKENS; at++) {
        text[at] = likeliest(logits[at - 1]);
        run_cached(one, 1, 1, &text[at], at, 0, logits[at]);
    }
}

static void check_against_whole_prefix(para_machine *m, const char *split)
{
    static const int32_t prompt[] = {3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 12};
    enum { PROMPT = sizeof prompt / sizeof prompt[0] };
    para_graph *block_graph = make_graph(1, BLOCK, split), *one_graph = make_graph(1, 1, split),
               *whole_graph = make_graph(1, 0, "");
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

/* A row's logits don't depend, to the bit, on how many other rows run beside it. */
static void rows_are_what_they_are_alone(void **state)
{
    (void)state;
    enum { ROWS = 5 };
    para_graph *alone_graph = make_graph(1, 1, ""), *rows_graph = make_graph(ROWS, 1, "");
    para_session *alone = make_session(alone_graph, NULL, NULL), *rows = make_session(rows_graph, NULL, NULL);
    static float one[VOCAB], five[ROWS][VOCAB];
    set_weights(alone_graph, alone);
    set_weights(rows_graph, rows);
    for (int r = 0; r < ROWS; r++)
        for (int at = 0; at < 6; at++) {
            int32_t tokens[ROWS], own = (7 * r + 5 * at) % VOCAB;
            for (int k = 0; k < ROWS; k++)
                tokens[k] = (7 * k + 5 * at) % VOCAB;
            run_cached(alone, 1, 1, &own, at, 0, one);
            run_cached(rows, ROWS, 1, tokens, at, 0, five[0]);
            assert_memory_equal(one, five[r], sizeof one);
        }
    para_session_free(alone);
    para_session_free(rows);
    para_graph_free(alone_graph);
    para_graph_free(rows_graph);
}

/* Sessions that share have one memory: what one sets, the other has; sharing other tiles is refused. */
static void shared_values_are_one(void **state)
{
    (void)state;
    para_graph *a_graph = make_graph(1, BLOCK, ""), *b_graph = make_graph(1, 1, ""), *c_graph = make_graph(1, 1, "ff=2");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_equals_that_of_the_whole_prefix),
        cmocka_unit_test(rows_are_what_they_are_alone),
        cmocka_unit_test(shared_values_are_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
