"""git-lds: datasets that behave like git repositories.

Kept empty of imports: git starts the filter for many commands, and whatever stands here is loaded every time.
"""

__version__ = "0.1.0"
