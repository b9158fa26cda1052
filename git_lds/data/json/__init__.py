"""JSON documents: read strictly, compared and merged by structure."""
