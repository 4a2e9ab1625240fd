# Running graphs: machine, plan, session on StarPU, serial interpreter.
libinternal_la_SOURCES += runtime/blocks.c
libinternal_la_SOURCES += runtime/blocks.h
libinternal_la_SOURCES += runtime/codelets.c
libinternal_la_SOURCES += runtime/codelets.h
libinternal_la_SOURCES += runtime/crew.c
libinternal_la_SOURCES += runtime/crew.h
libinternal_la_SOURCES += runtime/cuda.h
libinternal_la_SOURCES += runtime/devices.c
libinternal_la_SOURCES += runtime/devices.h
libinternal_la_SOURCES += runtime/environment.c
libinternal_la_SOURCES += runtime/environment.h
libinternal_la_SOURCES += runtime/explain.c
libinternal_la_SOURCES += runtime/floor.c
libinternal_la_SOURCES += runtime/home.c
libinternal_la_SOURCES += runtime/home.h
libinternal_la_SOURCES += runtime/limits.c
libinternal_la_SOURCES += runtime/limits.h
libinternal_la_SOURCES += runtime/machine.c
libinternal_la_SOURCES += runtime/machine.h
libinternal_la_SOURCES += runtime/mail.c
libinternal_la_SOURCES += runtime/mail.h
libinternal_la_SOURCES += runtime/nonfinite.c
libinternal_la_SOURCES += runtime/plan.c
libinternal_la_SOURCES += runtime/plan.h
libinternal_la_SOURCES += runtime/profile.c
libinternal_la_SOURCES += runtime/record.c
libinternal_la_SOURCES += runtime/serial.c
libinternal_la_SOURCES += runtime/session.c
libinternal_la_SOURCES += runtime/session.h
libinternal_la_SOURCES += runtime/store.c
libinternal_la_SOURCES += runtime/store.h
libinternal_la_SOURCES += runtime/tasks.c
libinternal_la_SOURCES += runtime/values.c
libinternal_la_SOURCES += runtime/weights.c

if CUDA
libinternal_la_SOURCES += runtime/cuda-floor.c
libinternal_la_SOURCES += runtime/cuda-graph.c
libcudaops_la_SOURCES += runtime/cuda-mail.cu
libinternal_la_SOURCES += runtime/cuda-marks.c
libinternal_la_SOURCES += runtime/cuda.c
else
libinternal_la_SOURCES += runtime/cuda-none.c
endif
