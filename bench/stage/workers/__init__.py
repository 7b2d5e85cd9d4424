"""The Procfile's workers with the null engine passed in."""
