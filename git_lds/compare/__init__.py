"""What changed between two snapshots, by the kind of each file."""
