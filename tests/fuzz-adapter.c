/* adapter_config.json: what is accepted describes an adapter that can be made, or whose names aren't there. */
#include "tests/fuzz.h"

#include <paragraph/data.h>

#include <string.h>

const char fuzz_corpus[] = "adapter";

enum { MOST_RANK = 64 }; /* of what is made here */

static const para_gpt2 small = {
    .layers = 1, .heads = 2, .embd = 4, .ff = 8, .vocab = 5, .context = 3, .norm_eps = 1e-5};

static para_graph *plain_graph(const para_model *model)
{
    para_error err;
    para_graph *g = para_graph_new();
    fuzz_assert(g != NULL, "a graph");
    para_model_build(g, model, 1, 2, false);
    fuzz_assert(para_graph_seal(g, &err) == 0, "a graph isn't good");
    return g;
}

static void make(const para_lora *how)
{
    para_model *model;
    para_graph *out;
    para_error err;
    fuzz_assert(para_model_from_gpt2(&model, &small, &err) == 0, "a model");
    para_graph *g = plain_graph(model);
    int status = para_model_lora(&out, g, model, how, &err);
    fuzz_assert(status == 0 || status == PARA_ENAME, "an adapter is accepted that can't be made");
    if (status == 0) {
        fuzz_assert(para_graph_seal(out, &err) == 0, "a graph with adapters isn't good");
        para_graph_free(out);
    } else {
        fuzz_use(err.message, strlen(err.message));
    }
    para_graph_free(g);
    para_model_free(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    para_adapter *a;
    para_error err;
    fuzz_file("adapter_config.json", data, bytes);
    if (para_adapter_open(&a, fuzz_file(NULL, NULL, 0), &err) < 0) {
        fuzz_use(err.message, strlen(err.message));
        return 0;
    }
    const para_lora *how = para_adapter_lora(a);
    fuzz_use(para_adapter_base(a), strlen(para_adapter_base(a)));
    fuzz_assert(how->rank > 0 && how->alpha > 0 && how->targets && how->targets[0], "an adapter that isn't good");
    if (how->rank <= MOST_RANK)
        make(how);
    para_adapter_free(a);
    return 0;
}
