"""Dependencies between repositories: paths of another repository that live at paths of this one, and are kept up to date."""
