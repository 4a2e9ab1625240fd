/* paragraph dump: write a graph as text, DOT or JSON. */
#include "tools/commands.h"
#include "tools/newfile.h"
#include "tools/source.h"

#include <string.h>

struct dump_options {
    struct source_options source;
    const char *format, *output;
    int64_t fold;
};

static const struct option dump_table[] = {
    {"format", OPTION_CHOICE, offsetof(struct dump_options, format), "text|dot|json",
     "how to write it: for reading, for Graphviz, for loading", 0, 0, false},
    {"fold", OPTION_COUNT, offsetof(struct dump_options, fold), "N",
     "text and dot: fold scopes below depth N; 0 folds nothing", 0, INT32_MAX, false},
    {"o", OPTION_TEXT, offsetof(struct dump_options, output), "FILE", "write to FILE in place of standard output", 0, 0,
     false},
    {0},
};

static int write_graph(const para_graph *g, FILE *out, const struct dump_options *o)
{
    para_error err;
    int status;
    if (strcmp(o->format, "json") == 0)
        status = para_graph_dump_json(g, out, &err);
    else if (strcmp(o->format, "dot") == 0)
        status = para_graph_dump_dot(g, out, (int)o->fold, &err);
    else
        status = para_graph_dump_text(g, out, (int)o->fold, &err);
    return status < 0 ? broken(&err) : EXIT_DONE;
}

static int write_file(const para_graph *g, const struct dump_options *o)
{
    struct new_file file;
    TRY(new_file_open(&file, o->output));
    return new_file_close(&file, write_graph(g, file.stream, o));
}

static int run(const void *parsed)
{
    const struct dump_options *o = parsed;
    para_graph *g;
    if (o->fold && strcmp(o->format, "json") == 0)
        return misused("--fold is for text and dot; json is the whole graph");
    TRY(source_graph(&g, &o->source, 0, NULL));
    int code = o->output ? write_file(g, o) : write_graph(g, stdout, o);
    para_graph_free(g);
    return code;
}

static const struct option_group dump_groups[] = {
    {"Options", dump_table, 0},
    SOURCE_GROUPS(struct dump_options, source),
    {0},
};

static const struct dump_options dump_defaults = {.source.split = {.split = "none", .stages = 1, .as_written = true}, .format = "text"};

const struct command command_dump = {
    .name = "dump",
    .summary = "write a model's graph as text, DOT or JSON",
    .text = "Write the graph of a model, or a graph file, as written, or split and placed, its sums accumulating "
            "in place, as it would run. The text has a line per "
            "value and "
            "node and gives the reason for every value that a split left whole.",
    .groups = dump_groups,
    .defaults = &dump_defaults,
    .bytes = sizeof dump_defaults,
    .run = run,
};
