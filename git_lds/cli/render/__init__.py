"""How results are shown: for people, as JSON, as Markdown, and progress on a terminal."""
