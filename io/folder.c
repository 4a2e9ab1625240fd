/* Folders that are replaced whole. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* renameat2 */
#endif
#include "io/folder.h"

#include "base/fail.h"
#include "base/guard.h"
#include "base/replace.h"

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
    struct dirent *d;
    while (errno = 0, status == 0 && (d = readdir(dir)))
        if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
            status = visit(user, folder, d->d_name, err);
    if (status == 0 && errno)
        status = para_fail_system(err, folder, "list the folder");
    closedir(dir);
    return status;
}

static int remove_name(void *user, const char *folder, const char *name, para_error *err)
{
    (void)user;
    char path[PARA_PATH_BYTES];
    PARA_TRY(para_path(path, err, "%s/%s", folder, name));
    return unlink(path) < 0 && errno != ENOENT ? para_fail_system(err, path, "remove") : 0;
}

static int empty_folder(const char *path, para_error *err)
{
    return each_name(path, remove_name, NULL, err);
}

/* Remove a folder of files. Folders in it are left alone, with an error. */
static int remove_folder(const char *path, para_error *err)
{
    PARA_TRY(empty_folder(path, err));
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

/* Write DIR without slashes at its end; "-", which elsewhere is a standard stream, is no folder's name. A link is
 * followed, so that its target is what is replaced. */
static int plain_path(char out[PARA_PATH_BYTES], const char *path, para_error *err)
{
    PARA_TRY(drop_slashes(out, path, err));
    const char *last = strrchr(out, '/') ? strrchr(out, '/') + 1 : out;
    if (!last[0] || strcmp(out, "-") == 0 || strcmp(last, ".") == 0 || strcmp(last, "..") == 0)
        return para_fail(err, PARA_EINVAL, "\"%s\" can't be replaced: expected the name of a folder to make", path);
    struct stat about;
    if (stat(out, &about) < 0 && is_link(out))
        return para_fail(err, PARA_EIO, "%s: is a link that leads nowhere: %s", out, strerror(errno));
    if (exists(out) && !is_folder(out))
        return para_fail(err, PARA_EIO, "%s: exists and isn't a folder", out);
    char *real = realpath(out, NULL);
    int status = real ? para_path(out, err, "%s", real) : 0;
    free(real);
    return status;
}

/* In a folder with the sticky bit, as /tmp, only its owner and a file's replace the file. */
static int check_parent(const char *path, para_error *err)
{
    struct stat own, parent;
    char folder[PARA_PATH_BYTES];
    PARA_TRY(para_path(folder, err, "%s/..", path));
    if (stat(path, &own) < 0 || stat(folder, &parent) < 0 || !(parent.st_mode & S_ISVTX))
        return 0;
    uid_t user = geteuid();
    bool allowed = user == 0 || user == own.st_uid || user == parent.st_uid || access(path, W_OK) == 0;
    return allowed ? 0
                   : para_fail(err, PARA_EIO,
                               "%s: can't be replaced: it is another user's, in a folder with the sticky bit", path);
}

/* --- replacing file by file --- */

/* Put a file of `folder` into the folder `user` too, in place of one of that name; of a link that is the link. */
static int fill_name(void *user, const char *folder, const char *name, para_error *err)
{
    char from[PARA_PATH_BYTES], to[PARA_PATH_BYTES];
    PARA_TRY(para_path(from, err, "%s/%s", folder, name));
    PARA_TRY(para_path(to, err, "%s/%s", (const char *)user, name));
    if (is_link(to))
        PARA_TRY(remove_name(NULL, user, name, err));
    return para_file_copy(from, to, err);
}

/* Remove what the folder `user` lacks. */
static int clear_name(void *user, const char *folder, const char *name, para_error *err)
{
    char kept[PARA_PATH_BYTES];
    PARA_TRY(para_path(kept, err, "%s/%s", (const char *)user, name));
    return exists(kept) ? 0 : remove_name(NULL, folder, name, err);
}

/* Take DIR.paragraph-next its name, under which it would count when half of it is gone, then remove it. */
static int remove_next(struct para_new_folder *f, para_error *err)
{
    char name[sizeof f->temporary];
    para_guard_hold();
    int status = 0, fd = para_hold_new(name, sizeof name, f->path, true);
    if (fd < 0)
        status = para_fail_system(err, name, "make the folder");
    else
        status = rename(f->next, name) < 0 ? para_fail_system(err, f->next, "rename") : remove_folder(name, err);
    if (fd >= 0)
        close(fd);
    para_guard_release();
    return status;
}

/* Make DIR what DIR.paragraph-next is, and remove that. */
static int fill(struct para_new_folder *f, para_error *err)
{
    PARA_TRY(each_name(f->next, fill_name, f->path, err));
    PARA_TRY(each_name(f->path, clear_name, f->next, err));
    PARA_TRY(para_folder_sync(f->path, err));
    return remove_next(f, err);
}

/* --- the new folder --- */

/* Open and hold the folder that is to be replaced, so that no other process replaces it meanwhile, or takes it for what
 * a crash left once it has another name. -1 in *fd: there is none. */
static int hold_old(int *fd, const char *path, para_error *err)
{
    for (;;) {
        *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (*fd < 0)
            return errno == ENOENT ? 0 : para_fail_system(err, path, "open the folder");
        flock(*fd, LOCK_EX); /* a file system without locks goes without */
        if (para_names_it(path, *fd))
            return 0;
        close(*fd);
    }
}

/* Finish what a crash left half-way, and no other process is at. */
static int finish(struct para_new_folder *f, para_error *err)
{
    int old;
    PARA_TRY(hold_old(&old, f->path, err));
    int status = old >= 0 && is_folder(f->next) ? fill(f, err) : 0;
    if (old >= 0)
        close(old);
    return status;
}

int para_new_folder_begin(struct para_new_folder *f, const char *path, para_error *err)
{
    PARA_TRY(plain_path(f->path, path, err));
    PARA_TRY(para_path(f->next, err, "%s" PARA_FOLDER_NEXT, f->path));
    if (exists(f->path)) {
        PARA_TRY(each_name(f->path, refuse_folder, NULL, err));
        PARA_TRY(check_parent(f->path, err));
    }
    if (is_folder(f->next))
        PARA_TRY(finish(f, err));
    f->placed = false;
    para_guard_hold();
    f->fd = para_hold_new(f->temporary, sizeof f->temporary, f->path, true);
    if (f->fd >= 0)
        para_guard_add(f->temporary);
    para_guard_release();
    if (f->fd < 0)
        return para_fail_system(err, f->temporary, "make the folder");
    int status = empty_folder(f->temporary, err);
    if (status < 0)
        para_new_folder_abandon(f);
    return status;
}

/* By the descriptor that is held: there may be no other to open. */
void para_new_folder_abandon(struct para_new_folder *f)
{
    DIR *dir = fdopendir(f->fd);
    if (dir) {
        rewinddir(dir);
        for (struct dirent *d; (d = readdir(dir));)
            if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
                unlinkat(f->fd, d->d_name, 0);
        rmdir(f->temporary);
    }
    para_guard_drop(f->temporary);
    if (!dir)
        close(f->fd);
    else
        closedir(dir); /* and the descriptor */
}

struct carry {
    const char *to;
    const char *const *replaced;
};

/* A new file has the mode and owner of the old one. */
static int keep_mode(const char *from, const char *to, para_error *err)
{
    struct stat old;
    int fd = open(to, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : para_fail_system(err, to, "open");
    if (stat(from, &old) == 0)
        para_keep_mode(fd, &old);
    close(fd);
    return 0;
}

/* Take one file of the old folder along, by a second link where the file system has them. */
static int carry_name(void *user, const char *folder, const char *name, para_error *err)
{
    const struct carry *c = user;
    char from[PARA_PATH_BYTES], to[PARA_PATH_BYTES];
    PARA_TRY(para_path(from, err, "%s/%s", folder, name));
    PARA_TRY(para_path(to, err, "%s/%s", c->to, name));
    for (const char *const *r = c->replaced; *r; r++)
        if (fnmatch(*r, name, 0) == 0)
            return keep_mode(from, to, err);
    return link(from, to) == 0 ? 0 : para_file_copy(from, to, err);
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

/* Where the old folder can't be moved, the new one gets a name under which it counts, and then the old one's files are
 * replaced. */
static int swap_files(struct para_new_folder *f, para_error *err)
{
    if (rename(f->temporary, f->next) < 0)
        return para_fail_system(err, f->path, "put the new folder in place");
    PARA_TRY(para_parent_sync(f->path, err));
    return fill(f, err);
}

/* Put the temporary folder in place and remove the old one, which exists. */
static int swap(struct para_new_folder *f, para_error *err)
{
    if (!exchange(f->temporary, f->path))
        return swap_files(f, err);
    f->placed = true;
    PARA_TRY(para_parent_sync(f->path, err));
    para_error why;
    if (remove_folder(f->temporary, &why) < 0)
        para_log(PARA_LOG_WARNING, "%s; what was in %s before stays there", why.message, f->path);
    return 0;
}

/* Put the temporary folder where none was before; 1: another process did so meanwhile. */
static int put_first(struct para_new_folder *f, para_error *err)
{
    if (rename(f->temporary, f->path) == 0) {
        f->placed = true;
        return para_parent_sync(f->path, err);
    }
    return errno == ENOTEMPTY || errno == EEXIST ? 1 : para_fail_system(err, f->path, "put the new folder in place");
}

/* Complete the new folder by what it takes from the old one. */
static int complete(struct para_new_folder *f, const char *const replaced[], int old, para_error *err)
{
    struct carry carry = {f->temporary, replaced};
    struct stat about;
    if (old >= 0)
        PARA_TRY(each_name(f->path, carry_name, &carry, err));
    if (old >= 0 && fstat(old, &about) == 0)
        para_keep_mode(f->fd, &about);
    return para_folder_sync(f->temporary, err);
}

static int put(struct para_new_folder *f, const char *const replaced[], para_error *err)
{
    int old = -1;
    PARA_TRY(hold_old(&old, f->path, err));
    int status = complete(f, replaced, old, err);
    if (status == 0)
        status = old >= 0 ? swap(f, err) : put_first(f, err);
    if (old >= 0)
        close(old);
    return status;
}

int para_new_folder_commit(struct para_new_folder *f, const char *const replaced[], para_error *err)
{
    int status;
    para_error why;
    para_guard_hold();
    do
        status = put(f, replaced, &why);
    while (status > 0);
    if (status < 0)
        para_fail(err, status, "%s; what was to be saved is in %s", why.message,
                  f->placed              ? f->path
                  : exists(f->temporary) ? f->temporary
                                         : f->next);
    para_guard_drop(f->temporary);
    close(f->fd);
    para_guard_release();
    return status;
}

static int fail_no_folder(const char *path, para_error *err)
{
    struct stat about;
    bool there = stat(path, &about) == 0;
    return para_fail(err, PARA_EIO, "%s: is no folder%s%s", path, there ? "" : ": ", there ? "" : strerror(errno));
}

int para_folder_find(char out[PARA_PATH_BYTES], const char *path, para_error *err)
{
    char next[PARA_PATH_BYTES];
    PARA_TRY(drop_slashes(out, path, err));
    PARA_TRY(para_path(next, err, "%s" PARA_FOLDER_NEXT, out));
    if (!is_folder(next))
        return is_folder(out) ? 0 : fail_no_folder(path, err);
    para_log(PARA_LOG_WARNING, "%s: an interrupted save left it as %s, which is read", out, next);
    return para_path(out, err, "%s", next);
}
