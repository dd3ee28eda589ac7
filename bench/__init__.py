"""What is measured, and against what. Each module is a command that anyone can repeat."""
