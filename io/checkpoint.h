/* What the folders of models and of adapters have in common: values of a session in a file, and the run beside them. */
#ifndef PARA_IO_CHECKPOINT_H
#define PARA_IO_CHECKPOINT_H

#include <paragraph/data.h>

#include "io/match.h"

#define PARA_ADAPTER_CONFIG "adapter_config.json"
#define PARA_ADAPTER_FILE "adapter_model.safetensors"
#define PARA_OPTIMIZER_FILE "optimizer.safetensors"
#define PARA_TRAINER_FILE "trainer.json"

/* The files that either folder replaces as it is saved, those of the other, too; NULL-terminated. */
extern const char *const para_checkpoint_files[];

/* Write a set of a session's values to FOLDER/NAME; with `finite` one that isn't is refused. */
int para_values_save(const char *folder, const char *name, const struct para_family *family, const para_graph *g,
                     para_session *s, enum para_value_set set, bool finite, para_error *err);
/* Write the optimizer's states and trainer.json; without a trainer, nothing. */
int para_run_save(const char *folder, const struct para_family *family, const para_graph *g, para_session *s,
                  const para_trainer *trainer, para_error *err);
/* Find the optimizer's states in a folder, and read its trainer.json, which must be of the same save. */
int para_run_match(struct para_part *optimizer, const char *folder, const struct para_family *family,
                   const para_graph *g, para_trainer *trainer, para_error *err);

#endif
