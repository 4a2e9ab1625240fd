/* The graph that dump and plan look at. */
#include "tools/source.h"

#include <errno.h>
#include <string.h>

enum { DEFAULT_BATCH = 4, DEFAULT_SEQ = 64 };

const struct option source_option_table[] = {
    {"graph", OPTION_TEXT, offsetof(struct source_options, graph), "FILE", "a graph that dump --format json wrote", 0,
     0, false},
    {"model", OPTION_TEXT, offsetof(struct source_options, folder), "DIR", "the model of a folder's config.json", 0, 0,
     false},
    {"train", OPTION_FLAG, offsetof(struct source_options, train), NULL,
     "a whole training step: loss, backward, AdamW; else the forward pass", 0, 0, false},
    {"batch", OPTION_COUNT, offsetof(struct source_options, batch), "N", "windows of a run (default: 4)", 1, INT32_MAX,
     false},
    {"seq", OPTION_COUNT, offsetof(struct source_options, seq), "N",
     "tokens of a window (default: 64, or the context if that is less)", 1, INT32_MAX, false},
    {0},
};

static int load(para_graph **out, const char *path)
{
    para_error err;
    FILE *file = fopen(path, "r");
    if (!file)
        return failed("%s: can't be opened: %s", path, strerror(errno));
    int status = para_graph_load_json(out, file, path, &err);
    fclose(file);
    return status < 0 ? broken(&err) : EXIT_DONE;
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

int source_graph(para_graph **out, const struct source_options *o, char *chosen)
{
    para_gpt2 model;
    TRY(check(o));
    if (o->graph) {
        para_graph *g;
        TRY(load(&g, o->graph));
        int code = graph_cut(&g, &o->split, 0, chosen);
        if (code == EXIT_DONE)
            *out = g;
        else
            para_graph_free(g);
        return code;
    }
    TRY(o->folder ? model_from_folder(&model, o->folder) : model_from_options(&model, &o->model));
    para_adamw_options adamw = para_adamw_default();
    adamw.clip = 1.0;
    adamw.weight_decay = 0.1;
    struct graph_wish wish = {.model = &model,
                              .batch = o->batch ? o->batch : DEFAULT_BATCH,
                              .seq = o->seq,
                              .adamw = &adamw,
                              .use = o->train ? GRAPH_TRAINING : GRAPH_LOGITS,
                              .split = &o->split};
    if (!wish.seq)
        wish.seq = model.context < DEFAULT_SEQ ? model.context : DEFAULT_SEQ;
    return graph_make(out, &wish, chosen);
}
