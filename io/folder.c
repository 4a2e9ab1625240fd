/* Folders that are replaced whole. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* renameat2 */
#endif
#include "io/folder.h"

#include "base/fail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool exists(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0;
}

static bool is_link(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0 && S_ISLNK(about.st_mode);
}

static bool is_folder(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

typedef int (*visitor)(void *user, const char *folder, const char *name, para_error *err);

/* Call `visit` for every name in a folder but "." and ".."; stop at the first failure. */
static int each_name(const char *folder, visitor visit, void *user, para_error *err)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return para_fail_system(err, folder, "open the folder");
    int status = 0;
    for (struct dirent *d; status == 0 && (d = readdir(dir));)
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            status = visit(user, folder, d->d_name, err);
    closedir(dir);
    return status;
}

static int remove_name(void *user, const char *folder, const char *name, para_error *err)
{
    (void)user;
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/%s", folder, name));
    return unlink(path) < 0 ? para_fail_system(err, path, "remove") : 0;
}

/* Remove a folder of files, if it exists. Folders in it are left alone, with an error. */
static int remove_folder(const char *path, para_error *err)
{
    if (!exists(path))
        return 0;
    if (is_link(path)) /* what it leads to is not ours */
        return unlink(path) < 0 ? para_fail_system(err, path, "remove the link") : 0;
    PARA_TRY(each_name(path, remove_name, NULL, err));
    return rmdir(path) < 0 ? para_fail_system(err, path, "remove the folder") : 0;
}

static int refuse_folder(void *user, const char *folder, const char *name, para_error *err)
{
    (void)user;
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/%s", folder, name));
    if (is_folder(path))
        return para_fail(err, PARA_EINVAL,
                         "%s: holds a folder, \"%s\"; expected a checkpoint's folder, which holds files"
                         " alone and is replaced whole",
                         folder, name);
    return 0;
}

static int drop_slashes(char out[PARA_PATH_BYTES], const char *path, para_error *err)
{
    PARA_TRY(para_path(out, err, "%s", path));
    for (size_t length = strlen(out); length > 1 && out[length - 1] == '/'; length--)
        out[length - 1] = '\0';
    return 0;
}

/* Write DIR without slashes at its end; a link is followed, so that its target is what is replaced. */
static int plain_path(char out[PARA_PATH_BYTES], const char *path, para_error *err)
{
    PARA_TRY(drop_slashes(out, path, err));
    const char *last = strrchr(out, '/') ? strrchr(out, '/') + 1 : out;
    if (!last[0] || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
        return para_fail(err, PARA_EINVAL, "\"%s\" can't be replaced: expected the name of a folder to make", path);
    if (exists(out) && !is_folder(out))
        return para_fail(err, PARA_EIO, "%s: exists and isn't a folder", out);
    char *real = realpath(out, NULL);
    int status = real ? para_path(out, err, "%s", real) : 0;
    free(real);
    return status;
}

int para_new_folder_begin(struct para_new_folder *f, const char *path, para_error *err)
{
    PARA_TRY(plain_path(f->path, path, err));
    PARA_TRY(para_path(f->temporary, err, "%s" PARA_FOLDER_NEW, f->path));
    PARA_TRY(para_path(f->old, err, "%s" PARA_FOLDER_OLD, f->path));
    if (exists(f->path))
        PARA_TRY(each_name(f->path, refuse_folder, NULL, err));
    PARA_TRY(remove_folder(f->temporary, err));
    return mkdir(f->temporary, 0777) < 0 ? para_fail_system(err, f->temporary, "make the folder") : 0;
}

void para_new_folder_abandon(struct para_new_folder *f)
{
    remove_folder(f->temporary, NULL);
}

static int copy_file(const char *from, const char *to, para_error *err)
{
    FILE *in = fopen(from, "rbe");
    if (!in)
        return para_fail_system(err, from, "open");
    struct para_new_file out;
    int status = para_new_file_begin(&out, to, err);
    if (status == 0) {
        char block[1 << 16];
        size_t bytes;
        while (status == 0 && (bytes = fread(block, 1, sizeof block, in)) > 0)
            status = para_new_file_append(&out, block, bytes, err);
        if (status == 0 && ferror(in))
            status = para_fail_system(err, from, "read");
        if (status == 0)
            status = para_new_file_commit(&out, err);
        else
            para_new_file_abandon(&out);
    }
    fclose(in);
    return status;
}

struct carry {
    const char *to;
    const char *const *replaced;
};

/* Take one file of the old folder along, by a second link where the file system has them. */
static int carry_name(void *user, const char *folder, const char *name, para_error *err)
{
    const struct carry *c = user;
    for (const char *const *r = c->replaced; *r; r++)
        if (fnmatch(*r, name, 0) == 0)
            return 0;
    char from[PARA_PATH_BYTES], to[PARA_PATH_BYTES];
    PARA_TRY(para_path(from, err, "%s/%s", folder, name));
    PARA_TRY(para_path(to, err, "%s/%s", c->to, name));
    return link(from, to) == 0 ? 0 : copy_file(from, to, err);
}

/* Exchange two names in one step; false where the system or the file system can't. */
static bool exchange(const char *a, const char *b)
{
#ifdef RENAME_EXCHANGE
    return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0;
#else
    (void)a;
    (void)b;
    return false;
#endif
}

/* Put the temporary folder in place; what was there ends under one of the other names. */
static int swap(struct para_new_folder *f, para_error *err)
{
    if (exists(f->path) && exchange(f->temporary, f->path))
        return 0;
    if (exists(f->path)) {
        PARA_TRY(remove_folder(f->old, err));
        if (rename(f->path, f->old) < 0)
            return para_fail_system(err, f->path, "rename the old folder");
    }
    if (rename(f->temporary, f->path) == 0)
        return 0;
    int status = para_fail_system(err, f->path, "put the new folder in place");
    rename(f->old, f->path);
    return status;
}

int para_new_folder_commit(struct para_new_folder *f, const char *const replaced[], para_error *err)
{
    struct carry carry = {f->temporary, replaced};
    const char *from = exists(f->path) ? f->path : f->old;
    int status = exists(from) ? each_name(from, carry_name, &carry, err) : 0;
    if (status == 0)
        status = para_folder_sync(f->temporary, err);
    if (status == 0)
        status = swap(f, err);
    if (status < 0) {
        para_new_folder_abandon(f);
        return status;
    }
    PARA_TRY(para_parent_sync(f->path, err));
    PARA_TRY(remove_folder(f->old, err));
    return remove_folder(f->temporary, err);
}

int para_folder_find(char out[PARA_PATH_BYTES], const char *path, para_error *err)
{
    PARA_TRY(drop_slashes(out, path, err));
    if (is_folder(out))
        return 0;
    char old[PARA_PATH_BYTES];
    PARA_TRY(para_path(old, err, "%s" PARA_FOLDER_OLD, out));
    if (!is_folder(old))
        return para_fail(err, PARA_EIO, "%s: is no folder", path);
    para_log(PARA_LOG_WARNING, "%s: an interrupted save left it as %s, which is read", out, old);
    return para_path(out, err, "%s", old);
}
