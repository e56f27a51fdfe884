"""A blinded rating study of generated videos: planned, served, kept, closed and reported."""
