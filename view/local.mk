# Drawings of a graph: what is drawn, where it stands, and how it is written.
libinternal_la_SOURCES += view/columns.c
libinternal_la_SOURCES += view/columns.h
libinternal_la_SOURCES += view/compare-graphs.c
libinternal_la_SOURCES += view/compare-profiles.c
libinternal_la_SOURCES += view/heat.c
libinternal_la_SOURCES += view/heat.h
libinternal_la_SOURCES += view/label.c
libinternal_la_SOURCES += view/label.h
libinternal_la_SOURCES += view/layout.c
libinternal_la_SOURCES += view/layout.h
libinternal_la_SOURCES += view/outline.c
libinternal_la_SOURCES += view/outline.h
libinternal_la_SOURCES += view/match.c
libinternal_la_SOURCES += view/match.h
libinternal_la_SOURCES += view/page-compare.c
libinternal_la_SOURCES += view/page-compare.h
libinternal_la_SOURCES += view/page-data.c
libinternal_la_SOURCES += view/page-data.h
libinternal_la_SOURCES += view/page-run.c
libinternal_la_SOURCES += view/page-run.h
libinternal_la_SOURCES += view/page.c
libinternal_la_SOURCES += view/page.h
libinternal_la_SOURCES += view/pairs.c
libinternal_la_SOURCES += view/pairs.h
libinternal_la_SOURCES += view/report.c
libinternal_la_SOURCES += view/svg.c
libinternal_la_SOURCES += view/svg.h
libinternal_la_SOURCES += view/text.c
libinternal_la_SOURCES += view/text.h
libinternal_la_SOURCES += view/timeline-svg.c
libinternal_la_SOURCES += view/timeline.c
libinternal_la_SOURCES += view/timeline.h
libinternal_la_SOURCES += view/trace.c
libinternal_la_SOURCES += view/union.c
libinternal_la_SOURCES += view/union.h
libinternal_la_SOURCES += view/verdict.c
libinternal_la_SOURCES += view/verdict.h
libinternal_la_SOURCES += view/waits.c
libinternal_la_SOURCES += view/waits.h
libinternal_la_SOURCES += view/wires.c
libinternal_la_SOURCES += view/wires.h

# The page's style, elements and script, as C; the script's files in the order in which they are one.
page_script =
page_script += view/page/format.js
page_script += view/page/data.js
page_script += view/page/layout.js
page_script += view/page/opening.js
page_script += view/page/relations.js
page_script += view/page/viewer.js
page_script += view/page/camera.js
page_script += view/page/theme.js
page_script += view/page/painter.js
page_script += view/page/tree.js
page_script += view/page/details.js
page_script += view/page/search.js
page_script += view/page/hash.js
page_script += view/page/keys.js
page_script += view/page/pointer.js
page_script += view/page/main.js
page_run = view/page/run.js view/page/timeline.js
page_files = view/page/page.css view/page/page.html view/page/comparison.js $(page_run) \
	$(page_script)
EXTRA_DIST += view/embed.awk $(page_files)
nodist_libinternal_la_SOURCES = view/page-parts.c
CLEANFILES += view/page-parts.c
view/page-parts.c: view/embed.awk $(page_files)
	$(AM_V_GEN)$(MKDIR_P) view && cd $(srcdir) && $(AWK) -f view/embed.awk name=para_page_style view/page/page.css \
		name=para_page_body view/page/page.html name=para_page_comparison view/page/comparison.js \
		name=para_page_run_script $(page_run) \
		name=para_page_script $(page_script) \
		>'$(abs_builddir)/view/page-parts.c.new' && mv '$(abs_builddir)/view/page-parts.c.new' '$(abs_builddir)/$@'
