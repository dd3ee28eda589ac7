"""What `--check` looks at: everything that a worker needs. Changes nothing."""
