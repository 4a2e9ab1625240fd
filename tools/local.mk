# The paragraph command. Its man page is committed, so that a build needs no run of it; tests/test-cli.sh holds the page
# to `paragraph --man`, which prints it.
EXTRA_DIST += doc/paragraph.1
if IO
bin_PROGRAMS += paragraph
man_MANS = doc/paragraph.1
paragraph_LDADD = libparagraph.la
paragraph_SOURCES =
paragraph_SOURCES += tools/cmd-bench.c
paragraph_SOURCES += tools/cmd-dump.c
paragraph_SOURCES += tools/cmd-eval.c
paragraph_SOURCES += tools/cmd-generate.c
paragraph_SOURCES += tools/cmd-info.c
paragraph_SOURCES += tools/cmd-plan.c
paragraph_SOURCES += tools/cmd-train.c
paragraph_SOURCES += tools/commands.h
paragraph_SOURCES += tools/common.c
paragraph_SOURCES += tools/common.h
paragraph_SOURCES += tools/evaluate.c
paragraph_SOURCES += tools/evaluate.h
paragraph_SOURCES += tools/help.c
paragraph_SOURCES += tools/help.h
paragraph_SOURCES += tools/main.c
paragraph_SOURCES += tools/options.c
paragraph_SOURCES += tools/options.h
paragraph_SOURCES += tools/progress.c
paragraph_SOURCES += tools/progress.h
paragraph_SOURCES += tools/source.c
paragraph_SOURCES += tools/source.h
endif
