# Running graphs: machine, plan, session on StarPU, serial interpreter.
libinternal_la_SOURCES += runtime/codelets.c
libinternal_la_SOURCES += runtime/codelets.h
libinternal_la_SOURCES += runtime/explain.c
libinternal_la_SOURCES += runtime/floor.c
libinternal_la_SOURCES += runtime/machine.c
libinternal_la_SOURCES += runtime/machine.h
libinternal_la_SOURCES += runtime/plan.c
libinternal_la_SOURCES += runtime/plan.h
libinternal_la_SOURCES += runtime/profile.c
libinternal_la_SOURCES += runtime/serial.c
libinternal_la_SOURCES += runtime/session.c
libinternal_la_SOURCES += runtime/session.h
libinternal_la_SOURCES += runtime/store.c
libinternal_la_SOURCES += runtime/store.h
libinternal_la_SOURCES += runtime/tasks.c
libinternal_la_SOURCES += runtime/weights.c
