/** @file
 * Profiles: a run of a graph as it was measured, kept, saved and read again.
 *
 * A profile holds the graph, when and where each of its nodes ran, and what each had to wait for, so that it can be
 * looked at alone, long after the run. doc/profile-format.md describes its files. Profiles are read only once made and
 * may be shared by threads. */
#ifndef PARAGRAPH_PROFILE_H
#define PARAGRAPH_PROFILE_H

#include <paragraph/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/** @defgroup profiles Profiles that are kept
 * @{ */

/** A measured run. */
typedef struct para_profile para_profile;

/** What a profile says of where it comes from, for people; NULL says nothing. */
typedef struct para_profile_origin {
    const char *command;   /**< "train" */
    const char *model;     /**< "tiny, layers 2" */
    const char *recompute; /**< what the backward pass makes again: "cheap" */
} para_profile_origin;

/** Keep the last run of a session that was made with options.profile. The session's graph must outlive *out, which the
 * caller frees with para_profile_free(). Returns PARA_EINVAL without such a run, or if it failed; PARA_ENOMEM. `origin`
 * may be NULL. */
PARA_API int para_profile_record(para_profile **out, const para_session *s, const para_profile_origin *origin,
                                 para_error *err);
/** Free a profile, and the graph that it was loaded with; NULL is welcome. */
PARA_API void para_profile_free(para_profile *p);

/** Write a profile as JSON, a line for each worker and node. Returns 0; PARA_EINVAL for names in the graph that aren't
 * UTF-8; PARA_EIO if `out` can't be written; PARA_ENOMEM. */
PARA_API int para_profile_save(const para_profile *p, FILE *out, para_error *err);
/** Read what para_profile_save() wrote, the graph included; `name` is put before messages. Returns PARA_EFORMAT,
 * naming the line, the entry and what was expected; PARA_ESUPPORT without jansson. On failure *out is untouched. */
PARA_API int para_profile_load(para_profile **out, FILE *in, const char *name, para_error *err);

/** Return the graph that ran; it lives as long as the profile. */
PARA_API const para_graph *para_profile_graph(const para_profile *p);
/** Return the digest of the graph that ran, as para_graph_digest() gives it; it lives as long as the profile. */
PARA_API const char *para_profile_digest(const para_profile *p);

/** Write the graph that ran as para_graph_dump_html() does, with the run over time: a row per worker, why it stood
 * still between its kernels, how many tasks were ready; what each box took as its colour; the measured critical path;
 * and what bounds the run. What nodes wait for is what the plan declared. Returns 0, PARA_ENOMEM; PARA_EIO if `out`
 * can't be written. */
PARA_API int para_profile_dump_html(const para_profile *p, FILE *out, para_error *err);

/** Write a profile for reading: what bounds the run, in one paragraph; where each worker's time went; time in kernels
 * by scope, of `fold` components, and by op; the measured critical path; the longest gaps, with the reason of each.
 * Returns 0, PARA_ERANGE if fold < 1, PARA_ENOMEM. PARA_EIO if `out` can't be written, here and below. */
PARA_API int para_profile_dump_text(const para_profile *p, FILE *out, int fold, para_error *err);

/** Write the graph that ran as para_graph_dump_svg() does, with what each box took as its colour and as a bar. */
PARA_API int para_profile_dump_svg(const para_profile *p, FILE *out, int fold, para_error *err);

/** Write the run as a drawing over time, SVG in one file of its own: a row per worker with its kernels, and why it
 * stood still between them; the measured critical path; how many tasks were ready. */
PARA_API int para_profile_dump_timeline(const para_profile *p, FILE *out, para_error *err);

/** Write the run in Chrome's trace format, which Perfetto reads: a thread per worker, a slice per task and in it one
 * per node, an arrow from what each task waited for last. Times are exact, to the nanosecond. */
PARA_API int para_profile_dump_trace(const para_profile *p, FILE *out, para_error *err);

/** @} */

#ifdef __cplusplus
}
#endif
#endif
