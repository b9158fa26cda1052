"""Data under review: what changed between two versions, what files of data mean, how two people's edits are merged."""
