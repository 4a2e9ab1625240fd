#include "tests/model-graphs.h"

const struct model_case model_cases[] = {
    {"tiny", FORWARD, ""},
    {"tiny", TRAIN, ""},
    {"tiny", DECODE, ""},
    {"tiny", FORWARD, "batch=2,heads=2,ff=4"},
    {"tiny", TRAIN, "embd=2"},
    {"tiny", TRAIN, "batch=4,ff=2,vocab=3"},
    {"tiny", DECODE, "heads=2"},
    {"gpt2-124m", FORWARD, ""},
    {"gpt2-124m", TRAIN, ""},
    {"gpt2-124m", TRAIN, "batch=2,ff=2"},
    {"gpt2-124m", DECODE, "ff=2"},
    {"gpt2-355m", FORWARD, "heads=2"},
    {"gpt2-355m", TRAIN, ""},
    {"gpt2-355m", DECODE, ""},
    {"gpt2-774m", FORWARD, ""},
    {"gpt2-774m", TRAIN, "batch=2"},
    {"gpt2-774m", DECODE, "heads=4"},
    {"gpt2-xl", FORWARD, "ff=2"},
    {"gpt2-xl", TRAIN, ""},
    {"gpt2-xl", DECODE, ""},
    {"llama-15m", FORWARD, "heads=2"},
    {"llama-15m", TRAIN, "batch=2,heads=3,ff=2"},
    {"llama-15m", DECODE, ""},
    {"llama-110m", FORWARD, ""},
    {"llama-110m", TRAIN, ""},
    {"llama-110m", DECODE, "heads=2,ff=2"},
    {"llama2-7b", FORWARD, ""},
    {"llama2-7b", TRAIN, ""},
    {"llama2-7b", DECODE, "heads=4"},
    {"llama3.2-1b", FORWARD, "queries=2"},
    {"llama3.2-1b", TRAIN, "batch=2,queries=2"},
    {"llama3.2-1b", DECODE, ""},
    {"qwen2.5-0.5b", FORWARD, ""},
    {"qwen2.5-0.5b", TRAIN, "heads=2,vocab=2"},
    {"qwen2.5-0.5b", DECODE, "queries=7"},
    {NULL, FORWARD, NULL},
};

para_graph *model_graph(const char *preset, enum use use, int layers, const char *list)
{
    para_error err = {0};
    para_model *model = NULL;
    para_graph *g = para_graph_new(), *cut = NULL, *sums = NULL;
    must(para_model_preset(&model, preset, &err), err);
    if (layers > 0)
        must(para_model_set_size(model, "layers", layers, &err), err);
    if (use == DECODE) {
        para_model_build_cached(g, model, &(para_caches){.batch = 4, .seq = 1, .cache = 32, .prefix = 8});
    } else {
        para_model_graph m = para_model_build(g, model, 4, 64, use == TRAIN);
        if (use == TRAIN) {
            must(para_graph_backward(g, m.loss, &err), err);
            para_adamw_options options = para_adamw_default();
            options.clip = 1;
            must(para_graph_adamw(g, &options, &err), err);
        }
    }
    must(para_graph_seal(g, &err), err);
    must(para_graph_split_list(&cut, g, list, NULL, 0, &err), err);
    must(para_graph_accumulate(&sums, cut, &err), err);
    para_graph_free(cut);
    para_graph_free(g);
    para_model_free(model);
    return sums;
}
