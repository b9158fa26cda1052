"""COCO annotations: images, categories, and annotations of what is where in an image."""
