/* --profile FILE: each node's times in one run, as JSON (doc/profile-format.md). */
#ifndef TOOLS_PROFILE_FILE_H
#define TOOLS_PROFILE_FILE_H

#include "tools/common.h"
#include "tools/newfile.h"

#define PROFILE_OPTION_HELP(run)                                                                                       \
    "write when and on which worker each node of the " run " ran, and what it waited for, as JSON, to FILE; dump and " \
    "compare read it"

/* Open the file before a long run begins; with `path` NULL there is none, and the other calls do nothing. */
int profile_file_open(struct new_file *f, const char *path);
/* Write the session's last run, which was made with options.profile, and put the file in its place. Fails if there was
 * none. */
int profile_file_write(struct new_file *f, const para_session *session, const para_profile_origin *origin);
/* Remove the file if it wasn't put in its place. */
void profile_file_abandon(struct new_file *f);

#endif
