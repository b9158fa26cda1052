"""Places that hold a store: a directory, an HTTP server, a bucket; what each must do, and how one is opened by URL."""
