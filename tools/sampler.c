/* Drawing tokens. Only as many candidates are put in order as top-k and top-p look at: a heap gives the likeliest one
 * by one. */
#include "tools/sampler.h"

#include "base/philox.h"

/* Keeps these draws apart from those of initial values, dropout and windows under the same seed. */
static const uint64_t SAMPLE_KEY = 0x73616d706c657321u;

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
static int64_t cut(const struct sampling *s, struct candidate *c, int64_t count)
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

static int32_t likeliest(const float *logits, int64_t count)
{
    int32_t best = 0;
    for (int64_t i = 0; i < count; i++) {
        if (isnan(logits[i]))
            return -1;
        best = logits[i] > logits[best] ? (int32_t)i : best;
    }
    return best;
}

int32_t sampling_choose(const struct sampling *s, const float *logits, int64_t count, struct candidate *room,
                        uint64_t stream, uint64_t draw)
{
    int32_t best = likeliest(logits, count);
    if (best < 0 || !isfinite(logits[best]))
        return -1;
    if (s->greedy)
        return best;
    for (int64_t i = 0; i < count; i++) {
        double distance = (double)logits[i] - (double)logits[best];
        room[i] = (struct candidate){(int32_t)i, logits[i], exp(distance / s->temperature)};
    }
    int64_t kept = cut(s, room, count), i = count - 1, last = count - kept;
    struct para_philox p = para_philox((uint64_t)s->seed ^ SAMPLE_KEY, stream, draw);
    double left = total_weight(room + last, kept);
    left *= (double)(p.word[0] >> 5) * 0x1p-27 + (double)(p.word[1] >> 6) * 0x1p-53;
    for (; i > last && left >= room[i].weight; i--)
        left -= room[i].weight;
    return room[i].id;
}
