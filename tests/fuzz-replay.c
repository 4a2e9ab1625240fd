/* Run a fuzz target over files, by default those of its corpus: without crashes, leaks and endless loops, as far as the
 * build can tell. */
#include "tests/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void run(const char *path)
{
    FILE *file = fopen(path, "rb");
    fuzz_assert(file != NULL, path);
    fseek(file, 0, SEEK_END);
    long bytes = ftell(file);
    rewind(file);
    uint8_t *data = malloc((size_t)bytes + 1);
    fuzz_assert(data && fread(data, 1, (size_t)bytes, file) == (size_t)bytes, path);
    fclose(file);
    alarm(60);
    LLVMFuzzerTestOneInput(data, (size_t)bytes);
    alarm(0);
    free(data);
}

static int run_corpus(void)
{
    char folder[4096], path[8192];
    const char *top = getenv("srcdir");
    int files = 0;
    snprintf(folder, sizeof folder, "%s/tests/corpus/%s", top ? top : ".", fuzz_corpus);
    DIR *dir = opendir(folder);
    fuzz_assert(dir != NULL, folder);
    for (struct dirent *d; (d = readdir(dir));)
        if (d->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", folder, d->d_name);
            run(path);
            files++;
        }
    closedir(dir);
    return files;
}

int main(int argc, char *argv[])
{
    int files = argc - 1;
    for (int i = 1; i < argc; i++)
        run(argv[i]);
    if (argc == 1)
        files = run_corpus();
    printf("%s: %d files\n", fuzz_corpus, files);
    return files > 0 ? 0 : 1;
}
