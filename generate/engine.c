/* Reading and continuing texts with caches. */
#include "generate/engine.h"

#include "base/checked.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- graphs --- */

/* The part of a list of splits that a graph has axes for: of "batch" no more parts than it has rows, where others have
 * more, and "rows" where it has caches of rows. */
static void suit_splits(const struct para_engine *e, const para_caches *caches, char out[PARA_SPLITS_TEXT])
{
    size_t used = 0, length;
    *out = '\0';
    for (const char *cut = e->splits; *cut; cut += length + (cut[length] == ',')) {
        length = strcspn(cut, ",");
        long long parts = strncmp(cut, "batch=", 6) == 0 ? strtoll(cut + 6, NULL, 10) : 0;
        bool fewer = parts > caches->batch && caches->batch < e->options.rows;
        if ((strncmp(cut, "rows=", 5) == 0 && !caches->rows) || (fewer && caches->batch == 1))
            continue;
        const char *comma = used ? "," : "";
        if (fewer)
            used +=
                (size_t)snprintf(out + used, PARA_SPLITS_TEXT - used, "%sbatch=%lld", comma, (long long)caches->batch);
        else
            used += (size_t)snprintf(out + used, PARA_SPLITS_TEXT - used, "%s%.*s", comma, (int)length, cut);
    }
}

static bool has_gpu(const struct para_engine *e)
{
    return e->machine && para_machine_gpu_workers(e->machine) > 0;
}

/* On CPUs those who choose go through logits anyway. */
bool para_engine_tells_likeliest(const struct para_engine *e)
{
    return has_gpu(e);
}

static int make_graph(const struct para_engine *e, para_graph **out, const para_caches *caches, const char *splits,
                      char chosen[PARA_SPLITS_TEXT], para_error *err)
{
    const para_generator_options *o = &e->options;
    para_arrangement how = {.precision = o->precision,
                            .split = splits,
                            .workers = e->machine && !has_gpu(e) ? para_machine_workers(e->machine) : 1,
                            .stages = o->stages,
                            .spread = o->spread,
                            .fuse = o->fuse || has_gpu(e)};
    para_graph *g = para_graph_new();
    if (!g)
        return para_fail_memory(err, "a graph");
    para_caches kept = *caches;
    kept.likeliest = para_engine_tells_likeliest(e);
    kept.recent = kept.likeliest && kept.seq == 1 ? PARA_AT_ONCE : 0;
    para_model_build_cached(g, e->model, &kept);
    int status = para_graph_seal(g, err);
    status = status < 0 ? status : para_graph_arrange(out, g, &how, chosen, PARA_SPLITS_TEXT, err);
    para_graph_free(g);
    return status;
}

/* By rule the split is chosen by the graph that makes one text's tokens, whatever is then made: other cuts would round
 * otherwise, and a text would depend on its company. */
static int choose_splits(struct para_engine *e, para_error *err)
{
    const char *split = e->options.split ? e->options.split : "";
    if (strcmp(split, "auto") != 0) {
        if (snprintf(e->splits, sizeof e->splits, "%s", split) >= (int)sizeof e->splits)
            return para_fail(err, PARA_ERANGE, "split: the list has %zu bytes, expected fewer than %zu", strlen(split),
                             sizeof e->splits);
        return 0;
    }
    para_graph *one;
    PARA_TRY(
        make_graph(e, &one, &(para_caches){.batch = 1, .seq = 1, .cache = e->sizes.context}, split, e->splits, err));
    para_graph_free(one);
    return 0;
}

/* --- sessions --- */

static int open_replay(struct para_engine *e, struct para_replay *r, const para_caches *caches, bool profile,
                       para_error *err)
{
    static const int32_t none[PARA_GENERATOR_ROWS * PARA_AT_ONCE] = {0};
    char splits[PARA_SPLITS_TEXT], chosen[PARA_SPLITS_TEXT];
    const struct para_replay *lender = &e->step[e->steps - 1];
    para_session_options options = para_session_default();
    options.share = lender == r ? NULL : lender->session;
    options.no_draws = true;
    options.profile = profile;
    r->caches = *caches;
    suit_splits(e, caches, splits);
    PARA_TRY(make_graph(e, &r->graph, caches, splits, chosen, err));
    if (lender == r && e->options.mapped) {
        PARA_TRY(para_lender_open(&e->lender, e->folder, e->options.adapter, r->graph, err));
        options.lent = para_lender_values(e->lender, &options.lent_count);
    }
    PARA_TRY(para_session_new(&r->session, r->graph, e->machine, &options, err));
    return para_graph_find(r->graph, "recent")
               ? para_session_set(r->session, "recent", none, (size_t)caches->batch * PARA_AT_ONCE * sizeof *none, err)
               : 0;
}

static void close_replay(struct para_replay *r)
{
    para_session_free(r->session);
    para_graph_free(r->graph);
    *r = (struct para_replay){0};
}

static int open_step(struct para_engine *e, int step, para_error *err)
{
    int64_t batch = (int64_t)1 << step;
    return open_replay(e, &e->step[step],
                       &(para_caches){.batch = para_smaller(batch, e->options.rows),
                                      .seq = 1,
                                      .cache = e->cache,
                                      .prefix = e->prefix,
                                      .rows = e->options.rows},
                       e->options.profile, err);
}

static int64_t block_tokens(const struct para_engine *e, int block)
{
    return para_smaller((int64_t)PARA_SHORTEST_BLOCK << block, e->sizes.context);
}

/* The shortest block that holds so many tokens, or the longest; or, where a quarter of it would be empty, the next
 * shorter one, and the rest in others. */
static int choose_block(const struct para_engine *e, int64_t left)
{
    int block = 0;
    while (block + 1 < PARA_BLOCKS && block_tokens(e, block) < left)
        block++;
    return block > 0 && 4 * left <= 3 * block_tokens(e, block) ? block - 1 : block;
}

/* All blocks that texts of up to so many tokens are cut into. */
static int open_blocks(struct para_engine *e, bool shared, int64_t longest, para_error *err)
{
    for (int block = 0; longest > 0 && block <= choose_block(e, longest); block++) {
        para_caches caches = {.batch = 1, .seq = block_tokens(e, block)};
        if (shared)
            caches.prefix = e->prefix;
        else {
            caches.cache = e->cache;
            caches.rows = e->options.rows;
        }
        PARA_TRY(open_replay(e, shared ? &e->shared[block] : &e->own[block], &caches, false, err));
    }
    return 0;
}

static int check_options(const para_generator_options *o, para_error *err)
{
    if (o->rows < 1 || o->rows > PARA_GENERATOR_ROWS)
        return para_fail(err, PARA_ERANGE, "rows is %d, expected 1 to %d", o->rows, PARA_GENERATOR_ROWS);
    if (o->prompt < 1 || o->count < 1)
        return para_fail(err, PARA_ERANGE, "a prompt of %lld tokens and %lld more, expected 1 at least of both",
                         (long long)o->prompt, (long long)o->count);
    return 0;
}

/* The bytes of a row's own caches. */
static double row_bytes(const struct para_engine *e)
{
    size_t element = e->options.precision == PARA_BF16 ? sizeof(uint16_t) : sizeof(float);
    return 2.0 * (double)(e->sizes.layers * e->cache * e->sizes.kv_heads * e->sizes.head_dim) * (double)element;
}

/* How long caches are. The last token that is made isn't read. */
static void measure(struct para_engine *e)
{
    const para_generator_options *o = &e->options;
    int64_t context = e->sizes.context, prompt = para_smaller(o->prompt, context);
    e->fits = o->count - 1 <= context - prompt;
    e->prefix = o->shared ? prompt : 0;
    e->cache = !e->fits ? context : o->shared ? (o->count > 1 ? o->count - 1 : 1) : prompt + o->count - 1;
    if (o->shared && o->rows > 1 && !e->fits)
        para_log(PARA_LOG_WARNING,
                 "the prompt's %lld tokens and %lld more outgrow the context of %lld: there sharing ends, each text's "
                 "last %lld tokens are read anew, and each has caches of its own of %.1f MiB from the beginning",
                 (long long)o->prompt, (long long)o->count, (long long)context, (long long)(context / 2),
                 row_bytes(e) / (1 << 20));
}

static int open_all(struct para_engine *e, para_error *err)
{
    int64_t prompt = para_smaller(e->options.prompt, e->sizes.context),
            again = e->fits ? 0 : (e->sizes.context + 1) / 2;
    while (1 << e->steps < e->options.rows)
        e->steps++;
    e->steps++;
    for (int step = e->steps - 1; step >= 0; step--)
        PARA_TRY(open_step(e, step, err));
    if (e->options.shared)
        PARA_TRY(open_blocks(e, true, prompt, err));
    PARA_TRY(open_blocks(e, false, e->options.shared || prompt < again ? again : prompt, err));
    const struct para_replay *last = &e->step[e->steps - 1];
    return e->lender ? para_lender_load(e->lender, last->session, err)
                     : para_checkpoint_load_adapted(e->folder, e->options.adapter, last->graph, last->session, err);
}

int para_engine_open(struct para_engine *e, const char *folder, const para_model *model, para_machine *m,
                     const para_generator_options *options, para_error *err)
{
    *e = (struct para_engine){
        .model = model, .sizes = para_model_measure(model), .machine = m, .options = *options, .folder = folder};
    PARA_TRY(check_options(options, err));
    PARA_TRY(choose_splits(e, err));
    measure(e);
    return open_all(e, err);
}

void para_engine_close(struct para_engine *e)
{
    for (int block = 0; block < PARA_BLOCKS; block++) {
        close_replay(&e->own[block]);
        close_replay(&e->shared[block]);
    }
    for (int step = 0; step < PARA_STEPS; step++)
        close_replay(&e->step[step]);
    para_lender_close(e->lender);
}

/* --- runs --- */

/* What a run is given of each row. */
struct inputs {
    const int32_t *tokens;
    int32_t position[PARA_GENERATOR_ROWS], last[PARA_GENERATOR_ROWS];
    int32_t prefix[PARA_GENERATOR_ROWS], row[PARA_GENERATOR_ROWS];
};

static int run(const struct para_engine *e, const struct para_replay *r, const struct inputs *in, int times,
               const struct para_told *told, para_error *err)
{
    para_session *s = r->session;
    size_t rows = (size_t)r->caches.batch * sizeof(int32_t);
    PARA_TRY(para_session_set(s, "tokens", in->tokens, rows * (size_t)r->caches.seq, err));
    PARA_TRY(para_session_set(s, "position", in->position, rows, err));
    PARA_TRY(para_session_set(s, "last", in->last, rows, err));
    if (r->caches.prefix && r->caches.cache)
        PARA_TRY(para_session_set(s, "prefix", in->prefix, rows, err));
    if (r->caches.rows)
        PARA_TRY(para_session_set(s, "row", in->row, rows, err));
    PARA_TRY(para_session_run_times(s, times, err));
    if (told->ids)
        PARA_TRY(para_session_get(s, "made", told->ids, rows * PARA_AT_ONCE, err));
    return told->logits ? para_session_get(s, "logits", told->logits,
                                           (size_t)(r->caches.batch * e->sizes.vocab) * sizeof *told->logits, err)
                        : 0;
}

int para_engine_read(struct para_engine *e, const int32_t *tokens, int64_t count, int row, const struct para_told *told,
                     para_error *err)
{
    int32_t text[PARA_LONGEST_BLOCK] = {0};
    struct inputs in = {.tokens = text, .row = {row}};
    for (int64_t at = 0, used; at < count; at += used) {
        const struct para_replay *r = &(row < 0 ? e->shared : e->own)[choose_block(e, count - at)];
        used = para_smaller(count - at, r->caches.seq);
        in.position[0] = (int32_t)at;
        in.last[0] = (int32_t)used - 1;
        memcpy(text, tokens + at, (size_t)used * sizeof *text);
        PARA_TRY(run(e, r, &in, 1, told, err));
    }
    return 0;
}

int para_engine_step(struct para_engine *e, const struct para_step *steps, int count, int times,
                     const struct para_told *told, para_error *err)
{
    int32_t tokens[PARA_GENERATOR_ROWS] = {0};
    struct inputs in = {.tokens = tokens};
    const struct para_replay *r = e->step;
    while (r->caches.batch < count)
        r++;
    for (int b = 0; b < r->caches.batch; b++) {
        bool live = b < count;
        tokens[b] = live ? steps[b].token : 0;
        in.position[b] = live ? steps[b].position : -1;
        in.last[b] = live ? 0 : -1;
        in.prefix[b] = live ? steps[b].prefix : 0;
        in.row[b] = live ? steps[b].row : 0;
    }
    e->last = r;
    return run(e, r, &in, times, told, err);
}
