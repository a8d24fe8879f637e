"""Views of the oauth blueprint."""
