"""Automatic checks of annotations and images."""
