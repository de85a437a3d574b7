"""The `consilience` command: stdout is data, stderr is progress."""
