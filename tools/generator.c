/* Reading and continuing texts with caches. */
#include "tools/generator.h"

#include <stdlib.h>
#include <string.h>

enum { SHORTEST_BLOCK = 16, LONGEST_BLOCK = SHORTEST_BLOCK << (GENERATOR_BLOCKS - 1), NAME = 64 };

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
    g->split = (struct split_options){.split = g->splits, .stages = split->stages};
    wish.split = &g->split;
    if (g->rows == 1) {
        g->step_graph = one;
    } else {
        para_graph_free(one);
        wish.use = GRAPH_LOGITS;
        TRY(graph_make(&g->weights_graph, &wish, NULL));
        wish.use = GRAPH_CACHED;
        wish.batch = g->rows;
        TRY(graph_make(&g->step_graph, &wish, NULL));
    }
    return EXIT_DONE;
}

static int open_session(para_session **out, const para_graph *graph, para_machine *machine, para_session *share,
                        bool profile)
{
    para_error err;
    para_session_options options = para_session_default();
    options.share = share;
    options.no_draws = true;
    options.profile = profile;
    return para_session_new(out, graph, machine, &options, &err) < 0 ? broken(&err) : EXIT_DONE;
}

static int64_t block_tokens(const struct generator *g, int block)
{
    int64_t tokens = (int64_t)SHORTEST_BLOCK << block;
    return tokens < g->model.context ? tokens : g->model.context;
}

static int open_block(struct generator *g, int block, para_session *share)
{
    struct graph_wish wish = {.model = &g->model,
                              .batch = 1,
                              .seq = block_tokens(g, block),
                              .use = GRAPH_CACHED,
                              .split = &g->split,
                              .workers = para_machine_workers(g->machine)};
    if (g->read[block])
        return EXIT_DONE;
    para_graph_free(g->read_graph[block]);
    g->read_graph[block] = NULL;
    TRY(graph_make(&g->read_graph[block], &wish, NULL));
    return open_session(&g->read[block], g->read_graph[block], g->machine, share, false);
}

static int make_sessions(struct generator *g, const char *folder, para_machine *machine, bool profile)
{
    para_error err;
    if (g->weights_graph)
        TRY(open_session(&g->weights, g->weights_graph, machine, NULL, false));
    TRY(open_block(g, 0, g->weights));
    TRY(open_session(&g->step, g->step_graph, machine, g->weights ? g->weights : g->read[0], profile));
    return para_checkpoint_load(folder, g->read_graph[0], g->read[0], NULL, &err) < 0 ? broken(&err) : EXIT_DONE;
}

/* Elements of one row's cache of one layer: keys and values. */
static size_t cache_elements(const struct generator *g)
{
    return (size_t)(g->model.context * 2 * g->model.embd);
}

int generator_open(struct generator *g, const char *folder, const para_gpt2 *model, int64_t rows,
                   const struct split_options *split, para_machine *machine, bool profile)
{
    *g = (struct generator){.model = *model, .rows = rows, .machine = machine};
    TRY(make_graphs(g, split, para_machine_workers(machine)));
    TRY(make_sessions(g, folder, machine, profile));
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
    for (int block = GENERATOR_BLOCKS - 1; block >= 0; block--)
        para_session_free(g->read[block]);
    para_session_free(g->weights);
    para_graph_free(g->step_graph);
    for (int block = 0; block < GENERATOR_BLOCKS; block++)
        para_graph_free(g->read_graph[block]);
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

/* Copy one layer's cache from the reading session to a row of `step`, or to all of them. */
static int copy_cache(struct generator *g, int64_t layer, int64_t row)
{
    char name[NAME];
    para_error err;
    size_t one = cache_elements(g), bytes = one * sizeof *g->cache, all = bytes * (size_t)g->rows;
    snprintf(name, sizeof name, "layer.%lld.attn.cache", (long long)layer);
    if (para_session_get(g->read[0], name, g->cache, bytes, &err) < 0 ||
        (row != GENERATOR_ALL_ROWS && para_session_get(g->step, name, g->caches, all, &err) < 0))
        return broken(&err);
    for (int64_t r = 0; r < g->rows; r++)
        if (row == GENERATOR_ALL_ROWS || row == r)
            memcpy(g->caches + (size_t)r * one, g->cache, bytes);
    return para_session_set(g->step, name, g->caches, all, &err) < 0 ? broken(&err) : EXIT_DONE;
}

/* The shortest block that holds so many tokens, or the longest; or, where a quarter of it would be empty, the next
 * shorter one, and the rest in others. */
static int choose_block(const struct generator *g, int64_t left)
{
    int block = 0;
    while (block + 1 < GENERATOR_BLOCKS && block_tokens(g, block) < left)
        block++;
    return block > 0 && 4 * left <= 3 * block_tokens(g, block) ? block - 1 : block;
}

int generator_read(struct generator *g, const int32_t *tokens, int64_t count, int64_t row)
{
    int32_t text[LONGEST_BLOCK] = {0};
    int64_t vocab = g->model.vocab, first = row == GENERATOR_ALL_ROWS ? 0 : row;
    float *logits = g->logits + first * vocab;
    for (int64_t at = 0, used; at < count; at += used) {
        int block = choose_block(g, count - at);
        int64_t length = block_tokens(g, block);
        used = count - at < length ? count - at : length;
        memcpy(text, tokens + at, (size_t)used * sizeof *text);
        TRY(open_block(g, block, g->read[0]));
        TRY(run(g->read[block], text, 1, length, at, used - 1, logits, vocab));
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
