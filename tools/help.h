/* What --help, the man pages and completion say, from the tables of commands and options. */
#ifndef TOOLS_HELP_H
#define TOOLS_HELP_H

#include "tools/options.h"

#include <stdio.h>

/* Commands are a list that NULL ends. */
void help_program(FILE *out, const struct command *const commands[]);
void help_command(FILE *out, const struct command *command);
/* Man pages in roff, man(7): the program's and a command's. */
void help_man(FILE *out, const struct command *const commands[]);
void help_man_command(FILE *out, const struct command *command);
/* Completion for bash. */
void help_completion(FILE *out, const struct command *const commands[]);

#endif
