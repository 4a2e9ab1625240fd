/* StarPU's variables. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* environ, pipe2() */
#endif
#include "runtime/environment.h"

#include "base/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PREFIX "STARPU_"
enum { PATIENCE_S = 60 }; /* how long a child may take to start StarPU, which may measure the machine first */

/* It stands in place of the folder below STARPU_HOME. */
int para_environment_check(para_error *err)
{
    const char *folder = getenv("STARPU_PERF_MODEL_DIR");
    if (!folder ||
        ((mkdir(folder, 0700) == 0 || errno == EEXIST) && folder[0] == '/' && access(folder, R_OK | W_OK | X_OK) == 0))
        return 0;
    return para_fail(err, PARA_EINVAL,
                     "STARPU_PERF_MODEL_DIR is \"%.200s\", expected the whole path of a folder to write to", folder);
}

/* What Paragraph reads, checks or sets itself; a part of the environment is NAME=VALUE. */
static bool is_ours(const char *variable)
{
    static const char *const ours[] = {"STARPU_HOME=", "STARPU_NCPU=", "STARPU_PERF_MODEL_DIR=", "STARPU_SCHED="};
    bool found = strcmp(variable, "STARPU_SILENT=1") == 0;
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        found = found || strncmp(variable, ours[i], strlen(ours[i])) == 0;
    return found;
}

void para_environment_list(char *out, size_t room)
{
    size_t used = 0;
    out[0] = '\0';
    for (char **v = environ; v && *v; v++)
        if (strncmp(*v, PREFIX, strlen(PREFIX)) == 0 && !is_ours(*v) && used < room)
            used += (size_t)snprintf(out + used, room - used, "%s%.80s", used ? ", " : ": ", *v);
}

/* The child: nothing of the parent's is left to signals, files or exit handlers. What it writes ends with a 0 where
 * StarPU started or refused to. */
static _Noreturn void try_start(int (*start)(void *), void *argument, int out)
{
    const struct rlimit none = {0, 0};
    sigset_t nothing;
    sigemptyset(&nothing);
    sigprocmask(SIG_SETMASK, &nothing, NULL);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    setrlimit(RLIMIT_CORE, &none);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    alarm(PATIENCE_S);
    start(argument);
    _exit(write(out, "", 1) == 1 ? 0 : 1);
}

/* Keep the first line of what is said that isn't of a backtrace. Returns whether it ends with a 0. */
static bool read_said(int in, char *said, size_t room)
{
    char text[4096], block[4096];
    size_t used = 0;
    ssize_t bytes;
    bool ended = false;
    while ((bytes = read(in, block, sizeof block)) > 0 || (bytes < 0 && errno == EINTR)) {
        ended = bytes > 0 ? block[bytes - 1] == '\0' : ended;
        for (ssize_t i = 0; i < bytes && used < sizeof text - 1; i++)
            text[used++] = block[i];
    }
    text[used] = '\0';
    char *line = text;
    while (*line == '/' || *line == '\n')
        line += strcspn(line, "\n") + (line[strcspn(line, "\n")] != '\0');
    snprintf(said, room, "%.*s", (int)strcspn(line, "\n"), line);
    return ended;
}

int para_environment_try(int (*start)(void *), void *argument, para_error *err)
{
    char set[300], said[200];
    int ends[2], status = 0;
    bool ended = false;
    para_environment_list(set, sizeof set);
    if (!set[0])
        return 0;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return para_fail(err, PARA_EIO, "StarPU's variables can't be tried%s: %s", set, strerror(errno));
    pid_t child = fork();
    if (child == 0)
        try_start(start, argument, ends[1]);
    close(ends[1]);
    if (child > 0) {
        ended = read_said(ends[0], said, sizeof said);
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            continue;
    }
    int reason = errno;
    close(ends[0]);
    if (child < 0)
        return para_fail(err, PARA_ENOMEM, "StarPU's variables can't be tried%s: %s", set, strerror(reason));
    if (ended)
        return 0;
    return para_fail(err, PARA_EINVAL, "StarPU can't start with its variables%s (%s%s%s)", set,
                     WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "it ended", said[0] ? ": " : "", said);
}
