/* --profile FILE: a session's last run is kept and saved. */
#include "tools/profile-file.h"

int profile_file_open(struct new_file *f, const char *path)
{
    *f = (struct new_file){.path = path};
    return path ? new_file_open(f, path) : EXIT_DONE;
}

void profile_file_abandon(struct new_file *f)
{
    new_file_close(f, EXIT_FAILED);
}

int profile_file_write(struct new_file *f, const para_session *session, const para_profile_origin *origin)
{
    para_error err;
    para_profile *profile;
    if (!f->stream)
        return EXIT_DONE;
    if (para_profile_record(&profile, session, origin, &err) < 0)
        return failed("%s: isn't written: %s", f->path, err.message);
    int status = para_profile_save(profile, f->stream, &err);
    para_profile_free(profile);
    return new_file_close(f, status < 0 ? failed("%s: %s", f->path, err.message) : EXIT_DONE);
}
