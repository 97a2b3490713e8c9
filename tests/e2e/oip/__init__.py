"""The recorded calls of real OIP clients, made again."""
