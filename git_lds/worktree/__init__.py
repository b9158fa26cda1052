"""The working tree and git's index, changed together: all of a change or nothing."""
