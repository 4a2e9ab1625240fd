/* Whole files and paths: what is written is all there, or an error says why not. */
#ifndef PARA_IO_FILE_H
#define PARA_IO_FILE_H

#include "base/replace.h"

#include <paragraph/types.h>

#include <jansson.h>

enum { PARA_PATH_BYTES = 4096 };

/* Write a path; fails with PARA_ERANGE if it doesn't fit. */
int para_path(char out[PARA_PATH_BYTES], para_error *err, const char *format, ...) PARA_PRINTF(3, 4);

/* PARA_EIO: "PATH: can't WHAT: reason", the reason from errno. */
int para_fail_system(para_error *err, const char *path, const char *what);

/* A whole file, mapped to be read; data is NULL where it is empty. */
struct para_map {
    const unsigned char *data;
    size_t bytes;
};

/* Map a regular file; anything else is refused, without waiting for it. */
int para_map_open(struct para_map *out, const char *path, para_error *err);
void para_map_close(struct para_map *map); /* zeros hold nothing */

/* A file being written beside the one it will replace, whose mode and owner it gets (base/replace.h), and which goes if
 * a signal ends the program (base/guard.h): it stays where it is until it ends. */
struct para_new_file {
    int fd;
    char path[PARA_PATH_BYTES];                      /* links followed */
    char temporary[PARA_PATH_BYTES + PARA_NEW_ROOM]; /* the path itself: written in place */
    bool beside;
};

/* Open PATH.paragraph-new, or, where PATH is no plain file, itself. Then append, and end. */
int para_new_file_begin(struct para_new_file *f, const char *path, para_error *err);
int para_new_file_append(struct para_new_file *f, const void *data, size_t bytes, para_error *err);
/* Where `status`, which is what came of the appending, is 0: sync, close, rename to PATH, sync the folder; else, and
 * where that fails, nothing is left. Returns what came of all. */
int para_new_file_end(struct para_new_file *f, int status, para_error *err);

/* The whole of a file, as a new one that is put in its place. */
int para_file_write(const char *path, const void *data, size_t bytes, para_error *err);

/* Whether a path is a regular file that ends as named, or begins with `bytes` bytes, at most 16. */
bool para_file_is(const char *path, const char *ending, const void *magic, size_t bytes);

/* Copy a file, its mode and owner too, as a new file that is put in its place. */
int para_file_copy(const char *from, const char *to, para_error *err);

/* Sync a folder, so that names made in it survive a crash. */
int para_folder_sync(const char *path, para_error *err);
/* Sync the folder that holds `path`. */
int para_parent_sync(const char *path, para_error *err);

/* Write JSON, indented, numbers in full precision. `value` is borrowed; NULL means memory ran out making it. */
int para_json_save(const char *path, const json_t *value, para_error *err);
/* Read a file that holds one JSON object; the caller drops *out with json_decref(). */
int para_json_load(json_t **out, const char *path, para_error *err);

#endif
