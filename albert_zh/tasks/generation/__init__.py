"""Text generation, sequence to sequence: titles, replies and other texts from texts."""
