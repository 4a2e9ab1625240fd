/* Reading and continuing texts with caches. */
#include "tools/generator.h"

#include <stdlib.h>
#include <string.h>

enum { LONGEST_BLOCK = 64, NAME = 64 };

/* The split is chosen by the graph that makes one text's tokens, whatever is then made: other cuts would round
 * otherwise, and a text would depend on how many are made. */
static int choose_split(struct generator *g, const struct graph_wish *wish, para_graph **one)
{
    struct graph_wish own = *wish;
    own.batch = own.seq = 1;
    own.use = GRAPH_CACHED;
    return graph_make(one, &own, g->splits);
}

static int make_graphs(struct generator *g, const struct split_options *split, int workers)
{
    struct graph_wish wish = {.model = &g->model, .batch = 1, .seq = 1, .workers = workers, .split = split};
    para_graph *one;
    TRY(choose_split(g, &wish, &one));
    struct split_options chosen = {g->splits, split->stages};
    wish.split = &chosen;
    if (g->rows == 1) {
        g->step_graph = one;
    } else {
        para_graph_free(one);
        wish.use = GRAPH_LOGITS;
        TRY(graph_make(&g->weights_graph, &wish, NULL));
        wish.use = GRAPH_CACHED;
        wish.batch = g->rows;
        TRY(graph_make(&g->step_graph, &wish, NULL));
        wish.batch = 1;
    }
    wish.use = GRAPH_CACHED;
    wish.seq = g->block;
    return graph_make(&g->read_graph, &wish, NULL);
}

static int open_session(para_session **out, const para_graph *graph, para_machine *machine, para_session *share)
{
    para_error err;
    para_session_options options = para_session_default();
    options.share = share;
    options.no_draws = true;
    return para_session_new(out, graph, machine, &options, &err) < 0 ? broken(&err) : EXIT_DONE;
}

static int make_sessions(struct generator *g, const char *folder, para_machine *machine)
{
    para_error err;
    if (g->weights_graph)
        TRY(open_session(&g->weights, g->weights_graph, machine, NULL));
    TRY(open_session(&g->read, g->read_graph, machine, g->weights));
    TRY(open_session(&g->step, g->step_graph, machine, g->weights ? g->weights : g->read));
    return para_checkpoint_load(folder, g->read_graph, g->read, NULL, &err) < 0 ? broken(&err) : EXIT_DONE;
}

/* Elements of one row's cache of one layer: keys and values. */
static size_t cache_elements(const struct generator *g)
{
    return (size_t)(g->model.context * 2 * g->model.embd);
}

int generator_open(struct generator *g, const char *folder, const para_gpt2 *model, int64_t rows,
                   const struct split_options *split, para_machine *machine)
{
    int64_t block = model->context < LONGEST_BLOCK ? model->context : LONGEST_BLOCK;
    *g = (struct generator){.model = *model, .rows = rows, .block = block};
    TRY(make_graphs(g, split, para_machine_workers(machine)));
    TRY(make_sessions(g, folder, machine));
    size_t logits = (size_t)(rows * model->vocab), cache = rows > 1 ? cache_elements(g) : 0;
    g->logits = calloc(logits, sizeof *g->logits);
    if (!g->logits)
        return out_of_memory("the logits", (double)(logits * sizeof *g->logits));
    if (rows == 1)
        return EXIT_DONE;
    g->cache = calloc(cache, sizeof *g->cache);
    g->caches = calloc(cache * (size_t)rows, sizeof *g->caches);
    return g->cache && g->caches ? EXIT_DONE
                                 : out_of_memory("a layer's cache", (double)(cache * sizeof(float)) * (double)rows);
}

void generator_close(struct generator *g)
{
    para_session_free(g->step);
    para_session_free(g->read);
    para_session_free(g->weights);
    para_graph_free(g->step_graph);
    para_graph_free(g->read_graph);
    para_graph_free(g->weights_graph);
    free(g->logits);
    free(g->cache);
    free(g->caches);
    *g = (struct generator){0};
}

/* Run `batch` rows of `seq` tokens; `logits` takes those of number `last`. */
static int run(para_session *s, const int32_t *tokens, int64_t batch, int64_t seq, int64_t position, int64_t last,
               float *logits, int64_t vocab)
{
    para_error err;
    int32_t at = (int32_t)position, which = (int32_t)last;
    if (para_session_set(s, "tokens", tokens, (size_t)(batch * seq) * sizeof *tokens, &err) < 0 ||
        para_session_set(s, "position", &at, sizeof at, &err) < 0 ||
        para_session_set(s, "last", &which, sizeof which, &err) < 0 || para_session_run(s, &err) < 0 ||
        para_session_get(s, "logits", logits, (size_t)(batch * vocab) * sizeof *logits, &err) < 0)
        return broken(&err);
    return EXIT_DONE;
}

/* Copy one layer's cache from `read` to a row of `step`, or to all of them. */
static int copy_cache(struct generator *g, int64_t layer, int64_t row)
{
    char name[NAME];
    para_error err;
    size_t one = cache_elements(g), bytes = one * sizeof *g->cache, all = bytes * (size_t)g->rows;
    snprintf(name, sizeof name, "layer.%lld.attn.cache", (long long)layer);
    if (para_session_get(g->read, name, g->cache, bytes, &err) < 0 ||
        (row != GENERATOR_ALL_ROWS && para_session_get(g->step, name, g->caches, all, &err) < 0))
        return broken(&err);
    for (int64_t r = 0; r < g->rows; r++)
        if (row == GENERATOR_ALL_ROWS || row == r)
            memcpy(g->caches + (size_t)r * one, g->cache, bytes);
    return para_session_set(g->step, name, g->caches, all, &err) < 0 ? broken(&err) : EXIT_DONE;
}

int generator_read(struct generator *g, const int32_t *tokens, int64_t count, int64_t row)
{
    int32_t block[LONGEST_BLOCK] = {0};
    int64_t vocab = g->model.vocab, first = row == GENERATOR_ALL_ROWS ? 0 : row;
    float *logits = g->logits + first * vocab;
    for (int64_t at = 0; at < count; at += g->block) {
        int64_t used = count - at < g->block ? count - at : g->block;
        memcpy(block, tokens + at, (size_t)used * sizeof *block);
        TRY(run(g->read, block, 1, g->block, at, used - 1, logits, vocab));
    }
    for (int64_t r = 1; r < g->rows && row == GENERATOR_ALL_ROWS; r++)
        memcpy(g->logits + r * vocab, logits, (size_t)vocab * sizeof *logits);
    for (int64_t layer = 0; layer < g->model.layers && g->rows > 1; layer++)
        TRY(copy_cache(g, layer, row));
    return EXIT_DONE;
}

int generator_step(struct generator *g, const int32_t *tokens, int64_t position)
{
    return run(g->step, tokens, g->rows, 1, position, 0, g->logits, g->model.vocab);
}
