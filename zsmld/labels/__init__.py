"""Words → label embeddings."""
