/* The metadata that tells what a model is, by the rows of its family. */
#include "io/gguf-describe.h"

#include "base/fail.h"
#include "io/gguf-model.h"
#include "io/gguf-rope.h"

#include <math.h>
#include <stdio.h>

/* Numbers of general.file_type. */
static uint32_t file_type(para_dtype weights)
{
    switch (weights) {
    case PARA_F16:
        return 1;
    case PARA_Q4_0:
        return 2;
    case PARA_Q8_0:
        return 7;
    case PARA_BF16:
        return 32;
    default:
        return 0;
    }
}

/* --- rotary embeddings --- */

struct rope {
    struct para_gguf_head *h;
    const char *architecture;
};

static void put_number(const struct rope *r, const char *key, double value)
{
    char full[PARA_GGUF_KEY];
    para_gguf_put_f32(r->h, para_gguf_key(full, r->architecture, key), value);
}

static void put_size(const struct rope *r, const char *key, int64_t value)
{
    char full[PARA_GGUF_KEY];
    para_gguf_put_u32(r->h, para_gguf_key(full, r->architecture, key), (uint32_t)value);
}

/* yarn_attn_factor is the amplitude as transformers has it; llama.cpp takes its own and multiplies it by attn_factor.
 */
static void put_yarn(const struct rope *r, const para_rope_options *o)
{
    double usual = o->factor <= 1 ? 1 : 0.1 * log(o->factor) + 1;
    put_size(r, "rope.scaling.original_context_length", o->original);
    put_number(r, "rope.scaling.yarn_beta_fast", o->fast);
    put_number(r, "rope.scaling.yarn_beta_slow", o->slow);
    put_number(r, "rope.scaling.yarn_attn_factor", o->amplitude);
    if (fabs(o->amplitude / usual - 1) > 1e-6)
        put_number(r, "rope.scaling.attn_factor", o->amplitude / usual);
}

static int put_rope(const struct rope *r, const para_rope_options *o, int64_t width, para_error *err)
{
    char key[PARA_GGUF_KEY];
    if (o->rotated != 0 && o->rotated != width)
        return para_fail(err, PARA_ESUPPORT,
                         "rope: rotated is %lld, expected all %lld of a head, as GGUF files of %s have",
                         (long long)o->rotated, (long long)width, r->architecture);
    put_size(r, "rope.dimension_count", width);
    put_number(r, "rope.freq_base", o->theta);
    if (o->scaling != PARA_ROPE_LINEAR && o->scaling != PARA_ROPE_YARN)
        return 0;
    para_gguf_put_text(r->h, para_gguf_key(key, r->architecture, "rope.scaling.type"),
                       o->scaling == PARA_ROPE_YARN ? "yarn" : "linear");
    put_number(r, "rope.scaling.factor", o->factor);
    if (o->scaling == PARA_ROPE_YARN)
        put_yarn(r, o);
    return 0;
}

/* --- fields --- */

/* What a family's configuration can say and its GGUF files can't. */
static int check_sayable(const para_model *model, para_error *err)
{
    const para_gpt2 *gpt2 = para_model_as_gpt2(model);
    const para_llama *llama = para_model_as_llama(model);
    const char *architecture = model->family->architecture;
    if (gpt2 && gpt2->gelu_erf)
        return para_fail(err, PARA_ESUPPORT, "gelu is by erf, expected its tanh form, which GGUF files of %s mean",
                         architecture);
    if (llama && llama->window > 0 && llama->window < llama->context)
        return para_fail(err, PARA_ESUPPORT, "the window is %lld, expected none: GGUF files of %s can't say it",
                         (long long)llama->window, architecture);
    if (llama && llama->rope.scaling == PARA_ROPE_LLAMA3 && !model->family->paired)
        return para_fail(err, PARA_ESUPPORT, "rope's scaling is Llama 3's, which GGUF files of %s can't say",
                         architecture);
    if (llama && llama->qk_norm && llama->qkv_bias)
        return para_fail(err, PARA_ESUPPORT, "q, k and v have biases, which GGUF files of %s can't say", architecture);
    return 0;
}

static int put_field(const struct rope *r, const struct para_field *f, const para_model *model, para_error *err)
{
    const void *field = (const char *)model->config + f->offset;
    if (f->kind == PARA_FIELD_ROPE)
        return put_rope(r, field, para_model_measure(model).head_dim, err);
    if (!f->gguf)
        return 0;
    if (f->kind == PARA_FIELD_REAL)
        put_number(r, f->gguf, *(const double *)field);
    else if (f->kind == PARA_FIELD_SIZE && f->gguf[0] != '#')
        put_size(r, f->gguf, *(const int64_t *)field);
    return 0;
}

int para_gguf_describe(struct para_gguf_head *h, const para_model *model, para_dtype weights, bool *factors,
                       para_error *err)
{
    const struct para_family *family = model->family;
    const struct rope r = {h, family->architecture};
    const para_llama *llama = para_model_as_llama(model);
    para_model_sizes s = para_model_measure(model);
    PARA_TRY(check_sayable(model, err));
    para_gguf_put_text(h, "general.architecture", family->architecture);
    para_gguf_put_text(h, "general.type", "model");
    para_gguf_put_u32(h, "general.file_type", file_type(weights));
    para_gguf_put_u32(h, "general.quantization_version", 2);
    for (const struct para_field *f = family->fields; f->name; f++)
        PARA_TRY(put_field(&r, f, model, err));
    if (llama)
        put_size(&r, "attention.value_length", s.head_dim);
    put_size(&r, "vocab_size", s.vocab);
    *factors = llama && llama->rope.scaling == PARA_ROPE_LLAMA3;
    return 0;
}
