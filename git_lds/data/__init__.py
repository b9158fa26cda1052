"""What files of data mean: pure functions of bytes, one directory a kind."""
