/* Where a model and its weights come from. */
#include "io/source.h"

#include "base/fail.h"
#include "io/config.h"
#include "io/gguf-model.h"
#include "io/llmc.h"

#include <stdio.h>

bool para_source_is_file(const char *path)
{
    return para_gguf_is(path) || para_llmc_is(path);
}

static int open_gguf(para_model **out, struct para_weights *w, const char *path, para_error *err)
{
    struct para_gguf *file;
    PARA_TRY(para_gguf_open(&file, path, err));
    PARA_TRY(para_weights_take_gguf(w, file, err));
    return para_gguf_model(out, file, err);
}

static int open_folder(para_model **out, struct para_weights *w, const char *folder, para_error *err)
{
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/config.json", folder));
    PARA_TRY(para_config_load(path, out, err));
    int status = para_weights_open(w, folder, (*out)->family->forms[PARA_FOLDER].prefix, err);
    if (status < 0)
        para_model_free(*out);
    return status;
}

int para_source_open(para_model **out, struct para_part *p, const char *path, para_error *err)
{
    p->form = para_source_is_file(path) ? PARA_GGUF : PARA_FOLDER;
    if (para_gguf_is(path))
        PARA_TRY(open_gguf(out, &p->weights, path, err));
    else if (para_llmc_is(path))
        PARA_TRY(para_llmc_open(out, &p->weights, path, err));
    else
        PARA_TRY(open_folder(out, &p->weights, path, err));
    int status = para_weights_check(&p->weights, p->form, *out, err);
    if (status < 0)
        para_model_free(*out);
    return status;
}
