"""From items to vectors: text and image encoders and the store that keeps what they made."""
