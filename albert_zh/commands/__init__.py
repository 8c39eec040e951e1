"""The command-line programs: each module defines the flags and the `main` of one command."""
