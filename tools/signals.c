/* One handler for all signals. It calls only what POSIX allows there, as unlink() and raise(), and a bare system call.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syscall */
#endif
#include "tools/signals.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { GUARDS = 16 };

static const int ASKING[] = {SIGHUP, SIGINT, SIGTERM, SIGXCPU, SIGUSR1, SIGUSR2, SIGPWR, SIGPIPE};
static const int ENDING[] = {SIGQUIT, SIGALRM, SIGVTALRM, SIGPROF, SIGPOLL, SIGSTKFLT, SIGABRT,
                             SIGBUS,  SIGFPE,  SIGILL,    SIGSEGV, SIGSYS,  SIGTRAP};

static volatile sig_atomic_t listening, stop_asked, held, pending;
static volatile sig_atomic_t insisted; /* an INT or TERM was there: HUP and TERM sent together come in any order */
static const char *volatile guarded[GUARDS];

static bool asks(int number)
{
    bool found = false;
    for (size_t i = 0; i < sizeof ASKING / sizeof ASKING[0]; i++)
        found = found || ASKING[i] == number;
    return found;
}

/* Remove a folder and the files in it, without the memory that opendir() takes. */
static void remove_folder(const char *path)
{
    _Alignas(struct dirent) char names[4096];
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    long bytes;
    while ((bytes = syscall(SYS_getdents64, fd, names, sizeof names)) > 0)
        for (long at = 0; at < bytes; at += ((struct dirent *)(names + at))->d_reclen)
            unlinkat(fd, ((struct dirent *)(names + at))->d_name, 0);
    close(fd);
    rmdir(path);
}

/* Once the handler returns, or unblocks it, the signal does what it does by default. */
static void end_by(int number)
{
    for (int i = 0; i < GUARDS; i++)
        if (guarded[i] && unlink(guarded[i]) < 0)
            remove_folder(guarded[i]);
    signal(number, SIG_DFL);
    raise(number);
}

/* A fault of the program itself can't be put off: it would happen again at once. */
static void handle(int number, siginfo_t *info, void *context)
{
    (void)context;
    bool insists = number == SIGINT || number == SIGTERM, again = insists && insisted;
    insisted = insisted || insists;
    if (listening && asks(number) && !again)
        stop_asked = 1;
    else if (held && (info->si_code == SI_USER || asks(number)))
        pending = number;
    else
        end_by(number);
}

static void catch (int number)
{
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_RESTART | SA_SIGINFO}, before;
    sigemptyset(&action.sa_mask);
    if (sigaction(number, NULL, &before) == 0 && before.sa_handler == SIG_DFL)
        sigaction(number, &action, NULL);
}

void signals_begin(void)
{
    for (size_t i = 0; i < sizeof ASKING / sizeof ASKING[0]; i++)
        catch (ASKING[i]);
    for (size_t i = 0; i < sizeof ENDING / sizeof ENDING[0]; i++)
        catch (ENDING[i]);
    signal(SIGXFSZ, SIG_IGN);
}

const volatile sig_atomic_t *signals_listen(void)
{
    listening = 1;
    return &stop_asked;
}

void signals_ask(void)
{
    stop_asked = 1;
}

void signals_hold(void)
{
    held++;
}

void signals_release(void)
{
    held--;
    if (!held && pending)
        end_by(pending);
}

void signals_guard(const char *path)
{
    for (int i = 0; i < GUARDS; i++)
        if (!guarded[i]) {
            guarded[i] = path;
            return;
        }
}

void signals_unguard(const char *path)
{
    for (int i = 0; i < GUARDS; i++)
        if (guarded[i] && strcmp(guarded[i], path) == 0)
            guarded[i] = NULL;
}

const para_guard signals_guards = {signals_hold, signals_release, signals_guard, signals_unguard};
