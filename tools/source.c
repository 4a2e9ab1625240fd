/* The graph that dump and plan look at. */
#include "tools/source.h"

#include <errno.h>
#include <string.h>

enum { DEFAULT_BATCH = 12 };

const struct option source_option_table[] = {
    {"graph", OPTION_TEXT, offsetof(struct source_options, graph), "FILE", "a graph that dump --format json wrote", 0,
     0, false},
    {"model", OPTION_TEXT, offsetof(struct source_options, folder), "DIR|FILE",
     "the model of a folder's config.json, or of a GGUF file", 0, 0, false},
    {"train", OPTION_FLAG, offsetof(struct source_options, train), NULL,
     "a whole training step: loss, backward, AdamW; else the forward pass", 0, 0, false},
    {"batch", OPTION_COUNT, offsetof(struct source_options, batch), "N", "windows of a run (default: 12)", 1, INT32_MAX,
     false},
    {"seq", OPTION_COUNT, offsetof(struct source_options, seq), "N",
     "tokens of a window; by default the model's context", 1, INT32_MAX, false},
    {0},
};

/* Step past what may stand before a JSON value, once, so that the file may be a pipe; false if what stands there begins
 * no object. */
static bool begins_object(FILE *file)
{
    int c;
    do
        c = getc(file);
    while (c == ' ' || c == '\t' || c == '\n' || c == '\r');
    return ungetc(c, file) == '{';
}

static int load(para_graph **out, const char *path)
{
    para_error err;
    FILE *file = fopen(path, "r");
    if (!file)
        return failed("%s: can't be opened: %s", path, strerror(errno));
    bool suits = begins_object(file), unread = ferror(file);
    int reason = errno, status = suits ? para_graph_load_json(out, file, path, &err) : 0;
    fclose(file);
    if (unread)
        return failed("%s: can't be read: %s", path, strerror(reason));
    if (!suits)
        return failed("%s: not a graph that dump --format json wrote", path);
    return status < 0 ? broken(&err) : EXIT_DONE;
}

/* Load a graph file and cut it further, by default not at all. */
static int graph_from_file(para_graph **out, const struct source_options *o, char *splits)
{
    para_graph *g;
    TRY(load(&g, o->graph));
    int code = graph_cut(&g, &o->split, 0, NULL);
    code = code ? code : graph_recompute(&g, &o->memory);
    if (code == EXIT_DONE)
        *out = g;
    else
        para_graph_free(g);
    if (code == EXIT_DONE && splits && snprintf(splits, SPLIT_TEXT, "%s", para_graph_splits(g)) >= SPLIT_TEXT)
        splits[SPLIT_TEXT - 1] = '\0';
    return code;
}

static int check(const struct source_options *o)
{
    bool flags = model_options_given(&o->model);
    if (o->graph && (o->folder || flags || o->train || o->batch || o->seq || o->lora.rank))
        return misused(
            "--graph FILE is a graph already; --model, --preset, sizes, --train, --batch, --seq and --lora-r "
            "don't go with it");
    if (o->folder && flags)
        return misused("--model DIR says what the model is; --preset and sizes don't go with it");
    if (o->lora.rank && !o->train)
        return misused("--lora-r is for training, expected --train beside it");
    return lora_check(&o->lora);
}

int source_graph(para_graph **out, const struct source_options *o, int workers, char *splits)
{
    para_model *model;
    TRY(check(o));
    if (o->graph)
        return graph_from_file(out, o, splits);
    TRY(o->folder ? model_from_folder(&model, o->folder) : model_from_options(&model, &o->model));
    para_adamw_options adamw = para_adamw_default();
    adamw.clip = 1.0;
    adamw.weight_decay = 0.1;
    para_lora lora = lora_of(&o->lora);
    struct graph_wish wish = {.model = model,
                              .batch = o->batch ? o->batch : DEFAULT_BATCH,
                              .seq = o->seq ? o->seq : para_model_measure(model).context,
                              .lora = &lora,
                              .adamw = &adamw,
                              .use = o->train ? GRAPH_TRAINING : GRAPH_LOGITS,
                              .workers = workers,
                              .split = &o->split,
                              .memory = &o->memory};
    int code = graph_make(out, &wish, splits);
    para_model_free(model);
    return code;
}
