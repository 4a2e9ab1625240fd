/* What the builders of families share. */
#include "models/builder.h"

#include <paragraph/ops.h>

#include "base/dtype.h"
#include "base/fail.h"

#include <stdio.h>

para_tensor *para_builder_param(const struct para_builder *b, const char *name, const char *kind, const para_dim *dims,
                                double mean, double spread)
{
    char full[64];
    snprintf(full, sizeof full, "%s%s", name, kind);
    para_init init = {spread > 0 ? PARA_INIT_NORMAL : PARA_INIT_FILL, mean, spread};
    return para_param(b->g, full, dims, init);
}

/* Drawn int8 values are a quarter of their range wide. */
para_tensor *para_builder_matrix(const struct para_builder *b, const char *name, const char *kind, const para_dim *dims,
                                 const para_dim *scaled, double spread, para_tensor **scale)
{
    char full[64], of[64];
    double steps = b->weights == PARA_I8 ? 32 / spread : 1;
    snprintf(full, sizeof full, "%s%s", name, kind);
    snprintf(of, sizeof of, "%s%s.scale", name, kind);
    para_init init = {PARA_INIT_NORMAL, 0, spread * steps}, step = {PARA_INIT_FILL, 1 / steps, 0};
    *scale = b->weights == PARA_I8 ? para_param(b->g, of, scaled, step) : NULL;
    return para_param_as(b->g, full, b->weights, dims, init);
}

para_tensor *para_builder_scaled(const struct para_builder *b, para_tensor *x, para_tensor *scale)
{
    return scale ? para_mul(b->g, x, scale) : x;
}

para_tensor *para_builder_embed(const struct para_builder *b, para_tensor *table, para_tensor *scale,
                                para_tensor *tokens)
{
    para_tensor *token = para_embedding(b->g, table, tokens, "vocab");
    return scale ? para_mul(b->g, token, para_embedding(b->g, scale, tokens, "vocab")) : token;
}

para_tensor *para_builder_positions(const struct para_builder *b, int64_t seq, int64_t limit)
{
    return b->caches ? para_arange_from(b->g, b->rows.position, "seq", seq, limit) : para_arange(b->g, "seq", seq);
}

para_tensor *para_builder_begin_cached(struct para_builder *b, const para_caches *caches)
{
    const para_dim *rows = PARA_DIMS({"batch", caches->batch});
    b->caches = caches;
    b->rows.position = para_input(b->g, "position", PARA_I32, rows);
    b->rows.prefix = caches->prefix && caches->cache ? para_input(b->g, "prefix", PARA_I32, rows) : NULL;
    b->rows.row = caches->rows ? para_input(b->g, "row", PARA_I32, rows) : NULL;
    return para_input(b->g, "last", PARA_I32, rows);
}

/* Two states, for keys and for values. */
struct cache {
    para_tensor *keys, *values;
};

static struct cache cache_of(const struct para_builder *b, const char *keys, const char *values, const para_dim *dims)
{
    const para_init zero = {PARA_INIT_FILL, 0, 0};
    return (struct cache){para_state(b->g, keys, PARA_F32, dims, zero), para_state(b->g, values, PARA_F32, dims, zero)};
}

static struct cache own_cache(const struct para_builder *b, para_dim heads, para_dim width)
{
    return cache_of(b, "attn.keys", "attn.values",
                    PARA_DIMS({b->rows.row ? "rows" : "batch", b->rows.row ? b->caches->rows : b->caches->batch},
                              {"cache", b->caches->cache}, heads, width));
}

static struct cache prefix_cache(const struct para_builder *b, para_dim heads, para_dim width)
{
    return cache_of(b, "attn.prefix.keys", "attn.prefix.values",
                    PARA_DIMS({"prefix", b->caches->prefix}, heads, width));
}

para_tensor *para_builder_attend(const struct para_builder *b, para_tensor *q, para_tensor *k, para_tensor *v,
                                 int64_t window)
{
    if (!k)
        return NULL;
    para_dim heads = para_tensor_dim(k, 2), width = para_tensor_dim(k, 3);
    struct cache own = b->caches->cache ? own_cache(b, heads, width) : prefix_cache(b, heads, width);
    struct cache prefix = b->rows.prefix ? prefix_cache(b, heads, width) : (struct cache){0};
    para_cache_append(b->g, &own.keys, &own.values, k, v, &b->rows);
    para_name(own.keys, "attn.append");
    return para_attention_cached(b->g, q, own.keys, own.values, prefix.keys, prefix.values, &b->rows, window);
}

void para_builder_end(const struct para_builder *b, para_model_graph *out, para_tensor *logits)
{
    out->logits = logits;
    out->loss = out->targets ? para_cross_entropy(b->g, logits, out->targets, "vocab", -100) : NULL;
    para_scope_pop(b->g);

    /* Named outside of the scope, which puts its name before others. */
    para_name(logits, "logits");
    para_output(out->loss ? para_name(out->loss, "loss") : logits);
    if (b->caches && b->caches->likeliest)
        out->ids = para_output(para_name(para_argmax(b->g, logits, "vocab"), "ids"));
    if (b->caches && b->caches->recent) {
        para_tensor *recent =
            para_input(b->g, "recent", PARA_I32, PARA_DIMS({"batch", b->caches->batch}, {"recent", b->caches->recent}));
        out->made = para_output(para_name(para_go_on(b->g, out->tokens, b->rows.position, recent, out->ids), "made"));
    }
}

/* --- what is wrong with a model --- */

int para_builder_check_sizes(const char *family, const struct para_builder_size *sizes, para_error *err)
{
    for (const struct para_builder_size *s = sizes; s->name; s++)
        if (s->value < 1 || s->value > INT32_MAX)
            return para_fail(err, PARA_ERANGE, "%s: %s is %lld, expected 1 to %d", family, s->name, (long long)s->value,
                             INT32_MAX);
    return 0;
}

int para_builder_check_weights(const char *family, para_dtype type, const struct para_builder_size *contracted,
                               para_error *err)
{
    int64_t block = para_dtype_block(type);
    bool whole = true;
    char list[160] = "";
    size_t used = 0;
    if (!para_dtype_weighs(type))
        return para_fail(err, PARA_EINVAL, "%s: weights are %s, expected f32, bf16, i8, q8_0 or q4_0", family,
                         para_dtype_name(type));
    for (const struct para_builder_size *s = contracted; s->name; s++) {
        whole = whole && s->value % block == 0;
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s %s%lld", used ? " and " : "", s->name,
                                 used ? "" : "is ", (long long)s->value);
    }
    return whole ? 0
                 : para_fail(err, PARA_ERANGE, "weights %s: %s's %s, expected multiples of %lld", para_dtype_name(type),
                             family, list, (long long)block);
}

int para_builder_check_windows(const char *family, int64_t batch, int64_t seq, int64_t context, para_error *err)
{
    if (batch < 1)
        return para_fail(err, PARA_ERANGE, "%s: batch is %lld, expected at least 1", family, (long long)batch);
    if (seq < 1 || seq > context)
        return para_fail(err, PARA_ERANGE, "%s: seq is %lld, expected 1 to the context's %lld", family, (long long)seq,
                         (long long)context);
    return 0;
}

int para_builder_check_caches(const char *family, const para_caches *caches, int64_t context, para_error *err)
{
    if (caches->cache < 0 || caches->cache > context || caches->prefix < 0 || caches->prefix > context)
        return para_fail(err, PARA_ERANGE,
                         "%s: caches hold %lld tokens after a prefix of %lld, expected 0 to the context's %lld each",
                         family, (long long)caches->cache, (long long)caches->prefix, (long long)context);
    if (caches->rows < 0 || (caches->rows > 0 && (caches->cache == 0 || caches->batch > caches->rows)))
        return para_fail(err, PARA_ERANGE,
                         "%s: %lld rows of caches of %lld tokens for a batch of %lld, expected at least as many, or 0",
                         family, (long long)caches->rows, (long long)caches->cache, (long long)caches->batch);
    if (caches->cache == 0 && (caches->prefix == 0 || caches->batch != 1))
        return para_fail(err, PARA_ERANGE,
                         "%s: without caches of their own %lld rows with a prefix of %lld tokens, expected one row"
                         " that reads a prefix",
                         family, (long long)caches->batch, (long long)caches->prefix);
    return 0;
}
