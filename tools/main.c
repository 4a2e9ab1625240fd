/* paragraph: the command line. Finds the command, parses its options, runs it. */
#include "tools/commands.h"
#include "tools/common.h"
#include "tools/help.h"
#include "tools/near.h"
#include "tools/outputs.h"
#include "tools/signals.h"

#include "base/spare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct command *const commands[] = {
    &command_info,
    &command_tokenize,
    &command_train_tokenizer,
    &command_train,
    &command_eval,
    &command_classify,
    &command_generate,
    &command_dump,
    &command_view,
    &command_plan,
    &command_bench,
    &command_compare,
    &command_convert,
    NULL,
};

static const struct command *find_command(const char *name)
{
    for (int i = 0; commands[i]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    char names[128] = "";
    struct near near = near_begin(name, strlen(name));
    for (int i = 0; commands[i]; i++) {
        near_try(&near, commands[i]->name);
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", commands[i]->name);
    }
    return misused("no command is called \"%s\"; %s%s%sthere are %s", name, near.best ? "did you mean " : "",
                   near.best ? near.best : "", near.best ? "? " : "", names);
}

static int run_command(const struct command *command, int argc, char *const argv[])
{
    bool help;
    void *options = malloc(command->bytes);
    if (!options)
        return out_of_memory("the options", (double)command->bytes);
    memcpy(options, command->defaults, command->bytes);
    int code = options_parse(command, options, argc, argv, &help);
    if (code == EXIT_DONE && help)
        help_command(stdout, command);
    else if (code == EXIT_DONE)
        code = outputs_check(command, options);
    if (code == EXIT_DONE && !help)
        code = command->run(options);
    free(options);
    return code;
}

static int help_on(const char *name)
{
    const struct command *command = name ? find_command(name) : NULL;
    if (name && !command)
        return unknown_command(name);
    if (command)
        help_command(stdout, command);
    else
        help_program(stdout, commands);
    return EXIT_DONE;
}

static int man_on(const char *name)
{
    const struct command *command = name ? find_command(name) : NULL;
    if (name && !command)
        return unknown_command(name);
    if (command)
        help_man_command(stdout, command);
    else
        help_man(stdout, commands);
    return EXIT_DONE;
}

static int dispatch(int argc, char *const argv[])
{
    if (argc < 2) {
        help_program(stderr, commands);
        return EXIT_USAGE;
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0) {
        printf("paragraph %s\n", para_version());
        return EXIT_DONE;
    }
    if (strcmp(word, "--man") == 0)
        return man_on(argc > 2 ? argv[2] : NULL);
    if (strcmp(word, "--completion") == 0) {
        help_completion(stdout, commands);
        return EXIT_DONE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return help_on(NULL);
    if (strcmp(word, "help") == 0)
        return help_on(argc > 2 ? argv[2] : NULL);
    const struct command *command = find_command(word);
    return command ? run_command(command, argc - 2, argv + 2) : unknown_command(word);
}

static void log_line(void *user, int level, const char *line)
{
    (void)user;
    if (level >= PARA_LOG_WARNING)
        message("%s", line);
}

/* Descriptors 0 to 2 that were closed when the program began would be those of the next files opened. What they get
 * here takes the place and can't be used: a needed standard output fails; messages vanish. */
static bool fill_descriptors(void)
{
    static const int unusable[] = {O_WRONLY, O_RDONLY, O_WRONLY};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", unusable[fd]) != fd)
            return false;
    return true;
}

/* Threads get stacks of this size too. */
static int check_stack(void)
{
    enum { LEAST = 512 << 10 };
    struct rlimit stack;
    if (getrlimit(RLIMIT_STACK, &stack) < 0 || stack.rlim_cur >= LEAST)
        return EXIT_DONE;
    return failed("the stack may have %llu KiB, expected at least %d (see ulimit -s)",
                  (unsigned long long)stack.rlim_cur >> 10, LEAST >> 10);
}

static int finish_output(int code)
{
    int written = flush_output();
    return code ? code : written;
}

/* A thread of OpenBLAS's own that doesn't get its memory waits for it, and OpenBLAS's end for the thread: where there
 * is none to be had, the program ends without. */
static int leave(int code)
{
    int cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (para_spare_blocks(cores, PARA_BLAS_BYTES) == cores)
        return code;
    fflush(NULL);
    _exit(code);
}

int main(int argc, char *argv[])
{
    if (!fill_descriptors())
        return EXIT_FAILED;
    signals_begin();
    TRY(check_stack());
    para_guard_set(&signals_guards);
    para_log_set(log_line, NULL);
    return leave(finish_output(dispatch(argc, argv)));
}
