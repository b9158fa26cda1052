"""What is declared: the entries of .ldsdeps, the URLs that may be used, the files that are wanted."""
