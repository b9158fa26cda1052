"""What was contributed before, and the commits here that edited a dependency."""
