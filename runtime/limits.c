/* Control groups and binding. Kernel documentation: admin-guide/cgroup-v2 and admin-guide/cgroup-v1. */
#include "runtime/limits.h"

#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

enum { LINE = 4096, PATH = 3 * LINE };

/* One hierarchy as it is mounted: `root` is the group that is seen at `point`. */
struct mount {
    char point[LINE], root[LINE];
};

/* The first line of a file; false if there is none. */
static bool read_line(const char *folder, const char *name, char line[LINE])
{
    char path[PATH];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "re");
    bool read = file && fgets(line, LINE, file);
    if (file)
        fclose(file);
    return read;
}

static void take_cpus(struct para_limits *l, double quota, double period)
{
    if (quota > 0 && period > 0 && quota / period < l->cpus)
        l->cpus = quota / period;
}

static void take_bytes(struct para_limits *l, const char *line)
{
    char *end;
    long long bytes = strtoll(line, &end, 10);
    if (end != line && bytes > 0 && bytes < l->bytes) /* "max" is no number */
        l->bytes = bytes;
}

/* The limits of one group, under the names of both versions. */
static void read_group(struct para_limits *l, const char *folder)
{
    char line[LINE], period[LINE];
    double quota, length;
    if (read_line(folder, "cpu.max", line) && sscanf(line, "%lf %lf", &quota, &length) == 2)
        take_cpus(l, quota, length);
    if (read_line(folder, "cpu.cfs_quota_us", line) && read_line(folder, "cpu.cfs_period_us", period))
        take_cpus(l, strtod(line, NULL), strtod(period, NULL));
    if (read_line(folder, "memory.max", line) || read_line(folder, "memory.limit_in_bytes", line))
        take_bytes(l, line);
}

/* Whether a list "rw,cpu,cpuacct" has the word. */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; (at = strstr(at, word)); at += length)
        if ((at == list || at[-1] == ',') && (!at[length] || strchr(",\n", at[length])))
            return true;
    return false;
}

/* Find where the hierarchy of a controller is mounted; NULL: that of version 2. A line of mountinfo is
 * "31 23 0:28 ROOT POINT OPTIONS ... - TYPE SOURCE OPTIONS". */
static bool find_mount(struct mount *out, const char *root, const char *controller)
{
    char path[PATH], line[LINE], type[32], options[LINE];
    bool found = false;
    snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    FILE *file = fopen(path, "re");
    while (file && !found && fgets(line, sizeof line, file)) {
        const char *rest = strstr(line, " - ");
        found =
            sscanf(line, "%*s %*s %*s %4095s %4095s", out->root, out->point) == 2 && rest &&
            sscanf(rest, " - %31s %*s %4095s", type, options) == 2 &&
            (controller ? strcmp(type, "cgroup") == 0 && has_word(options, controller) : strcmp(type, "cgroup2") == 0);
    }
    if (file)
        fclose(file);
    return found;
}

/* The part of a group's path below the group that is mounted; "" where that isn't above it. */
static const char *below(const char *group, const char *mounted)
{
    size_t length = strcmp(mounted, "/") == 0 ? 0 : strlen(mounted);
    bool within = strncmp(group, mounted, length) == 0 && (!group[length] || group[length] == '/');
    return within && !strstr(group, "/..") ? group + length : "";
}

/* Read a group and those above it, up to the one that is mounted. */
static void read_groups(struct para_limits *l, const char *root, const char *controller, const char *group)
{
    struct mount m;
    char folder[PATH];
    if (!find_mount(&m, root, controller))
        return;
    snprintf(folder, sizeof folder, "%s%s%s", root, m.point, below(group, m.root));
    size_t least = strlen(root) + strlen(m.point);
    for (;;) {
        read_group(l, folder);
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < least)
            return;
        *slash = '\0';
    }
}

/* A line of cgroup is "NUMBER:CONTROLLERS:PATH"; that of version 2 names no controllers. */
struct para_limits para_limits_read(const char *root)
{
    struct para_limits l = {HUGE_VAL, INT64_MAX};
    char path[PATH], line[LINE];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *controllers++ = *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        if (!*controllers)
            read_groups(&l, root, NULL, group);
        if (has_word(controllers, "cpu"))
            read_groups(&l, root, "cpu", group);
        if (has_word(controllers, "memory"))
            read_groups(&l, root, "memory", group);
    }
    if (file)
        fclose(file);
    return l;
}

/* A line of meminfo is "MemAvailable:   22019960 kB". */
static int64_t available(void)
{
    char line[LINE];
    long long kib;
    int64_t bytes = INT64_MAX;
    FILE *file = fopen("/proc/meminfo", "re");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %lld kB", &kib) == 1)
            bytes = (int64_t)kib << 10;
    if (file)
        fclose(file);
    return bytes;
}

struct para_memory para_limits_memory(const struct para_limits *limits)
{
    struct sysinfo about;
    int64_t pages = sysconf(_SC_PHYS_PAGES), bytes = pages > 0 ? pages * sysconf(_SC_PAGESIZE) : INT64_MAX / 2;
    int64_t swap = sysinfo(&about) == 0 ? (int64_t)about.totalswap * about.mem_unit : 0;
    bytes = limits->bytes < bytes ? limits->bytes : bytes;
    return (struct para_memory){.bytes = bytes, .most = bytes + swap, .free = available()};
}

int para_limits_cores(hwloc_topology_t topology, unsigned pus[], int room)
{
    int count = 0;
    hwloc_bitmap_t bound = hwloc_bitmap_alloc(), own = hwloc_bitmap_alloc();
    bool known = bound && own && hwloc_get_cpubind(topology, bound, HWLOC_CPUBIND_THREAD) == 0;
    for (hwloc_obj_t core = NULL; own && (core = hwloc_get_next_obj_by_type(topology, HWLOC_OBJ_CORE, core));) {
        hwloc_bitmap_copy(own, core->cpuset);
        if (known)
            hwloc_bitmap_and(own, own, bound);
        hwloc_obj_t pu =
            hwloc_bitmap_iszero(own) ? NULL : hwloc_get_pu_obj_by_os_index(topology, (unsigned)hwloc_bitmap_first(own));
        if (pu && count < room)
            pus[count] = pu->logical_index;
        count += pu != NULL;
    }
    hwloc_bitmap_free(bound);
    hwloc_bitmap_free(own);
    return count;
}
