/* The graph that dump and plan look at. */
#include "tools/source.h"

#include <errno.h>
#include <string.h>

enum { DEFAULT_BATCH = 12, MAX_AXES = 16 };

const struct option source_option_table[] = {
    {"graph", OPTION_TEXT, offsetof(struct source_options, graph), "FILE", "a graph that dump --format json wrote", 0,
     0, false},
    {"model", OPTION_TEXT, offsetof(struct source_options, folder), "DIR", "the model of a folder's config.json", 0, 0,
     false},
    {"train", OPTION_FLAG, offsetof(struct source_options, train), NULL,
     "a whole training step: loss, backward, AdamW; else the forward pass", 0, 0, false},
    {"batch", OPTION_COUNT, offsetof(struct source_options, batch), "N", "windows of a run (default: 12)", 1, INT32_MAX,
     false},
    {"seq", OPTION_COUNT, offsetof(struct source_options, seq), "N",
     "tokens of a window; by default the model's context", 1, INT32_MAX, false},
    {0},
};

/* Step past what may stand before a JSON value; false if what stands there begins no object. */
static bool begins_object(FILE *file)
{
    int c;
    do
        c = getc(file);
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r');
    rewind(file);
    return c == '{';
}

static int load(para_graph **out, const char *path)
{
    para_error err;
    FILE *file = fopen(path, "r");
    if (!file)
        return failed("%s: can't be opened: %s", path, strerror(errno));
    bool suits = begins_object(file);
    int status = suits ? para_graph_load_json(out, file, path, &err) : 0;
    fclose(file);
    if (!suits)
        return failed("%s: not a graph that dump --format json wrote", path);
    return status < 0 ? broken(&err) : EXIT_DONE;
}

/* An axis, and where its tiles begin as far as they are known: in ascending order, each once. */
struct tiles {
    const char *axis;
    int64_t last;
    int parts;
};

/* Count the tiles of each axis that is cut: a graph's tensors have them in order. */
static void list_splits(const para_graph *g, char list[SPLIT_TEXT])
{
    struct tiles tiles[MAX_AXES];
    int count = 0;
    size_t used = 0;
    list[0] = '\0';
    for (int i = 0; i < para_graph_tensor_count(g); i++) {
        const para_tensor *t = para_graph_tensor(g, i);
        for (int d = 0; d < para_tensor_rank(t); d++) {
            para_dim dim = para_tensor_dim(t, d);
            int k = 0;
            if (dim.extent == para_tensor_whole(t, d))
                continue;
            while (k < count && strcmp(tiles[k].axis, dim.axis) != 0)
                k++;
            if (k == count && count < MAX_AXES)
                tiles[count++] = (struct tiles){dim.axis, -1, 0};
            if (k < count && para_tensor_begin(t, d) > tiles[k].last) {
                tiles[k].last = para_tensor_begin(t, d);
                tiles[k].parts++;
            }
        }
    }
    for (int k = 0; k < count && used < SPLIT_TEXT; k++)
        used +=
            (size_t)snprintf(list + used, SPLIT_TEXT - used, "%s%.32s=%d", k ? "," : "", tiles[k].axis, tiles[k].parts);
}

/* Load a graph file and cut it further, by default not at all. */
static int graph_from_file(para_graph **out, const struct source_options *o, char *splits)
{
    para_graph *g;
    char had[SPLIT_TEXT], chosen[SPLIT_TEXT];
    TRY(load(&g, o->graph));
    list_splits(g, had);
    int code = graph_cut(&g, &o->split, 0, chosen);
    code = code ? code : graph_recompute(&g, &o->memory);
    if (code == EXIT_DONE)
        *out = g;
    else
        para_graph_free(g);
    if (code == EXIT_DONE && splits) {
        const char *comma = had[0] && chosen[0] ? "," : "";
        if (snprintf(splits, SPLIT_TEXT, "%s%s%s", had, comma, chosen) >= SPLIT_TEXT)
            splits[SPLIT_TEXT - 1] = '\0';
    }
    return code;
}

static int check(const struct source_options *o)
{
    bool flags = model_options_given(&o->model);
    if (o->graph && (o->folder || flags || o->train || o->batch || o->seq))
        return misused(
            "--graph FILE is a graph already; --model, --preset, sizes, --train, --batch and --seq don't go with it");
    if (o->folder && flags)
        return misused("--model DIR says what the model is; --preset and sizes don't go with it");
    return EXIT_DONE;
}

int source_graph(para_graph **out, const struct source_options *o, int workers, char *splits)
{
    para_gpt2 model;
    TRY(check(o));
    if (o->graph)
        return graph_from_file(out, o, splits);
    TRY(o->folder ? model_from_folder(&model, o->folder) : model_from_options(&model, &o->model));
    para_adamw_options adamw = para_adamw_default();
    adamw.clip = 1.0;
    adamw.weight_decay = 0.1;
    struct graph_wish wish = {.model = &model,
                              .batch = o->batch ? o->batch : DEFAULT_BATCH,
                              .seq = o->seq ? o->seq : model.context,
                              .adamw = &adamw,
                              .use = o->train ? GRAPH_TRAINING : GRAPH_LOGITS,
                              .workers = workers,
                              .split = &o->split,
                              .memory = &o->memory};
    return graph_make(out, &wish, splits);
}
