"""Views of the stripe blueprint."""
