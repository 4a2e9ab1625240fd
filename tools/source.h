/* Where dump and plan take their graph from: a model, by preset or folder, or a graph file. */
#ifndef TOOLS_SOURCE_H
#define TOOLS_SOURCE_H

#include "tools/common.h"

struct source_options {
    const char *graph, *folder;
    bool train;
    int64_t batch, seq; /* 0: not given */
    struct model_options model;
    struct split_options split;
    struct memory_options memory;
    struct lora_options lora; /* of --train */
};

/* Groups of options to list in a command whose struct has `member` of that type; {0} must follow. */
#define SOURCE_GROUPS(type, member)                                                                                    \
    {"Graph", source_option_table, offsetof(type, member)},                                                            \
        {"Model", model_option_table, offsetof(type, member.model)},                                                   \
        {"Adapters", lora_option_table, offsetof(type, member.lora)},                                                  \
        {"Computation", split_option_table, offsetof(type, member.split)},                                             \
    {                                                                                                                  \
        "Memory", memory_option_table, offsetof(type, member.memory)                                                   \
    }
extern const struct option source_option_table[];

/* Make the graph, split and placed; --split auto cuts a model for `workers`, or, if that is 0, by the library's static
 * rule. `splits` (NULL, or SPLIT_TEXT bytes) takes all splits as a list, those that a graph file came with first. */
int source_graph(para_graph **out, const struct source_options *options, int workers, char *splits);

#endif
