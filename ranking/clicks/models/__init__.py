"""Click models: who examines what, and what attracts. One family a module; `registry` knows them by name."""
