"""The command lines: flags and `main` of each."""
