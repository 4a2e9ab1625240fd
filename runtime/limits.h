/* What the process may use of the machine: cores, processor time, memory. */
#ifndef PARA_RUNTIME_LIMITS_H
#define PARA_RUNTIME_LIMITS_H

#include <hwloc.h>
#include <stdint.h>

struct para_limits {
    double cpus;   /* processors' worth of time; infinite without a quota */
    int64_t bytes; /* of memory; INT64_MAX without a limit */
};

/* Read the least limits of the process's control groups, from its own up to the root of each hierarchy, of version 1
 * and of version 2. `root` stands before each path, as "/proc/self/cgroup"; "" is the system's own. What can't be read
 * limits nothing. */
struct para_limits para_limits_read(const char *root);

/* Main memory. */
struct para_memory {
    int64_t bytes; /* the machine's, or what the control groups allow of it */
    int64_t most;  /* the same with swap, where no group allows less */
    int64_t free;  /* what the machine can give now; INT64_MAX where it doesn't tell */
};

/* Read it, by limits as above. */
struct para_memory para_limits_memory(const struct para_limits *limits);

/* List the cores that the calling thread may run on, each by the logical number of its first such processing unit;
 * returns how many, of which at most `room` are listed. */
int para_limits_cores(hwloc_topology_t topology, unsigned pus[], int room);

#endif
