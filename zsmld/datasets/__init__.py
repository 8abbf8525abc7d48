"""What is on a disk → (image, labels) records."""
