/* Scores of texts are those of the logits, whatever their company and however they are cut. */
#include "tests/support.h"

#include <paragraph.h>
#include <paragraph/score.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VOCAB = 61, CONTEXT = 40, TEXTS = 7 };

static const para_gpt2 MODEL = {
    .layers = 2, .heads = 4, .embd = 32, .ff = 64, .vocab = VOCAB, .context = CONTEXT, .norm_eps = 1e-5};

/* Of each text, how many tokens are given and how many are scored: rows of 1 token, of the whole context, equal ones.
 */
static const int GIVEN[TEXTS] = {1, 5, 39, 20, 1, 5, 12}, SCORED[TEXTS] = {1, 8, 2, 21, 30, 8, 1};

static char *parent, *folder;
static para_model *model;
static para_machine *machine;
static int32_t tokens[TEXTS][CONTEXT + 1];
static double expected[TEXTS][CONTEXT];

/* The logarithm of the probability that logits give a token. */
static double log_probability(const float *logits, int32_t id)
{
    double sum = 0;
    for (int i = 0; i < VOCAB; i++)
        sum += exp(logits[i]);
    return logits[id] - log(sum);
}

/* What a graph of logits alone says of each text, one at a time. */
static void expect_scores(para_session *s)
{
    for (int t = 0; t < TEXTS; t++) {
        int32_t row[CONTEXT] = {0};
        for (int i = 0; i < GIVEN[t] + SCORED[t]; i++)
            tokens[t][i] = (t * 13 + i * i * 7 + 3) % VOCAB;
        memcpy(row, tokens[t], (size_t)(GIVEN[t] + SCORED[t] - 1) * sizeof row[0]);
        set_value(s, "tokens", row, sizeof row);
        run_once(s);
        float *logits = get_floats(s, "logits", CONTEXT * VOCAB);
        for (int i = 0; i < SCORED[t]; i++)
            expected[t][i] = log_probability(logits + (GIVEN[t] + i - 1) * VOCAB, tokens[t][GIVEN[t] + i]);
        free(logits);
    }
}

static int set_up(void **state)
{
    (void)state;
    para_error err = {0};
    para_graph *g = para_graph_new();
    must(para_model_from_gpt2(&model, &MODEL, &err), err);
    para_model_build(g, model, 1, CONTEXT, false);
    must(para_graph_seal(g, &err), err);
    para_session *s = serial_session(g, false);
    parent = temp_dir();
    folder = path_join(parent, "model");
    must(para_checkpoint_save(folder, model, g, s, NULL, &err), err);
    expect_scores(s);
    para_session_free(s);
    para_graph_free(g);
    must(para_machine_open(&machine, NULL, &err), err);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    para_machine_close(machine);
    para_model_free(model);
    free(folder);
    temp_dir_remove(parent);
    return 0;
}

static para_scored_text text_of(int t, float *scores)
{
    return (para_scored_text){.given = tokens[t],
                              .given_count = GIVEN[t],
                              .tokens = tokens[t] + GIVEN[t],
                              .count = SCORED[t],
                              .scores = scores};
}

static para_scorer_options options_of(int64_t rows)
{
    para_scorer_options o = para_scorer_default();
    o.rows = rows;
    o.longest = CONTEXT;
    return o;
}

static para_scorer *open_scorer(const para_scorer_options *o, para_machine *m)
{
    para_scorer *s = NULL;
    para_error err = {0};
    must(para_scorer_new(&s, folder, model, m, o, &err), err);
    return s;
}

/* How far runs have come. */
struct told {
    int64_t done, count, calls;
};

static void tell(void *user, int64_t done, int64_t count)
{
    struct told *t = user;
    assert_true(done > t->done && done <= count);
    *t = (struct told){done, count, t->calls + 1};
}

/* Score all texts; every second one asks for the sum alone. */
static void score_all(para_scorer *s, float scores[TEXTS][CONTEXT], double sums[TEXTS])
{
    para_scored_text texts[TEXTS];
    struct told told = {0};
    para_error err = {0};
    for (int t = 0; t < TEXTS; t++)
        texts[t] = text_of(t, t % 2 ? NULL : scores[t]);
    must(para_scorer_run(s, texts, TEXTS, tell, &told, &err), err);
    assert_int_equal(told.done, TEXTS);
    assert_int_equal(told.count, TEXTS);
    for (int t = 0; t < TEXTS; t++)
        sums[t] = texts[t].sum;
}

static void scores_are_those_of_the_logits(void **state)
{
    (void)state;
    for (int64_t rows = 1; rows <= 8; rows += 7) {
        float scores[TEXTS][CONTEXT];
        double sums[TEXTS];
        para_scorer_options o = options_of(rows);
        para_scorer *s = open_scorer(&o, NULL);
        score_all(s, scores, sums);
        for (int t = 0; t < TEXTS; t++) {
            double sum = 0;
            for (int i = 0; i < SCORED[t]; i++) {
                sum += expected[t][i];
                if (t % 2 == 0)
                    assert_true(fabs(scores[t][i] - expected[t][i]) < 1e-5);
            }
            assert_true(fabs(sums[t] - sum) < 1e-5 * SCORED[t]);
        }
        para_scorer_free(s);
    }
}

/* By rule a text's bits depend on no other text, number of rows, machine or length of others' rows. */
static void bits_do_not_depend_on_company(void **state)
{
    float scores[TEXTS][CONTEXT];
    double sums[TEXTS], others[TEXTS];
    (void)state;
    para_scorer_options o = options_of(2);
    para_scorer *s = open_scorer(&o, NULL);
    score_all(s, scores, sums);
    para_scorer_free(s);
    for (int64_t rows = 3; rows <= 16; rows += 5) {
        o = options_of(rows);
        s = open_scorer(&o, machine);
        score_all(s, scores, others);
        assert_memory_equal(sums, others, sizeof sums);
        para_error err = {0};
        for (int t = 0; t < TEXTS; t++) {
            para_scored_text alone = text_of(t, NULL);
            must(para_scorer_run(s, &alone, 1, NULL, NULL, &err), err);
            assert_true(alone.sum == sums[t]);
        }
        para_scorer_free(s);
    }
}

/* A scorer that shares has the other's parameters, and cuts as it is told. */
static void parameters_are_shared(void **state)
{
    float scores[TEXTS][CONTEXT];
    double sums[TEXTS], others[TEXTS];
    (void)state;
    para_scorer_options o = options_of(4);
    o.split = "batch=2,heads=2";
    para_scorer *s = open_scorer(&o, machine), *sharing = NULL;
    assert_string_equal(para_scorer_splits(s), "batch=2,heads=2");
    o.share = para_scorer_session(s);
    o.one_length = true;
    para_error err = {0};
    must(para_scorer_new(&sharing, NULL, model, machine, &o, &err), err);
    score_all(s, scores, sums);
    score_all(sharing, scores, others);
    for (int t = 0; t < TEXTS; t++)
        assert_true(fabs(sums[t] - others[t]) < 1e-5 * SCORED[t]);
    para_scorer_free(sharing);
    para_scorer_free(s);
}

static void the_likeliest_is_the_first_of_equal_ones(void **state)
{
    static const para_scored_text texts[] = {
        {.count = 1, .sum = -3}, {.count = 4, .sum = -2}, {.count = 2, .sum = -2}, {.count = 8, .sum = -4}};
    (void)state;
    assert_int_equal(para_likeliest(texts, 4, false), 1);
    assert_int_equal(para_likeliest(texts, 4, true), 1);
    assert_int_equal(para_likeliest(texts + 2, 2, true), 1);
    assert_int_equal(para_likeliest(texts, 1, false), 0);
}

static void refuses_options(para_scorer_options o, const char *from, int code, const char *says)
{
    para_scorer *s = NULL;
    para_error err = {0};
    assert_int_equal(para_scorer_new(&s, from, model, NULL, &o, &err), code);
    assert_null(s);
    if (!strstr(err.message, says))
        fail_msg("the message lacks \"%s\": %s", says, err.message);
}

static void refuses_text(para_scorer *s, para_scored_text bad, const char *says)
{
    para_scored_text texts[2] = {text_of(1, NULL), bad};
    para_error err = {0};
    assert_int_equal(para_scorer_run(s, texts, 2, NULL, NULL, &err), PARA_ERANGE);
    if (!strstr(err.message, says))
        fail_msg("the message lacks \"%s\": %s", says, err.message);
}

static void what_cannot_be_scored_is_refused(void **state)
{
    (void)state;
    para_scorer_options o = options_of(0);
    refuses_options(o, folder, PARA_ERANGE, "rows is 0, expected 1 or more");
    o = options_of(2);
    o.longest = CONTEXT + 1;
    refuses_options(o, folder, PARA_ERANGE, "rows of 41 tokens, expected 1 to the context's 40");
    o = options_of(2);
    o.split = "head=2";
    refuses_options(o, folder, PARA_EAXIS, "no axis is called \"head\"");
    refuses_options(options_of(2), NULL, PARA_EINVAL, "no folder");
    o = options_of(2);
    o.longest = 12;
    para_scorer *s = open_scorer(&o, NULL);
    static const int32_t outside[] = {1, VOCAB};
    para_scored_text bad = text_of(1, NULL);
    bad.count = 9;
    refuses_text(s, bad, "text 1 has 9 tokens, given 5, of which a row reads at most 12");
    bad = text_of(1, NULL);
    bad.given_count = 0;
    refuses_text(s, bad, "text 1 has 8 tokens, given 0, expected 1 or more of both");
    bad.given_count = 2;
    bad.given = outside;
    refuses_text(s, bad, "text 1 has the token 61, expected 0 to 60");
    bad = text_of(1, NULL);
    bad.tokens = outside;
    bad.count = 2;
    refuses_text(s, bad, "text 1 has the token 61, expected 0 to 60");
    para_error err = {0};
    must(para_scorer_run(s, NULL, 0, NULL, NULL, &err), err);
    para_scorer_free(s);
    para_scorer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_those_of_the_logits),
        cmocka_unit_test(bits_do_not_depend_on_company),
        cmocka_unit_test(parameters_are_shared),
        cmocka_unit_test(the_likeliest_is_the_first_of_equal_ones),
        cmocka_unit_test(what_cannot_be_scored_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
