/* The fields of config.json that tell how rotary embeddings turn. */
#include "io/rope.h"

#include "base/fail.h"
#include "io/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const types[] = {"default", "linear", "llama3", "yarn"}; /* by para_rope_scaling */
enum { TYPES = sizeof types / sizeof types[0] };

/* A configuration and the object in it that has the scaling; NULL, an empty one, where there is none. */
struct rope {
    const char *path;
    const json_t *config, *scaling;
    const char *name; /* the object's */
};

/* --- reading --- */

static int fail(const struct rope *r, const char *field, const json_t *value, const char *expected, para_error *err)
{
    char full[80];
    snprintf(full, sizeof full, "%s.%s", r->name, field);
    return para_config_fail(err, r->path, full, value, expected);
}

/* transformers takes the older one where it says anything. */
static int find_scaling(struct rope *r, para_error *err)
{
    static const char *const names[] = {"rope_scaling", "rope_parameters"};
    for (int i = 0; i < 2; i++) {
        const json_t *value = json_object_get(r->config, names[i]);
        if (value && !json_is_null(value) && !json_is_object(value))
            return para_config_fail(err, r->path, names[i], value, "an object");
        if (!r->scaling && json_object_size(value) > 0) {
            r->scaling = value;
            r->name = names[i];
        }
    }
    return 0;
}

/* A number of the scaling; null is as good as none. */
static int read_number(double *out, const struct rope *r, const char *field, double absent, para_error *err)
{
    const json_t *value = json_object_get(r->scaling, field);
    if (value && !json_is_null(value) && !json_is_number(value))
        return fail(r, field, value, "a number", err);
    *out = json_is_number(value) ? json_number_value(value) : absent;
    return 0;
}

static int read_needed(double *out, const struct rope *r, const char *field, para_error *err)
{
    PARA_TRY(read_number(out, r, field, NAN, err));
    return isnan(*out) ? fail(r, field, json_object_get(r->scaling, field), "a number", err) : 0;
}

/* A number that may stand in the scaling or beside it, but not differ. */
static int read_shared(double *out, const struct rope *r, const char *field, double absent, para_error *err)
{
    const json_t *beside = json_object_get(r->config, field);
    if (beside && !json_is_null(beside) && !json_is_number(beside))
        return para_config_fail(err, r->path, field, beside, "a number");
    PARA_TRY(read_number(out, r, field, json_is_number(beside) ? json_number_value(beside) : absent, err));
    if (json_is_number(beside) && json_number_value(beside) != *out) {
        char expected[100];
        snprintf(expected, sizeof expected, "%s.%s's %.17g", r->name, field, *out);
        return para_config_fail(err, r->path, field, beside, expected);
    }
    return 0;
}

static int read_type(para_rope_scaling *out, const struct rope *r, para_error *err)
{
    const char *field = json_object_get(r->scaling, "rope_type") ? "rope_type" : "type";
    const json_t *value = json_object_get(r->scaling, field);
    const char *word = value ? json_string_value(value) : types[0];
    for (int i = 0; i < TYPES; i++)
        if (word && strcmp(word, types[i]) == 0) {
            *out = (para_rope_scaling)i;
            return 0;
        }
    return fail(r, field, value, "\"default\" or \"linear\" or \"llama3\" or \"yarn\": others aren't supported", err);
}

/* Positions of the first training: beside the scaling, in it, or those of now. */
static int read_original(int64_t *out, const struct rope *r, para_error *err)
{
    static const char field[] = "original_max_position_embeddings";
    const json_t *value = json_object_get(r->config, field);
    value = value ? value : json_object_get(r->scaling, field);
    value = value ? value : json_object_get(r->config, "max_position_embeddings");
    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > INT32_MAX)
        return fail(r, field, value, "a whole number from 1 to 2147483647", err);
    *out = json_integer_value(value);
    return 0;
}

/* Yarn's paper makes scores larger by what amounts to this for each of q and k. */
static double magnitude(double factor, double scale)
{
    return factor <= 1 ? 1 : 0.1 * scale * log(factor) + 1;
}

static int read_yarn(para_rope_options *o, const struct rope *r, para_error *err)
{
    double scale, of_all;
    const json_t *truncate = json_object_get(r->scaling, "truncate");
    if (truncate && !json_is_null(truncate) && !json_is_true(truncate))
        return fail(r, "truncate", truncate, "true", err);
    PARA_TRY(read_number(&o->fast, r, "beta_fast", 32, err));
    PARA_TRY(read_number(&o->slow, r, "beta_slow", 1, err));
    PARA_TRY(read_number(&scale, r, "mscale", 0, err));
    PARA_TRY(read_number(&of_all, r, "mscale_all_dim", 0, err));
    bool both = scale != 0 && of_all != 0;
    double usual = both ? magnitude(o->factor, scale) / magnitude(o->factor, of_all) : magnitude(o->factor, 1);
    return read_number(&o->amplitude, r, "attention_factor", usual, err);
}

static int read_scaling(para_rope_options *o, const struct rope *r, para_error *err)
{
    if (o->scaling == PARA_ROPE_NONE)
        return 0;
    PARA_TRY(read_needed(&o->factor, r, "factor", err));
    if (o->scaling == PARA_ROPE_LINEAR)
        return 0;
    PARA_TRY(read_original(&o->original, r, err));
    if (o->scaling == PARA_ROPE_YARN)
        return read_yarn(o, r, err);
    PARA_TRY(read_needed(&o->slow, r, "low_freq_factor", err));
    return read_needed(&o->fast, r, "high_freq_factor", err);
}

static int64_t size_of(const struct rope *r, const char *field)
{
    const json_t *value = json_object_get(r->config, field);
    return json_is_integer(value) ? json_integer_value(value) : 0;
}

/* As many elements as the share says, 0 for all. */
static int read_rotated(int64_t *out, const struct rope *r, para_error *err)
{
    double share;
    int64_t heads = size_of(r, "num_attention_heads"), width = size_of(r, "head_dim");
    PARA_TRY(read_shared(&share, r, "partial_rotary_factor", 1, err));
    if (!(share > 0 && share <= 1))
        return para_fail(err, PARA_EFORMAT, "%s: \"partial_rotary_factor\" is %g, expected more than 0, at most 1",
                         r->path, share);
    if (width <= 0 && heads > 0)
        width = size_of(r, "hidden_size") / heads;
    int64_t rotated = (int64_t)((double)width * share + 1e-6);
    *out = share == 1 || rotated == width ? 0 : rotated > 0 ? rotated : 1; /* 1 is odd, and refused */
    return 0;
}

/* Members are set one by one: what lies between them stays as it was. */
int para_rope_read(para_rope_options *out, const char *path, const json_t *config, para_error *err)
{
    struct rope r = {path, config, NULL, "rope_parameters"};
    const para_rope_options usual = para_rope_default();
    out->factor = usual.factor;
    out->slow = usual.slow;
    out->fast = usual.fast;
    out->amplitude = usual.amplitude;
    PARA_TRY(find_scaling(&r, err));
    PARA_TRY(read_shared(&out->theta, &r, "rope_theta", usual.theta, err));
    PARA_TRY(read_rotated(&out->rotated, &r, err));
    PARA_TRY(read_type(&out->scaling, &r, err));
    return read_scaling(out, &r, err);
}

/* --- writing --- */

static bool put(json_t *object, const char *field, double value)
{
    return json_object_set_new(object, field, json_real(value)) == 0;
}

static bool put_original(json_t *object, const para_rope_options *o)
{
    return json_object_set_new(object, "original_max_position_embeddings", json_integer(o->original)) == 0;
}

static bool put_scaling(json_t *object, const para_rope_options *o)
{
    bool whole = json_object_set_new(object, "rope_type", json_string(types[o->scaling])) == 0;
    if (o->scaling != PARA_ROPE_NONE)
        whole = whole && put(object, "factor", o->factor);
    if (o->scaling == PARA_ROPE_LLAMA3)
        whole = whole && put(object, "low_freq_factor", o->slow) && put(object, "high_freq_factor", o->fast) &&
                put_original(object, o);
    if (o->scaling == PARA_ROPE_YARN)
        whole = whole && put(object, "beta_slow", o->slow) && put(object, "beta_fast", o->fast) &&
                put(object, "attention_factor", o->amplitude) && put_original(object, o);
    return whole;
}

bool para_rope_write(json_t *config, const para_rope_options *o)
{
    json_t *now = json_object(), *before = o->scaling == PARA_ROPE_NONE ? json_null() : json_object();
    json_int_t width = json_integer_value(json_object_get(config, "head_dim"));
    bool whole = now && before && put(now, "rope_theta", o->theta) && put_scaling(now, o);
    whole = whole && (json_is_null(before) || put_scaling(before, o)) && put(config, "rope_theta", o->theta);
    if (whole && o->rotated)
        whole = put(config, "partial_rotary_factor", (double)o->rotated / (double)width);
    whole = whole && json_object_set(config, "rope_parameters", now) == 0 &&
            json_object_set(config, "rope_scaling", before) == 0;
    json_decref(now);
    json_decref(before);
    return whole;
}
