/* Low-rank adapters of models: targets by the names that a family's files have. */
#include <paragraph/lora.h>

#include "base/arena.h"
#include "base/fail.h"
#include "models/family.h"

#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 160 };

struct targets {
    const para_graph *g;
    const struct para_family *family;
    const char *wanted;       /* as it was given */
    struct para_arena memory; /* of the list */
    const char *list;         /* of names in the graph, with commas */
};

static const char WEIGHT[] = ".weight";

static bool is_weight(const char *name)
{
    size_t length = strlen(name), end = strlen(WEIGHT);
    return length > end && strcmp(name + length - end, WEIGHT) == 0;
}

/* The module in files, "transformer.h.0.attn.c_attn", of a product's matrix; *parameter is its name in the graph, and
 * *layer whether it is one of a layer. False if the node is no such product: a table that is the head, too, isn't. */
static bool module_of(const struct targets *t, const para_node *n, char module[NAME_BYTES], const char **parameter,
                      bool *layer)
{
    const para_tensor *w = strcmp(para_node_op(n), "matmul") == 0 ? para_node_input(n, 1) : NULL;
    if (!w || para_tensor_kind(w) != PARA_PARAMETER)
        return false;
    *parameter = para_tensor_base(w);
    const struct para_name *row = para_family_name(t->family, PARA_FOLDER, *parameter, module, NAME_BYTES);
    if (!row || !is_weight(*parameter) || !is_weight(module))
        return false;
    module[strlen(module) - strlen(WEIGHT)] = '\0';
    *layer = strchr(row->graph, '*') != NULL;
    return true;
}

static bool ends_in_words(const char *module, const char *words, size_t length)
{
    size_t all = strlen(module);
    return all >= length && strncmp(module + all - length, words, length) == 0 &&
           (all == length || module[all - length - 1] == '.');
}

static int add(struct targets *t, const char *parameter, para_error *err)
{
    size_t stem = strlen(parameter) - strlen(WEIGHT);
    t->list = para_arena_format(&t->memory, "%s%s%.*s", t->list, t->list[0] ? "," : "", (int)stem, parameter);
    return t->list ? 0 : para_fail_memory(err, "targets");
}

/* Say which there are, each once: the last words of the modules' names. */
static int fail_target(const struct targets *t, size_t length, const char *target, para_error *err)
{
    char list[200] = "", module[NAME_BYTES];
    const char *parameter;
    bool layer;
    size_t used = 0;
    for (const para_node *n = para_graph_first(t->g); n && used < sizeof list; n = para_node_next(n)) {
        if (!module_of(t, n, module, &parameter, &layer))
            continue;
        const char *dot = strrchr(module, '.'), *word = dot ? dot + 1 : module;
        if (!strstr(list, word))
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "", word);
    }
    return para_fail(err, PARA_ENAME, "lora: %s has no target \"%.*s\"; there are %s", t->family->name, (int)length,
                     target, list);
}

/* Add what a target means to the list. */
static int take(struct targets *t, const char *target, size_t length, para_error *err)
{
    static const char all[] = "all-linear";
    bool every = length == strlen(all) && strncmp(target, all, length) == 0, found = false;
    char module[NAME_BYTES];
    const char *parameter;
    bool layer;
    for (const para_node *n = para_graph_first(t->g); n; n = para_node_next(n)) {
        if (!module_of(t, n, module, &parameter, &layer) || !(every ? layer : ends_in_words(module, target, length)))
            continue;
        found = true;
        PARA_TRY(add(t, parameter, err));
    }
    return found ? 0 : fail_target(t, length, target, err);
}

static int take_all(struct targets *t, para_error *err)
{
    const char *target = t->wanted ? t->wanted : "all-linear";
    for (size_t length; target; target = target[length] ? target + length + 1 : NULL) {
        length = strcspn(target, ",");
        PARA_TRY(take(t, target, length, err));
    }
    return 0;
}

int para_model_lora(para_graph **out, const para_graph *g, const para_model *model, const para_lora *how,
                    para_error *err)
{
    struct targets t = {.g = g, .family = model->family, .wanted = how->targets, .list = ""};
    para_lora own = *how;
    int status = take_all(&t, err);
    own.targets = t.list;
    status = status < 0 ? status : para_graph_lora(out, g, &own, err);
    para_arena_free(&t.memory);
    return status;
}
