# Programs against the public headers alone.
