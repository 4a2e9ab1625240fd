/* What bounds a run: the shares of all workers' time, and a paragraph about them. */
#include "view/verdict.h"

#include "graph/op.h"
#include "graph/time.h"
#include "view/text.h"

#include <stdlib.h>
#include <string.h>

const char *const para_bound_names[] = {"compute",     "memory", "dependencies", "imbalance", "queues",
                                        "the runtime", NULL};

/* Whether a node's FLOPs take longer than its bytes at its device's nominal rates. */
static bool computes(const para_profile *p, int node)
{
    const struct para_rates *r = &para_rates[p->gpu[p->nodes[node].worker] < 0 ? PARA_CPU : PARA_GPU];
    const para_node *n = p->g->nodes[node];
    return para_node_flops(n) / r->flops_per_ns > para_node_bytes(n) / r->bytes_per_ns;
}

static void add_kernels(struct para_timeline *t)
{
    for (int i = 0; i < t->p->g->n_nodes; i++) {
        const struct para_timing *n = &t->p->nodes[i];
        bool compute = computes(t->p, i);
        t->part_ns[compute ? PARA_BOUND_COMPUTE : PARA_BOUND_MEMORY] += n->end_ns - n->start_ns;
        t->flops += compute ? para_node_flops(t->p->g->nodes[i]) : 0;
        t->bytes += compute ? 0 : para_node_bytes(t->p->g->nodes[i]);
    }
}

/* Add gaps, and find the node for which most time was lost. */
static int add_gaps(struct para_timeline *t)
{
    static const enum para_bound parts[] = {
        [PARA_GAP_WAIT] = PARA_BOUND_DEPENDENCY, [PARA_GAP_SUBMIT] = PARA_BOUND_RUNTIME,
        [PARA_GAP_END] = PARA_BOUND_IMBALANCE,   [PARA_GAP_RUNTIME] = PARA_BOUND_RUNTIME,
        [PARA_GAP_QUEUED] = PARA_BOUND_QUEUE,    [PARA_GAP_OUTSIDE] = PARA_BOUND_RUNTIME};
    int64_t *waited = calloc((size_t)t->p->g->n_nodes + 1, sizeof *waited);
    if (!waited)
        return -1;
    t->most_waited = -1;
    for (int i = 0; i < t->n_gaps; i++) {
        const struct para_gap *gap = &t->gaps[i];
        t->part_ns[parts[gap->cause]] += gap->end_ns - gap->begin_ns;
        t->gap_ns[gap->cause] += gap->end_ns - gap->begin_ns;
        if (gap->wait >= 0)
            waited[t->p->waits[gap->wait].from] += gap->end_ns - gap->begin_ns;
    }
    for (int i = 0; i < t->p->g->n_nodes; i++)
        if (waited[i] > t->most_waited_ns) {
            t->most_waited = i;
            t->most_waited_ns = waited[i];
        }
    free(waited);
    return 0;
}

/* ---- what took far longer than its like ---- */

/* Nodes of the same op, work and traffic on devices of a kind are alike. */
struct like {
    const struct para_op *op;
    bool gpu;
    double flops, bytes;
    int64_t ns;
    int node;
};

static int compare_likes(const void *a, const void *b)
{
    const struct like *x = a, *y = b;
    if (x->op != y->op || x->gpu != y->gpu)
        return x->op != y->op ? strcmp(x->op->name, y->op->name) : x->gpu - y->gpu;
    if (x->flops != y->flops || x->bytes != y->bytes)
        return x->flops != y->flops ? (x->flops > y->flops) - (x->flops < y->flops)
                                    : (x->bytes > y->bytes) - (x->bytes < y->bytes);
    return x->ns != y->ns ? (x->ns > y->ns) - (x->ns < y->ns) : x->node - y->node;
}

static bool alike(const struct like *a, const struct like *b)
{
    return a->op == b->op && a->gpu == b->gpu && a->flops == b->flops && a->bytes == b->bytes;
}

/* Of those that are alike, by how much those are late that took three times the median, or the other's time. */
static void add_late(struct para_timeline *t, const struct like *l, int count)
{
    int64_t median = l[(count - 1) / 2].ns;
    for (int i = count - 1; i > 0 && l[i].ns > 3 * median; i--) {
        t->late++;
        t->late_ns += l[i].ns - median;
        if (l[i].ns - median > t->latest_ns) {
            t->latest = l[i].node;
            t->latest_ns = l[i].ns - median;
        }
    }
}

static int find_late(struct para_timeline *t)
{
    int n = t->p->g->n_nodes;
    struct like *likes = calloc((size_t)n + 1, sizeof *likes);
    if (!likes)
        return -1;
    for (int i = 0; i < n; i++) {
        const para_node *node = t->p->g->nodes[i];
        const struct para_timing *ran = &t->p->nodes[i];
        likes[i] = (struct like){node->op,
                                 t->p->gpu[ran->worker] >= 0,
                                 para_node_flops(node),
                                 para_node_bytes(node),
                                 ran->end_ns - ran->start_ns,
                                 i};
    }
    qsort(likes, (size_t)n, sizeof *likes, compare_likes);
    for (int begin = 0, end; begin < n; begin = end) {
        for (end = begin + 1; end < n && alike(&likes[begin], &likes[end]); end++)
            ;
        add_late(t, likes + begin, end - begin);
    }
    free(likes);
    return 0;
}

static int by_length(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Times in which a ready task wasn't begun: those that are far longer than most. */
static int find_held(struct para_timeline *t)
{
    int64_t *lengths = calloc((size_t)t->n_gaps + 1, sizeof *lengths);
    int count = 0;
    if (!lengths)
        return -1;
    for (int i = 0; i < t->n_gaps; i++)
        if (t->gaps[i].cause == PARA_GAP_RUNTIME)
            lengths[count++] = t->gaps[i].end_ns - t->gaps[i].begin_ns;
    qsort(lengths, (size_t)count, sizeof *lengths, by_length);
    for (int i = count - 1; i > 0 && lengths[i] > 100 * lengths[(count - 1) / 2]; i--) {
        t->held++;
        t->held_ns += lengths[i];
        t->longest_held_ns = lengths[count - 1];
    }
    free(lengths);
    return 0;
}

/* ---- words ---- */

/* A text that grows; NULL once memory has run out. */
static void say(struct para_arena *arena, const char **text, const char *more)
{
    *text = *text && more ? para_arena_format(arena, "%s%s", *text, more) : NULL;
}

/* Of all workers' time. */
static double percent_of(const struct para_timeline *t, int64_t ns)
{
    int64_t all = 0;
    for (int i = 0; i < PARA_BOUNDS; i++)
        all += t->part_ns[i];
    return all ? 100.0 * (double)ns / (double)all : 0;
}

static double ms(int64_t ns)
{
    return (double)ns / 1e6;
}

static const char *const remedies[] = {
    "Fewer FLOPs, faster kernels or more workers would help.",
    "Types of fewer bits, or nodes that are fused, would move fewer bytes.",
    "Other splits or places would let more nodes run at once.",
    "Parts of more even size would end together.",
    "Workers took nothing though tasks were ready: something else may have held their cores.",
    "Fewer and larger tasks would help: fewer parts, or more tokens in a step.",
};

/* Per worker and second of kernels; a count per nanosecond is in thousand millions. */
static double rate(double count, int64_t ns)
{
    return ns ? count / (double)ns : 0;
}

static const char *describe_kernels(struct para_timeline *t)
{
    return para_arena_format(
        &t->arena,
        "Of the workers' time %.1f %% went into nodes that compute bounds (%.4g GFLOP, %.3g "
        "GFLOP/s each on average) and %.1f %% "
        "into nodes that memory bounds (%.4g GB, %.3g GB/s each on average).",
        percent_of(t, t->part_ns[PARA_BOUND_COMPUTE]), t->flops / 1e9, rate(t->flops, t->part_ns[PARA_BOUND_COMPUTE]),
        percent_of(t, t->part_ns[PARA_BOUND_MEMORY]), t->bytes / 1e9, rate(t->bytes, t->part_ns[PARA_BOUND_MEMORY]));
}

/* Some of a share's causes, "12.3 WHY", less those that took next to no time. */
struct shares {
    struct para_timeline *t;
    const char *text;
    bool any;
};

static void say_share(struct shares *s, enum para_gap_cause cause, const char *why)
{
    double percent = percent_of(s->t, s->t->gap_ns[cause]);
    if (percent < 0.05)
        return;
    const char *share = para_arena_format(&s->t->arena, "%s%.1f %s", s->any ? "; " : " (", percent, why);
    say(&s->t->arena, &s->text, share);
    s->any = true;
}

static void end_shares(struct shares *s)
{
    say(&s->t->arena, &s->text, s->any ? "). " : ". ");
    s->any = false;
}

static const char *waiting(struct para_timeline *t)
{
    const char *name = t->most_waited < 0 ? NULL : para_text_visible(&t->arena, t->p->g->nodes[t->most_waited]->name);
    return name ? para_arena_format(&t->arena, "waiting for results, longest for %s, %.3f ms", name,
                                    ms(t->most_waited_ns))
                : "waiting for results";
}

/* The account's idle time and its runtime, by cause. */
static const char *describe_gaps(struct para_timeline *t)
{
    int64_t runtime = t->gap_ns[PARA_GAP_RUNTIME] + t->gap_ns[PARA_GAP_OUTSIDE], idle = 0;
    for (int i = 0; i < PARA_GAP_CAUSES; i++)
        idle += t->gap_ns[i];
    idle -= runtime;
    struct shares s = {t, para_arena_format(&t->arena, " They were idle for %.1f %% of it", percent_of(t, idle)),
                       false};
    const char *why = waiting(t);
    if (!why)
        return NULL;
    say_share(&s, PARA_GAP_WAIT, why);
    say_share(&s, PARA_GAP_QUEUED, "beside tasks that were ready, but queued on a busy worker");
    say_share(&s, PARA_GAP_SUBMIT, "before a task was submitted");
    say_share(&s, PARA_GAP_END, "with nothing left to run");
    end_shares(&s);
    say(&t->arena, &s.text, para_arena_format(&t->arena, "%.1f %% went to the runtime", percent_of(t, runtime)));
    say_share(&s, PARA_GAP_OUTSIDE, "before the first task was submitted and after the last had ended");
    end_shares(&s);
    return s.text;
}

static int64_t kernels_ns(const struct para_timeline *t)
{
    return t->part_ns[PARA_BOUND_COMPUTE] + t->part_ns[PARA_BOUND_MEMORY];
}

/* Said where it is a twentieth of the kernels' time. */
static const char *describe_late(struct para_timeline *t)
{
    const char *text = "";
    if (t->late > 0 && t->late_ns >= kernels_ns(t) / 20) {
        const char *name = para_text_visible(&t->arena, t->p->g->nodes[t->latest]->name);
        say(&t->arena, &text,
            name ? para_arena_format(&t->arena,
                                     "%d node%s took %.3f ms more than the median of others of the same op, work and "
                                     "bytes, longest %s (%.3f ms). ",
                                     t->late, t->late == 1 ? "" : "s", ms(t->late_ns), name, ms(t->latest_ns))
                 : NULL);
    }
    if (t->held > 0 && t->held_ns >= kernels_ns(t) / 20)
        say(&t->arena, &text,
            para_arena_format(
                &t->arena,
                "%d time%s a worker began what was ready late, %.3f ms in all, a hundred times the median "
                "and more, longest %.3f ms. ",
                t->held, t->held == 1 ? "" : "s", ms(t->held_ns), ms(t->longest_held_ns)));
    if (text && text[0])
        say(&t->arena, &text, "Something else may have held the workers, and another run would tell. ");
    return text;
}

/* What would help. */
static const char *remedy(const struct para_timeline *t)
{
    return t->disturbed ? "" : remedies[t->bound];
}

static const char *describe_limits(struct para_timeline *t)
{
    int workers = t->p->workers;
    return para_arena_format(&t->arena,
                             "It took %.3f ms on %d worker%s; its kernels alone, shared out evenly, take %.3f ms, and "
                             "the longest chain of nodes that wait for each other %.3f ms. ",
                             ms(t->p->wall_ns), workers, workers == 1 ? "" : "s", ms(kernels_ns(t) / workers),
                             ms(t->chain_ns));
}

int para_verdict_add(struct para_timeline *t)
{
    add_kernels(t);
    if (add_gaps(t) < 0 || find_late(t) < 0 || find_held(t) < 0)
        return -1;
    for (int i = 1; i < PARA_BOUNDS; i++)
        t->bound = t->part_ns[i] > t->part_ns[t->bound] ? (enum para_bound)i : t->bound;
    t->disturbed = t->late_ns + t->held_ns > kernels_ns(t) / 4;
    t->summary = t->disturbed
                     ? para_arena_format(&t->arena, "This run was disturbed; as it went, %s took most of it. ",
                                         para_bound_names[t->bound])
                     : para_arena_format(&t->arena, "What bounds this step most is %s. ", para_bound_names[t->bound]);
    say(&t->arena, &t->summary, describe_late(t));
    say(&t->arena, &t->summary, describe_kernels(t));
    say(&t->arena, &t->summary, describe_gaps(t));
    say(&t->arena, &t->summary, describe_limits(t));
    say(&t->arena, &t->summary, remedy(t));
    return t->summary ? 0 : -1;
}

const char *para_wait_text(struct para_arena *arena, const para_graph *g, const struct para_wait *w)
{
    static const char *const kinds[] = {"RAW on", "WAR on", "WAW on", "after", "reuse of"};
    const char *value = para_text_visible(arena, g->tensors[w->tensor]->name);
    const char *node = para_text_visible(arena, g->nodes[w->from]->name);
    if (!value || !node)
        return NULL;
    bool own = strcmp(value, node) == 0; /* most results have their node's name */
    return para_arena_format(arena, own ? "%s %s" : "%s %s, from %s", kinds[w->kind], value, node);
}

const char *para_gap_text(struct para_arena *arena, const para_profile *p, const struct para_gap *g)
{
    const char *next = g->node >= 0 ? para_text_visible(arena, p->g->nodes[g->node]->name) : "", *wait;
    if (!next)
        return NULL;
    switch (g->cause) {
    case PARA_GAP_WAIT:
        wait = para_wait_text(arena, p->g, &p->waits[g->wait]);
        return wait ? para_arena_format(arena, "idle: %s waits: %s", next, wait) : NULL;
    case PARA_GAP_SUBMIT:
        return para_arena_format(arena, "idle: %s isn't submitted yet", next);
    case PARA_GAP_END:
        return "idle: nothing is left to run here";
    case PARA_GAP_QUEUED:
        return para_arena_format(arena, "idle: %s is ready, and queued on worker %d", next, p->nodes[g->node].worker);
    case PARA_GAP_OUTSIDE:
        return g->begin_ns == 0 ? "runtime: nothing is submitted yet" : "runtime: all has run";
    default:
        return para_arena_format(arena, "runtime: %s is ready", next);
    }
}
