/* The sampler against a plain one, written from the definitions: sort, then one filter after the other. */
#include "tests/support.h"

#include <paragraph/generate.h>

#include "base/philox.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { IDS = 40, MANY = 1500, DRAWS = 20000, FEW = 2000 };

/* Logits of which some are equal and some below 0, and a text that has a few ids more than once. */
static void some_logits(float *logits, int ids, uint64_t number)
{
    for (int i = 0; i < ids; i++)
        logits[i] = (float)((int)(para_philox(11, number, (uint64_t)i).word[0] % 17) - 8) * 0.4f;
}

static const int32_t text[] = {3, 5, 3, 39, 0, 5, 3};
enum { TEXT = sizeof text / sizeof text[0] };

struct plain {
    int id;
    double logit, probability;
};

static int by_logit(const void *a, const void *b)
{
    const struct plain *x = a, *y = b;
    return x->logit != y->logit ? (x->logit < y->logit) - (x->logit > y->logit) : x->id - y->id;
}

static void normalize(struct plain *p, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += p[i].probability;
    for (int i = 0; i < count; i++)
        p[i].probability /= sum;
}

static bool text_has(int id)
{
    bool found = false;
    for (int i = 0; i < TEXT; i++)
        found = found || text[i] == id;
    return found;
}

/* The probability that each id is drawn with; 0 for those that a filter leaves out. */
static void plain_probabilities(const para_sampling *s, const float *logits, int ids, double *out)
{
    struct plain p[MANY];
    int kept = ids, fewest = 0;
    for (int i = 0; i < ids; i++) {
        p[i] = (struct plain){i, logits[i], 0};
        if (text_has(i))
            p[i].logit = logits[i] > 0 ? logits[i] / s->repetition_penalty : logits[i] * s->repetition_penalty;
        p[i].logit = (double)(float)p[i].logit / s->temperature;
        p[i].probability = exp(p[i].logit);
    }
    qsort(p, (size_t)ids, sizeof p[0], by_logit);
    if (s->top_k && s->top_k < ids)
        kept = (int)s->top_k;
    normalize(p, kept);
    double sum = 0;
    while (fewest < kept && (fewest == 0 || s->top_p >= 1 || sum < s->top_p))
        sum += p[fewest++].probability;
    kept = fewest;
    while (kept > 1 && p[kept - 1].probability < s->min_p * p[0].probability)
        kept--;
    normalize(p, kept);
    memset(out, 0, (size_t)ids * sizeof out[0]);
    for (int i = 0; i < kept; i++)
        out[p[i].id] = p[i].probability;
}

static para_sampler *sampler_of(int64_t vocab)
{
    para_sampler *s;
    assert_int_equal(para_sampler_new(&s, vocab, NULL), 0);
    return s;
}

/* What a sampler of so many ids chooses after a text. */
static int32_t choice(const para_sampling *how, const float *logits, int64_t vocab, const int32_t *after,
                      int64_t length)
{
    para_sampler *s = sampler_of(vocab);
    para_error err;
    int32_t id = -1;
    int status = para_sampler_choose(s, how, logits, after, length, 0, 0, &id, &err);
    para_sampler_free(s);
    return status < 0 ? status : id;
}

/* The frequency of a draw is the expected one within five deviations and three draws, and none where that is 0. */
static void check_frequency(int id, int drawn, double expected, int draws)
{
    double mean = draws * expected, deviation = sqrt(mean * (1 - expected));
    if (fabs(drawn - mean) > 5 * deviation + (mean > 0 ? 3 : 0))
        fail_msg("id %d or the like of it was drawn %d times, expected %.1f", id, drawn, mean);
}

/* Draws have the frequencies of the plain sampler: of each id, and of all together that are as likely. */
static void check_draws(const para_sampling *s, const float *logits, int ids, int draws)
{
    para_sampler *sampler = sampler_of(ids);
    double expected[MANY];
    int drawn[MANY] = {0};
    plain_probabilities(s, logits, ids, expected);
    for (int draw = 0; draw < draws; draw++) {
        int32_t id;
        assert_int_equal(para_sampler_choose(sampler, s, logits, text, TEXT, 2, (uint64_t)draw, &id, NULL), 0);
        assert_in_range(id, 0, ids - 1);
        drawn[id]++;
    }
    para_sampler_free(sampler);
    for (int i = 0; i < ids; i++) {
        int alike = 0, drawn_alike = 0;
        for (int j = 0; j < ids; j++)
            if (expected[j] == expected[i]) {
                alike++;
                drawn_alike += drawn[j];
            }
        check_frequency(i, drawn[i], expected[i], draws);
        check_frequency(i, drawn_alike, fmin(alike * expected[i], 1), draws);
    }
}

static void each_filter_is_the_plain_one(void **state)
{
    static const para_sampling of[] = {
        {.repetition_penalty = 1, .temperature = 0.7, .top_p = 1},
        {.repetition_penalty = 1, .temperature = 1, .top_p = 1, .top_k = 6},
        {.repetition_penalty = 1, .temperature = 1.5, .top_p = 0.6},
        {.repetition_penalty = 1, .temperature = 1, .top_p = 1, .min_p = 0.2},
        {.repetition_penalty = 1, .temperature = 1, .top_p = 1, .min_p = 1},
        {.repetition_penalty = 1.4, .temperature = 1, .top_p = 1},
        {.repetition_penalty = 0.5, .temperature = 1, .top_p = 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        float logits[IDS];
        some_logits(logits, IDS, i);
        check_draws(&of[i], logits, IDS, DRAWS);
    }
}

/* Each pair would leave other tokens, were its order another. */
static void filters_come_in_their_order(void **state)
{
    static const para_sampling of[] = {
        {.repetition_penalty = 3, .temperature = 0.5, .top_p = 1, .top_k = 4},
        {.repetition_penalty = 1, .temperature = 2, .top_p = 0.5, .top_k = 8},
        {.repetition_penalty = 1, .temperature = 2, .top_p = 0.7, .min_p = 0.5},
        {.repetition_penalty = 1.2, .temperature = 3, .top_p = 0.9, .top_k = 12, .min_p = 0.4},
    };
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        float logits[IDS];
        some_logits(logits, IDS, 100 + i);
        check_draws(&of[i], logits, IDS, DRAWS);
    }
}

/* The likeliest of many, among them one alone far above the others, are all found. */
static void filters_of_many_tokens(void **state)
{
    static const para_sampling of[] = {
        {.repetition_penalty = 1, .temperature = 0.3, .top_p = 1, .top_k = 3},
        {.repetition_penalty = 1.5, .temperature = 1, .top_p = 1, .top_k = 700},
        {.repetition_penalty = 1, .temperature = 0.02, .top_p = 1, .top_k = 1490},
        {.repetition_penalty = 1, .temperature = 0.5, .top_p = 0.1},
        {.repetition_penalty = 1, .temperature = 1, .top_p = 0.9},
        {.repetition_penalty = 1, .temperature = 2, .top_p = 0.99},
        {.repetition_penalty = 1, .temperature = 0.4, .top_p = 0.9999},
        {.repetition_penalty = 1, .temperature = 0.4, .top_p = 0.8, .top_k = 900},
        {.repetition_penalty = 1, .temperature = 0.3, .top_p = 1, .min_p = 0.9},
        {.repetition_penalty = 1, .temperature = 0.7, .top_p = 1, .min_p = 0.001},
        {.repetition_penalty = 1, .temperature = 1e300, .top_p = 0.5, .top_k = 5},
    };
    static float logits[MANY];
    (void)state;
    for (size_t i = 0; i < sizeof of / sizeof of[0]; i++) {
        some_logits(logits, MANY, 200 + i);
        logits[MANY - 1] = 9;
        check_draws(&of[i], logits, MANY, FEW);
    }
}

/* A filter that leaves all tokens changes no draw: weights are summed, and walked, in the same order without it. */
static void draws_from_all_are_the_same_beside_a_filter(void **state)
{
    static float logits[MANY];
    para_sampler *sampler = sampler_of(MANY);
    para_sampling plain = para_sampling_default(), filtered;
    (void)state;
    for (int i = 0; i < MANY; i++)
        logits[i] = (float)(int)(para_philox(12, 0, (uint64_t)i).word[0] % 1001) * 0.01f - 7;
    plain.repetition_penalty = 1.3;
    plain.temperature = 1.7;
    filtered = plain;
    filtered.min_p = 1e-300;
    filtered.top_k = MANY;
    for (uint64_t draw = 0; draw < DRAWS; draw++) {
        int32_t one, other;
        assert_int_equal(para_sampler_choose(sampler, &plain, logits, text, TEXT, 3, draw, &one, NULL), 0);
        assert_int_equal(para_sampler_choose(sampler, &filtered, logits, text, TEXT, 3, draw, &other, NULL), 0);
        assert_int_equal(one, other);
    }
    para_sampler_free(sampler);
}

static void greedy_takes_the_first_of_the_likeliest(void **state)
{
    para_sampling s = para_sampling_default();
    static const float logits[4] = {1, 2, 2, -1};
    static const int32_t one[] = {1, 1}, both[] = {1, 2};
    (void)state;
    s.greedy = true;
    assert_int_equal(choice(&s, logits, 4, NULL, 0), 1);
    s.repetition_penalty = 1.5; /* 2 becomes 1.33, once, however often the text has it */
    assert_int_equal(choice(&s, logits, 4, one, 2), 2);
    assert_int_equal(choice(&s, logits, 4, both, 2), 1);
    s.repetition_penalty = 2.5; /* 2 becomes 0.8 */
    assert_int_equal(choice(&s, logits, 4, both, 2), 0);
}

/* A text may have ids that aren't among those that can be drawn; in front of the logits stands one that isn't theirs.
 */
static void ids_that_are_no_choices_are_passed_over(void **state)
{
    para_sampling s = para_sampling_default();
    static const float all[3] = {9, 1, 0}, *logits = all + 1;
    static const int32_t beyond[] = {2, 700}, below[] = {-1};
    (void)state;
    s.greedy = true;
    s.repetition_penalty = 2;
    assert_int_equal(choice(&s, logits, 2, beyond, 2), 0);
    assert_int_equal(choice(&s, logits, 2, below, 1), 0);
}

static void refuses(para_sampling s, const char *says)
{
    static const float logits[2] = {1, 0};
    para_sampler *sampler = sampler_of(2);
    para_error err = {0};
    int32_t id = 7;
    assert_int_equal(para_sampler_choose(sampler, &s, logits, NULL, 0, 0, 0, &id, &err), PARA_ERANGE);
    assert_int_equal(id, 7);
    if (!strstr(err.message, says))
        fail_msg("the message lacks \"%s\": %s", says, err.message);
    para_sampler_free(sampler);
}

static void numbers_out_of_their_range_are_refused(void **state)
{
    static const double not_above_0[] = {0, -1, NAN, INFINITY}, no_parts[] = {-0.1, 1.1, NAN};
    static const float logits[2] = {0, 1};
    para_sampling good = para_sampling_default(), bad;
    (void)state;
    for (int i = 0; i < 4; i++) {
        bad = good;
        bad.temperature = not_above_0[i];
        refuses(bad, "temperature is ");
        bad = good;
        bad.repetition_penalty = not_above_0[i];
        refuses(bad, "repetition_penalty is ");
    }
    for (int i = 0; i < 3; i++) {
        bad = good;
        bad.top_p = no_parts[i];
        refuses(bad, "top_p is ");
        bad = good;
        bad.min_p = no_parts[i];
        refuses(bad, "min_p is ");
    }
    bad = good;
    bad.top_k = -1;
    refuses(bad, "top_k is -1, expected 0, for all, or more");
    bad.greedy = true; /* of which it doesn't count */
    assert_int_equal(choice(&bad, logits, 2, NULL, 0), 1);
}

static void logits_that_are_no_numbers_are_refused(void **state)
{
    para_sampling s = para_sampling_default();
    const float nan_last[3] = {0, 1, NAN}, infinite[3] = {0, INFINITY, 1}, impossible[3] = {-INFINITY, 1, -INFINITY};
    (void)state;
    for (int greedy = 0; greedy < 2; greedy++) {
        s.greedy = greedy;
        assert_int_equal(choice(&s, nan_last, 3, NULL, 0), PARA_ERANGE);
        assert_int_equal(choice(&s, infinite, 3, NULL, 0), PARA_ERANGE);
        assert_int_equal(choice(&s, impossible, 3, NULL, 0), 1);
    }
}

static void likelihoods_are_those_of_a_softmax(void **state)
{
    float logits[IDS];
    para_likelihood found[1 + IDS];
    struct plain p[IDS];
    double sum = 0;
    (void)state;
    some_logits(logits, IDS, 5);
    for (int i = 0; i < IDS; i++) {
        p[i] = (struct plain){i, logits[i], 0};
        sum += exp(logits[i]);
    }
    qsort(p, (size_t)IDS, sizeof p[0], by_logit);
    for (int top = 0; top <= IDS; top += 5) {
        para_likelihoods(logits, IDS, 17, found, top);
        assert_int_equal(found[0].id, 17);
        assert_true(fabs(found[0].log_probability - log(exp(logits[17]) / sum)) < 1e-12);
        for (int i = 0; i < top; i++) {
            assert_int_equal(found[1 + i].id, p[i].id);
            assert_true(fabs(found[1 + i].log_probability - log(exp(p[i].logit) / sum)) < 1e-12);
        }
    }
}

/* Large logits don't overflow, and one that can't be has the logarithm of 0. */
static void likelihoods_of_extreme_logits(void **state)
{
    static const float logits[3] = {3e38f, 3e38f, -INFINITY};
    para_likelihood found[4];
    (void)state;
    para_likelihoods(logits, 3, 2, found, 3);
    assert_true(isinf(found[0].log_probability) && found[0].log_probability < 0);
    assert_true(fabs(found[1].log_probability + log(2)) < 1e-12);
    assert_int_equal(found[1].id, 0);
    assert_int_equal(found[3].id, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_filter_is_the_plain_one),
        cmocka_unit_test(filters_come_in_their_order),
        cmocka_unit_test(filters_of_many_tokens),
        cmocka_unit_test(draws_from_all_are_the_same_beside_a_filter),
        cmocka_unit_test(greedy_takes_the_first_of_the_likeliest),
        cmocka_unit_test(ids_that_are_no_choices_are_passed_over),
        cmocka_unit_test(numbers_out_of_their_range_are_refused),
        cmocka_unit_test(logits_that_are_no_numbers_are_refused),
        cmocka_unit_test(likelihoods_are_those_of_a_softmax),
        cmocka_unit_test(likelihoods_of_extreme_logits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
