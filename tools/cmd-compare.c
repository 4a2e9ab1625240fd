/* paragraph compare: what tells two graphs, or two sets of runs, from each other. */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/newfile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { RUNS = 64, PEEK = 4096 };

struct compare_options {
    const char *operands[2];
    const char *output;
    bool changed, json, html;
};

static const struct option compare_table[] = {
    {"changed", OPTION_FLAG, offsetof(struct compare_options, changed), NULL, "tell what differs alone", 0, 0, false},
    {"json", OPTION_FLAG, offsetof(struct compare_options, json), NULL,
     "write a JSON object per line: of graphs sign, name, op, scope, a and b (how many nodes), change; of runs of "
     "(runs, account, scope, op or node), sign, name, detail, a_ns, b_ns, a_spread_ns, b_spread_ns",
     0, 0, false},
    {"html", OPTION_FLAG, offsetof(struct compare_options, html), NULL,
     "write a page for a browser: one drawing of what both have, with the same signs, and of runs what each box took "
     "in "
     "either",
     0, 0, false},
    {"o", OPTION_OUTPUT, offsetof(struct compare_options, output), "FILE", "write to FILE in place of standard output",
     0, 0, false},
    {0},
};

/* One side: a graph, or runs. */
struct side {
    char *names; /* the operand, its commas ended */
    para_graph *graph;
    para_profile *runs[RUNS];
    int count;
};

/* Whether a file says near its beginning that it is a profile. */
static bool is_profile(FILE *file)
{
    char text[PEEK + 1];
    text[fread(text, 1, PEEK, file)] = '\0';
    rewind(file);
    return strstr(text, "\"paragraph-profile\"") != NULL;
}

static int load_stream(struct side *s, FILE *file, const char *path)
{
    para_error err;
    if (fseek(file, 0, SEEK_END) != 0)
        return failed("%s: can't be read twice, expected a file", path);
    rewind(file);
    if (is_profile(file)) {
        if (s->count == RUNS)
            return failed("%s: is run %d of a set, expected at most %d", path, RUNS + 1, RUNS);
        return para_profile_load(&s->runs[s->count], file, path, &err) < 0 ? broken(&err) : (s->count++, EXIT_DONE);
    }
    if (s->graph)
        return failed("%s: is a second graph on one side; several files are runs of one", path);
    return para_graph_load_json(&s->graph, file, path, &err) < 0 ? broken(&err) : EXIT_DONE;
}

static int load_file(struct side *s, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return failed("%s: can't be opened: %s", path, strerror(errno));
    int code = load_stream(s, file, path);
    fclose(file);
    return code;
}

/* A file, or a list of files with commas between them. */
static int load_side(struct side *s, const char *operand)
{
    FILE *whole = fopen(operand, "r");
    if (whole)
        fclose(whole);
    if (whole || !strchr(operand, ','))
        return load_file(s, operand);
    s->names = malloc(strlen(operand) + 1);
    if (!s->names)
        return out_of_memory("the names of runs", (double)strlen(operand));
    memcpy(s->names, operand, strlen(operand) + 1);
    for (char *name = s->names, *end; name; name = end) {
        end = strchr(name, ',');
        if (end)
            *end++ = '\0';
        TRY(load_file(s, name));
    }
    return EXIT_DONE;
}

static void close_side(struct side *s)
{
    free(s->names);
    para_graph_free(s->graph);
    for (int i = 0; i < s->count; i++)
        para_profile_free(s->runs[i]);
}

static int compare_sides(const struct compare_options *o, const struct side *a, const struct side *b, FILE *out,
                         bool *same)
{
    para_error err;
    int flags = (o->changed ? PARA_COMPARE_CHANGED : 0) | (o->json ? PARA_COMPARE_JSON : 0) |
                (o->html ? PARA_COMPARE_HTML : 0),
        status;
    if ((a->graph && a->count) || (b->graph && b->count) || !a->graph != !b->graph)
        return failed("%s and %s: a graph and a run; expected two graphs, or runs on both sides", o->operands[0],
                      o->operands[1]);
    if (a->graph)
        status = para_graph_compare(a->graph, b->graph, flags, out, same, &err);
    else
        status = para_profile_compare((const para_profile *const *)a->runs, a->count,
                                      (const para_profile *const *)b->runs, b->count, flags, out, same, &err);
    if (status == PARA_EINVAL)
        return failed("%s and %s: %s", o->operands[0], o->operands[1], err.message);
    return status < 0 ? failed("%s: %s", new_file_name(o->output), err.message) : EXIT_DONE;
}

static int write_comparison(const struct compare_options *o, const struct side *a, const struct side *b, bool *same)
{
    struct new_file file;
    if (!o->output)
        return compare_sides(o, a, b, stdout, same);
    TRY(new_file_open(&file, o->output));
    return new_file_close(&file, compare_sides(o, a, b, file.stream, same));
}

/* As of cmp and diff: 1 says that the two differ, 2 that they couldn't be compared. */
static int run(const void *parsed)
{
    const struct compare_options *o = parsed;
    struct side a = {.count = 0}, b = {.count = 0};
    bool same = false;
    if (o->json && o->html)
        return misused("--json and --html are two ways to write it; choose one");
    int code = load_side(&a, o->operands[0]);
    code = code ? code : load_side(&b, o->operands[1]);
    code = code ? code : write_comparison(o, &a, &b, &same);
    close_side(&a);
    close_side(&b);
    return code ? EXIT_USAGE : same ? EXIT_DONE : EXIT_FAILED;
}

static const struct option_group compare_groups[] = {
    {"Options", compare_table, 0},
    {0},
};

static const struct compare_options compare_defaults = {.changed = false};

const struct command command_compare = {
    .name = "compare",
    .summary = "tell two graphs, or two sets of runs, from each other",
    .text =
        "A and B are graphs, as dump --format json writes them, or runs, as --profile of other commands does; a side "
        "may "
        "be several runs of one graph, with commas between the files.\n\n"
        "Graphs: all values that they begin with and all nodes in one order, with a sign: - in A alone, + in B alone, "
        "~ "
        "changed, and how. Nodes are matched by scope, name and part; what is left by op, scope and origin, so that "
        "the parts that splits make stand for the node that they were.\n\n"
        "Runs: what all workers did with their time, and the time in kernels by scope, op and node (of these, those "
        "that "
        "differ most): the average of either side, the difference, and the spread of its runs. ~ is where no run of "
        "one side lies within what the other's took; of one run each that isn't known. Runs that something else held "
        "up, "
        "as dump --profile tells, are counted.\n\n"
        "The page, --html, is that of dump --format html, of B with what A alone has where it stood: names begin with "
        "their signs, x shows what differs alone, and the details say how.\n\n"
        "The exit code is 0 if nothing differs, or the wall times of the runs overlap; 1 if not; 2 if the two can't be "
        "compared.",
    .operands = "A B",
    .operand = offsetof(struct compare_options, operands),
    .n_operands = 2,
    .groups = compare_groups,
    .defaults = &compare_defaults,
    .bytes = sizeof compare_defaults,
    .run = run,
};
