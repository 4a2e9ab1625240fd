/* How far training or evaluation is, on standard error: one line that is written over on a terminal, plain lines
 * elsewhere. */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *noun;    /* what is counted: "step" */
    bool terminal, open; /* open: the terminal's line has no newline yet */
    int64_t first, last; /* done at the begin, and to be done in all */
    int64_t tokens;      /* of each */
    int64_t done;        /* as last told to progress_count() */
    double began_s, shown_s;
};

struct progress progress_begin(const char *noun, int64_t first, int64_t last, int64_t tokens);
/* Show the state after `done` of them, if it is time to, and always after the last. */
void progress_step(struct progress *p, int64_t done, double loss);
/* The same of what has no loss; what is over before it was time to show anything isn't shown. */
void progress_count(struct progress *p, int64_t done);
/* Print a line that stays. */
void progress_validation(struct progress *p, int64_t done, double loss);
/* Finish the terminal's line. */
void progress_end(struct progress *p);

#endif
