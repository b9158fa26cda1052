"""Checks of annotations and images that need no person."""
