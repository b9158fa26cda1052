"""A store as seen from here: what every backend must do, those there are, and how one is opened from its address."""
