/* Where a model and its weights come from: a folder, or one file, of GGUF or of llm.c. */
#ifndef PARA_IO_SOURCE_H
#define PARA_IO_SOURCE_H

#include "io/match.h"

/* Whether a path is that of a model that is one file. */
bool para_source_is_file(const char *path);

/* Open a folder that para_folder_find() found, or a file: its model, which the caller frees, whose sizes its weights
 * bear out, and p's weights and form. p is to be closed in any case. */
int para_source_open(para_model **out, struct para_part *p, const char *path, para_error *err);

#endif
