"""Image tokens and label embeddings → logits: the idea of the project."""
