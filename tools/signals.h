/* Signals. What asks a run to end lets it finish and save; what ends the program leaves nothing half-made behind.
 *
 *     HUP, INT, TERM, XCPU, USR1, USR2, PWR   ask to end; where nobody listens, they end the program
 *     PIPE                                    the same, as who reads is gone
 *     XFSZ                                    ignored: the write that met the limit fails and is told
 *     others that end a program by default    end it, after what it had half-made is removed
 *
 * A signal that was ignored when the program began, as HUP under nohup, stays ignored. */
#ifndef TOOLS_SIGNALS_H
#define TOOLS_SIGNALS_H

#include <paragraph/types.h>

#include <signal.h>

/* Once, before anything else runs. */
void signals_begin(void);

/* From now on what asks to end sets this flag. A second INT or TERM ends the program all the same; another, as the
 * second HUP that a shell sends after the terminal's, does not. */
const volatile sig_atomic_t *signals_listen(void);

/* Set this flag without a signal. */
void signals_ask(void);

/* Put off what ends the program, while a folder or a file is made that can't be removed from a signal's handler, or
 * isn't guarded yet. Calls nest. */
void signals_hold(void);
void signals_release(void);

/* Remove a file, or a folder of files, if a signal ends the program; `path` must live until it is let go again. */
void signals_guard(const char *path);
void signals_unguard(const char *path);

/* These four, for the library. */
extern const para_guard signals_guards;

#endif
