/* A model's own chat template, where it has one: of a folder or of a GGUF file. */
#include <paragraph/tokenizer.h>

#include "base/fail.h"
#include "io/file.h"
#include "io/gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int copy(char **out, const char *text, size_t bytes, para_error *err)
{
    char *copied = malloc(bytes + 1);
    if (!copied)
        return para_fail_memory(err, "a chat template");
    memcpy(copied, text, bytes);
    copied[bytes] = '\0';
    *out = copied;
    return 0;
}

static int read_gguf(char **out, const char *path, para_error *err)
{
    static const char key[] = "tokenizer.chat_template";
    struct para_gguf *file;
    const struct para_gguf_value *value;
    PARA_TRY(para_gguf_open(&file, path, err));
    int status = 0;
    if (para_gguf_find(file, key) && (status = para_gguf_need(&value, file, key, PARA_GGUF_STRING, err)) == 0) {
        struct para_gguf_text text = para_gguf_text(value, 0);
        status = copy(out, text.data, text.bytes, err);
    }
    para_gguf_close(file);
    return status;
}

static int read_file(char **out, const char *path, para_error *err)
{
    enum { MOST = 1 << 20 };
    FILE *file = fopen(path, "rbe");
    char *text = malloc(MOST);
    size_t bytes = file && text ? fread(text, 1, MOST, file) : 0;
    int status = !file           ? para_fail_system(err, path, "open")
                 : !text         ? para_fail_memory(err, path)
                 : ferror(file)  ? para_fail_system(err, path, "read")
                 : bytes == MOST ? para_fail(err, PARA_EFORMAT, "%s: more than 1 MiB, expected a chat template", path)
                                 : copy(out, text, bytes, err);
    free(text);
    if (file)
        fclose(file);
    return status;
}

/* Of several templates by name that which is called "default". */
static const char *template_of(const json_t *value)
{
    size_t i;
    const json_t *one;
    const char *name;
    json_array_foreach(value, i, one)
    {
        name = json_string_value(json_object_get(one, "name"));
        if (name && strcmp(name, "default") == 0)
            return json_string_value(json_object_get(one, "template"));
    }
    return json_string_value(value);
}

static int read_config(char **out, const char *path, para_error *err)
{
    json_t *config;
    PARA_TRY(para_json_load(&config, path, err));
    const char *text = template_of(json_object_get(config, "chat_template"));
    int status = text ? copy(out, text, strlen(text), err) : 0;
    json_decref(config);
    return status;
}

int para_chat_template(char **out, const char *path, para_error *err)
{
    struct stat about;
    char file[PARA_PATH_BYTES];
    *out = NULL;
    if (stat(path, &about) == 0 && S_ISREG(about.st_mode))
        return read_gguf(out, path, err);
    PARA_TRY(para_path(file, err, "%s/chat_template.jinja", path));
    if (access(file, F_OK) == 0)
        return read_file(out, file, err);
    PARA_TRY(para_path(file, err, "%s/tokenizer_config.json", path));
    return access(file, F_OK) == 0 ? read_config(out, file, err) : 0;
}
