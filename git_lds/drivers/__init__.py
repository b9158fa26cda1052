"""The programs that git calls to show and merge tracked files: textconv and the merge driver."""
