/* eval --choices: which of several endings of a text a model thinks likeliest. */
#ifndef TOOLS_CHOICES_H
#define TOOLS_CHOICES_H

#include "tools/score.h"
#include "tools/vocabulary.h"

/* Ask the questions of a file and print how many are answered right. */
int choices_run(const char *path, const struct vocabulary *vocabulary, const struct scorer_wish *wish, bool json);

#endif
