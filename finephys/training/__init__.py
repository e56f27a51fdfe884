"""The stages of training, declared once, and the one loop that runs them."""
