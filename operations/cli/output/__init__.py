"""The output of commands: tables, screens, files, plots."""
