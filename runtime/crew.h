/* Tasks shared out among a few threads that stay with them until all have been taken, for graphs that have about as
 * many tasks ready as there are threads. Whoever has none to take looks for one again at once: from one's end to the
 * next one's begin is less than a microsecond, where a scheduler takes some. */
#ifndef PARA_RUNTIME_CREW_H
#define PARA_RUNTIME_CREW_H

#include <paragraph/types.h>

#include "graph/cluster.h"

struct para_crew;

enum { PARA_CREW_NONE = -1, PARA_CREW_END = -2 };

/* Of these tasks, which none before waits for; they must outlast it. NULL: no memory. */
struct para_crew *para_crew_new(const struct para_clusters *tasks);
void para_crew_free(struct para_crew *c);

/* No task has been taken. Nobody is at work meanwhile. */
void para_crew_begin(struct para_crew *c);

/* The number of a task that waits for nothing any more and hasn't been taken; NONE: there is none yet; END: all have
 * been taken. *first is the caller's, 0 at the beginning. From any thread. */
int para_crew_take(struct para_crew *c, int *first);

/* A task that was taken has ended: what it wrote is seen by whoever takes one that waited for it. */
void para_crew_end(struct para_crew *c, int task);

#endif
