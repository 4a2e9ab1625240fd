/* The commands, one to a file. */
#ifndef TOOLS_COMMANDS_H
#define TOOLS_COMMANDS_H

#include "tools/options.h"

extern const struct command command_info;
extern const struct command command_tokenize;
extern const struct command command_train_tokenizer;
extern const struct command command_convert;
extern const struct command command_train;
extern const struct command command_classify;
extern const struct command command_eval;
extern const struct command command_generate;
extern const struct command command_dump;
extern const struct command command_view;
extern const struct command command_plan;
extern const struct command command_compare;
extern const struct command command_bench;

#endif
