/* rope: y = x with each pair of elements of its last axis turned by an angle that grows with the position.
 *                                                                                            Su et al., 2021, eq. 34
 *   x (*, D), positions int32 (some of *) -> y like x
 * Pair i of the first R elements, i = 0 to R/2 - 1, turns by position theta^(-2i/R) radians, and is made longer by
 * `amplitude`; the others stay. Pairs are elements i and i + R/2 ("halves"), or 2i and 2i + 1 ("interleaved").
 *
 * Longer texts than a model was first trained for: frequencies are divided by `factor`, all of them ("linear"; Chen et
 * al., 2023), or those of pairs that turn less than `slow` times in `original` positions, while those that turn more
 * than `fast` times stay and the ones between lie between, by their turns ("llama3"; Grattafiori et al., 2024) or their
 * numbers ("yarn"; Peng et al., 2023).
 * Every axis but D is parallel. */
#include <paragraph/ops.h>

#include "base/checked.h"
#include "base/simd.h"
#include "ops/need.h"
#include "ops/rope.h"
#include "ops/table.h"
#include "ops/walk.h"

enum { THETA, ROTATED, PAIRS, SCALING, FACTOR, ORIGINAL, SLOW, FAST, AMPLITUDE }; /* attributes */

enum { SCALINGS = 4 };
static const char *const scalings[SCALINGS] = {"none", "linear", "llama3", "yarn"}; /* by para_rope_scaling */

static const struct para_extent *width_of(const para_node *n)
{
    const struct para_shape *x = &n->in[0]->shape;
    return &x->dim[x->rank - 1];
}

static bool is_word(const para_node *n, int attr, const char *word)
{
    return strcmp(n->attr[attr].s, word) == 0;
}

static int check_words(const para_node *n, para_error *err)
{
    bool known = false;
    if (!is_word(n, PAIRS, "halves") && !is_word(n, PAIRS, "interleaved"))
        return para_fail(err, PARA_EINVAL, "pairs are \"%.80s\", expected halves or interleaved", n->attr[PAIRS].s);
    for (int i = 0; i < SCALINGS; i++)
        known = known || is_word(n, SCALING, scalings[i]);
    return known ? 0
                 : para_fail(err, PARA_EINVAL, "scaling is \"%.80s\", expected none, linear, llama3 or yarn",
                             n->attr[SCALING].s);
}

/* Of a node whose words are good. */
static para_rope_options options_of(const para_node *n)
{
    const union para_attr *a = n->attr;
    int scaling = 0;
    while (!is_word(n, SCALING, scalings[scaling]))
        scaling++;
    return (para_rope_options){a[THETA].f,
                               a[ROTATED].i,
                               is_word(n, PAIRS, "interleaved"),
                               (para_rope_scaling)scaling,
                               a[FACTOR].f,
                               a[ORIGINAL].i,
                               a[SLOW].f,
                               a[FAST].f,
                               a[AMPLITUDE].f};
}

static int64_t rotated_of(const para_node *n)
{
    return n->attr[ROTATED].i ? n->attr[ROTATED].i : width_of(n)->whole;
}

/* --- what is good --- */

static int check_scaling(const para_rope_options *o, para_error *err)
{
    if ((unsigned)o->scaling >= SCALINGS)
        return para_fail(err, PARA_EINVAL, "scaling is of kind %d, expected one of the four", (int)o->scaling);
    if (o->scaling == PARA_ROPE_NONE)
        return 0;
    if (!(o->factor >= 1 && isfinite(o->factor)))
        return para_fail(err, PARA_ERANGE, "factor is %g, expected 1 or more", o->factor);
    if (o->scaling == PARA_ROPE_LINEAR)
        return 0;
    if (o->original < 1 || o->original > INT32_MAX)
        return para_fail(err, PARA_ERANGE, "original is %lld, expected 1 to %d", (long long)o->original, INT32_MAX);
    if (!(o->slow > 0 && o->fast > o->slow && isfinite(o->fast)))
        return para_fail(err, PARA_ERANGE, "slow is %g and fast %g, expected more than 0, and fast more than slow",
                         o->slow, o->fast);
    return 0;
}

int para_rope_check(const para_rope_options *o, int64_t width, para_error *err)
{
    int64_t rotated = o->rotated ? o->rotated : width;
    if (!(o->theta > 1 && isfinite(o->theta)))
        return para_fail(err, PARA_ERANGE, "theta is %g, expected more than 1", o->theta);
    if (!(o->amplitude > 0 && isfinite(o->amplitude)))
        return para_fail(err, PARA_ERANGE, "amplitude is %g, expected more than 0", o->amplitude);
    PARA_TRY(check_scaling(o, err));
    if (rotated < 2 || rotated % 2 != 0 || rotated > width || rotated > 2 * PARA_ROPE_MOST)
        return para_fail(err, PARA_ERANGE, "%lld elements of a head are turned, expected an even number, at most %lld",
                         (long long)rotated, (long long)para_smaller(width, 2 * PARA_ROPE_MOST));
    return 0;
}

static int infer(const para_node *n, struct para_shape out[], para_error *err)
{
    if (n->in[0]->shape.rank == 0)
        return para_fail(err, PARA_ESHAPE, "x is a scalar, expected an axis whose elements are turned");
    PARA_TRY(para_need_part(n, 0, 1, err));
    if (para_shape_find(&n->in[1]->shape, width_of(n)->axis) >= 0)
        return para_fail(err, PARA_ESHAPE, "positions have the axis \"%s\", whose elements are turned as one",
                         width_of(n)->axis);
    PARA_TRY(check_words(n, err));
    const para_rope_options options = options_of(n);
    PARA_TRY(para_rope_check(&options, width_of(n)->whole, err));
    return para_infer_like(n, 0, out);
}

static enum para_role role(const para_node *n, const char *axis, int output, const char **why)
{
    (void)output;
    if (strcmp(axis, width_of(n)->axis) != 0)
        return PARA_PARALLEL;
    *why = "elements of a pair turn together";
    return PARA_WHOLE;
}

static int grad(para_graph *g, const para_node *n, para_tensor *const dy[], para_tensor *dx[])
{
    dx[0] = para_apply(&para_op_rope_backward, g, PARA_IN(dy[0], n->in[1]), n->attr);
    return 0;
}

/* A sine and a cosine for each pair of a position, and what they do to the heads there. */
static void cost(const para_node *n, struct para_cost *c)
{
    struct para_walk w;
    para_walk_begin(&w, &n->in[0]->shape, &n->in[1]->shape);
    c->flops = 20.0 * (double)w.rows * (double)rotated_of(n) + 3.0 * (double)para_shape_elements(&n->in[0]->shape);
}

/* --- frequencies --- */

static double clamped(double x)
{
    return x < 0 ? 0 : x > 1 ? 1 : x;
}

/* The pair, of R/2, that turns so often in the original positions; a fraction. */
static double pair_that_turns(const para_rope_options *o, int64_t rotated, double turns)
{
    return (double)rotated * log((double)o->original / (turns * 2 * M_PI)) / (2 * log(o->theta));
}

/* How much of a pair's frequency stays: 1, all of it; 0, it is divided by the factor. */
static double share_kept(const para_rope_options *o, int64_t rotated, int64_t pair, double turns)
{
    if (o->scaling == PARA_ROPE_NONE || o->scaling == PARA_ROPE_LINEAR)
        return o->scaling == PARA_ROPE_NONE;
    if (o->scaling == PARA_ROPE_LLAMA3)
        return clamped((turns * (double)o->original - o->slow) / (o->fast - o->slow));
    double first = fmax(floor(pair_that_turns(o, rotated, o->fast)), 0);
    double last = fmin(ceil(pair_that_turns(o, rotated, o->slow)), (double)rotated - 1);
    return 1 - clamped(((double)pair - first) / (last == first ? 0.001 : last - first));
}

struct para_rope para_rope_of(const para_node *n, bool inverse)
{
    const para_rope_options o = options_of(n);
    struct para_rope r = {.width = width_of(n)->extent, .pairs = rotated_of(n) / 2};
    r.step = o.interleaved ? 2 : 1;
    r.apart = o.interleaved ? 1 : r.pairs;
    r.amplitude = (float)o.amplitude;
    double next = pow(o.theta, -1.0 / (double)r.pairs), turns = 1 / (2 * M_PI);
    for (int64_t i = 0; i < r.pairs; i++, turns *= next) {
        double kept = share_kept(&o, 2 * r.pairs, i, turns), scaled = kept < 1 ? (1 - kept) / o.factor : 0;
        r.turns[i] = (inverse ? -turns : turns) * (kept + scaled);
    }
    return r;
}

/* --- kernels --- */

/* The sine and cosine of a pair at a position; whole turns are left out while numbers are exact. */
static void angle(const struct para_rope *r, int64_t pair, int32_t position, double *sine, double *cosine)
{
    double turns = position * r->turns[pair], part = 2 * M_PI * (turns - rint(turns));
    *sine = r->amplitude * sin(part);
    *cosine = r->amplitude * cos(part);
}

/* y (*,D) from x (*,D), positions (some of *) */
static int turn_by_reference(const struct para_call *c, bool inverse)
{
    const struct para_shape *full = &c->node->in[0]->shape, *part = &c->node->in[1]->shape;
    const struct para_rope r = para_rope_of(c->node, inverse);
    const float *x = c->in[0];
    const int32_t *positions = c->in[1];
    float *y = c->out[0];
    int64_t elements = para_shape_elements(full);
    for (int64_t e = 0; e < elements; e += r.width, x += r.width, y += r.width) {
        for (int64_t i = 0; i < r.pairs; i++) {
            double sine, cosine, a = x[i * r.step], b = x[i * r.step + r.apart];
            angle(&r, i, positions[para_part_offset(full, part, e)], &sine, &cosine);
            y[i * r.step] = (float)(a * cosine - b * sine);
            y[i * r.step + r.apart] = (float)(b * cosine + a * sine);
        }
        for (int64_t i = 2 * r.pairs; i < r.width; i++)
            y[i] = x[i];
    }
    return 0;
}

/* Pairs of one head; step is constant where it is called. */
static inline __attribute__((always_inline)) void
turn_head(int64_t pairs, int64_t step, int64_t apart, const float *sine, const float *cosine, const float *x, float *y)
{
#pragma omp simd
    for (int64_t i = 0; i < pairs; i++) {
        float a = x[i * step], b = x[i * step + apart];
        y[i * step] = a * cosine[i] - b * sine[i];
        y[i * step + apart] = b * cosine[i] + a * sine[i];
    }
}

/* Heads of one position. */
PARA_SIMD static void turn_heads(const struct para_rope *r, int64_t heads, const float *sine, const float *cosine,
                                 const float *x, float *y)
{
    for (int64_t h = 0; h < heads; h++, x += r->width, y += r->width) {
        if (r->step == 1)
            turn_head(r->pairs, 1, r->apart, sine, cosine, x, y);
        else
            turn_head(r->pairs, 2, 1, sine, cosine, x, y);
        if (y != x)
            memcpy(y + 2 * r->pairs, x + 2 * r->pairs, (size_t)(r->width - 2 * r->pairs) * sizeof *y);
    }
}

static int turn(const struct para_call *c, bool inverse)
{
    const struct para_rope r = para_rope_of(c->node, inverse);
    float sines[PARA_ROPE_MOST], cosines[PARA_ROPE_MOST], *y = c->out[0];
    const float *x = c->in[0];
    struct para_walk w;
    para_walk_begin(&w, &c->node->in[0]->shape, &c->node->in[1]->shape);
    for (int64_t row = 0; row < w.rows; row++, x += w.length, y += w.length, para_walk_step(&w)) {
        for (int64_t i = 0; i < r.pairs; i++) {
            double sine, cosine;
            angle(&r, i, ((const int32_t *)c->in[1])[w.offset], &sine, &cosine);
            sines[i] = (float)sine;
            cosines[i] = (float)cosine;
        }
        turn_heads(&r, w.length / r.width, sines, cosines, x, y);
    }
    return 0;
}

static int reference(const struct para_call *c)
{
    return turn_by_reference(c, false);
}

static int cpu(const struct para_call *c)
{
    return turn(c, false);
}

const struct para_op para_op_rope = {
    .name = "rope",
    .attrs = {{"theta", PARA_ATTR_FLOAT},
              {"rotated", PARA_ATTR_INT},
              {"pairs", PARA_ATTR_STRING},
              {"scaling", PARA_ATTR_STRING},
              {"factor", PARA_ATTR_FLOAT},
              {"original", PARA_ATTR_INT},
              {"slow", PARA_ATTR_FLOAT},
              {"fast", PARA_ATTR_FLOAT},
              {"amplitude", PARA_ATTR_FLOAT}},
    .types = "T:f32|bf16 i32 -> T",
    .float32 = true,
    .infer = infer,
    .role = role,
    .grad = grad,
    .cost = cost,
    .over = {1 + 0},
    .reference = reference,
    .cpu = cpu,
    .cuda = PARA_CUDA(para_rope_cuda),
};

/* rope_backward: dx = dy with each pair turned back, and made longer by the same amplitude. */

static int backward_reference(const struct para_call *c)
{
    return turn_by_reference(c, true);
}

static int backward_cpu(const struct para_call *c)
{
    return turn(c, true);
}

const struct para_op para_op_rope_backward = {
    .name = "rope_backward",
    .attrs = {{"theta", PARA_ATTR_FLOAT},
              {"rotated", PARA_ATTR_INT},
              {"pairs", PARA_ATTR_STRING},
              {"scaling", PARA_ATTR_STRING},
              {"factor", PARA_ATTR_FLOAT},
              {"original", PARA_ATTR_INT},
              {"slow", PARA_ATTR_FLOAT},
              {"fast", PARA_ATTR_FLOAT},
              {"amplitude", PARA_ATTR_FLOAT}},
    .types = "T:f32|bf16 i32 -> T",
    .float32 = true,
    .infer = infer,
    .role = role,
    .cost = cost,
    .over = {1 + 0},
    .reference = backward_reference,
    .cpu = backward_cpu,
    .cuda = PARA_CUDA(para_rope_backward_cuda),
};

para_rope_options para_rope_default(void)
{
    return (para_rope_options){.theta = 10000, .factor = 1, .slow = 1, .fast = 32, .amplitude = 1};
}

para_tensor *para_rope(para_graph *g, para_tensor *x, para_tensor *positions, const para_rope_options *o)
{
    bool known = (unsigned)o->scaling < SCALINGS;
    return para_apply(&para_op_rope, g, PARA_IN(x, positions),
                      PARA_ATTRS({.f = o->theta}, {.i = o->rotated}, {.s = o->interleaved ? "interleaved" : "halves"},
                                 {.s = known ? scalings[o->scaling] : "unknown"}, {.f = o->factor}, {.i = o->original},
                                 {.f = o->slow}, {.f = o->fast}, {.f = o->amplitude}));
}
