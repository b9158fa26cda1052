"""The configuration of the user and the repository, and the credentials of the user at a store."""
