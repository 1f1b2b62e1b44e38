# Install tree: bin/, lib/, lib/apr/plugins/, include/apr/, lib/cmake/apr/.
