"""The `cinelib` command, one file a group of commands."""
