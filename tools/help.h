/* What --help and the man page say, from the tables of commands and options. */
#ifndef TOOLS_HELP_H
#define TOOLS_HELP_H

#include "tools/options.h"

#include <stdio.h>

/* Commands are a list that NULL ends. */
void help_program(FILE *out, const struct command *const commands[]);
void help_command(FILE *out, const struct command *command);
/* The man page in roff, man(7). */
void help_man(FILE *out, const struct command *const commands[]);

#endif
