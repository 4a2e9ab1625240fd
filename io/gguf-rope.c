/* What GGUF files say of rotary embeddings. */
#include "io/gguf-rope.h"

#include "base/fail.h"
#include "io/gguf-model.h"

#include <math.h>
#include <stdlib.h>

static const double PI = 3.14159265358979323846;

/* --- Llama 3's factors --- */

/* Turns a position of pair i: one over its wavelength. */
static double turns(const para_rope_options *o, int64_t width, int64_t i)
{
    return pow(o->theta, -2.0 * (double)i / (double)width) / (2 * PI);
}

double para_llama3_factor(const para_rope_options *o, int64_t width, int64_t i)
{
    double kept = ((double)o->original * turns(o, width, i) - o->slow) / (o->fast - o->slow);
    kept = kept < 0 ? 0 : kept > 1 ? 1 : kept;
    return 1 / ((1 - kept) / o->factor + kept);
}

/* How much of a frequency is kept as it is, from its factor: a line in the turns a position, held to 0 and 1. */
static double kept_of(double factor, double most)
{
    return (1 / factor - 1 / most) / (1 - 1 / most);
}

/* The line through what is known of it: two pairs on its slope, or one, with Llama 3's own ratio of the two borders,
 * or, with none on it, from the last pair that is kept to the first that isn't. kept = slope * turns - start */
struct line {
    double slope, start;
};

static struct line fit(const para_rope_options *o, const float *factors, int64_t width)
{
    enum { USUAL = 3 }; /* (fast - slow) / slow of Llama 3 */
    int64_t first = -1, last = -1, whole = 0, pairs = width / 2;
    for (int64_t i = 0; i < pairs; i++) {
        double kept = kept_of(factors[i], o->factor);
        whole += kept > 1 - 1e-6;
        if (kept > 1e-6 && kept < 1 - 1e-6) {
            first = first < 0 ? i : first;
            last = i;
        }
    }
    if (first < 0) {
        double high = whole > 0 ? turns(o, width, whole - 1) : 2 * turns(o, width, 0), low = turns(o, width, whole);
        return (struct line){1 / (high - low), low / (high - low)};
    }
    double x = turns(o, width, first), y = kept_of(factors[first], o->factor);
    double slope = (y + 1.0 / USUAL) / x;
    if (last > first)
        slope = (y - kept_of(factors[last], o->factor)) / (x - turns(o, width, last));
    return (struct line){slope, slope * x - y};
}

/* The whole numbers that files have, where they are as near as the factors tell. */
static double settled(double x)
{
    return fabs(x - round(x)) < 1e-3 * x ? round(x) : x;
}

static bool gives(const para_rope_options *o, const float *factors, int64_t width)
{
    for (int64_t i = 0; i < width / 2; i++)
        if (!(fabs(para_llama3_factor(o, width, i) - (double)factors[i]) <= 1e-5 * (double)factors[i]))
            return false;
    return true;
}

/* Find what gives these factors. A multiple of all three of original, slow and fast is the same: slow is 1, or as near
 * as whole positions let it be. */
static bool solve(para_rope_options *o, const float *factors, int64_t width)
{
    int64_t pairs = width / 2;
    o->factor = (double)factors[pairs - 1];
    if (!(o->factor > 1))
        return false;
    struct line line = fit(o, factors, width);
    double original = line.slope / line.start;
    if (!(line.slope > 0 && line.start > 0 && original < INT32_MAX))
        return false;
    o->original = original < 1 ? 1 : (int64_t)round(original);
    o->slow = settled((double)o->original / original);
    o->fast = settled((double)o->original * (1 + line.start) / line.slope);
    if (gives(o, factors, width))
        return true;
    o->slow = (double)o->original / original;
    o->fast = (double)o->original * (1 + line.start) / line.slope;
    return gives(o, factors, width);
}

static int read_factors(para_rope_options *o, const struct para_gguf *f, const struct para_gguf_tensor *t,
                        int64_t width, para_error *err)
{
    if (t->rank != 1 || t->elements != width / 2 || t->type->dtype != PARA_F32)
        return para_fail(err, PARA_EFORMAT, "%s: tensor \"%s\" has %lld elements of %s, expected %lld of F32",
                         para_gguf_path(f), t->name, (long long)t->elements, t->type->name, (long long)(width / 2));
    float *factors = malloc(t->bytes);
    if (!factors)
        return para_fail_memory(err, para_gguf_path(f));
    para_blocks_widen(factors, t->type, t->data, t->elements);
    bool all_one = true;
    for (int64_t i = 0; i < t->elements; i++)
        all_one = all_one && factors[i] == 1;
    o->scaling = all_one ? PARA_ROPE_NONE : PARA_ROPE_LLAMA3;
    bool found = all_one || solve(o, factors, width);
    free(factors);
    return found ? 0
                 : para_fail(err, PARA_ESUPPORT, "%s: tensor \"%s\" has factors that Llama 3's scaling doesn't give",
                             para_gguf_path(f), t->name);
}

/* --- keys --- */

/* A file and the architecture that keys begin with. */
struct rope {
    const struct para_gguf *f;
    const char *architecture;
};

static const struct para_gguf_value *find(const struct rope *r, const char *key)
{
    char full[PARA_GGUF_KEY];
    return para_gguf_find(r->f, para_gguf_key(full, r->architecture, key));
}

static int read_number(double *out, const struct rope *r, const char *key, double absent, para_error *err)
{
    char full[PARA_GGUF_KEY];
    *out = absent;
    return find(r, key) ? para_gguf_number(out, r->f, para_gguf_key(full, r->architecture, key), err) : 0;
}

static int fail_number(const struct rope *r, const char *key, double found, const char *expected, para_error *err)
{
    char full[PARA_GGUF_KEY];
    return para_fail(err, PARA_ESUPPORT, "%s: \"%s\" is %g, expected %s", para_gguf_path(r->f),
                     para_gguf_key(full, r->architecture, key), found, expected);
}

/* llama.cpp's converter writes the whole amplitude as yarn_attn_factor; attn_factor comes on top of the usual one. */
static int read_yarn(para_rope_options *o, const struct rope *r, int64_t context, para_error *err)
{
    static const char original[] = "rope.scaling.original_context_length";
    char full[PARA_GGUF_KEY];
    double extrapolation, more;
    o->original = context;
    if (find(r, original))
        PARA_TRY(para_gguf_size(&o->original, r->f, para_gguf_key(full, r->architecture, original), 1, err));
    PARA_TRY(read_number(&o->fast, r, "rope.scaling.yarn_beta_fast", 32, err));
    PARA_TRY(read_number(&o->slow, r, "rope.scaling.yarn_beta_slow", 1, err));
    PARA_TRY(read_number(&extrapolation, r, "rope.scaling.yarn_ext_factor", 1, err));
    if (extrapolation != 1)
        return fail_number(r, "rope.scaling.yarn_ext_factor", extrapolation, "1", err);
    PARA_TRY(read_number(&more, r, "rope.scaling.attn_factor", 1, err));
    double usual = o->factor <= 1 ? 1 : 0.1 * log(o->factor) + 1;
    return read_number(&o->amplitude, r, "rope.scaling.yarn_attn_factor", usual * more, err);
}

/* Older files tell a linear scaling by "rope.scale_linear" alone. */
static int read_scaling(para_rope_options *o, const struct rope *r, int64_t context, para_error *err)
{
    char full[PARA_GGUF_KEY];
    const struct para_gguf_value *type;
    PARA_TRY(read_number(&o->factor, r, "rope.scale_linear", 1, err));
    PARA_TRY(read_number(&o->factor, r, "rope.scaling.factor", o->factor, err));
    if (o->factor == 0)
        o->factor = 1;
    o->scaling = o->factor != 1 ? PARA_ROPE_LINEAR : PARA_ROPE_NONE;
    if (!find(r, "rope.scaling.type"))
        return 0;
    PARA_TRY(
        para_gguf_need(&type, r->f, para_gguf_key(full, r->architecture, "rope.scaling.type"), PARA_GGUF_STRING, err));
    struct para_gguf_text word = para_gguf_text(type, 0);
    if (para_gguf_text_is(word, "none"))
        o->scaling = PARA_ROPE_NONE;
    else if (para_gguf_text_is(word, "yarn")) {
        o->scaling = PARA_ROPE_YARN;
        return read_yarn(o, r, context, err);
    } else if (!para_gguf_text_is(word, "linear"))
        return para_fail(err, PARA_ESUPPORT,
                         "%s: \"%s\" is \"%.*s\", expected \"none\", \"linear\" or \"yarn\": others aren't supported",
                         para_gguf_path(r->f), full, (int)(word.bytes < 40 ? word.bytes : 40), word.data);
    return 0;
}

int para_gguf_rope(para_rope_options *out, const struct para_gguf *f, const char *architecture, int64_t width,
                   int64_t context, para_error *err)
{
    static const char dimensions[] = "rope.dimension_count";
    const struct rope r = {f, architecture};
    const struct para_gguf_tensor *factors = para_gguf_find_tensor(f, PARA_GGUF_FACTORS);
    para_rope_options o = para_rope_default();
    char full[PARA_GGUF_KEY];
    int64_t rotated = width;
    PARA_TRY(read_number(&o.theta, &r, "rope.freq_base", o.theta, err));
    if (find(&r, dimensions))
        PARA_TRY(para_gguf_size(&rotated, f, para_gguf_key(full, architecture, dimensions), 0, err));
    o.rotated = rotated == width ? 0 : rotated;
    PARA_TRY(read_scaling(&o, &r, context, err));
    if (factors && o.scaling != PARA_ROPE_NONE)
        return para_fail(err, PARA_ESUPPORT, "%s: has \"%s\" and another scaling, expected one of the two",
                         para_gguf_path(f), factors->name);
    if (factors)
        PARA_TRY(read_factors(&o, f, factors, rotated, err));
    out->theta = o.theta;
    out->rotated = o.rotated;
    out->scaling = o.scaling;
    out->factor = o.factor;
    out->original = o.original;
    out->slow = o.slow;
    out->fast = o.fast;
    out->amplitude = o.amplitude;
    return 0;
}
