/* Folders that are replaced whole; one that is half-made goes if a signal ends the program (base/guard.h).
 * DIR.paragraph-new is a folder being written, or the old one on its way out. Where two names can't be exchanged at
 * once, as in a container's lower layer or at a mount point, DIR.paragraph-next is the new folder, whole, while its
 * files go into DIR one by one; it counts in DIR's place until it is removed. All are removed, so they have names that
 * nobody gives to a folder of his own, as DIR.old. */
#ifndef PARA_IO_FOLDER_H
#define PARA_IO_FOLDER_H

#include "io/file.h"

#define PARA_FOLDER_NEXT ".paragraph-next"

struct para_new_folder {
    int fd; /* of `temporary`, which it holds (base/replace.h) */
    char path[PARA_PATH_BYTES], temporary[PARA_PATH_BYTES + PARA_NEW_ROOM], next[PARA_PATH_BYTES];
    bool placed; /* `path` is the new folder */
};

/* Make an empty DIR.paragraph-new, removing what a crash left there; what a crash left half-way into DIR is finished
 * before. Refuses a DIR that can't be replaced, or holds folders: they would be lost. */
int para_new_folder_begin(struct para_new_folder *f, const char *path, para_error *err);
/* Put it in DIR's place; the old folder's other files than those of the patterns in `replaced` (as of a shell;
 * NULL-terminated) move along, and mode and owner stay, those of files too. A crash at any instant leaves the old
 * folder or the new one. Several processes may do so at once: one waits for the other. A commit that fails says
 * where the new folder is. */
int para_new_folder_commit(struct para_new_folder *f, const char *const replaced[], para_error *err);
/* Remove DIR.paragraph-new. */
void para_new_folder_abandon(struct para_new_folder *f);

/* Find the folder to read: DIR, or DIR.paragraph-next if a crash left one. */
int para_folder_find(char out[PARA_PATH_BYTES], const char *path, para_error *err);

#endif
