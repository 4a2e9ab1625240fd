/* The JSON files of a checkpoint: config.json, as transformers has it, and trainer.json. */
#ifndef PARA_IO_CONFIG_H
#define PARA_IO_CONFIG_H

#include <paragraph/data.h>

#include "io/file.h"
#include "models/family.h"

/* Write and read a file by its path. */
int para_config_save(const char *path, const para_model *model, para_error *err);
int para_config_load(const char *path, para_model **out, para_error *err); /* to be freed */
/* Append the ids of "eos_token_id", a number, a list of them or null, to *ids, which may move; a file that isn't there
 * has none. */
int para_config_ends(const char *path, int32_t **ids, int64_t *count, para_error *err);
int para_trainer_save(const char *path, const para_trainer *trainer, para_error *err);
int para_trainer_load(const char *path, para_trainer *out, para_error *err);

/* Add fields to a file's object by their rows, from a struct that their offsets are in; false without memory. */
bool para_fields_write(json_t *json, const struct para_field *fields, const void *config);
/* Read them; `what` is what the file describes, "gpt2 model". */
int para_fields_read(void *config, const struct para_field *fields, const char *what, const char *path,
                     const json_t *json, para_error *err);

/* Fail, saying what a field of a file is (NULL: missing) and what was expected. Returns PARA_EFORMAT. */
int para_config_fail(para_error *err, const char *path, const char *field, const json_t *value, const char *expected);

#endif
