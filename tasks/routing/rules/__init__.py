"""Rules of the policy: read and checked, and asked before any tier."""
