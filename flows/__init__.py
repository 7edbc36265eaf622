"""When and how the pipeline runs: one flow a file."""
