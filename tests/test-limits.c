/* Control groups' limits, read from trees of files as machines and containers have them. */
#include "runtime/limits.h"
#include "tests/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define V2 "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define CPU(root) "33 31 0:30 " root " /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct\n"
#define MEMORY(root) "34 31 0:31 " root " /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
#define CPUSET "32 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"

struct file {
    const char *path, *text;
};

static const struct machine {
    const char *what;
    double cpus;
    int64_t bytes;
    struct file files[9]; /* to the first without a path */
} machines[] = {
    {"nothing to read", HUGE_VAL, INT64_MAX, {{NULL, NULL}}},
    {"version 2 without limits",
     HUGE_VAL,
     INT64_MAX,
     {{"proc/self/cgroup", "0::/user\n"},
      {"proc/self/mountinfo", V2},
      {"sys/fs/cgroup/user/cpu.max", "max 100000\n"},
      {"sys/fs/cgroup/user/memory.max", "max\n"}}},
    {"version 2, the group's own",
     1.5,
     1 << 30,
     {{"proc/self/cgroup", "0::/user/run\n"},
      {"proc/self/mountinfo", V2},
      {"sys/fs/cgroup/user/run/cpu.max", "150000 100000\n"},
      {"sys/fs/cgroup/user/run/memory.max", "1073741824\n"}}},
    {"version 2, the least on the way up",
     0.5,
     4096,
     {{"proc/self/cgroup", "0::/a/b/c\n"},
      {"proc/self/mountinfo", V2},
      {"sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n"},
      {"sys/fs/cgroup/a/b/cpu.max", "25000 50000\n"},
      {"sys/fs/cgroup/a/cpu.max", "max 100000\n"},
      {"sys/fs/cgroup/a/memory.max", "4096\n"},
      {"sys/fs/cgroup/a/b/memory.max", "8192\n"}}},
    {"version 2 in a container of its own name space",
     2,
     INT64_MAX,
     {{"proc/self/cgroup", "0::/\n"}, {"proc/self/mountinfo", V2}, {"sys/fs/cgroup/cpu.max", "200000 100000\n"}}},
    {"version 1",
     1,
     5000000000,
     {{"proc/self/cgroup", "7:cpuset:/x\n4:memory:/jobs/7\n1:cpu,cpuacct:/jobs/7\n"},
      {"proc/self/mountinfo", CPUSET CPU("/") MEMORY("/")},
      {"sys/fs/cgroup/cpu,cpuacct/jobs/7/cpu.cfs_quota_us", "-1\n"},
      {"sys/fs/cgroup/cpu,cpuacct/jobs/7/cpu.cfs_period_us", "100000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_quota_us", "100000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/jobs/cpu.cfs_period_us", "100000\n"},
      {"sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "5000000000\n"},
      {"sys/fs/cgroup/memory/jobs/7/memory.limit_in_bytes", "9223372036854771712\n"}}},
    {"version 1 in a container, whose group is mounted as the root",
     3,
     6000,
     {{"proc/self/cgroup", "4:memory:/docker/abc\n1:cpu,cpuacct:/docker/abc\n"},
      {"proc/self/mountinfo", CPU("/docker/abc") MEMORY("/docker/abc")},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n"},
      {"sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"},
      {"sys/fs/cgroup/memory/memory.limit_in_bytes", "6000\n"}}},
    {"both versions",
     1.25,
     7000,
     {{"proc/self/cgroup", "4:memory:/m\n0::/unit\n"},
      {"proc/self/mountinfo", MEMORY("/") V2},
      {"sys/fs/cgroup/memory/m/memory.limit_in_bytes", "7000\n"},
      {"sys/fs/cgroup/unit/cpu.max", "125000 100000\n"}}},
    {"a group outside of what is mounted",
     1,
     INT64_MAX,
     {{"proc/self/cgroup", "0::/../other\n"},
      {"proc/self/mountinfo", V2},
      {"sys/fs/cgroup/cpu.max", "100000 100000\n"}}},
    {"files that say nothing",
     HUGE_VAL,
     INT64_MAX,
     {{"proc/self/cgroup", "0::/user\nno line\n::\n5:cpu\n"},
      {"proc/self/mountinfo", "\nshort - cgroup2\n" V2},
      {"sys/fs/cgroup/user/cpu.max", "many\n"},
      {"sys/fs/cgroup/user/memory.max", "-4\n"},
      {"sys/fs/cgroup/cpu.max", ""},
      {"sys/fs/cgroup/memory.max", "\n"}}},
};

static void write_file(const char *root, const struct file *f)
{
    char *path = path_join(root, f->path);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(f->text, file);
    assert_int_equal(fclose(file), 0);
    free(path);
}

static void limits_are_the_least(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof machines / sizeof machines[0]; i++) {
        char *root = temp_dir();
        for (const struct file *f = machines[i].files; f->path; f++)
            write_file(root, f);
        struct para_limits l = para_limits_read(root);
        if (l.cpus != machines[i].cpus || l.bytes != machines[i].bytes)
            fail_msg("%s: %g processors and %lld bytes, expected %g and %lld", machines[i].what, l.cpus,
                     (long long)l.bytes, machines[i].cpus, (long long)machines[i].bytes);
        temp_dir_remove(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(limits_are_the_least)};
    return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
