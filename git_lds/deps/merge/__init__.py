"""The three-way merge of a dependency: the files at the pinned commit, ours, and upstream's."""
