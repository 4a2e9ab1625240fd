# The paragraph command. Its man pages and its completion are committed, so that a build needs no run of it;
# tests/test-cli.sh holds them to `paragraph --man [COMMAND]` and `paragraph --completion`, which print them.
man_pages =
man_pages += doc/man/paragraph.1
man_pages += doc/man/paragraph-bench.1
man_pages += doc/man/paragraph-dump.1
man_pages += doc/man/paragraph-eval.1
man_pages += doc/man/paragraph-generate.1
man_pages += doc/man/paragraph-info.1
man_pages += doc/man/paragraph-plan.1
man_pages += doc/man/paragraph-train.1
EXTRA_DIST += $(man_pages) doc/completion/paragraph
if IO
bin_PROGRAMS += paragraph
man_MANS = $(man_pages)
bash_completiondir = $(datadir)/bash-completion/completions
bash_completion_DATA = doc/completion/paragraph
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
paragraph_SOURCES += tools/completion.c
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
