#include "runtime/devices.h"

#include "base/dtype.h"
#include "base/fail.h"

#include <stdlib.h>
#include <string.h>

static int add(struct para_devices *d, int gpu, const char *text, para_error *err)
{
    for (int i = 0; i < d->count; i++)
        if (d->gpu[i] == gpu)
            return para_fail(err, PARA_EINVAL, "devices \"%s\": one is named twice", text);
    if (d->count == PARA_MAX_DEVICES)
        return para_fail(err, PARA_ERANGE, "devices \"%s\": more than %d", text, PARA_MAX_DEVICES);
    d->gpu[d->count++] = gpu;
    d->n_gpus += gpu != PARA_ON_CPUS;
    return 0;
}

/* "cuda" or "cuda:N" */
static int add_gpus(struct para_devices *d, const char *word, const char *text, int gpus, const char *why,
                    para_error *err)
{
    char *end = NULL;
    long number = word[4] ? strtol(word + 5, &end, 10) : 0;
    if (!gpus)
        return para_fail(err, PARA_EDEVICE, "devices \"%s\": no GPU: %s", text, why);
    if (word[4] && number >= gpus)
        return para_fail(err, PARA_ERANGE, "devices \"%s\": no GPU number %ld; this machine has %d, from cuda:0 on",
                         text, number, gpus);
    for (int i = 0; i < gpus; i++)
        if (!word[4] || i == number)
            PARA_TRY(add(d, i, text, err));
    return 0;
}

static bool names_gpu(const char *word)
{
    if (strncmp(word, "cuda", 4) != 0)
        return false;
    return !word[4] || (word[4] == ':' && word[5] && strspn(word + 5, "0123456789") == strlen(word + 5));
}

int para_devices_read(struct para_devices *out, const char *text, int gpus, const char *why, para_error *err)
{
    struct para_devices d = {0};
    for (const char *at = text;; at++) {
        char word[16] = "";
        size_t length = strcspn(at, ",");
        if (length < sizeof word)
            memcpy(word, at, length);
        if (strcmp(word, "cpu") == 0)
            PARA_TRY(add(&d, PARA_ON_CPUS, text, err));
        else if (names_gpu(word))
            PARA_TRY(add_gpus(&d, word, text, gpus, why, err));
        else
            return para_fail(err, PARA_ENAME,
                             "devices \"%s\": \"%.*s\" is none; expected cpu, cuda or cuda:0, cuda:1, ...", text,
                             (int)length, at);
        at += length;
        if (!*at)
            break;
    }
    *out = d;
    return 0;
}

bool para_devices_place_on_cpus(const struct para_devices *d, const para_node *n)
{
    return !d->n_gpus || (n->place >= 0 && d->gpu[n->place % d->count] == PARA_ON_CPUS);
}

/* Kernels for GPUs don't know types in blocks. */
static bool has_gpu_kernel(const para_node *n)
{
    bool knows = n->op->cuda;
    for (int i = 0; i < n->n_in && knows; i++)
        knows = !para_dtype_blocks(n->in[i]->shape.dtype);
    return knows;
}

int para_devices_of(const struct para_devices *d, const para_node *n)
{
    if (!d->n_gpus || !has_gpu_kernel(n))
        return PARA_ON_CPUS;
    if (n->place >= 0)
        return d->gpu[n->place % d->count];
    return d->gpu[d->gpu[0] == PARA_ON_CPUS ? 1 : 0];
}
