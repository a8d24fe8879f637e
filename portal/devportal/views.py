"""Views of the devportal blueprint."""
