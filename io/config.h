/* The JSON files of a checkpoint: config.json, as transformers' GPT2Config has it, and trainer.json. */
#ifndef PARA_IO_CONFIG_H
#define PARA_IO_CONFIG_H

#include <paragraph/data.h>

/* Write and read a file by its path. */
int para_config_save(const char *path, const para_gpt2 *model, para_error *err);
int para_config_load(const char *path, para_gpt2 *out, para_error *err);
int para_trainer_save(const char *path, const para_trainer *trainer, para_error *err);
int para_trainer_load(const char *path, para_trainer *out, para_error *err);

#endif
