/* One handler for all signals. It calls only what POSIX allows there: unlink(), signal(), raise(). */
#include "tools/signals.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

enum { GUARDS = 8 };

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

/* Once the handler returns, or unblocks it, the signal does what it does by default. */
static void end_by(int number)
{
    for (int i = 0; i < GUARDS; i++)
        if (guarded[i])
            unlink(guarded[i]);
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
