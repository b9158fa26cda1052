"""Which files a revision, the index or the working tree has, what their pointers say, and how to read one."""
