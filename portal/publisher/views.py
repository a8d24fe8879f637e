"""Views of the publisher blueprint."""
