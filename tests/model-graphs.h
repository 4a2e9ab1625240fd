/* The graphs of presets, in all uses, for tests of what reads graphs. */
#ifndef PARA_TESTS_MODEL_GRAPHS_H
#define PARA_TESTS_MODEL_GRAPHS_H

#include "tests/support.h"

enum use { FORWARD, TRAIN, DECODE };

struct model_case {
    const char *preset;
    enum use use;
    const char *list;
};
/* Every use of every preset of GPT-2, as written, and many of them cut by a list; `preset` is NULL at the end. */
extern const struct model_case model_cases[];

/* The graph of a preset, with so many layers (0: its own), cut by a list, its sums accumulating in place. */
para_graph *model_graph(const char *preset, enum use use, int layers, const char *list);

#endif
