/* The devices that a machine is opened with, and which of them runs what. */
#ifndef PARA_RUNTIME_DEVICES_H
#define PARA_RUNTIME_DEVICES_H

#include "graph/op.h"

enum { PARA_MAX_DEVICES = 16, PARA_ON_CPUS = -1 };

struct para_devices {
    int count;
    int gpu[PARA_MAX_DEVICES]; /* its number; PARA_ON_CPUS: the CPU workers */
    int n_gpus;
    size_t bytes[PARA_MAX_DEVICES]; /* of a GPU's memory that sessions may take; 0: not known */
};

/* Read "cpu", "cuda" (all GPUs), "cuda:0,cuda:1", "cpu,cuda:0". This machine has `gpus`; `why` says why there are
 * none. */
int para_devices_read(struct para_devices *out, const char *text, int gpus, const char *why, para_error *err);

/* The GPU that runs a node, or PARA_ON_CPUS. Worker groups go to the devices in turn, a node of none to the first GPU;
 * one whose op has no kernel for GPUs to the CPU workers. */
int para_devices_of(const struct para_devices *d, const para_node *n);

/* Whether a node is placed on CPUs, whatever kernels its op has. */
bool para_devices_place_on_cpus(const struct para_devices *d, const para_node *n);

#endif
