/* What fuzz targets share. */
#include "tests/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[128];

static void remove_folder(void)
{
    DIR *dir = opendir(folder);
    for (struct dirent *d; dir && (d = readdir(dir));)
        if (d->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%.40s", folder, d->d_name);
            unlink(path);
        }
    if (dir)
        closedir(dir);
    rmdir(folder);
}

static void make_folder(void)
{
    struct stat about;
    const char *shared = "/dev/shm"; /* in memory, where there is one */
    snprintf(folder, sizeof folder, "%s/paragraph-fuzz-XXXXXX", stat(shared, &about) == 0 ? shared : "/tmp");
    fuzz_assert(mkdtemp(folder) != NULL, "no temporary folder");
    atexit(remove_folder);
}

const char *fuzz_file(const char *name, const uint8_t *data, size_t bytes)
{
    if (!folder[0])
        make_folder();
    if (!name)
        return folder;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    fuzz_assert(file && fwrite(data, 1, bytes, file) == bytes, "the input can't be written");
    fclose(file);
    return path;
}

void fuzz_use(const void *data, size_t bytes)
{
    const unsigned char *x = data;
    int64_t sum = 0;
    for (size_t i = 0; i < bytes; i++)
        sum += x[i];
    fuzz_assert(sum >= 0, "a sum of bytes is negative");
}

void fuzz_assert(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}
