/* Folders that are replaced whole. DIR.paragraph-new is a folder being written, or the old one on its way out;
 * DIR.paragraph-old is the old one where the file system can't exchange two names at once, and stands in for DIR while
 * that is missing. Both are removed, so they have names that nobody gives to a folder of his own, as DIR.old. */
#ifndef PARA_IO_FOLDER_H
#define PARA_IO_FOLDER_H

#include "io/file.h"

#define PARA_FOLDER_NEW ".paragraph-new"
#define PARA_FOLDER_OLD ".paragraph-old"

struct para_new_folder {
    char path[PARA_PATH_BYTES], temporary[PARA_PATH_BYTES], old[PARA_PATH_BYTES];
};

/* Make an empty DIR.paragraph-new, removing what a crash left there. Refuses a DIR that holds folders: they would be
 * lost. */
int para_new_folder_begin(struct para_new_folder *f, const char *path, para_error *err);
/* Put it in DIR's place; the old folder's other files than those of the patterns in `replaced` (as of a shell;
 * NULL-terminated) move along. A crash at any instant leaves the old folder or the new one. A failed commit has abandoned. */
int para_new_folder_commit(struct para_new_folder *f, const char *const replaced[], para_error *err);
/* Remove DIR.paragraph-new. */
void para_new_folder_abandon(struct para_new_folder *f);

/* Find the folder to read: DIR, or DIR.paragraph-old if a crash left no other. */
int para_folder_find(char out[PARA_PATH_BYTES], const char *path, para_error *err);

#endif
