"""How commands print: tables, screens, files, plots."""
