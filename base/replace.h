/* Replacing files and folders: names beside them, and what of the old ones is kept.
 *
 * What will replace PATH is written as the first of PATH.paragraph-new, PATH.paragraph-new-2, ... that no other process
 * holds. Who makes it holds it by flock() until it closes it; what a crash left is held by nobody, and used again. So
 * two processes never write to one file, and crashes leave no more names than processes wrote at once. What is no plain
 * file, as /dev/stdout, is written in place. */
#ifndef PARA_BASE_REPLACE_H
#define PARA_BASE_REPLACE_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARA_NEW_SUFFIX ".paragraph-new"
enum { PARA_NEW_NAMES = 64, PARA_NEW_ROOM = sizeof PARA_NEW_SUFFIX + 4 };

/* Whether a name leads to what is open as fd: between opening and locking it another process may have renamed it. */
static inline bool para_names_it(const char *name, int fd)
{
    struct stat here, there;
    return lstat(name, &here) == 0 && fstat(fd, &there) == 0 && here.st_dev == there.st_dev &&
           here.st_ino == there.st_ino;
}

/* Make and open a file or folder of a name, held; -1, errno EWOULDBLOCK: another process holds it. File systems
 * without locks go without. */
static inline int para_hold(const char *name, bool folder, mode_t mode)
{
    struct stat found;
    if (lstat(name, &found) == 0 && S_ISLNK(found.st_mode))
        unlink(name); /* a link in the way: what it leads to isn't ours */
    if (folder && mkdir(name, mode) < 0 && errno != EEXIST)
        return -1;
    int fd =
        open(name, (folder ? O_RDONLY | O_DIRECTORY : O_WRONLY | O_CREAT) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, mode);
    if (fd < 0)
        return -1;
    if ((flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) || !para_names_it(name, fd)) {
        close(fd);
        errno = EWOULDBLOCK;
        return -1;
    }
    return fd;
}

/* How much of a path stands before the suffix of a temporary name beside it: all, unless a file's own name leaves no
 * room. */
static inline int para_new_stem(const char *path, bool folder)
{
    const char *slash = strrchr(path, '/');
    size_t length = strlen(path), name = strlen(slash ? slash + 1 : path), most = NAME_MAX - PARA_NEW_ROOM;
    return (int)(length - (name > most && name <= NAME_MAX && !folder ? name - most : 0));
}

/* Take a temporary name for what replaces `path`: write it to `name`, which has PARA_NEW_ROOM bytes more than the path,
 * and return the open file or folder, which may hold what a crash left; -1 with errno. */
static inline int para_hold_new(char *name, size_t room, const char *path, bool folder)
{
    struct stat old;
    mode_t most = folder ? 0777 : 0666, mode = stat(path, &old) == 0 ? old.st_mode & most : most;
    int fd = -1, stem = para_new_stem(path, folder);
    for (int n = 1; n <= PARA_NEW_NAMES && fd < 0; n++) {
        snprintf(name, room, n == 1 ? "%.*s%s" : "%.*s%s-%d", stem, path, PARA_NEW_SUFFIX, n);
        fd = para_hold(name, folder, mode);
        int reason = errno;
        bool taken = reason == EWOULDBLOCK || lstat(name, &old) == 0;
        errno = reason;
        if (fd < 0 && !taken)
            break;
    }
    return fd;
}

/* What is replaced, to be freed: of a link its target, so that the link stays. */
static inline char *para_target(const char *path)
{
    struct stat found;
    char *real = lstat(path, &found) == 0 && S_ISLNK(found.st_mode) ? realpath(path, NULL) : NULL;
    return real ? real : strdup(path);
}

/* Whether a file can take this one's place: only plain files, and those that aren't there yet, are replaced; a link
 * that leads nowhere is written through. */
static inline bool para_replaceable(const char *path)
{
    struct stat found;
    bool there = stat(path, &found) == 0;
    return there ? S_ISREG(found.st_mode) : lstat(path, &found) < 0;
}

static inline int para_copy_into(const char *from, const char *to)
{
    char block[1 << 16];
    size_t bytes;
    FILE *in = fopen(from, "rbe"), *out = in ? fopen(to, "wbe") : NULL;
    while (out && (bytes = fread(block, 1, sizeof block, in)) > 0)
        fwrite(block, 1, bytes, out);
    bool copied = out && !ferror(in) && fflush(out) == 0 && fsync(fileno(out)) == 0;
    copied = (!out || fclose(out) == 0) && copied;
    if (in)
        fclose(in);
    return copied ? 0 : -1;
}

/* Let a file, which is whole, take another's place. Where it can't have the name, as at a mount point, it is copied.
 * -1 with errno. */
static inline int para_put_file(const char *temporary, const char *path)
{
    if (rename(temporary, path) == 0)
        return 0;
    if ((errno != EBUSY && errno != EXDEV) || para_copy_into(temporary, path) < 0)
        return -1;
    return unlink(temporary);
}

/* Give an open file or folder the mode, and where that is allowed the owner, of what it replaces. */
static inline void para_keep_mode(int fd, const struct stat *old)
{
    if (fchown(fd, old->st_uid, old->st_gid) < 0 && fchown(fd, (uid_t)-1, old->st_gid) < 0)
        return; /* another's: its mode's group bits would be for another group */
    fchmod(fd, old->st_mode & 07777);
}

#endif
