# The paragraph command.
if IO
endif
