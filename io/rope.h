/* The fields of config.json that tell how rotary embeddings turn. transformers has had two forms: "rope_theta" beside
 * "rope_scaling", and both in "rope_parameters". Files are written with both, which say the same, and read in either.
 */
#ifndef PARA_IO_ROPE_H
#define PARA_IO_ROPE_H

#include <paragraph/ops.h>

#include "io/file.h"

/* Read what a configuration says. Heads' width and the longest sequence, where they matter, are its other fields'. */
int para_rope_read(para_rope_options *out, const char *path, const json_t *config, para_error *err);

/* Add the fields to a configuration whose "head_dim" is there already; false without memory. */
bool para_rope_write(json_t *config, const para_rope_options *o);

#endif
