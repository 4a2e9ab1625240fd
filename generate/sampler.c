/* Drawing tokens. All logits become weights, which are summed and walked block by block. Where top-k, top-p or min-p
 * leave some out, the likeliest are gathered, down to ever lower logits until none that may be drawn is missing, and of
 * them only as many are put in order as top-k and top-p look at: a heap gives the likeliest one by one. */
#include "generate/sampler.h"

#include "base/fail.h"
#include "base/highest.h"
#include "base/philox.h"
#include "base/simd.h"

#include <float.h>
#include <stdlib.h>

/* Keeps these draws apart from those of initial values, dropout and windows under the same seed. */
static const uint64_t SAMPLE_KEY = 0x73616d706c657321u;

/* A token that may be drawn. */
struct candidate {
    int32_t id;
    float logit, weight;
};

/* Weights that are summed before they are walked. */
enum { BLOCK = 256 };

/* Of each has room for every id. */
struct para_sampler {
    int64_t vocab;
    float *logits; /* with the penalty */
    float *weights;
    struct candidate candidates[];
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
    size_t ids = (size_t)vocab;
    para_sampler *s = malloc(sizeof *s + ids * (sizeof s->candidates[0] + 2 * sizeof *s->logits));
    if (!s)
        return para_fail_memory(err, "candidates");
    s->vocab = vocab;
    s->logits = (float *)(void *)(s->candidates + ids);
    s->weights = s->logits + ids;
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

/* Move the candidates that top-k and top-p leave to the end; returns how many. Those that top-k leaves weigh `whole`,
 * if it leaves `all`. */
static int64_t cut_top(const para_sampling *s, bool all, double whole, struct candidate *c, int64_t count)
{
    if (all && s->top_p >= 1)
        return count;
    if (all)
        return order(c, count, count, s->top_p * whole);
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

/* Take the logits over, with the penalty, once, on those of ids that the text has. */
static void take_over(para_sampler *s, const para_sampling *how, const float *logits, const int32_t *text,
                      int64_t length)
{
    memcpy(s->logits, logits, (size_t)s->vocab * sizeof *logits);
    for (int64_t i = 0; i < length && how->repetition_penalty != 1; i++) {
        int64_t id = text[i];
        bool choosable = id >= 0 && id < s->vocab;
        double logit = choosable ? logits[id] : 0;
        if (choosable)
            s->logits[id] = (float)(logit > 0 ? logit / how->repetition_penalty : logit * how->repetition_penalty);
    }
}

/* The largest logit; NaN if one is. */
PARA_SIMD static float largest(const float *logits, int64_t count)
{
    int nans = 0;
#pragma omp simd reduction(+ : nans)
    for (int64_t i = 0; i < count; i++)
        nans += logits[i] != logits[i];
    return nans > 0 ? NAN : para_highest(count, logits);
}

/* The first of the likeliest. */
static int32_t first_of(const float *logits, float top)
{
    int32_t id = 0;
    while (logits[id] != top)
        id++;
    return id;
}

/* Weigh all ids, of which the likeliest has the logit `top` and the weight 1. Logits are no more exact than floats. */
PARA_SIMD static void weigh(const float *logits, int64_t count, double top, double per_degree, float *weights)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        weights[i] = para_expf((float)((logits[i] - top) * per_degree));
}

/* --- a draw --- */

/* The sum of up to BLOCK weights, in an order that is the same on any processor. */
PARA_SIMD static double block_weight(const float *weights, int64_t count)
{
    enum { LANES = 16 };
    double lane[LANES] = {0}, sum = 0;
    int64_t i = 0;
    for (; i + LANES <= count; i += LANES)
#pragma omp simd
        for (int l = 0; l < LANES; l++)
            lane[l] += weights[i + l];
    for (; i < count; i++)
        sum += weights[i];
    for (int l = 0; l < LANES; l++)
        sum += lane[l];
    return sum;
}

static double all_weight(const float *weights, int64_t count)
{
    double sum = 0;
    for (int64_t begin = 0; begin < count; begin += BLOCK)
        sum += block_weight(weights + begin, count - begin < BLOCK ? count - begin : BLOCK);
    return sum;
}

/* The number of the weight at which the part `part` of all of them, summed from the last on, is passed. */
static int64_t walk(const float *weights, int64_t count, double part)
{
    double left = part * all_weight(weights, count);
    int64_t begin = (count - 1) / BLOCK * BLOCK, end = count;
    for (; begin > 0; end = begin, begin -= BLOCK) {
        double block = block_weight(weights + begin, end - begin);
        if (left < block)
            break;
        left -= block;
    }
    int64_t found = begin;
    for (int64_t at = end - 1; at >= begin; at--) {
        found = weights[at] > 0 ? at : found;
        if (left < weights[at])
            break;
        left -= weights[at];
    }
    return found;
}

/* --- what filters leave --- */

PARA_SIMD static float highest_of(const float *logits, int64_t count)
{
    return para_highest(count, logits);
}

/* Make candidates of the ids whose logit is `least` or more; returns how many. */
static int64_t gather(para_sampler *s, float least)
{
    int64_t count = 0;
    for (int64_t begin = 0; begin < s->vocab; begin += BLOCK) {
        int64_t end = begin + BLOCK < s->vocab ? begin + BLOCK : s->vocab;
        if (highest_of(s->logits + begin, end - begin) < least)
            continue;
        for (int64_t i = begin; i < end; i++)
            if (s->logits[i] >= least)
                s->candidates[count++] = (struct candidate){(int32_t)i, s->logits[i], s->weights[i]};
    }
    return count;
}

/* Whether top-k leaves all. */
static bool ranks_all(const para_sampling *how, int64_t count)
{
    return how->top_k == 0 || how->top_k >= count;
}

/* Whether the filters leave none but the likeliest, gathered down to `depth` temperatures below the first. */
static bool suffice(const para_sampling *how, bool all, double whole, const struct candidate *c, int64_t count,
                    double depth)
{
    if (!all)
        return count >= how->top_k;
    if (how->top_p < 1)
        return total_weight(c, count) >= how->top_p * whole;
    return exp(-depth) < 0.999 * how->min_p; /* weights are no exacter than floats */
}

/* Gather as many candidates as suffice; the first has the logit `top`. */
static int64_t gather_enough(para_sampler *s, const para_sampling *how, bool all, double whole, float top)
{
    for (double depth = 4; depth <= 64; depth *= 2) {
        int64_t count = gather(s, (float)(top - depth * how->temperature));
        if (suffice(how, all, whole, s->candidates, count, depth))
            return count;
    }
    return gather(s, -INFINITY);
}

/* Draw among those candidates alone that are left. */
static int32_t draw_left(para_sampler *s, const para_sampling *how, float top, double part)
{
    bool all = ranks_all(how, s->vocab);
    double whole = all_weight(s->weights, s->vocab);
    struct candidate *c = s->candidates;
    int64_t count = gather_enough(s, how, all, whole, top);
    int64_t left = cut_light(c, count, cut_top(how, all, whole, c, count), how->min_p);
    c += count - left;
    for (int64_t i = 0; i < left; i++)
        s->weights[i] = c[i].weight;
    return c[walk(s->weights, left, part)].id;
}

/* --- a draw of all --- */

/* A draw of ids of which the likeliest has the logit `top`. */
static int32_t draw_one(para_sampler *s, const para_sampling *how, float top, struct para_philox p)
{
    double part = (double)(p.word[0] >> 5) * 0x1p-27 + (double)(p.word[1] >> 6) * 0x1p-53;
    double per_degree = 1 / how->temperature;
    weigh(s->logits, s->vocab, top, per_degree < DBL_MAX ? per_degree : DBL_MAX, s->weights);
    bool keeps_all = ranks_all(how, s->vocab) && how->top_p >= 1 && how->min_p <= 0;
    return keeps_all ? (int32_t)walk(s->weights, s->vocab, part) : draw_left(s, how, top, part);
}

int para_sampler_choose(para_sampler *s, const para_sampling *how, const float *logits, const int32_t *text,
                        int64_t length, uint64_t stream, uint64_t draw, int32_t *id, para_error *err)
{
    PARA_TRY(para_sampling_check(how, err));
    take_over(s, how, logits, text, length);
    float top = largest(s->logits, s->vocab);
    if (!isfinite(top))
        return para_fail(err, PARA_ERANGE, "the largest logit is no finite number");
    *id = how->greedy ? first_of(s->logits, top)
                      : draw_one(s, how, top, para_philox((uint64_t)how->seed ^ SAMPLE_KEY, stream, draw));
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
