/* One run per folder: FOLDER.paragraph-lock, which a run holds while it may save there, names its process. A run that
 * was killed holds nothing, and the next one takes its file over. */
#ifndef TOOLS_LOCK_H
#define TOOLS_LOCK_H

struct lock {
    char *path; /* NULL: nothing is held */
    int fd;
};

/* Returns an exit code, after a message that names the process in the way; `option` is what the folder was given by. */
int lock_take(struct lock *l, const char *option, const char *folder);
void lock_release(struct lock *l);

#endif
