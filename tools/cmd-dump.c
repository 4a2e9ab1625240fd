/* paragraph dump: write a graph as text, DOT, SVG, HTML or JSON. */
#include "tools/commands.h"
#include "tools/measured.h"
#include "tools/newfile.h"
#include "tools/source.h"

#include <string.h>

struct dump_options {
    struct source_options source;
    const char *format, *output, *profile;
    int64_t fold; /* -1: not given */
    struct options_given given;
};

static const struct option dump_table[] = {
    {"format", OPTION_CHOICE, offsetof(struct dump_options, format), "text|dot|svg|html|json|timeline|trace",
     "how to write it: for reading, for Graphviz, as a drawing, as a page for a browser, for loading; of a profile "
     "also "
     "as a drawing over time, SVG, and for Perfetto, as Chrome's JSON",
     0, 0, false},
    {"fold", OPTION_COUNT, offsetof(struct dump_options, fold), "N",
     "text, dot and svg: fold scopes below depth N, and in svg what is alike; 0, of text and dot the default, folds "
     "nothing; that of svg is 2",
     0, INT32_MAX, false},
    {"profile", OPTION_TEXT, offsetof(struct dump_options, profile), "FILE",
     "a run that --profile of another command wrote, with its graph; a graph that is given too must be the one that "
     "ran",
     0, 0, false},
    {"o", OPTION_OUTPUT, offsetof(struct dump_options, output), "FILE", "write to FILE in place of standard output", 0,
     0, false},
    {0},
};

/* A drawing of all of a model helps nobody: unless told otherwise it shows the inside of scopes, of equal ones once. */
enum { SVG_FOLD = 2 };

static bool is(const struct dump_options *o, const char *format)
{
    return strcmp(o->format, format) == 0;
}

static int write_graph(const para_graph *g, FILE *out, const struct dump_options *o, para_error *err)
{
    int fold = o->fold < 0 ? 0 : (int)o->fold;
    if (is(o, "json"))
        return para_graph_dump_json(g, out, err);
    if (is(o, "dot"))
        return para_graph_dump_dot(g, out, fold, err);
    if (is(o, "svg"))
        return para_graph_dump_svg(g, out, o->fold < 0 ? SVG_FOLD : fold, err);
    if (is(o, "html"))
        return para_graph_dump_html(g, out, err);
    return para_graph_dump_text(g, out, fold, err);
}

/* What tells of a run; else the graph that ran. */
static int write_profile(const para_profile *p, FILE *out, const struct dump_options *o, para_error *err)
{
    if (is(o, "text"))
        return para_profile_dump_text(p, out, o->fold < 1 ? 1 : (int)o->fold, err);
    if (is(o, "svg"))
        return para_profile_dump_svg(p, out, o->fold < 0 ? SVG_FOLD : (int)o->fold, err);
    if (is(o, "timeline"))
        return para_profile_dump_timeline(p, out, err);
    if (is(o, "trace"))
        return para_profile_dump_trace(p, out, err);
    if (is(o, "html"))
        return para_profile_dump_html(p, out, err);
    return write_graph(para_profile_graph(p), out, o, err);
}

static int write_stream(const para_graph *g, const para_profile *p, FILE *out, const struct dump_options *o)
{
    para_error err;
    int status = p ? write_profile(p, out, o, &err) : write_graph(g, out, o, &err);
    return status < 0 ? failed("%s: %s", new_file_name(o->output), err.message) : EXIT_DONE;
}

/* Write a run, or, with `p` NULL, a graph. */
static int write_to(const para_graph *g, const para_profile *p, const struct dump_options *o)
{
    struct new_file file;
    if (!o->output)
        return write_stream(g, p, stdout, o);
    TRY(new_file_open(&file, o->output));
    return new_file_close(&file, write_stream(g, p, file.stream, o));
}

static int write_profiled(const struct dump_options *o)
{
    para_profile *p;
    TRY(measured_load(&p, o->profile, &o->source, &o->given));
    int code = write_to(NULL, p, o);
    para_profile_free(p);
    return code;
}

static int run(const void *parsed)
{
    const struct dump_options *o = parsed;
    para_graph *g;
    if (o->fold > 0 && strcmp(o->format, "json") == 0)
        return misused("--fold is for text, dot and svg; json is the whole graph");
    if (o->fold >= 0 && strcmp(o->format, "html") == 0)
        return misused("--fold is for text, dot and svg; what a page folds is chosen in the browser");
    if (o->fold >= 0 && (is(o, "timeline") || is(o, "trace")))
        return misused("--fold is for text, dot and svg; a %s has every node", o->format);
    if (!o->profile && (is(o, "timeline") || is(o, "trace")))
        return misused(
            "--format %s tells of a run: it takes --profile FILE, which train, bench, generate and eval write",
            o->format);
    if (o->profile)
        return write_profiled(o);
    TRY(source_graph(&g, &o->source, 0, NULL));
    int code = write_to(g, NULL, o);
    para_graph_free(g);
    return code;
}

static const struct option_group dump_groups[] = {
    {"Options", dump_table, 0},
    SOURCE_GROUPS(struct dump_options, source),
    {0},
};

static const struct dump_options dump_defaults = {
    .source.split = {.split = "none", .stages = 1, .as_written = true}, .format = "text", .fold = -1};

const struct command command_dump = {
    .name = "dump",
    .summary = "write a model's graph as text, DOT, SVG, HTML or JSON",
    .text =
        "Write the graph of a model, or a graph file, as written, or split and placed, its sums accumulating "
        "in place, as it would run. It is split only if --split says so, where plan and train split by a rule of their "
        "own (--split auto). The text has a line per "
        "value and "
        "node and gives the reason for every value that a split left whole.\n\n"
        "The drawing, SVG, is one file for any browser. Of equal layers it shows the inside of one, and the parts that "
        "splits make of a node as one box, unless --fold 0 asks for every node.\n\n"
        "With --profile the text says what bounds the run, where workers' time went, what scopes and ops took, the "
        "measured critical path, and the longest gaps: idle, with the node that was waited for, why, and the value "
        "that "
        "is the reason; or the runtime's, from when a task was ready until it began. The drawing has what each box "
        "took. timeline draws the run, a row per worker; trace is JSON for Perfetto.\n\n"
        "The page, HTML, is one file too, and interactive: scopes fold and unfold, a search finds nodes, and each node "
        "tells "
        "its values, its cost and what it waits for.",
    .groups = dump_groups,
    .defaults = &dump_defaults,
    .bytes = sizeof dump_defaults,
    .given = offsetof(struct dump_options, given),
    .run = run,
};
