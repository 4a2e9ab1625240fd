/* The open machine. */
#ifndef PARA_RUNTIME_MACHINE_H
#define PARA_RUNTIME_MACHINE_H

#include <paragraph/session.h>

#include "runtime/codelets.h"

struct para_machine {
    int workers, cores, memories;
    int64_t ram_bytes;
    char cpu[128], starpu[32], scheduler[32], blas[160];
    struct para_codelets *codelets;
    char home[64];     /* a temporary STARPU_HOME, removed at the end; "" if none was needed */
    bool silenced;     /* STARPU_SILENT was not set, and is while the machine is open */
    char *starpu_home; /* what STARPU_HOME was before that; NULL: unset */
};

#endif
