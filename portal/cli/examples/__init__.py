"""The demo's example data: two companies that sell APIs, and developers who may subscribe."""
