"""What `make demo` shows: two workflows, the files that they read, and somebody who may look."""
