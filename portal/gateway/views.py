"""Views of the gateway blueprint."""
