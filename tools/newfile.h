/* A file that stands whole or not at all: written beside its place, put there at the end, with the mode and owner of
 * the file that it replaces. What is no plain file, as /dev/stdout, is written in place; "-" is standard output. */
#ifndef TOOLS_NEWFILE_H
#define TOOLS_NEWFILE_H

#include <stdio.h>

struct new_file {
    const char *path; /* as messages name it */
    char *target;     /* the path, links followed */
    char *temporary;  /* NULL: written in place */
    FILE *stream;     /* NULL: not open */
};

/* How messages name a path, of which NULL, too, is standard output. */
const char *new_file_name(const char *path);
/* Open for writing. Returns an exit code, after a message; then new_file_close() has nothing to do. */
int new_file_open(struct new_file *f, const char *path);
/* Finish: put the file in its place if `code` is EXIT_DONE, else remove it. Returns `code`, or EXIT_FAILED after a
 * message if what was written isn't all there. */
int new_file_close(struct new_file *f, int code);

#endif
