/* Profiles made by hand, and as text. */
#ifndef PARA_TESTS_PROFILES_H
#define PARA_TESTS_PROFILES_H

#include "graph/profile.h"
#include "tests/support.h"

/* A profile of a graph in text (tests/graph-text.h), in which nodes ran at these times, by id, and waited for what its
 * values make them wait for; para_profile_free() frees the graph too. */
para_profile *profile_of(const char *graph, int workers, const struct para_timing *times, int64_t wall_ns);

/* A diamond: a and b, c of both on b's worker, d of c on a's. */
extern const char *const diamond;
enum { DIAMOND_WORKERS = 2, DIAMOND_WALL_NS = 100000 };
extern const struct para_timing diamond_times[];

/* As it is saved, or written in some form, to be freed. */
char *save_profile(const para_profile *p);
enum profile_format { PROFILE_TEXT, PROFILE_SVG, PROFILE_TIMELINE, PROFILE_TRACE };
char *dump_profile(const para_profile *p, enum profile_format format, int fold);
/* Load a profile from the JSON of a file "p.json". */
int load_profile(para_profile **out, const char *json, para_error *err);

#endif
