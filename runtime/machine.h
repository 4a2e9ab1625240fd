/* The open machine. */
#ifndef PARA_RUNTIME_MACHINE_H
#define PARA_RUNTIME_MACHINE_H

#include <paragraph/session.h>

#include "runtime/codelets.h"
#include "runtime/devices.h"
#include "runtime/home.h"

enum { PARA_STAGING_BYTES = 16 << 20 };

struct para_machine {
    int workers, cores, all_cores, memories; /* `cores`: that the process may use */
    double cpus;                             /* processors' worth of time that it may use */
    struct para_devices devices;
    size_t taken[PARA_MAX_DEVICES]; /* by device: of a GPU's memory, by the sessions there are */
    void *staging;                /* PARA_STAGING_BYTES of main memory that GPUs copy from and to; NULL without GPUs */
    struct CUstream_st **capture; /* by GPU: a stream on which work is captured */
    unsigned *pu;                 /* of each core that the process may use, a processing unit */
    int *starpu_worker;           /* StarPU's numbers of the CPU workers, and, after them, of the devices' GPUs */
    struct para_cuda *cuda;       /* by GPU, in that order */
    int64_t ram_bytes;
    size_t main_taken; /* of main memory, by the sessions there are */
    char cpu[128], starpu[32], scheduler[32], blas[160], device_list[160];
    struct para_codelets *codelets;
    struct para_home home;
    bool silenced; /* STARPU_SILENT was not set, and is while the machine is open */
};

/* StarPU's number of the worker that runs a GPU. */
int para_machine_gpu_worker(const para_machine *m, int gpu);
/* Check that OpenBLAS finds the memory that it takes for each worker, for it waits until it does, beside so many bytes
 * that each is about to take. */
int para_check_blas_room(int workers, size_t beside, para_error *err);
/* Our number of a worker of StarPU's. */
int para_machine_worker(const para_machine *m, int starpu_worker);

#endif
