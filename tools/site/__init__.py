"""The documents as a site: ``make docs`` builds it, and a broken link is an error."""
