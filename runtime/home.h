/* Where StarPU keeps what it measures: $STARPU_HOME, $XDG_CACHE_HOME or $HOME, the first that is set, if that will do,
 * or a folder of this run's own. StarPU aborts where it can't write there, or reads files that a crash or another
 * program has half written. */
#ifndef PARA_RUNTIME_HOME_H
#define PARA_RUNTIME_HOME_H

#include <paragraph/types.h>

#include <stdbool.h>

struct para_home {
    char own[256];        /* a folder of this run's own; "" if none was needed */
    bool named;           /* STARPU_HOME names the folder, and XDG_CACHE_HOME, which StarPU would prefer, isn't set */
    char *before, *cache; /* what these were before; NULL: unset */
    int held;             /* the folder of files that StarPU reads and writes as it starts, held by flock(); -1: none */
};

/* A home that isn't open, which all functions take. */
#define PARA_NO_HOME ((struct para_home){.held = -1})

/* Find the folder, or make one in $TMPDIR or /tmp, and hold it against other runs. On failure the environment is as it
 * was. */
int para_home_open(struct para_home *h, para_error *err);
/* StarPU has started: others may read and write. A folder of our own goes, so that it isn't left if the program is
 * killed; only where StarPU is told to measure codelets it writes at its end, too. */
void para_home_started(struct para_home *h);
/* Leave the environment as it was, and no folder of ours. */
void para_home_close(struct para_home *h);

#endif
