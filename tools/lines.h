/* The lines of a file, or of standard input, whole. */
#ifndef TOOLS_LINES_H
#define TOOLS_LINES_H

#include "tools/span.h"

#include <stdint.h>

struct lines {
    char *bytes;
    struct span *of; /* line number i + 1, without its end, "\n" or "\r\n" */
    int64_t count;
};

/* Read the file, "-" being standard input; a mark of UTF-8 at its beginning is passed over. Free with lines_free(),
 * also after a failure. */
int lines_read(struct lines *out, const char *path);
/* What messages call it: the path, or "standard input". */
const char *lines_name(const char *path);
void lines_free(struct lines *l);

#endif
