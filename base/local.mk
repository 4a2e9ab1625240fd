# Errors, memory, element types: what every room may use.
libinternal_la_SOURCES += base/arena.c
libinternal_la_SOURCES += base/arena.h
libinternal_la_SOURCES += base/checked.h
libinternal_la_SOURCES += base/dtype.c
libinternal_la_SOURCES += base/dtype.h
libinternal_la_SOURCES += base/fail.c
libinternal_la_SOURCES += base/fail.h
libinternal_la_SOURCES += base/grow.h
libinternal_la_SOURCES += base/philox.h
libinternal_la_SOURCES += base/simd.h
libinternal_la_SOURCES += base/strmap.c
libinternal_la_SOURCES += base/strmap.h
libinternal_la_SOURCES += base/utf8.h
