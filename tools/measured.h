/* A run that a profile holds, for the commands that show graphs. */
#ifndef TOOLS_MEASURED_H
#define TOOLS_MEASURED_H

#include "tools/source.h"

/* Load the profile of a file; the caller frees it. Where options beyond a command's own, its first group, say which
 * graph is meant, it must be the one that ran. */
int measured_load(para_profile **out, const char *path, const struct source_options *source,
                  const struct options_given *given);

#endif
