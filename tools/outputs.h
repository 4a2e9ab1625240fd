/* Files that a command would write over what it reads. */
#ifndef TOOLS_OUTPUTS_H
#define TOOLS_OUTPUTS_H

#include "tools/options.h"

/* Refuse, by an exit code after a message, a file to write that another option or an operand has, or that is a part of
 * the model in a folder which one has. */
int outputs_check(const struct command *command, const void *options);

#endif
