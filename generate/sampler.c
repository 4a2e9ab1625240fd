/* Drawing tokens. Only as many candidates are put in order as top-k and top-p look at: a heap gives the likeliest one
 * by one. */
#include "generate/sampler.h"

#include "base/fail.h"
#include "base/philox.h"

#include <stdlib.h>

/* Keeps these draws apart from those of initial values, dropout and windows under the same seed. */
static const uint64_t SAMPLE_KEY = 0x73616d706c657321u;

/* A token that may be drawn. */
struct candidate {
    int32_t id;
    float logit;
    double weight;
};

struct para_sampler {
    int64_t vocab;
    struct candidate room[]; /* one per id */
};

para_sampling para_sampling_default(void)
{
    return (para_sampling){.repetition_penalty = 1, .temperature = 1, .top_p = 1, .seed = 1};
}

/* No comparison holds of a NaN. */
static int check_part(const char *name, double part, para_error *err)
{
    if (!(part >= 0 && part <= 1))
        return para_fail(err, PARA_ERANGE, "%s is %g, expected 0 to 1", name, part);
    return 0;
}

int para_sampling_check(const para_sampling *s, para_error *err)
{
    if (!(s->repetition_penalty > 0 && isfinite(s->repetition_penalty)))
        return para_fail(err, PARA_ERANGE, "repetition_penalty is %g, expected a finite number above 0, 1 for none",
                         s->repetition_penalty);
    if (s->greedy)
        return 0;
    if (!(s->temperature > 0 && isfinite(s->temperature)))
        return para_fail(err, PARA_ERANGE, "temperature is %g, expected a finite number above 0", s->temperature);
    if (s->top_k < 0)
        return para_fail(err, PARA_ERANGE, "top_k is %lld, expected 0, for all, or more", (long long)s->top_k);
    PARA_TRY(check_part("top_p", s->top_p, err));
    return check_part("min_p", s->min_p, err);
}

int para_sampler_new(para_sampler **out, int64_t vocab, para_error *err)
{
    para_sampler *s = malloc(sizeof *s + (size_t)vocab * sizeof s->room[0]);
    if (!s)
        return para_fail_memory(err, "candidates");
    s->vocab = vocab;
    *out = s;
    return 0;
}

void para_sampler_free(para_sampler *s)
{
    free(s);
}

/* Of equal logits the lower id comes first. */
static bool likelier(const struct candidate *a, const struct candidate *b)
{
    return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

/* Let the candidate at `i` sink until both below it are less likely. */
static void sink(struct candidate *c, int64_t count, int64_t i)
{
    struct candidate moving = c[i];
    for (int64_t below = 2 * i + 1; below < count; below = 2 * i + 1) {
        if (below + 1 < count && likelier(&c[below + 1], &c[below]))
            below++;
        if (!likelier(&c[below], &moving))
            break;
        c[i] = c[below];
        i = below;
    }
    c[i] = moving;
}

/* Swap the likeliest of a heap of `count` with its last, and mend the heap of the others. */
static void take_likeliest(struct candidate *c, int64_t count)
{
    struct candidate first = c[0];
    c[0] = c[count - 1];
    c[count - 1] = first;
    sink(c, count - 1, 0);
}

/* Put the `k` likeliest last, the likeliest at the very end, or fewer, once their weights sum to `enough`; returns how
 * many. */
static int64_t order(struct candidate *c, int64_t count, int64_t k, double enough)
{
    int64_t kept = 0;
    double sum = 0;
    for (int64_t i = count / 2 - 1; i >= 0; i--)
        sink(c, count, i);
    while (kept < k && (kept == 0 || sum < enough)) {
        take_likeliest(c, count - kept);
        kept++;
        sum += c[count - kept].weight;
    }
    return kept;
}

static double total_weight(const struct candidate *c, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += c[i].weight;
    return sum;
}

/* Move the candidates that top-k and top-p leave to the end; returns how many. The part P is of what top-k leaves. */
static int64_t cut_top(const para_sampling *s, struct candidate *c, int64_t count)
{
    bool all = s->top_k == 0 || s->top_k >= count;
    if (all && s->top_p >= 1)
        return count;
    if (all)
        return order(c, count, count, s->top_p * total_weight(c, count));
    int64_t kept = order(c, count, s->top_k, HUGE_VAL), left = 0;
    double enough = s->top_p * total_weight(c + count - kept, kept), sum = 0;
    while (left < kept && (left == 0 || s->top_p >= 1 || sum < enough))
        sum += c[count - ++left].weight;
    return left;
}

/* Of the last `kept` candidates move those that weigh `least` or more to the end, in their order; returns how many. */
static int64_t cut_light(struct candidate *c, int64_t count, int64_t kept, double least)
{
    int64_t to = count;
    for (int64_t i = count - 1; i >= count - kept; i--)
        if (c[i].weight >= least) {
            struct candidate heavy = c[i];
            c[i] = c[--to];
            c[to] = heavy;
        }
    return count - to;
}

/* Make each id a candidate, with the penalty, once, where the text has it. */
static void list(const para_sampling *s, const float *logits, int64_t count, const int32_t *text, int64_t length,
                 struct candidate *c)
{
    for (int64_t i = 0; i < count; i++)
        c[i] = (struct candidate){(int32_t)i, logits[i], 0};
    for (int64_t i = 0; i < length && s->repetition_penalty != 1; i++) {
        int64_t id = text[i];
        bool choosable = id >= 0 && id < count;
        double logit = choosable ? logits[id] : 0;
        if (choosable)
            c[id].logit = (float)(logit > 0 ? logit / s->repetition_penalty : logit * s->repetition_penalty);
    }
}

/* The first of the likeliest; -1 if a logit is NaN. */
static int32_t likeliest(const struct candidate *c, int64_t count)
{
    int32_t best = 0;
    float top = -INFINITY;
    for (int64_t i = 0; i < count; i++) {
        if (c[i].logit <= top)
            continue;
        if (isnan(c[i].logit))
            return -1;
        best = (int32_t)i;
        top = c[i].logit;
    }
    return best;
}

/* Weigh all candidates, of which the likeliest has the logit `top`; returns the sum. */
static double weigh(const para_sampling *s, struct candidate *c, int64_t count, double top)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        c[i].weight = exp(((double)c[i].logit - top) / s->temperature);
        sum += c[i].weight;
    }
    return sum;
}

/* Whether no candidate is left out, and all stay in the order of their ids. */
static bool keeps_all(const para_sampling *s, int64_t count)
{
    return (s->top_k == 0 || s->top_k >= count) && s->top_p >= 1 && s->min_p <= 0;
}

/* A draw among candidates, of which the likeliest has the logit `top`. */
static int32_t draw_one(const para_sampling *s, struct candidate *c, int64_t count, double top, struct para_philox p)
{
    double left = weigh(s, c, count, top);
    int64_t i = count - 1, last = 0;
    if (!keeps_all(s, count)) {
        last = count - cut_light(c, count, cut_top(s, c, count), s->min_p);
        left = total_weight(c + last, count - last);
    }
    left *= (double)(p.word[0] >> 5) * 0x1p-27 + (double)(p.word[1] >> 6) * 0x1p-53;
    for (; i > last && left >= c[i].weight; i--)
        left -= c[i].weight;
    return c[i].id;
}

int para_sampler_choose(para_sampler *s, const para_sampling *how, const float *logits, const int32_t *text,
                        int64_t length, uint64_t stream, uint64_t draw, int32_t *id, para_error *err)
{
    PARA_TRY(para_sampling_check(how, err));
    list(how, logits, s->vocab, text, length, s->room);
    int32_t best = likeliest(s->room, s->vocab);
    if (best < 0 || !isfinite(s->room[best].logit))
        return para_fail(err, PARA_ERANGE, "the largest logit is no finite number");
    *id = how->greedy ? best
                      : draw_one(how, s->room, s->vocab, s->room[best].logit,
                                 para_philox((uint64_t)how->seed ^ SAMPLE_KEY, stream, draw));
    return 0;
}

/* --- likelihoods --- */

/* exp(logit - top) over the sum of all is a probability; `top` is the largest, `log_sum` the sum's logarithm. */
struct softmax {
    double top, log_sum;
};

static struct softmax softmax_of(const float *logits, int64_t count)
{
    struct softmax s = {logits[0], 0};
    double sum = 0;
    for (int64_t i = 1; i < count; i++)
        s.top = logits[i] > s.top ? logits[i] : s.top;
    for (int64_t i = 0; i < count; i++)
        sum += exp(logits[i] - s.top);
    s.log_sum = log(sum);
    return s;
}

static para_likelihood likelihood_of(const struct softmax *s, const float *logits, int64_t id)
{
    return (para_likelihood){(int32_t)id, logits[id] - s->top - s->log_sum};
}

/* Put `one` in its place among the likeliest so far, which are in order; returns how many there are then. */
static int64_t insert(para_likelihood *best, int64_t have, int64_t top, para_likelihood one)
{
    if (have == top && (top == 0 || one.log_probability <= best[top - 1].log_probability))
        return have;
    int64_t at = have < top ? have : top - 1;
    for (; at > 0 && one.log_probability > best[at - 1].log_probability; at--)
        best[at] = best[at - 1];
    best[at] = one;
    return have < top ? have + 1 : top;
}

void para_likelihoods(const float *logits, int64_t count, int32_t id, para_likelihood *out, int64_t top)
{
    struct softmax s = softmax_of(logits, count);
    int64_t have = 0;
    out[0] = likelihood_of(&s, logits, id);
    for (int64_t i = 0; i < count && top > 0; i++)
        have = insert(out + 1, have, top, likelihood_of(&s, logits, i));
}
