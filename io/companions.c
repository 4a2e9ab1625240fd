/* Companions of a tokenizer's files. */
#include "io/companions.h"

#include "base/fail.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* NULL in *out: there is no such file. */
static int load(json_t **out, char path[PARA_PATH_BYTES], const char *dir, const char *name, para_error *err)
{
    *out = NULL;
    PARA_TRY(para_path(path, err, "%s/%s", dir, name));
    return access(path, F_OK) == 0 ? para_json_load(out, path, err) : 0;
}

/* A token is a text, or an object that has it as its content. */
static const char *text_of(const json_t *token)
{
    return json_string_value(json_is_object(token) ? json_object_get(token, "content") : token);
}

static int add_name(struct para_companions *c, const json_t *token, const char *key, para_error *err)
{
    const char *text = text_of(token);
    if (!text || !*text)
        return 0;
    return json_object_set_new(c->named, text, json_string(key)) < 0 ? para_fail_memory(err, key) : 0;
}

/* The special tokens that a file names. */
static int read_names(struct para_companions *c, const json_t *file, para_error *err)
{
    static const char *const keys[] = {"bos_token",           "eos_token", "unk_token",  "sep_token",
                                       "pad_token",           "cls_token", "mask_token", "additional_special_tokens",
                                       "extra_special_tokens"};
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        const json_t *value = json_object_get(file, keys[k]), *one;
        size_t i;
        PARA_TRY(add_name(c, value, keys[k], err));
        json_array_foreach(value, i, one) PARA_TRY(add_name(c, one, keys[k], err));
    }
    return 0;
}

static int add_token(struct para_companions *c, json_t *token, para_error *err)
{
    return json_array_append_new(c->added, token) < 0 ? para_fail_memory(err, c->path) : 0;
}

/* {"ID": {"content": ..., "special": ..., ...}, ...} */
static int read_decoder(struct para_companions *c, json_t *decoder, para_error *err)
{
    const char *key;
    json_t *token;
    c->describes = true;
    if (!json_is_object(decoder))
        return para_fail(err, PARA_EFORMAT, "%s: added_tokens_decoder is no object, expected {\"ID\": {...}, ...}",
                         c->path);
    json_object_foreach(decoder, key, token)
    {
        char *end;
        const char *text = text_of(token);
        errno = 0;
        long id = strtol(key, &end, 10);
        if (end == key || *end || errno || id < 0 || id > INT32_MAX || !json_is_object(token) || !text || !*text)
            return para_fail(err, PARA_EFORMAT,
                             "%s: added_tokens_decoder: \"%.100s\": expected an id with {\"content\": TEXT, ...}",
                             c->path, key);
        json_t *copy = json_copy(token);
        json_object_set_new(copy, "id", json_integer(id));
        PARA_TRY(add_token(c, copy, err));
    }
    return 0;
}

/* {TEXT: ID, ...} */
static int read_added(struct para_companions *c, json_t *file, para_error *err)
{
    const char *text;
    json_t *id;
    json_object_foreach(file, text, id)
    {
        bool special = json_object_get(c->named, text);
        if (!*text || !json_is_integer(id))
            return para_fail(err, PARA_EFORMAT, "%s: entry \"%.100s\" has no whole number, expected an id", c->path,
                             text);
        PARA_TRY(add_token(
            c, json_pack("{sO ss sb sb}", "id", id, "content", text, "special", special, "normalized", !special), err));
    }
    return 0;
}

static int read_legacy(struct para_companions *c, const char *dir, para_error *err)
{
    json_t *file;
    PARA_TRY(load(&file, c->path, dir, "special_tokens_map.json", err));
    int status = read_names(c, file, err);
    json_decref(file);
    PARA_TRY(status);
    PARA_TRY(load(&file, c->path, dir, "added_tokens.json", err));
    status = read_added(c, file, err);
    json_decref(file);
    return status;
}

static json_int_t id_of(const json_t *token)
{
    return json_integer_value(json_object_get(token, "id"));
}

/* Put each token where its id belongs. */
static int sort(struct para_companions *c, para_error *err)
{
    for (size_t i = 1; i < json_array_size(c->added); i++) {
        json_t *token = json_incref(json_array_get(c->added, i));
        size_t to = i;
        while (to > 0 && id_of(json_array_get(c->added, to - 1)) > id_of(token))
            to--;
        json_array_remove(c->added, i);
        if (json_array_insert_new(c->added, to, token) < 0)
            return para_fail_memory(err, c->path);
    }
    return 0;
}

int para_companions_read(struct para_companions *out, const char *dir, para_error *err)
{
    json_t *config = NULL;
    *out = (struct para_companions){.added = json_array(), .named = json_object()};
    if (!out->added || !out->named)
        return para_fail_memory(err, dir);
    PARA_TRY(load(&config, out->path, dir, "tokenizer_config.json", err));
    json_t *decoder = json_object_get(config, "added_tokens_decoder");
    int status = read_names(out, config, err);
    if (status == 0)
        status = decoder ? read_decoder(out, decoder, err) : read_legacy(out, dir, err);
    json_decref(config);
    return status < 0 ? status : sort(out, err);
}

void para_companions_free(struct para_companions *c)
{
    json_decref(c->added);
    json_decref(c->named);
}
