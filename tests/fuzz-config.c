/* config.json and trainer.json: what is accepted is written and read as the same. */
#include "tests/fuzz.h"

#include "io/config.h"
#include "models/family.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

const char fuzz_corpus[] = "config";

static void read_config(const char *path)
{
    para_model *model, *again;
    para_error err;
    if (para_config_load(path, &model, &err) < 0) {
        fuzz_use(err.message, strlen(err.message));
        return;
    }
    fuzz_assert(para_model_check(model, &err) == 0, "a model is accepted that isn't good");
    fuzz_assert(para_config_save(path, model, &err) == 0, "a model can't be written");
    fuzz_assert(para_config_load(path, &again, &err) == 0, "what was written can't be read");
    fuzz_assert(model->family == again->family &&
                    memcmp(model->config, again->config, model->family->config_bytes) == 0,
                "what was written is another model");
    para_model_free(model);
    para_model_free(again);
}

static void read_trainer(const char *path)
{
    para_trainer trainer = {0}, again = {0};
    para_error err;
    if (para_trainer_load(path, &trainer, &err) < 0) {
        fuzz_use(err.message, strlen(err.message));
        return;
    }
    fuzz_assert(para_trainer_save(path, &trainer, &err) == 0, "a run can't be written");
    fuzz_assert(para_trainer_load(path, &again, &err) == 0, "what was written can't be read");
    size_t training = offsetof(para_trainer, batch);
    fuzz_assert(trainer.step == again.step && trainer.seed == again.seed &&
                    memcmp((char *)&trainer + training, (char *)&again + training, sizeof trainer - training) == 0,
                "what was written is another run");
}

static void read_ends(const char *path)
{
    int32_t *ids = NULL;
    int64_t count = 0;
    para_error err;
    if (para_config_ends(path, &ids, &count, &err) < 0)
        fuzz_use(err.message, strlen(err.message));
    for (int64_t i = 0; i < count; i++)
        fuzz_assert(ids[i] >= 0, "an end of texts is no id");
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    read_ends(fuzz_file("config.json", data, bytes));
    read_config(fuzz_file("config.json", data, bytes));
    read_trainer(fuzz_file("trainer.json", data, bytes));
    return 0;
}
