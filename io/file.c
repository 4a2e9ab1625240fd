/* Whole files and paths. A new file is written beside its place and renamed into it once it is on the disk. */
#include "io/file.h"

#include "base/fail.h"
#include "base/guard.h"
#include "base/replace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int para_path(char out[PARA_PATH_BYTES], para_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(out, PARA_PATH_BYTES, format, args);
    va_end(args);
    if (length < 0 || length >= PARA_PATH_BYTES)
        return para_fail(err, PARA_ERANGE, "path %.80s... is too long: at most %d bytes", out, PARA_PATH_BYTES - 1);
    return 0;
}

int para_fail_system(para_error *err, const char *path, const char *what)
{
    return para_fail(err, PARA_EIO, "%s: can't %s: %s", path, what, strerror(errno));
}

int para_map_open(struct para_map *out, const char *path, para_error *err)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* without waiting for a pipe that is refused */
    if (fd < 0)
        return para_fail_system(err, path, "open");
    struct stat about;
    struct para_map map = {0};
    int status = 0;
    if (fstat(fd, &about) < 0)
        status = para_fail_system(err, path, "read");
    else if (!S_ISREG(about.st_mode))
        status = para_fail(err, PARA_EIO, "%s: isn't a regular file", path);
    else if (about.st_size > 0) {
        void *data = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED)
            status = para_fail_system(err, path, "map");
        else
            map = (struct para_map){data, (size_t)about.st_size};
    }
    close(fd);
    if (status == 0)
        *out = map;
    return status;
}

void para_map_close(struct para_map *map)
{
    if (map->data)
        munmap((void *)(uintptr_t)map->data, map->bytes);
    *map = (struct para_map){0};
}

static void abandon_file(struct para_new_file *f)
{
    if (f->beside) {
        unlink(f->temporary);
        para_guard_drop(f->temporary);
    }
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
}

static int find_target(struct para_new_file *f, const char *path, para_error *err)
{
    char *target = para_target(path);
    if (!target)
        return para_fail_memory(err, path);
    int status = para_path(f->path, err, "%s", target);
    free(target);
    return status;
}

static int open_beside(struct para_new_file *f, para_error *err)
{
    struct stat old;
    para_guard_hold();
    f->fd = para_hold_new(f->temporary, sizeof f->temporary, f->path, false);
    if (f->fd >= 0)
        para_guard_add(f->temporary);
    para_guard_release();
    if (f->fd < 0)
        return para_fail_system(err, f->temporary, "create the file");
    if (stat(f->path, &old) == 0)
        para_keep_mode(f->fd, &old);
    if (ftruncate(f->fd, 0) == 0)
        return 0;
    int status = para_fail_system(err, f->temporary, "empty the file");
    abandon_file(f);
    return status;
}

int para_new_file_begin(struct para_new_file *f, const char *path, para_error *err)
{
    PARA_TRY(find_target(f, path, err));
    f->beside = para_replaceable(f->path);
    if (f->beside)
        return open_beside(f, err);
    memcpy(f->temporary, f->path, sizeof f->path);
    f->fd = open(f->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    return f->fd < 0 ? para_fail_system(err, f->path, "open") : 0;
}

int para_new_file_append(struct para_new_file *f, const void *data, size_t bytes, para_error *err)
{
    const char *next = data;
    while (bytes > 0) {
        ssize_t written = write(f->fd, next, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return para_fail_system(err, f->temporary, "write");
        next += written;
        bytes -= (size_t)written;
    }
    return 0;
}

int para_parent_sync(const char *path, para_error *err)
{
    char folder[PARA_PATH_BYTES];
    PARA_TRY(para_path(folder, err, "%s", path));
    char *slash = strrchr(folder, '/');
    if (!slash)
        return para_folder_sync(".", err);
    slash[slash == folder] = '\0'; /* keep the root's own slash */
    return para_folder_sync(folder, err);
}

/* Some file systems report a full disk no earlier than at sync or close, so both are checked. A second descriptor holds
 * the temporary name until the file has its own. */
static int commit(struct para_new_file *f, para_error *err)
{
    int status = 0, held = fcntl(f->fd, F_DUPFD_CLOEXEC, 0);
    if (held < 0)
        status = para_fail_system(err, f->temporary, "open a second time");
    if (status == 0 && fsync(f->fd) < 0 && (f->beside || errno != EINVAL)) /* EINVAL: no file of a disk's */
        status = para_fail_system(err, f->temporary, "sync");
    if (close(f->fd) < 0 && status == 0)
        status = para_fail_system(err, f->temporary, "close");
    f->fd = held;
    para_guard_hold();
    if (status == 0 && f->beside && para_put_file(f->temporary, f->path) < 0)
        status = para_fail_system(err, f->path, "put the new file in place");
    if (status == 0)
        para_guard_drop(f->temporary);
    para_guard_release();
    if (status < 0) {
        abandon_file(f);
        return status;
    }
    close(held);
    f->fd = -1;
    return f->beside ? para_parent_sync(f->path, err) : 0;
}

int para_new_file_end(struct para_new_file *f, int status, para_error *err)
{
    if (status == 0)
        return commit(f, err);
    abandon_file(f);
    return status;
}

int para_file_write(const char *path, const void *data, size_t bytes, para_error *err)
{
    struct para_new_file f;
    PARA_TRY(para_new_file_begin(&f, path, err));
    return para_new_file_end(&f, para_new_file_append(&f, data, bytes, err), err);
}

bool para_file_is(const char *path, const char *ending, const void *magic, size_t bytes)
{
    struct stat about;
    char begin[16];
    size_t length = strlen(path), most = strlen(ending);
    if (stat(path, &about) < 0 || !S_ISREG(about.st_mode))
        return false;
    if (length > most && strcmp(path + length - most, ending) == 0)
        return true;
    FILE *file = fopen(path, "rbe");
    bool whole = file && bytes <= sizeof begin && fread(begin, 1, bytes, file) == bytes;
    if (file)
        fclose(file);
    return whole && memcmp(begin, magic, bytes) == 0;
}

int para_folder_sync(const char *path, para_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return para_fail_system(err, path, "open the folder");
    int status = 0;
    if (fsync(fd) < 0 && errno != EINVAL) /* EINVAL: a file system whose folders need no sync */
        status = para_fail_system(err, path, "sync the folder");
    close(fd);
    return status;
}

int para_file_copy(const char *from, const char *to, para_error *err)
{
    FILE *in = fopen(from, "rbe");
    if (!in)
        return para_fail_system(err, from, "open");
    struct para_new_file out;
    struct stat about;
    int status = para_new_file_begin(&out, to, err);
    if (status == 0) {
        char block[1 << 16];
        size_t bytes;
        if (fstat(fileno(in), &about) == 0)
            para_keep_mode(out.fd, &about);
        while (status == 0 && (bytes = fread(block, 1, sizeof block, in)) > 0)
            status = para_new_file_append(&out, block, bytes, err);
        if (status == 0 && ferror(in))
            status = para_fail_system(err, from, "read");
        status = para_new_file_end(&out, status, err);
    }
    fclose(in);
    return status;
}

int para_json_save(const char *path, const json_t *value, para_error *err)
{
    char *text = value ? json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    if (!text)
        return para_fail_memory(err, path);
    size_t length = strlen(text);
    text[length] = '\n'; /* in place of the string's end */
    int status = para_file_write(path, text, length + 1, err);
    free(text);
    return status;
}

/* Some editors put a mark of three bytes before a text in UTF-8; no JSON begins with the first of them. False: a part
 * of a mark. */
static bool skip_mark(FILE *file)
{
    int first = getc(file);
    if (first == 0xef)
        return getc(file) == 0xbb && getc(file) == 0xbf;
    ungetc(first, file);
    return true;
}

int para_json_load(json_t **out, const char *path, para_error *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return para_fail_system(err, path, "open");
    json_error_t why;
    errno = 0;
    bool begins = skip_mark(file);
    json_t *value = begins ? json_loadf(file, JSON_REJECT_DUPLICATES, &why) : NULL;
    bool unread = ferror(file);
    int reason = errno;
    fclose(file);
    if (unread) {
        json_decref(value);
        return para_fail(err, PARA_EIO, "%s: can't read: %s", path, strerror(reason));
    }
    if (!begins)
        return para_fail(err, PARA_EFORMAT, "%s:1:1: expected JSON in UTF-8", path);
    if (!value)
        return para_fail(err, PARA_EFORMAT, "%s:%d:%d: %s", path, why.line, why.column, why.text);
    if (!json_is_object(value)) {
        json_decref(value);
        return para_fail(err, PARA_EFORMAT, "%s: expected a JSON object, { ... }", path);
    }
    *out = value;
    return 0;
}
