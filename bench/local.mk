EXTRA_DIST += bench/RESULTS.md
EXTRA_DIST += bench/bench-tokenizer.py

# make bench: a training step against the measured floor of this machine.
.PHONY: bench
if IO
bench: paragraph$(EXEEXT)
	./paragraph$(EXEEXT) bench
else
bench:
	@echo "make bench: needs the paragraph command, which --without-io leaves out" >&2; exit 1
endif
