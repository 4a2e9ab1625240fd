/* paragraph view: write a graph's page and open it in a browser. */
#include "tools/commands.h"
#include "tools/measured.h"
#include "tools/newfile.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIGEST_SHOWN = 12, RUN_NAME = 64, FILE_NAME = 128 };

struct view_options {
    struct source_options source;
    const char *output, *profile;
    bool write_only;
    struct options_given given;
};

static const struct option view_table[] = {
    {"profile", OPTION_TEXT, offsetof(struct view_options, profile), "FILE",
     "a run that --profile of another command wrote, with its graph; a graph that is given too must be the one that "
     "ran",
     0, 0, false},
    {"o", OPTION_OUTPUT, offsetof(struct view_options, output), "FILE",
     "write to FILE in place of paragraph-view-DIGEST.html in the current folder, or, of the run in RUN.json, "
     "paragraph-view-DIGEST-RUN.html; to - is to standard output",
     0, 0, false},
    {"write-only", OPTION_FLAG, offsetof(struct view_options, write_only), NULL, "write the page and open no browser",
     0, 0, false},
    {0},
};

/* "-" and the name of a profile's file without its folder and ".json", what is odd in a name left out. */
static void say_run(const char *profile, char run[RUN_NAME])
{
    const char *slash = strrchr(profile, '/'), *base = slash ? slash + 1 : profile, *dot = strrchr(base, '.');
    size_t used = 0, length = dot && strcmp(dot, ".json") == 0 ? (size_t)(dot - base) : strlen(base);
    run[used++] = '-';
    for (size_t i = 0; i < length && used + 1 < RUN_NAME; i++)
        if (isalnum((unsigned char)base[i]) || strchr("._-", base[i]))
            run[used++] = base[i];
    run[used] = '\0';
}

/* The file that is written if no other is named: of one graph always the same, and of its runs as their files. */
static int name_file(const para_graph *g, const char *profile, char name[FILE_NAME])
{
    para_error err;
    char digest[PARA_DIGEST_TEXT], run[RUN_NAME] = "";
    if (para_graph_digest(g, digest, &err) < 0)
        return broken(&err);
    if (profile)
        say_run(profile, run);
    snprintf(name, FILE_NAME, "paragraph-view-%.*s%s.html", DIGEST_SHOWN, digest, run);
    return EXIT_DONE;
}

/* Names in a graph may be nobody else's business: the file is for its owner alone. */
static int write_page(const para_graph *g, const para_profile *p, const char *path)
{
    para_error err;
    struct new_file file;
    TRY(new_file_open(&file, path));
    int code = EXIT_DONE;
    if (file.temporary && fchmod(fileno(file.stream), S_IRUSR | S_IWUSR) < 0)
        code = failed("%s: can't be made private: %s", path, strerror(errno));
    else if ((p ? para_profile_dump_html(p, file.stream, &err) : para_graph_dump_html(g, file.stream, &err)) < 0)
        code = failed("%s: %s", file.path, err.message);
    return new_file_close(&file, code);
}

/* ---- the browser ---- */

/* The command that shows a page: the environment's, or the desktop's, if there is one. NULL: none. */
static const char *browser(void)
{
    const char *named = getenv("BROWSER"),
               *desktop = getenv("DISPLAY") || getenv("WAYLAND_DISPLAY") ? "xdg-open" : NULL;
    return named && named[strspn(named, " \t\n")] ? named : desktop;
}

/* Put the words of a command and a path into argv. */
static void split_words(char *command, char *path, char **argv, int room)
{
    char *rest = command;
    int count = 0;
    for (char *word; count < room - 2 && (word = strtok_r(rest, " \t\n", &rest));)
        argv[count++] = word;
    argv[count++] = path;
    argv[count] = NULL;
}

/* Become the browser, which reads and says nothing. Returns where that fails. */
static void become_browser(char *path)
{
    enum { WORDS = 64 };
    char *argv[WORDS], *command = strdup(browser());
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (!command || nowhere < 0 || dup2(nowhere, STDIN_FILENO) < 0 || dup2(nowhere, STDOUT_FILENO) < 0 ||
        dup2(nowhere, STDERR_FILENO) < 0 || setsid() < 0)
        return;
    split_words(command, path, argv, WORDS);
    execvp(argv[0], argv);
}

/* Start the browser and leave it to itself. Returns 0, or why it can't be started. */
static int start_browser(char *path)
{
    int ends[2], reason = 0;
    if (pipe(ends) < 0)
        return errno;
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    pid_t child = fork();
    if (child == 0) {
        become_browser(path);
        reason = errno;
        _exit(write(ends[1], &reason, sizeof reason) < 0);
    }
    reason = child < 0 ? errno : 0;
    close(ends[1]);
    if (child > 0 && read(ends[0], &reason, sizeof reason) < 0)
        reason = errno;
    close(ends[0]);
    return reason;
}

/* Say where the page is, and open it where there is something to open it with. */
static void show_page(const char *path, bool write_only)
{
    char *full = realpath(path, NULL); /* no option of the browser's */
    int reason = write_only || !browser() ? 0 : full ? start_browser(full) : errno;
    free(full);
    message("the page is %s", path);
    if (reason)
        message("no browser could be started by \"%s\": %s", browser(), strerror(reason));
    else if (!write_only && !browser())
        message("open it in a browser; here is neither a display nor BROWSER in the environment");
}

static int view(const para_graph *g, const para_profile *p, const struct view_options *o)
{
    char name[FILE_NAME];
    const char *path = o->output ? o->output : name;
    if (!o->output)
        TRY(name_file(g, o->profile, name));
    TRY(write_page(g, p, path));
    if (strcmp(path, "-") != 0)
        show_page(path, o->write_only);
    return EXIT_DONE;
}

static int run(const void *parsed)
{
    const struct view_options *o = parsed;
    para_profile *p = NULL;
    para_graph *g = NULL;
    TRY(o->profile ? measured_load(&p, o->profile, &o->source, &o->given) : source_graph(&g, &o->source, 0, NULL));
    int code = view(p ? para_profile_graph(p) : g, p, o);
    para_profile_free(p);
    para_graph_free(g);
    return code;
}

static const struct option_group view_groups[] = {
    {"Options", view_table, 0},
    SOURCE_GROUPS(struct view_options, source),
    {0},
};

static const struct view_options view_defaults = {.source.split = {.split = "none", .stages = 1, .as_written = true}};

const struct command command_view = {
    .name = "view",
    .summary = "look at a model's graph, and at how it ran, in a browser",
    .text =
        "Write the graph of a model, or a graph file, as a page of its own, readable by nobody else, and open it with "
        "$BROWSER or, where there is a display, xdg-open. The page is that of dump --format html: it folds and "
        "unfolds, searches, follows wires and tells what each node waits for; its key ? lists the others. The graph is "
        "split "
        "only if --split says so, where plan and train split by a rule of their own (--split auto).\n\n"
        "With --profile it shows a run too: a row per worker with its kernels and why it stood still between them, "
        "time as colour, the measured critical path, and what bounds the run.",
    .groups = view_groups,
    .defaults = &view_defaults,
    .bytes = sizeof view_defaults,
    .given = offsetof(struct view_options, given),
    .run = run,
};
