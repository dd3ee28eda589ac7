"""A worker process: its workers side by side, and how it ends."""
